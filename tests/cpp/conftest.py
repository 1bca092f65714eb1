"""The C++ program, and tiny bundles to run it on."""

from __future__ import annotations

from pathlib import Path

import edgeexit_runtime.testing as tiny
import pytest
from support.cpp_program import Program, program_in


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return program_in(tmp_path_factory)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The folder of a bundle of three stages in a chain."""
    return tiny.write_bundle(tmp_path / "bundle")
