"""From times to a plan, worked out by hand."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.timing.paths import BundleTimes, MeasuredTimes, PathTimes
from support.messages import missing

from edgeexit.errors import DataError, InputError
from edgeexit.planning.analysis import make_plan, read_accuracies, read_times
from edgeexit.planning.words import plan_table, plan_text

ROUNDS = 10


def path(name: str, macs: int, ms: float) -> PathTimes:
    return PathTimes(name, macs, (ms,) * 5 * ROUNDS)


def bundle(branches: str, *ms: float, backbone: str = "resnet20") -> BundleTimes:
    """A plain backbone of 10 ms and 1000 MACs; exits take 400, 800 and 1200 MACs."""
    names = ["exit1", "exit2", "final"]
    exits = tuple(path(*it) for it in zip(names, (400, 800, 1200), ms, strict=True))
    plain = path("final", 1000, 10.0)
    return BundleTimes(backbone, branches, (3, 32, 32), "fp32", 2**20, plain, exits)


def measured(*bundles: BundleTimes) -> MeasuredTimes:
    return MeasuredTimes("a board", 4, "cpu", 1, {"engine": "1"}, bundles)


FAST, SLOW = bundle("3g+1g", 4.0, 8.0, 12.0), bundle("3+1", 6.0, 11.0, 14.0)
NEVER = bundle("9+9", 10.0, 13.0, 15.0)
PLAIN = dataclasses.replace(NEVER, branches="none", exits=NEVER.exits[-1:])


def test_ratios_and_the_shares_that_have_to_leave() -> None:
    plan = make_plan(measured(SLOW, NEVER, FAST), {})
    assert [it.branches for it in plan.patterns] == ["3g+1g", "3+1", "9+9"], "least share first"
    fast, slow, never = plan.patterns
    assert [it.ratio.value for it in fast.exits] == pytest.approx([0.4, 0.8, 1.2])
    assert [it.macs_ratio for it in fast.exits] == [0.4, 0.8, 1.2]
    # s x 0.4 + (1 - s) x 1.2 = 1, and s x 0.8 + (1 - s) x 1.2 = 1
    assert [it.break_even for it in fast.exits[:2]] == pytest.approx([0.25, 0.5])
    assert slow.exits[0].break_even == pytest.approx(0.5)
    assert slow.exits[1].break_even is None
    assert never.exits[0].break_even is None
    assert [it.on_front for it in plan.patterns] == [True, False, False]
    (no_slower,) = make_plan(measured(bundle("n+n", 4.0, 8.0, 9.9)), {}).patterns
    assert no_slower.exits[0].break_even == 0
    for exit_ in fast.exits:
        assert exit_.ratio.low <= exit_.ratio.value <= exit_.ratio.high


def test_an_estimate_from_accuracies() -> None:
    """0.6 leave at exit1, 0.1 more are right at exit2, 0.3 go on; exit 2 adds to exit 1."""
    plan = make_plan(measured(FAST, SLOW), {"3g+1g": (0.6, 0.7, 0.65), "3+1": (0.7, 0.8, 0.9)})
    found = {it.branches: it.estimate for it in plan.patterns}
    fast, slow = found["3g+1g"], found["3+1"]
    assert fast is not None
    assert slow is not None
    assert fast.shares == pytest.approx((0.6, 0.1, 0.3))
    assert fast.accuracy == 0.7
    assert fast.ratio.value == pytest.approx(0.6 * 0.4 + 0.1 * 0.8 + 0.3 * 1.2)
    assert fast.macs_ratio == pytest.approx(fast.ratio.value)
    assert slow.ratio.value == pytest.approx(0.7 * 0.6 + 0.1 * 1.1 + 0.2 * 1.4)
    assert [it.on_front for it in plan.patterns] == [True, True], "one is faster, one better"
    text = " ".join(plan_text(plan))
    assert not missing(text, "Train 3g+1g", "0.68", "70.0%", "Or 3+1", "90.0%")


def test_an_estimate_for_exits_that_never_pay() -> None:
    text = " ".join(plan_text(make_plan(measured(NEVER), {"9+9": (0.6, 0.7, 0.8)})))
    assert not missing(text, "Train 9+9", "no share of images", "cannot pay with 9+9")
    assert "any share" not in text


def test_what_it_says_without_accuracies() -> None:
    text = " ".join(plan_text(make_plan(measured(FAST, SLOW, NEVER), {})))
    facts = ("3g+1g needs the fewest", "25%", "1.20", "cannot pay with 9+9", "1.00 to 2.50 times")
    assert not missing(text, *facts)
    none = " ".join(plan_text(make_plan(measured(NEVER), {})))
    assert not missing(none, "None of these branches pays", "exits later")


def test_unsteady_times_are_told() -> None:
    steady = " ".join(plan_text(make_plan(measured(FAST), {})))
    assert "unsteady" not in steady
    times_ms = (6.0, 24.0, 12.0, 12.0, 9.0) * ROUNDS
    drifting = PathTimes("final", 1200, (*times_ms[:25], *(2 * ms for ms in times_ms[25:])))
    shaken = dataclasses.replace(FAST, exits=(*FAST.exits[:2], drifting))
    assert "unsteady" in " ".join(plan_text(make_plan(measured(shaken), {})))


def test_the_table_has_a_row_for_each_exit() -> None:
    table = plan_table(make_plan(measured(FAST, SLOW), {"3+1": (0.7, 0.8, 0.9)}))
    rows = [row for group in table.groups for row in group]
    assert [row[1] for row in rows] == ["exit1", "exit2", "final"] * 2
    assert all(len(row) == len(table.columns) for row in rows)
    assert {"90.0%", "never", "0.40 [0.40, 0.40]"} <= {cell for row in rows for cell in row}


@pytest.mark.parametrize(
    ("bundles", "accuracies", "message"),
    [
        ((FAST, dataclasses.replace(SLOW, precision="int8")), {}, "one precision, got fp32 and"),
        ((SLOW, PLAIN), {}, r"early exits, got 3\+1, none"),
        ((SLOW,), {"4+3+2": (0.7, 0.8, 0.9, 0.9)}, r"some of 3\+1, got 4\+3\+2"),
        ((SLOW,), {"3+1": (0.7, 0.8)}, r"3\+1: expected 3, .* got 2"),
    ],
)
def test_times_and_accuracies_that_do_not_fit(
    bundles: tuple[BundleTimes, ...], accuracies: dict[str, tuple[float, ...]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(measured(*bundles), accuracies)


def test_times_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text(json.dumps(encode(measured(FAST, SLOW))))
    assert read_times(file) == measured(FAST, SLOW)


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("{}", "schema_version: expected 1"),
        ('{"schema_version": 2}', "got 2"),
        ("[", "times"),
        (
            '{"schema_version": 1, "machine": "m", "cores": 1, "device": "d", "threads": null, '
            '"versions": {}, "bundles": []}',
            "bundles: expected one or more",
        ),
    ],
)
def test_files_that_are_no_times(content: str, fact: str, tmp_path: Path) -> None:
    file = tmp_path / "times.json"
    file.write_text(content)
    with pytest.raises(DataError, match="edgeexit_runtime time") as caught:
        read_times(file)
    assert fact in str(caught.value)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"3+1": [0.6, 0.7, 1]}', {"3+1": (0.6, 0.7, 1.0)}),
        ('{"3+1": [60, 70, 72.5], "n": [1, 2]}', {"3+1": (0.6, 0.7, 0.725), "n": (0.01, 0.02)}),
        ('{"3+1": [60, 70, 72.5], "n": [0.6, 0.7]}', {"3+1": (0.6, 0.7, 0.725), "n": (0.6, 0.7)}),
    ],
)
def test_accuracies_in_shares_or_percent(
    content: str, expected: dict[str, tuple[float, ...]], tmp_path: Path
) -> None:
    file = tmp_path / "accuracies.json"
    file.write_text(content)
    found = read_accuracies(file)
    assert found == {name: pytest.approx(each) for name, each in expected.items()}


NO_ACCURACIES = ("0.6", "[]", "[true]", "[-1]", "[101]", '["a"]')


@pytest.mark.parametrize("content", ["[]", *(f'{{"3+1": {value}}}' for value in NO_ACCURACIES)])
def test_files_that_are_no_accuracies(content: str, tmp_path: Path) -> None:
    file = tmp_path / "accuracies.json"
    file.write_text(content)
    with pytest.raises(DataError, match="by pattern"):
        read_accuracies(file)
