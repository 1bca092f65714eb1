"""Errors: what they are children of, their exit codes, and what an unknown name is told."""

from __future__ import annotations

import pytest
from edgeexit_runtime.errors import EdgeExitError

from edgeexit import errors

ERRORS = [name for name in vars(errors) if name.endswith("Error")]


@pytest.mark.parametrize("name", ERRORS)
def test_every_error_can_be_caught_as_one(name: str) -> None:
    assert issubclass(getattr(errors, name), EdgeExitError)


@pytest.mark.parametrize("name", ERRORS)
def test_usage_mistakes_leave_with_2_and_all_others_with_1(name: str) -> None:
    usage = name in {"SpecError", "UnknownNameError"}
    assert getattr(errors, name).exit_code == (2 if usage else 1)


def test_unknown_name_offers_the_close_matches() -> None:
    error = errors.UnknownNameError("backbone", "resnet-20", ["vgg16", "resnet56", "resnet20"])
    assert str(error) == "unknown backbone 'resnet-20': did you mean resnet20 or resnet56?"


def test_unknown_name_without_close_match_lists_what_is_known() -> None:
    error = errors.UnknownNameError("data set", "zzz", ["digits", "cifar10"])
    assert str(error) == "unknown data set 'zzz': known: cifar10, digits"


def test_unknown_name_takes_any_iterable_once() -> None:
    error = errors.UnknownNameError("data set", "zzz", iter(["digits"]))
    assert str(error).endswith("known: digits")
