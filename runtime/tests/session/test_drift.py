"""Drift: intervals, wealth that holds however often one looks, changes that come late."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.bundle.schema import encode
from edgeexit_runtime.field.drift import DOUBT, Drift, find_drift, intervals
from edgeexit_runtime.field.statistics import BUFFER_SIZE, Tally
from edgeexit_runtime.testing import edit_manifest, images_leaving_at

NAMES = ("exit1", "final")
THRESHOLDS = {"exit1": 0.8}


def source(share: float, count: int, seed: int, *, surer: float = 0.0) -> ee.Predictions:
    """Return answers of which a share leaves at exit1, where confidences are 0.8 to 1."""
    rng = np.random.default_rng(seed)
    exits = (rng.uniform(size=count) >= share).astype(np.int64)
    sure = rng.uniform(surer, 1, count)
    confidences = np.where(exits == 0, 0.8 + 0.2 * sure, 0.3 + 0.7 * sure).astype(np.float32)
    return ee.Predictions(np.zeros(count, np.int64), confidences, exits)


def expect(share: float = 0.7, count: int = 1000, seed: int = 1) -> Expected:
    return Expected.of(source(share, count, seed), NAMES, THRESHOLDS, "digits, val")


def look(tally: Tally, expected: Expected, level: float = 0.01) -> Drift:
    return find_drift(expected, NAMES, tally.starts(), tally.cells(), level)


def binomial_tail(most: int, n: int, p: float) -> float:
    """Return P(Bin(n, p) <= most), written out."""
    return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(most + 1))


@pytest.mark.parametrize("n", [1, 2, 20, 400])
def test_chances_outside_an_interval_hardly_give_what_was_seen(n: int) -> None:
    """At either end no more than half of the doubt; in the middle not much less."""
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        (low,), (high,) = intervals([k], [n])
        assert 0 <= low <= k / n <= high <= 1
        tails = [binomial_tail(k, n, high)] if high < 1 else []
        tails += [binomial_tail(n - k, n, 1 - low)] if low > 0 else []
        assert all(tail <= DOUBT / 2 for tail in tails)
        if n >= 20 and k == n // 2:
            assert len(tails) == 2
            assert min(tails) > DOUBT / 2 / 4


def test_nobody_asked_leaves_any_chance() -> None:
    low, high = intervals([0, 0], [0, 0])
    assert (low.tolist(), high.tolist()) == ([0, 0], [1, 1])


def test_false_alarms_are_as_rare_as_stated_though_one_looks_again_and_again() -> None:
    """Of 60 sessions, each with expectations of its own from as few as 100 images."""
    level, alarms = 0.1, 0
    for seed in range(60):
        expected = expect(count=100, seed=2 * seed)
        tally = Tally(2)
        stream = source(0.7, 3000, 2 * seed + 1)
        for start in range(0, 3000, 200):
            part = slice(start, start + 200)
            tally.add(
                ee.Predictions(stream.labels[part], stream.confidences[part], stream.exits[part]), 1
            )
            if look(tally, expected, level).seen:
                alarms += 1
                break
    assert alarms <= 0.1 * 60 + 2 * math.sqrt(60 * 0.1 * 0.9)


@pytest.mark.parametrize("before", [0, 20 * BUFFER_SIZE])
def test_a_change_of_shares_is_seen_also_late(before: int) -> None:
    expected, tally = expect(), Tally(2)
    for seed in range(before // BUFFER_SIZE):
        tally.add(source(0.7, BUFFER_SIZE, 100 + seed), 1)
    assert not look(tally, expected).seen
    tally.add(source(0.4, 300, 7), 1)
    drift = look(tally, expected)
    assert drift.seen
    assert drift.p_value < 0.01
    assert (drift.change.exit, drift.change.edge) == ("exit1", None)
    assert drift.change.images <= 300 + BUFFER_SIZE
    assert drift.change.share is not None
    assert drift.change.expected == pytest.approx(0.7, abs=0.05)
    for fact in ("drift", "digits, val", "leave there", "exit1"):
        assert fact in drift.sentence


def test_a_change_of_confidences_alone_is_seen() -> None:
    expected, tally = expect(), Tally(2)
    tally.add(source(0.7, 800, 3, surer=0.5), 1)
    drift = look(tally, expected)
    assert drift.seen
    assert drift.change.edge is not None
    assert "confidence of 0.9" in drift.sentence


def test_no_images_no_drift() -> None:
    drift = look(Tally(2), expect())
    assert (drift.images, drift.p_value, drift.seen) == (0, 1.0, False)
    assert drift.sentence == "no drift seen in 0 images (p 1)"


def test_images_cut_short_are_as_if_they_had_gone_on() -> None:
    """Those that a deadline held back at exit1 are none that leave there."""
    expected, tally = expect(), Tally(2)
    answers = source(0.7, 1000, 5)
    late = answers.exits == 1
    cut = dataclasses.replace(answers, exits=np.zeros(1000, np.int64), cut_short=late)
    tally.add(dataclasses.replace(cut, confidences=np.where(late, 0.5, cut.confidences)), 1)
    assert tally.statistics(NAMES).exits[0].share == 1
    assert look(tally, expected).p_value > 0.5


def test_starts_are_few_and_near_every_age() -> None:
    tally = Tally(2)
    for seed in range(300):
        tally.add(source(0.7, BUFFER_SIZE, seed), 1)
    tally.cells()
    seen = [int(start.cells.sum()) for start in tally.starts()]
    ages = 300 * BUFFER_SIZE - np.array(seen)
    assert (seen[0], len(seen) < 25) == (0, True)
    assert sorted(set(seen)) == seen
    assert (ages[:-2] <= 4 * ages[1:-1]).all()
    numbers = [start.number for start in tally.starts()]
    assert (numbers[0], sorted(set(numbers))) == (0, numbers)


def test_a_session_tests_what_it_has_answered(bundle: Path) -> None:
    with ee.load(bundle, threads=1) as session:
        with pytest.raises(ee.InputError, match=r"does not say what to expect at all; .*tune"):
            session.drift()
        usual = session.infer(images_leaving_at([0, 0, 1, 2] * 50))
        manifest = session.manifest
    expected = Expected.of(usual, manifest.exit_names, manifest.thresholds, "the shelf")
    edit_manifest(bundle, lambda manifest: manifest.update(expected=encode(expected)))
    with ee.load(bundle, threads=1) as session:
        assert session.expected == expected
        for _ in range(20):
            session.infer(images_leaving_at([0, 0, 1, 2]))
        assert not session.drift().seen
        for _ in range(60):
            session.infer(images_leaving_at([2, 2, 2, 2]))
        assert session.drift(level=0.05).seen
        with pytest.raises(ee.InputError, match=r"level: expected 0\.001 or more .*, got 1"):
            session.drift(level=1)
        with pytest.raises(ee.InputError, match=r"got 0\.0005"):  # which no p-value would reach
            session.drift(level=0.0005)
        session.thresholds = {"exit1": 0.7, "exit2": 0.7}
        assert session.expected is None
        with pytest.raises(ee.InputError, match="at these thresholds"):
            session.drift()
    with ee.load_baseline(bundle) as session:
        assert session.expected is None
