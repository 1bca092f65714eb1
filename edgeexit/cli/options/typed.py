"""Parsers for typed values that click has no types for."""

from __future__ import annotations

import re

import click

_SUFFIXES = {"K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def cost(text: str) -> float:
    """Read a cost: ``91506688``, ``91.5M`` or ``1.2G`` of MACs, ``1.25`` of milliseconds."""
    number = _positive(text)
    if number is None:
        raise click.BadParameter(
            f"expected a cost above 0 such as 91.5M or 1.2G of MACs, or 1.25 of ms, got {text!r}"
        )
    return number


def pixels(text: str) -> int:
    """Read a number of pixels: ``200M`` or ``200000000``."""
    number = int(_positive(text) or 0)
    if number < 1:
        raise click.BadParameter(f"expected a number of pixels such as 200M, got {text!r}")
    return number


def size(text: str) -> tuple[int, int]:
    """Read height and width in pixels: ``224`` for a square image, ``240x320`` for any."""
    match = re.fullmatch(r"([1-9][0-9]*)(?:x([1-9][0-9]*))?", text.strip())
    if match is None:
        raise click.BadParameter(
            f"expected pixels such as 224, or height x width such as 240x320, got {text!r}"
        )
    return int(match[1]), int(match[2] or match[1])


def fraction(text: str) -> float:
    """Read a share or an accuracy from 0 to 1."""
    number = _number(text)
    if 1 < number <= 100:
        raise click.BadParameter(f"expected a fraction from 0 to 1: {number / 100:g}, not {text}")
    if not 0 <= number <= 1:
        raise click.BadParameter(f"expected a fraction from 0 to 1 such as 0.95, got {text!r}")
    return number


def confidence(text: str) -> float:
    """Read a probability above 0 and below 1."""
    number = _number(text)
    if not 0 < number < 1:
        raise click.BadParameter(
            f"expected a probability above 0 and below 1 such as 0.95, got {text!r}"
        )
    return number


def numbers(text: str) -> tuple[float, ...]:
    """Read numbers separated by commas: ``0.5,0.5,0.5``."""
    found = tuple(map(_number, text.split(",")))
    if not all(abs(number) < float("inf") for number in found):
        raise click.BadParameter(f"expected numbers such as 0.5,0.5,0.5, got {text!r}")
    return found


def thresholds(text: str) -> tuple[float, ...]:
    """Read thresholds in the order of the exits: ``0.6,0.7``, or ``never`` to switch one off."""
    from edgeexit_runtime.gate import NEVER

    found = []
    for part in text.split(","):
        threshold = NEVER if part.strip().lower() == "never" else _number(part)
        if not (0 <= threshold <= 1 or threshold == NEVER):
            raise click.BadParameter(f"expected numbers from 0 to 1 or 'never', got {part!r}")
        found.append(threshold)
    return tuple(found)


def depths(text: str) -> tuple[int, ...]:
    """Read numbers of non-linear layers: ``0,1,2,3``."""
    parts = text.split(",")
    found = {int(part) for part in parts if part.strip().isdecimal()}
    if len(found) != len(parts):
        raise click.BadParameter(f"expected different numbers such as 0,1,2,3, got {text!r}")
    return tuple(sorted(found))


def names(text: str) -> tuple[str, ...]:
    """Read names separated by commas: ``a,b``."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def _positive(text: str) -> float | None:
    """Return ``91.5M`` as 91500000.0; None unless it is a finite number above 0."""
    text = text.strip().upper()
    suffix = text[-1:] if text[-1:] in _SUFFIXES else ""
    number = _number(text.removesuffix(suffix)) * _SUFFIXES.get(suffix, 1)
    return number if 0 < number < float("inf") else None


def _number(text: str) -> float:
    """Return the number, or NaN, which is in no range, if the text is not one."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
