"""Fixtures of the command line's tests."""

from __future__ import annotations

import pytest

from edgeexit.cli.models import BackboneInfo, backbone_infos


@pytest.fixture(scope="session")
def registered_backbones() -> list[BackboneInfo]:
    """Every registered backbone, counted once for all tests: that takes seconds."""
    return backbone_infos()
