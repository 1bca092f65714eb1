"""A bundle on several backends: a table of times, and sentences on which backend to load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from edgeexit.bench.results.backends import BackendChoice, Backends, Fastest
from edgeexit.bench.results.mixture import (
    BACKEND,
    BASELINE_NAME,
    EARLY_EXIT,
    EARLY_EXIT_NAME,
    Mixture,
)
from edgeexit.bench.results.options import ALL
from edgeexit.bench.results.report import BenchReport
from edgeexit.formats import Row, Table, format_command, named_numbers
from edgeexit.statistics import CONFIDENCE_LEVEL, Interval


def backends_text(report: BenchReport) -> Iterator[str]:
    """Yield which backend to load here, how its predictions compare, and which were left out."""
    backends = report.backends
    if backends is None:
        return
    if backends.fastest:
        yield _verdict(report, backends)
    else:
        others = "was named" if report.options.backends != (ALL,) else "runs this bundle here"
        yield f"No backend other than {backends.measured} {others}."
    for left_out in backends.left_out:
        yield f"Left out: {left_out.reason.rstrip('.')}."


def backends_table(report: BenchReport, backends: Backends) -> Table:
    """Return a row per path and for early exit, with a column per backend."""
    ours = (report.baseline, *report.paths)
    columns = [
        [
            _cell(path.latency.p50_ms, ratio)
            for path, ratio in zip((it.baseline, *it.paths), it.over_measured, strict=True)
        ]
        for it in backends.others
    ]
    names = (BASELINE_NAME, *(path.name for path in report.paths))
    own = [_cell(path.latency.p50_ms) for path in ours]
    computed_in = (
        report.device.versions.get("layers computed in", "-"),
        *(other.computed_in or "-" for other in backends.others),
    )
    early_exit = "" if report.mixture is None else ", mean of early exit"
    return Table.of(
        f"backends, ms: medians of exit paths{early_exit}",
        named_numbers("", backends.measured, *(other.name for other in backends.others)),
        zip(names, own, *columns, strict=True),
        [_mixture_row(report.mixture)] if report.mixture is not None else [],
        [("layers computed in", *(text.replace(", ", "\n") for text in computed_in))],
        notes=[
            f"Second lines: ratio to {backends.measured} and its {CONFIDENCE_LEVEL:.0%} interval."
            if backends.others
            else ""
        ],
    )


def _mixture_row(mixture: Mixture) -> Row:
    others = [run for run in mixture.runs if run.role == BACKEND]
    return (
        mixture.early_exit.label,
        _cell(mixture.early_exit.latency.mean_ms),
        *(_cell(run.latency.mean_ms, run.over_early_exit) for run in others),
    )


def _cell(milliseconds: float, ratio: Interval | None = None) -> str:
    return f"{milliseconds:.3f}" + ("" if ratio is None else f"\n{ratio:.2f}")


def _verdict(report: BenchReport, backends: Backends) -> str:
    found = backends.fastest
    names = {fastest.name for fastest in found}
    if len(names) > 1 or not all(fastest.ratio.is_faster for fastest in found):
        return _undecided(found)
    (name,) = names
    why = "; ".join(
        f"{EARLY_EXIT_NAME if it.what == EARLY_EXIT else it.what} takes {it.time_ms:.3g} ms an "
        f"image there and {it.next_ms:.3g} ms in {it.next_name}, a ratio of {it.ratio:.3f}"
        for it in found
    )
    loading = report.options.loading(BackendChoice.parse(name))
    arguments = (f"{key}={json.dumps(it)}" for key, it in loading.items() if it is not None)
    load = f"Load {name} on this device ({', '.join(arguments)}): {why}."
    return " ".join([load, *_how(report, backends, name)])


def _how(report: BenchReport, backends: Backends, name: str) -> Iterator[str]:
    """Yield caveats of a backend: its predictions, and the figures that were not measured on it."""
    mixture = report.mixture
    if name != backends.auto:
        yield f'"auto" takes {backends.auto} here.'
    if name == backends.measured:
        return
    run = mixture and next(it for it in mixture.runs if (it.role, it.name) == (BACKEND, name))
    if run and run.same_answers is not None:
        yield (
            f"For {run.same_answers:.1%} of the images its label and exit are those of "
            f"{backends.measured}."
        )
    command = format_command("bench", *report.options.words(BackendChoice.parse(name)))
    yield f"All other figures are of {backends.measured}: '{command}' measures {name} alone."


def _undecided(found: Sequence[Fastest]) -> str:
    if found[0].what == EARLY_EXIT:
        (it,) = found
        what_to_do = (
            "load either"
            if it.ratio.is_break_even
            else "a longer --duration or more images may tell which is faster"
        )
        return (
            f"{it.name} and {it.next_name} do not differ beyond the noise in early exit: "
            f"{it.time_ms:.3g} ms and {it.next_ms:.3g} ms an image, a ratio of {it.ratio:.3f}; "
            f"{what_to_do}."
        )
    each = "; ".join(
        f"{it.what} {it.name if it.ratio.is_faster else 'none beyond the noise'}, "
        f"{it.ratio:.3f} of {it.next_name}"
        for it in found
    )
    depends = (
        "depends on where images leave"
        if any(it.ratio.is_faster for it in found)
        else "is not known without images"
    )
    return (
        f"Which backend to load {depends} (the fastest to {each}): give images by --dataset, "
        "--images or --npz to measure early exit itself."
    )
