"""A plan as text and as a table."""

from __future__ import annotations

from collections.abc import Iterator

from edgeexit.formats import Row, Table, format_threads, named_numbers
from edgeexit.planning.results import PatternPlan, Plan
from edgeexit.statistics import CONFIDENCE_LEVEL

MIB = 2**20
STEADY = 1.25  # with wider intervals, the order of patterns is uncertain


def plan_text(plan: Plan) -> Iterator[str]:
    """Yield sentences on what to train, why, and how far Eq. 5 is from this device."""
    best = plan.patterns[0]
    yield _advice(best, plan)
    for pattern in plan.patterns[1:]:
        if pattern.on_front and (better := _better(pattern, best)):
            yield f"Or {pattern.branches}, {better}."
    hopeless = [it.branches for it in plan.patterns if it.exits[0].break_even is None]
    if hopeless:
        yield (
            f"Early exit cannot pay with {', '.join(hopeless)}: the first exit takes as long as "
            "the plain backbone here."
        )
    widest = max(exit_.ratio.high / exit_.ratio.low for it in plan.patterns for exit_ in it.exits)
    if widest > STEADY:
        yield (
            f"The times are unsteady (the ends of an interval differ by a factor of {widest:.1f}): "
            "other programs run on this device; measure again when it is idle, or longer with "
            "--duration."
        )
    off = [exit_.ratio.value / exit_.macs_ratio for it in plan.patterns for exit_ in it.exits]
    yield (
        f"Exit paths take {min(off):.2f} to {max(off):.2f} times their share of the plain backbone "
        "by Eq. 5."
    )


def plan_table(plan: Plan) -> Table:
    """Return a row per exit of each pattern."""
    height, width = plan.input_size[1:]
    has_estimates = any(it.estimate is not None for it in plan.patterns)
    headings = ("path, ms", "of plain", "Eq. 5", "must leave\nfor 1.0", "MiB")
    more = ("estimated\nmean", "accuracy") if has_estimates else ()
    return Table.of(
        f"{plan.backbone}, {height}x{width} pixels, {plan.precision}, batch 1",
        named_numbers("branches", "exit", *headings, *more),
        *(_rows(it, has_estimates) for it in plan.patterns),
        notes=[
            f"{plan.machine}, {plan.cores} cores; {plan.device}, threads per graph: "
            f"{format_threads(plan.threads)}",
            f"of plain: ratio to the plain backbone, {CONFIDENCE_LEVEL:.0%} interval",
            "*: no other pattern is "
            + (
                "as accurate in less time"
                if all(it.estimate is not None for it in plan.patterns)
                else "as fast to the first exit and to the end"
            ),
            "estimated: images leave at the first exit that labels them correctly"
            if has_estimates
            else "",
        ],
    )


def _advice(best: PatternPlan, plan: Plan) -> str:
    first, last = best.exits[0], best.exits[-1]
    if first.break_even is None:
        pays = "no share of images that leaves there makes early exit pay"
    elif first.break_even == 0:
        pays = "early exit pays for any share of images that leaves there"
    else:
        pays = f"early exit pays if {first.break_even:.0%} of the images or more leave there"
    if best.estimate is not None:
        known = f"the first exit takes {first.ratio.value:.2f}, and {pays}"
        return (
            f"Train {best.branches}: by the accuracies of its exits, early exit takes "
            f"{best.estimate.ratio:.2f} of the plain backbone's {best.baseline_ms:.3g} ms at an "
            f"accuracy of {best.estimate.accuracy:.1%}; {known}."
        )
    if first.break_even is None:
        return (
            f"None of these branches pays on this device: the first exit of {best.branches} takes "
            f"{first.ratio:.2f} of the plain backbone's time. Put exits later, or use branches of "
            "a lower level."
        )
    return (
        f"{best.branches} needs the fewest images to leave early: its first exit takes "
        f"{first.ratio:.2f} of the plain backbone's {best.baseline_ms:.3g} ms, and {pays}. All "
        "others are assumed to leave at the last exit, whose path takes "
        f"{last.ratio.value:.2f} of it."
    )


def _better(pattern: PatternPlan, best: PatternPlan) -> str:
    """Return how a pattern of the front is better than the best; empty if in no listed figure."""
    if pattern.estimate is not None and best.estimate is not None:
        more, time = pattern.estimate.accuracy, pattern.estimate.ratio.value
        return f"which is estimated at {more:.1%} in {time:.2f} of the time"
    parts = []
    if pattern.exits[0].ratio.value < best.exits[0].ratio.value:
        parts.append(f"whose first exit takes {pattern.exits[0].ratio.value:.2f}")
    if pattern.exits[-1].ratio.value < best.exits[-1].ratio.value:
        parts.append(f"whose worst path takes {pattern.exits[-1].ratio.value:.2f}")
    return " and ".join(parts)


def _rows(pattern: PatternPlan, has_estimates: bool) -> Iterator[Row]:
    """Yield a row per exit; what belongs to the whole pattern stands in the first."""
    name = f"{pattern.branches}{' *' if pattern.on_front else ''}"
    size, estimate = f"{pattern.size_bytes / MIB:.1f}", pattern.estimate
    about = ("", "")
    if estimate is not None:
        about = (f"{estimate.ratio:.2f}", f"{estimate.accuracy:.1%}")
    for exit_ in pattern.exits:
        share = "never" if exit_.break_even is None else f"{exit_.break_even:.0%}"
        yield (
            name,
            exit_.name,
            f"{exit_.path_ms:.3f}",
            f"{exit_.ratio:.2f}",
            f"{exit_.macs_ratio:.2f}",
            "" if exit_ is pattern.exits[-1] else share,
            size,
            *(about if has_estimates else ()),
        )
        name, size, about = "", "", ("", "")
