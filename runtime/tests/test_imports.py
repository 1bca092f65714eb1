"""What importing the runtime may import: numpy, and no engine."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

# stands in for a machine that has numpy alone
BLOCK = """
import sys

class Blocker:
    blocked = {"onnxruntime", "openvino", "tensorrt", "tensorrt_rtx", "pycuda", "torch", "onnx"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Blocker())
"""


def run(code: str, *arguments: str) -> str:
    """Run ``code`` in an interpreter of its own, behind the block; return what it prints."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCK + textwrap.dedent(code), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_block_blocks() -> None:
    printed = run("""
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            print(error.name)
    """)
    assert printed == "onnxruntime"


def test_importing_needs_no_engine_and_imports_numpy_and_nothing_else() -> None:
    printed = run("""
        import sys
        before = set(sys.modules)  # what the interpreter's start brings, such as editable installs
        import edgeexit_runtime
        loaded = {name.partition(".")[0] for name in set(sys.modules) - before}
        # Cython's run time, which numpy 1 registers without being a package, starts with an _
        print(*sorted(n for n in loaded - sys.stdlib_module_names if not n.startswith("_")))
    """)
    assert set(printed.split()) - {"cython_runtime"} == {"edgeexit_runtime", "numpy"}


def test_every_module_but_the_backends_own_needs_no_engine() -> None:
    printed = run("""
        import importlib, pkgutil
        import edgeexit_runtime
        for module in pkgutil.walk_packages(edgeexit_runtime.__path__, "edgeexit_runtime."):
            own = module.name.removeprefix("edgeexit_runtime.backends.")
            if module.name.startswith(("edgeexit_runtime.testing", "edgeexit_runtime.serving")):
                continue  # need onnx and a framework, and no engine
            described = own.endswith("backend")
            if described or not own.startswith(("onnxruntime.", "openvino.", "tensorrt.", "cuda.")):
                importlib.import_module(module.name)
                print(module.name)
    """)
    names = printed.split()
    assert {"edgeexit_runtime.session", "edgeexit_runtime.backends.base"} <= set(names)
    assert len(names) >= 9


def test_testing_says_what_it_needs() -> None:
    printed = run("""
        try:
            import edgeexit_runtime.testing
        except ImportError as error:
            print(error)
    """)
    assert "pip install 'edgeexit-runtime[testing]'" in printed


def test_loading_without_onnxruntime_says_how_to_install_it(bundle: Path) -> None:
    code = """
        import edgeexit_runtime as ee
        for load in (ee.load, ee.load_baseline):
            try:
                load(sys.argv[1])
            except ee.BackendError as error:
                print(error)
    """
    how = (
        "onnxruntime is not installed: pip install 'edgeexit-runtime[cpu]', or [gpu] for an NVIDIA"
    )
    for said in run(code, str(bundle)).splitlines():
        assert said.startswith("no backend can run it here; tensorrt: no engine was built from ")
        assert how in said
    named = code.replace("sys.argv[1]", "sys.argv[1], backend='onnxruntime'")
    for said in run(named, str(bundle)).splitlines():
        assert said.startswith(how)


def test_broken_onnxruntime_says_so(bundle: Path, tmp_path: Path) -> None:
    package = tmp_path / "onnxruntime"
    package.mkdir()
    reason = "libcudart.so.12: cannot open shared object file"
    (package / "__init__.py").write_text(f"raise ImportError({reason!r})", encoding="utf-8")
    printed = run(
        """
        Blocker.blocked.remove("onnxruntime")
        sys.path.insert(0, sys.argv[2])
        import edgeexit_runtime as ee
        try:
            ee.load(sys.argv[1])
        except ee.BackendError as error:
            print(error)
        """,
        str(bundle),
        str(tmp_path),
    )
    assert printed == f"onnxruntime is installed but does not start: {reason}; install it again"


def test_what_these_tests_share_with_others_needs_neither_torch_nor_edgeexit() -> None:
    here = Path(__file__).parent
    used = {
        line.split()[1]
        for file in here.rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("from support.")
    }
    assert "support.messages" in used
    run(
        """
        import importlib
        sys.path.insert(0, sys.argv[1])
        Blocker.blocked = {"torch", "edgeexit"}
        for name in sys.argv[2:]:
            importlib.import_module(name)
        """,
        str(here.parents[1] / "tests"),
        *sorted(used),
    )
