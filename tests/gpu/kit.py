"""Runs all of edgeexit that needs a GPU, in order of worth, and stops by itself in time.

Usage: python kit.py --seconds 500 [--only training,cuda] [-o gpu_report]

Needs no network: 'make gpu-kit' has put everything beside this file. What was found stands in the
report's folder and ZIP file after every step: log.txt, summary.txt, the benchmarks' pages.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTEST = (
    *(sys.executable, "-m", "pytest", "-m", "gpu", "-rA", "-s", "-p", "no:cacheprovider"),
    # warnings of foreign packages are not errors on a machine that nobody set up for these tests
    *("-o", "filterwarnings=default", "--durations=10"),
)
EDGEEXIT = (sys.executable, "-m", "edgeexit")
FACTS = """
import importlib.metadata, pathlib, platform
print(platform.platform(), platform.python_version())
for path in map(pathlib.Path, ("/proc/device-tree/model", "/etc/nv_tegra_release")):
    print(path.read_text() if path.exists() else f"{path} is not here")
names = "numpy torch onnx onnxruntime onnxruntime-gpu tensorrt tensorrt-rtx-cu13-bindings pycuda"
for name in names.split():
    try:
        print(name, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        print(name, "is not installed")
"""
# what a machine has of it: the first is of desktop GPUs, the others of a Jetson
STATE = "; ".join(
    f"echo '# {command}'; {command} || true"
    for command in (
        "nvidia-smi",
        "nvidia-smi -q -d CLOCK,MEMORY,POWER,PERFORMANCE",
        "nvpmodel -q",
        "jetson_clocks --show",
        "cat /sys/class/devfreq/*gpu*/cur_freq /sys/class/devfreq/*gpu*/max_freq",
        "cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor",
        "free -m",
    )
)


@dataclass(frozen=True)
class Step:
    """A command, and the most seconds that it may take."""

    name: str
    command: tuple[str, ...]
    limit_s: float


def steps(source: Path, work: Path, report: Path, engines: str) -> Iterator[Step]:
    """Yield what to run: ``source`` has the tests, ``work`` is for networks and bundles."""
    is_rehearsal = engines == "double"
    run, bundles = work / "run", work / "bundles"
    tests = source / "runtime" / "tests" / "gpu"
    pytest = (*PYTEST, f"--engines={engines}", f"--bundles={bundles}")
    make = (sys.executable, str(HERE / "make_bundles.py"), str(bundles))
    train = "train --backbone resnet20 --branches 3+1 --dataset digits --distill wed --epochs 8"
    train += f" --batch-size 32 --lr 0.05 --device {'cpu' if is_rehearsal else 'cuda'} -o {run}"
    which = "{} and not cuda" if is_rehearsal else "{}"
    yield Step("facts", (sys.executable, "-c", FACTS), 30)
    yield Step("state", ("sh", "-c", STATE), 15)
    yield Step("train-digits", (*EDGEEXIT, *train.split()), 90)
    yield Step("tune-digits", (*EDGEEXIT, "tune", f"{run}/ckpt.pt", "--max-drop", "0.01"), 40)
    yield Step("cuda", (*PYTEST, str(tests / "test_cuda_gpu.py")), 60)
    yield Step("tiny", (*pytest, str(tests / "test_tensorrt_gpu.py")), 120)
    for name, of in (("digits", (f"{run}/ckpt.tuned.pt",)), ("resnet18", ())):
        only = which.format(name)
        yield Step(f"export-{name}", (*make, *of), 90)
        yield Step(f"times-{name}", (*pytest, str(tests / "test_times_gpu.py"), "-k", only), 60)
        exported = str(tests / "test_exported_gpu.py")
        yield Step(f"exported-{name}", (*pytest, exported, "-k", only), 120)
    if not is_rehearsal:
        yield Step("training", (*PYTEST, str(source / "tests/gpu/test_training_gpu.py")), 200)
    if engines == "tensorrt":
        test = str(source / "tests/gpu/test_int8_builds_gpu.py")
        yield Step("int8-builds", (*PYTEST, test), 600)
    backends = {"tensorrt": ("tensorrt", "cuda"), "stand-in": ("cuda",), "double": ("cpu",)}
    for name in ("digits", "resnet18"):
        for precision in ("fp32", "fp16", "int8"):
            for backend in backends[engines]:
                yield bench(bundles / f"{name}-{precision}", backend, report)


def bench(bundle: Path, backend: str, report: Path) -> Step:
    name = f"bench-{bundle.name}-{backend}"
    where = {
        "tensorrt": ("--backend", "tensorrt"),
        "cuda": (
            *("--backend", "onnxruntime"),
            *("--providers", "CUDAExecutionProvider,CPUExecutionProvider"),
        ),
        "cpu": ("--backend", "onnxruntime"),
    }[backend]
    command = (*EDGEEXIT, "bench", "--engine-dir", str(bundle), *where, "--duration", "2")
    more = ("--warm-up", "1", "--details", "--samples", "200")
    results = ("--json", str(report / f"{name}.json"), "--html", str(report / f"{name}.html"))
    return Step(name, (*command, *more, *results), 45)


def run_step(step: Step, limit_s: float, log: Path) -> str:
    """Run a step for so long at most; return how it ended, in a few words."""
    begin = time.monotonic()
    with log.open("a", encoding="utf-8") as stream:
        stream.write(f"\n######## {step.name}: {' '.join(step.command)}\n")
        stream.flush()
        process = subprocess.Popen(
            step.command,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit_s)
            ending = "ok" if code == 0 else f"FAILED ({code})"
        except subprocess.TimeoutExpired:
            ending = "OUT OF TIME"
        finally:  # also where Ctrl-C ends the kit
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return f"{step.name}: {ending}, {time.monotonic() - begin:.0f} s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=500, help="stop by then")
    parser.add_argument("--spent", type=float, default=0, help="seconds gone by before")
    parser.add_argument("--only", default="", help="steps whose names begin so, with commas")
    parser.add_argument(
        "--engines",
        choices=("tensorrt", "stand-in", "double"),
        default="tensorrt",
        help="stand-in: ONNX Runtime's CUDA kernels behind TensorRT's classes; double: a rehearsal "
        "without a GPU, on the driver and the double of TensorRT that 'make test-cuda' has built",
    )
    parser.add_argument("--source", type=Path, default=HERE.parents[1], help="the checkout")
    parser.add_argument("-o", "--report", type=Path, default=Path("gpu_report"))
    options = parser.parse_args()
    end = time.monotonic() + options.seconds - options.spent
    report, work = options.report.resolve(), Path("gpu_work").resolve()
    report.mkdir(parents=True, exist_ok=True)
    work.mkdir(exist_ok=True)
    slowness = 5 if options.engines == "double" else 1  # limits are those of a GPU
    only = tuple(options.only.split(",")) if options.only else ("",)
    failed = 0
    for step in steps(options.source, work, report, options.engines):
        if not step.name.startswith(only):
            continue
        left_s = end - time.monotonic()
        line = f"{step.name}: not begun, no time left"
        if left_s > 5:
            line = run_step(step, min(slowness * step.limit_s, left_s), report / "log.txt")
        failed += not line.startswith(f"{step.name}: ok")
        with (report / "summary.txt").open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        shutil.make_archive(str(report), "zip", report)  # one file, to be sent back
        print(line, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
