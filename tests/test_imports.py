"""What importing imports: asking for help must not wait for torch."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import edgeexit
from edgeexit.cli import COMMANDS

HEAVY = ("torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "matplotlib", "sklearn")

HELP = """
import sys
from edgeexit.cli import main
main([*{arguments}, "--help"], prog_name="edgeexit", standalone_mode=False)
"""

REPORT = """
import json, sys
print(json.dumps(sorted({heavy} & set(sys.modules))), file=sys.stderr)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a new interpreter, then report on stderr which heavy modules it imported."""
    code += REPORT.format(heavy=set(HEAVY))
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    return result


def heavy_imports(result: subprocess.CompletedProcess[str]) -> list[str]:
    names: list[str] = json.loads(result.stderr.splitlines()[-1])
    return names


def test_report_sees_a_heavy_import() -> None:
    assert heavy_imports(python("import onnxruntime")) == ["onnxruntime"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert heavy_imports(python("import edgeexit")) == []


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    result = python(HELP.format(arguments=[]))
    assert heavy_imports(result) == []
    listed = result.stdout.partition("Commands:")[2].splitlines()
    assert [line.split()[0] for line in listed if line.strip()] == list(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(command: str) -> None:
    result = python(HELP.format(arguments=[command]))
    assert heavy_imports(result) == []
    assert result.stdout.startswith(f"Usage: edgeexit {command} ")
    assert f"  edgeexit {command}" in result.stdout, "the help shows an example"


def test_package_runs_as_a_module() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "edgeexit", "--version"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("edgeexit, version ")


def modules() -> list[str]:
    """From the files, so that one that fails to import fails one test."""
    folder = Path(edgeexit.__path__[0])
    paths = (path.relative_to(folder.parent).with_suffix("") for path in folder.rglob("*.py"))
    names = {".".join(path.parts).removesuffix(".__init__") for path in paths}
    # Triton alone has what its Python imports
    return sorted(names - {"edgeexit.__main__", "edgeexit.export.triton.model"})


@pytest.mark.parametrize("name", modules())
def test_every_module_imports_and_says_what_it_is(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", edgeexit.__all__)
def test_every_public_name_is_there(name: str) -> None:
    (home,) = (module for module, names in edgeexit._HOME.items() if name in names)
    assert getattr(edgeexit, name) is getattr(importlib.import_module(home), name)


def runtime_files() -> list[Path]:
    spec = importlib.util.find_spec("edgeexit_runtime")
    assert spec is not None
    assert spec.origin is not None
    return sorted(Path(spec.origin).parent.rglob("*.py"))


@pytest.mark.parametrize("path", runtime_files(), ids=lambda path: path.stem)
def test_runtime_knows_neither_edgeexit_nor_torch(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            imported.add(node.module or "")
    roots = {name.partition(".")[0] for name in imported}
    assert not roots & {"edgeexit", "torch", "torchvision"}
