# Everything runs in .venv, which is created on first use. PYTHON chooses the interpreter.
PYTHON ?= python3
FUZZ_MINUTES ?= 30
BIN := .venv/bin

.PHONY: demo test test-slow test-cuda test-gpu gpu-kit fuzz check docs dist test-lowest bench results clean

demo: .venv/installed
	$(BIN)/edgeexit demo -o demo

test: .venv/installed
	$(BIN)/pytest -n auto --dist worksteal -m "not slow and not gpu"

test-slow: .venv/installed
	$(BIN)/pytest -n auto --dist worksteal -m "slow and not gpu"

# the TensorRT backend on a CUDA driver emulated in host memory; needs gcc, creates .venv-cuda
test-cuda:
	PYTHON=$(PYTHON) runtime/tests/host_cuda/run.sh

# the tests that need a GPU, on a machine with one; writes gpu_report.zip, to send back
test-gpu:
	$(PYTHON) tests/gpu/kit.py

# for a machine with a GPU and no network: copy gpu_kit there, and run its run.sh
gpu-kit:
	PYTHON=$(PYTHON) tests/gpu/collect.sh

# reads damaged files of all kinds for FUZZ_MINUTES; files that cause failures go to fuzz_finds
fuzz: .venv/installed
	FUZZ_MINUTES=$(FUZZ_MINUTES) $(BIN)/pytest -q tests/fuzz

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_imports.py runtime/tests/test_imports.py

# the documentation, in site/; a broken link or an unknown API name is an error
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

.venv/docs: .venv/installed
	$(BIN)/pip install --quiet -e '.[docs]'
	touch $@

# both packages, in dist/; tests/test_release.py tests their contents
dist: .venv/installed
	$(BIN)/pip install --quiet -e '.[dist]'
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist runtime
	$(BIN)/python -m build --quiet --outdir dist .
	$(BIN)/twine check --strict dist/*

# the runtime's tests with the oldest supported versions of its dependencies; creates .venv-lowest
test-lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/pip install --quiet uv
	.venv-lowest/bin/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct \
		-e './runtime[cpu,openvino,video,testing]'
	.venv-lowest/bin/pytest -q runtime/tests -m "not slow and not gpu"

bench: .venv/installed
	$(BIN)/python benchmarks/session_overhead.py
	$(BIN)/python benchmarks/cpu_precision.py
	$(BIN)/python benchmarks/rewrites.py
	$(BIN)/python benchmarks/single_file.py
	$(BIN)/python benchmarks/openvino_overhead.py
	$(BIN)/python benchmarks/mixed_batch.py
	$(BIN)/python benchmarks/start_up.py
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/peer_earlyon.py
	$(BIN)/python benchmarks/threshold_search.py
	$(BIN)/python benchmarks/training_overhead.py

results: .venv/installed
	$(BIN)/python benchmarks/training_results.py
	$(BIN)/python benchmarks/evaluation_results.py
	$(BIN)/python benchmarks/pooled_results.py
	$(BIN)/python benchmarks/guarantee_results.py
	$(BIN)/python benchmarks/drift_results.py
	$(BIN)/python benchmarks/score_results.py
	$(BIN)/pip install --quiet -e '.[timm]'
	$(BIN)/python benchmarks/networks_results.py

.venv/installed: pyproject.toml runtime/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -e './runtime[cpu]' -e '.[demo,dev]'
	touch $@

clean:
	rm -rf .venv .venv-cuda .venv-lowest demo dist site
