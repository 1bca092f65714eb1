"""Registries of a test's own."""

from __future__ import annotations

import pytest

from edgeexit.data import list_datasets
from edgeexit.data import registry as data_registry
from edgeexit.models import list_backbones, list_branches
from edgeexit.models import registry as model_registry
from edgeexit.models.registry import BackboneEntry


def keep_registries(
    patch: pytest.MonkeyPatch, *backbones: BackboneEntry, is_empty: bool = False
) -> None:
    """What is registered from now on is gone with ``patch``.

    Args:
        patch: of the test.
        backbones: stand in the place of those of their names.
        is_empty: there are neither backbones nor branches to begin with.
    """
    list_backbones(), list_branches(), list_datasets()  # imported now, so that none comes later
    for registry in (model_registry._BACKBONES, model_registry._BRANCHES):
        patch.setattr(registry, "_values", {} if is_empty else dict(registry._values))
    datasets = data_registry._DATASETS
    patch.setattr(datasets, "_values", dict(datasets._values))
    for entry in backbones:
        model_registry._BACKBONES._values[entry.name] = entry
