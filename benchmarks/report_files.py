"""Common parts of the programs that write docs/results/: tables, figures over seeds, files."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from edgeexit_runtime.bundle.schema import encode

from edgeexit.files import replace_file, write_json
from edgeexit.statistics import CONFIDENCE_LEVEL, Interval

Row = Sequence[object]


def markdown(rows: Sequence[Row]) -> str:
    """Return rows as a table; the first one is its head."""
    head, *others = ([str(cell).replace("|", "\\|") for cell in row] for row in rows)
    lines = [head, ["---"] * len(head), *others]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_results(output: Path, name: str, text: str, values: dict[str, object]) -> None:
    """Write ``name.md`` and ``name.json`` to the folder ``output``, and say so."""
    with replace_file(output / f"{name}.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    write_json(output / f"{name}.json", encode(values))
    print(f"wrote {output}/{name}.md and {name}.json")


def spread(values: Sequence[float], digits: int = 2, sign: str = "-") -> str:
    """Return mean and standard deviation as text."""
    std = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):{sign}.{digits}f} ± {std:.{digits}f}"


def percent(values: Sequence[float]) -> str:
    """Return mean and standard deviation of fractions in percent."""
    return spread([100 * value for value in values])


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean over seeds and its interval by Student's t; infinite for one seed."""
    from scipy import stats

    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    quantile = float(stats.t.ppf((1 + CONFIDENCE_LEVEL) / 2, len(values) - 1))
    reach = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - reach, mean + reach)
