"""The benchmarks are programs: their folder is on the path only while a test runs."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """``program("soak")`` imports one of the benchmarks' modules."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for file in BENCHMARKS.glob("*.py"):
        monkeypatch.delitem(sys.modules, file.stem, raising=False)

    def load(name: str) -> ModuleType:
        before = set(sys.modules)
        module = importlib.import_module(name)
        for added in set(sys.modules) - before:  # gone again after the test
            if (BENCHMARKS / f"{added}.py").exists():
                monkeypatch.setitem(sys.modules, added, sys.modules[added])
        return module

    return load
