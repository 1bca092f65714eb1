"""The warm-up that ends when the device is at its speed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from edgeexit_runtime.timing.turns import MIN_ROUNDS, Turn

from edgeexit.bench import BenchOptions
from edgeexit.bench.results.timings import WarmUp
from edgeexit.bench.timing.paths import AGREE, WINDOW_S, warm_up


def warmed(
    round_s: Callable[[int], float], warm_up_s: float
) -> tuple[WarmUp, list[str], list[float]]:
    """Warm up with rounds that take so many seconds each by their number."""
    seconds, calls, told = [0.0], [], []

    def call() -> tuple[float, ...]:
        seconds[0] += round_s(len(calls) // 2) / 2
        calls.append("call")
        return (0.0,)

    turns = [Turn(name, lambda: None, call) for name in "ab"]
    found = warm_up(
        turns,
        BenchOptions(warm_up_s=warm_up_s),
        lambda step, done: told.append(done),
        clock=lambda: seconds[0],
    )
    assert told == sorted(told)
    assert told[-1] == 1
    return found, calls, told


@pytest.mark.parametrize(("round_s", "rounds"), [(1 / 16, 2 * MIN_ROUNDS), (1 / 128, 128)])
def test_a_steady_device_is_warm_after_two_windows(round_s: float, rounds: int) -> None:
    found, calls, _ = warmed(lambda number: round_s, warm_up_s=10)
    assert found == WarmUp(rounds * round_s, rounds, True, (1000 * round_s,) * 2)
    assert found.seconds >= 2 * WINDOW_S
    assert len(calls) == 2 * rounds


def test_it_goes_on_while_the_device_gets_faster() -> None:
    # five windows of ten rounds, each a fifth faster than the one before, then steady
    found, _, _ = warmed(lambda number: 0.25 * 0.8 ** min(number // 10, 5), warm_up_s=100)
    assert found.stable
    assert len(found.window_medians_ms) == 7
    assert found.window_medians_ms[-1] == found.window_medians_ms[-2]
    before, last = found.window_medians_ms[-3:-1]
    assert abs(last - before) > AGREE * before


def test_a_device_that_never_rests_is_given_up_on() -> None:
    found, _, _ = warmed(lambda number: 0.1 if number // 10 % 2 else 0.2, warm_up_s=7)
    assert not found.stable
    assert 7 <= found.seconds < 7.3
    assert found.window_medians_ms == pytest.approx((200, 100, 200, 100))


def test_ten_rounds_are_made_even_where_no_time_is_given() -> None:
    found, calls, _ = warmed(lambda number: 0.001, warm_up_s=0)
    assert (found.rounds, found.stable, found.window_medians_ms) == (MIN_ROUNDS, False, ())
    assert len(calls) == 2 * MIN_ROUNDS
