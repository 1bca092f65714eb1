"""Which rooms know which, and how full they are: imports anywhere in a file, in functions too."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import edgeexit_runtime
import pytest
from edgeexit_runtime.backends import BACKENDS

import edgeexit

DISTRIBUTIONS = [edgeexit, edgeexit_runtime]
MOST_MODULES = 12  # of a folder, unless its docstring says that they are "one file per" something
CALLED_ALIKE = {
    "export/int8/targets/tensorrt.py: tensorrt",  # the target
    "export/from_onnx/split.py: onnxruntime",  # whose version is recorded
}
ROOT = Path(edgeexit.__path__[0])
NOT_KNOWN = {
    "statistics": ("bench", "cli", "evaluation"),
    "evaluation": ("bench", "cli"),
    "bench": ("cli",),
}
BENCH = ("results", "device", "timing", "roofline", "advice", "compare", "render")  # from below
BESIDE = {"advice": "roofline", "compare": "advice"}  # neither knows the other


def top_of(distribution: object) -> Path:
    """Return the folder of a distribution."""
    (folder,) = distribution.__path__  # type: ignore[attr-defined]
    return Path(folder)


def imports(folder: Path) -> set[str]:
    """Return the modules of edgeexit that the files of a folder import."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith("edgeexit.")}


@pytest.mark.parametrize("room", NOT_KNOWN)
def test_a_room_knows_no_room_above_it(room: str) -> None:
    known = {name.split(".")[1] for name in imports(ROOT / room)}
    assert known, "the folder is there and imports something"
    assert not known & set(NOT_KNOWN[room])


@pytest.mark.parametrize("place", range(len(BENCH)))
def test_a_room_of_bench_knows_none_above_or_beside_it(place: int) -> None:
    room = BENCH[place]
    names = imports(ROOT / "bench" / room)
    known = {name.split(".")[2] for name in names if name.startswith("edgeexit.bench.")}
    assert not known & {*BENCH[place + 1 :], BESIDE.get(room), "run"}


def dotted(path: Path, top: Path) -> str:
    """Return the name that a file is imported by."""
    parts = path.relative_to(top.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(top: Path) -> dict[str, set[str]]:
    """Return the modules of a distribution, each with those of its own that it imports."""
    files = {dotted(path, top): path for path in top.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, path in files.items():
        graph[name] = known = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    longest = f"{node.module}.{alias.name}"
                    known.add(longest if longest in files else str(node.module))
            elif isinstance(node, ast.Import):
                known |= {alias.name for alias in node.names}
        known &= files.keys() - {name}
    return graph


def between_folders(graph: Mapping[str, set[str]], packages: set[str]) -> dict[str, set[str]]:
    """Return which folder's modules import which other's, where neither folder is in the other."""

    def folder(module: str) -> str:
        return module if module in packages else module.rpartition(".")[0]

    def apart(one: str, other: str) -> bool:
        return not f"{one}.".startswith(f"{other}.") and not f"{other}.".startswith(f"{one}.")

    folders: dict[str, set[str]] = {}
    for module, known in graph.items():
        own = folder(module)
        folders.setdefault(own, set()).update(o for o in map(folder, known) if apart(own, o))
    return folders


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return the first circle of a graph, or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_no_modules_import_each_other_in_a_circle(distribution: object) -> None:
    graph = import_graph(top_of(distribution))
    assert sum(map(len, graph.values())) > len(graph)
    assert circle(graph) == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_no_folders_import_each_other_in_a_circle(distribution: object) -> None:
    top = top_of(distribution)
    packages = {dotted(path, top) for path in top.rglob("__init__.py")}
    graph = between_folders(import_graph(top), packages)
    assert circle(graph) == []
    for depth in (2, 3):  # and neither do whole rooms with the folders in them
        rooms: dict[str, set[str]] = {}
        for folder, known in graph.items():
            own = ".".join(folder.split(".")[:depth])
            others = {".".join(name.split(".")[:depth]) for name in known}
            rooms.setdefault(own, set()).update(others - {own})
        assert circle(rooms) == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_a_folder_has_a_dozen_modules_or_says_why_it_has_more(distribution: object) -> None:
    full = []
    for init in top_of(distribution).rglob("__init__.py"):
        modules = len(list(init.parent.glob("*.py"))) - 1
        about = ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""
        if modules > MOST_MODULES and "one file per" not in about.lower():
            full.append(f"{init.parent}: {modules} modules")
    assert full == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_no_backend_is_asked_for_by_its_name(distribution: object) -> None:
    """But in its own room, and where an INT8 target or an installed package is called so."""
    top = top_of(distribution)
    asked = []
    for path in top.rglob("*.py"):
        within = path.relative_to(top).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.value if isinstance(node, ast.Constant) else None
            if name in BACKENDS and f"backends/{name}/" not in within:
                asked.append(f"{within}: {name}")
    assert set(asked) <= CALLED_ALIKE


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_a_public_name_is_one_of_a_folder(distribution: object) -> None:
    files = [path for path in top_of(distribution).rglob("*.py") if path.name != "__init__.py"]
    assert files
    assert [str(path) for path in files if "__all__" in path.read_text(encoding="utf-8")] == []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})
    assert not circle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def exported(init: Path) -> list[str]:
    """Return the names in a package's ``__all__``."""
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return [str(name) for name in ast.literal_eval(node.value)]
    return []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda package: package.__name__)
def test_what_a_package_exports_is_used_or_documented(distribution: object) -> None:
    """In a file that is not where it is defined, nor the package itself."""
    top, repository = top_of(distribution), Path(__file__).parents[1]
    reference = (repository / "docs/reference/python.md").read_text(encoding="utf-8")
    documented = {line.removeprefix("::: ") for line in reference.splitlines() if ":::" in line}
    folders = ("edgeexit", "runtime", "tests", "benchmarks", "examples")
    texts = {
        path: path.read_text(encoding="utf-8")
        for folder in folders
        for path in (repository / folder).rglob("*.py")
    }
    lonely = []
    for init in top.rglob("__init__.py"):
        if dotted(init, top) in documented or init.parent == top:
            continue
        for name in exported(init):
            word = re.compile(rf"\b{name}\b")
            uses = [path for path, text in texts.items() if word.search(text)]
            inside = len(word.findall(texts[init])) - 2  # its import and its line in __all__
            if len(set(uses) - {init}) < 2 and inside < 1:  # the first is where it is defined
                lonely.append(f"{dotted(init, top)}.{name}")
    assert lonely == []
