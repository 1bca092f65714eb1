"""Make a plan from the times of exit paths."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from edgeexit_runtime.bundle.schema import SchemaError, decode
from edgeexit_runtime.timing.paths import SCHEMA_VERSION, BundleTimes, MeasuredTimes
from edgeexit_runtime.timing.turns import CALLS_PER_TURN
from numpy.typing import NDArray

from edgeexit.errors import DataError, InputError
from edgeexit.files import read_json
from edgeexit.planning.results import Estimate, ExitPlan, PatternPlan, Plan
from edgeexit.statistics import Interval
from edgeexit.statistics.bootstrap import resampled_medians

PERCENT = 100

Accuracies = Mapping[str, tuple[float, ...]]
"""For each pattern the accuracy of every exit, 0 to 1, in order, ``final`` last."""


def make_plan(times: MeasuredTimes, accuracies: Accuracies) -> Plan:
    """Return the plan for measured times.

    Args:
        times: times of bundles with the same backbone, input size and precision.
        accuracies: accuracies of the patterns for which they are known.

    Raises:
        InputError: the bundles differ in more than their branches, one has none, or a pattern's
            number of accuracies differs from its number of exits.
    """
    first = times.bundles[0]
    for bundle in times.bundles:
        for field in ("backbone", "input_size", "precision"):
            one, other = getattr(first, field), getattr(bundle, field)
            if one != other:
                raise InputError(
                    f"times: expected bundles of one {field.replace('_', ' ')}, got {one} and "
                    f"{other}: time them in separate runs"
                )
    names = [bundle.branches for bundle in times.bundles]
    if any(len(bundle.exits) == 1 for bundle in times.bundles):
        raise InputError(f"times: expected bundles with early exits, got {', '.join(names)}")
    if accuracies and not set(accuracies) & set(names):
        raise InputError(
            f"accuracies: expected some of {', '.join(names)}, got {', '.join(accuracies)}"
        )
    patterns = [_pattern(bundle, accuracies) for bundle in times.bundles]
    return Plan(
        backbone=first.backbone,
        input_size=first.input_size,
        precision=first.precision,
        machine=times.machine,
        cores=times.cores,
        device=times.device,
        threads=times.threads,
        patterns=tuple(sorted(_with_front(patterns), key=_order)),
    )


def read_times(path: Path) -> MeasuredTimes:
    """Read the times that ``python -m edgeexit_runtime time`` wrote.

    Raises:
        DataError: the file is missing or of another format.
    """
    try:
        value = read_json(path)
        version = value.get("schema_version") if isinstance(value, dict) else None
        if version != SCHEMA_VERSION:
            raise SchemaError(f"schema_version: expected {SCHEMA_VERSION}, got {version!r}")
        return decode(MeasuredTimes, value)
    except ValueError as error:
        raise DataError(
            f"{path}: {error}; expected times that 'python -m edgeexit_runtime time' wrote"
        ) from error


def read_accuracies(path: Path) -> Accuracies:
    """Read accuracies: ``{"4+3+2": [66.5, 67.9, 70.0, 70.0]}``.

    The values of a pattern are fractions, or percent if one of them is above 1.

    Raises:
        DataError: the file is missing or of another format.
    """
    try:
        value: Any = read_json(path)
    except ValueError as error:
        raise DataError(f"{path}: {error}; expected accuracies of exits by pattern") from error
    if not isinstance(value, dict) or not all(map(_are_accuracies, value.values())):
        raise DataError(
            f'{path}: expected accuracies of exits by pattern, as {{"3+1": [0.61, 0.69, 0.72]}}, '
            f"in shares or percent"
        )
    return {name: _shares(each) for name, each in value.items()}


def _shares(accuracies: Sequence[float]) -> tuple[float, ...]:
    scale = PERCENT if max(accuracies) > 1 else 1
    return tuple(one / scale for one in accuracies)


def _are_accuracies(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(one) in (int, float) and 0 <= one <= PERCENT for one in value)
    )


def _pattern(bundle: BundleTimes, accuracies: Accuracies) -> PatternPlan:
    series = [it.times_ms for it in (bundle.baseline, *bundle.exits)]
    plain, *drawn = resampled_medians(series, CALLS_PER_TURN)
    baseline_ms = float(np.median(bundle.baseline.times_ms))
    ratios = [row / plain for row in drawn]
    values = [float(np.median(it.times_ms)) / baseline_ms for it in bundle.exits]
    macs = [it.path_macs / bundle.baseline.path_macs for it in bundle.exits]
    exits = tuple(
        ExitPlan(
            name=it.name,
            path_ms=value * baseline_ms,
            ratio=Interval.of(value, ratio),
            macs_ratio=one,
            break_even=_break_even(value, values[-1]),
        )
        for it, value, ratio, one in zip(bundle.exits, values, ratios, macs, strict=True)
    )
    known = accuracies.get(bundle.branches)
    estimate = None
    if known is not None:
        if len(known) != len(exits):
            raise InputError(
                f"accuracies of {bundle.branches}: expected {len(exits)}, one for each exit and "
                f"final last, got {len(known)}"
            )
        estimate = _estimate(known, values, ratios, macs)
    return PatternPlan(bundle.branches, bundle.size_bytes, baseline_ms, exits, estimate, False)


def _break_even(ratio: float, final: float) -> float | None:
    """Solve s x ratio + (1 - s) x final = 1 for s, the share of images that leave."""
    if final <= 1:
        return 0.0
    return None if ratio >= 1 else (final - 1) / (final - ratio)


def _estimate(
    accuracies: Sequence[float],
    values: Sequence[float],
    ratios: Sequence[NDArray[np.float64]],
    macs: Sequence[float],
) -> Estimate:
    best = np.maximum.accumulate(accuracies)  # an exit adds images that no earlier one gets right
    shares = np.diff(best[:-1], prepend=0.0)
    shares = np.append(shares, 1 - shares.sum())
    return Estimate(
        accuracy=float(best[-1]),
        shares=tuple(shares.tolist()),
        ratio=Interval.of(float(shares @ values), shares @ np.array(ratios)),
        macs_ratio=float(shares @ macs),
    )


def _with_front(patterns: Sequence[PatternPlan]) -> list[PatternPlan]:
    """Mark the patterns that no other dominates."""
    has_estimates = all(it.estimate is not None for it in patterns)
    costs = [_costs(it, has_estimates) for it in patterns]
    beaten = {
        at
        for (at, ours), (_, theirs) in itertools.permutations(enumerate(costs), 2)
        if theirs != ours and all(their <= our for our, their in zip(ours, theirs, strict=True))
    }
    return [replace(it, on_front=at not in beaten) for at, it in enumerate(patterns)]


def _costs(pattern: PatternPlan, has_estimates: bool) -> tuple[float, float]:
    """Return two figures to minimize."""
    if has_estimates and pattern.estimate is not None:
        return pattern.estimate.ratio.value, -pattern.estimate.accuracy
    return pattern.exits[0].ratio.value, pattern.exits[-1].ratio.value


def _order(pattern: PatternPlan) -> tuple[float, float]:
    estimate, share = pattern.estimate, pattern.exits[0].break_even
    return (
        np.inf if estimate is None else estimate.ratio.value,
        np.inf if share is None else share,
    )
