"""The options of ``edgeexit tune``; which go together is in ``tune_rules.py``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import run_options
from edgeexit.cli.options.limits import limit_options
from edgeexit.cli.options.shared import option_group, section

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits
    from edgeexit.thresholds.guarantee import Promise

MACS, LATENCY = "macs", "latency"
ALL = "all"
DEFAULT_CONFIDENCE = 0.95
TUNED = ".tuned"
_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Values of :data:`tune_options` but what runs a bundle."""

    limits: Limits
    path: Path | None
    engine_dir: Path | None
    images: Path | None
    max_error: float | None
    max_disagreement: float | None
    confidence: float | None
    objective: str | None
    costs: Path | None
    calibrate: bool
    score: str | None
    grid_size: int | None
    front: Path | None
    plot: Path | None
    output: Path | None
    dry_run: bool

    @property
    def is_guaranteed(self) -> bool:
        """Whether something is to be shown of the thresholds."""
        asked = (self.confidence, self.max_error, self.max_disagreement)
        return any(value is not None for value in asked)

    @property
    def chooses(self) -> bool:
        """Whether thresholds are chosen, and not the front alone shown."""
        return self.is_guaranteed or not self.limits.none_given

    @property
    def written(self) -> Path | None:
        """The checkpoint that gets the thresholds: ``ckpt.tuned.pt`` for ``ckpt.pt`` and itself."""
        if self.output is not None or self.path is None or self.dry_run or not self.chooses:
            return self.output
        suffix = ".pt" if self.path.suffix == ".safetensors" else self.path.suffix
        return self.path.parent / f"{self.path.stem.removesuffix(TUNED)}{TUNED}{suffix}"

    @property
    def paths(self) -> dict[str, str]:
        """What is read and written, as it stands in the JSON."""
        named = {"checkpoint": self.path, "engine_dir": self.engine_dir, "output": self.written}
        return {name: str(path) for name, path in named.items() if path is not None}

    @property
    def risks(self) -> dict[str, float]:
        """What each risk may be at most, of those that were named; one of them is guaranteed."""
        from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR

        named = {
            ERROR: self.max_error,
            DISAGREEMENT: self.max_disagreement,
            DROP: self.limits.max_drop,
        }
        return {risk: target for risk, target in named.items() if target is not None}

    def promise(self) -> Promise | None:
        """Return what is to be guaranteed; None where nothing is.

        Raises:
            TuningError: it cannot be promised.
        """
        from edgeexit.thresholds.guarantee import Promise

        if not self.is_guaranteed:
            return None
        ((risk, target),) = self.risks.items()
        return Promise(risk, target, self.confidence or DEFAULT_CONFIDENCE)


tune_options = option_group(
    click.argument("path", metavar="[CKPT]", required=False, type=click.Path(path_type=Path)),
    section("Limits", limit_options),
    section(
        "A guarantee",
        click.option(
            "--confidence",
            type=typed.confidence,
            help="Guarantee --max-drop, --max-error or --max-disagreement with this probability: "
            "half of the images choose, the other half tests.  "
            f"[default: {DEFAULT_CONFIDENCE} with the last two; --max-drop alone is no guarantee]",
        ),
        click.option(
            "--max-error",
            type=typed.fraction,
            help="Guaranteed: at most this error rate on images of the same source.",
        ),
        click.option(
            "--max-disagreement",
            type=typed.fraction,
            help="Guaranteed: at most this share of answers that the last exit would not give. It "
            "needs no labels.",
        ),
        click.option(
            "--images",
            type=click.Path(path_type=Path),
            help="Guarantee it on the images of this folder, such as the device's own. Those in "
            "class folders have labels.",
        ),
    ),
    section(
        "What is tuned",
        click.option(
            "--engine-dir",
            type=click.Path(path_type=Path),
            help="Tune a bundle instead, by its own graphs, and write the thresholds into it.",
        ),
        click.option(
            "--objective",
            type=click.Choice([MACS, LATENCY]),
            help="What is kept low: Eq. 5 in MACs, or milliseconds that the bundle takes here, "
            "measured first.  [default: macs]",
        ),
        click.option(
            "--costs",
            type=_FILE,
            help="What each path costs: a file of 'edgeexit bench --json', or JSON of your own, "
            'such as {"unit": "mJ", "paths": {"exit1": 1.2, "final": 4.1}}.',
        ),
        click.option(
            "--calibrate",
            is_flag=True,
            help="Fit a temperature per exit first, on half of the validation images.",
        ),
        click.option(
            "--score",
            metavar="softmax|margin|entropy|all",
            help="How sure an exit is: its largest softmax value, the difference of the two "
            "largest, or 1 - entropy over its largest; all compares them and chooses nothing.  "
            "[default: the checkpoint's]",
        ),
        click.option(
            "--grid-size",
            type=int,
            help="Most values tried per exit.  [default: 10,000 for one branch, 2,000 for two, "
            "else 200]",
        ),
    ),
    section(
        "What is written",
        click.option(
            "-o",
            "--output",
            type=_FILE,
            help="Checkpoint to write with the new thresholds; may be CKPT itself.  [default: CKPT "
            "with .tuned, run/ckpt.tuned.pt for run/ckpt.pt]",
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Write no thresholds: checkpoint and bundle stay as they are.",
        ),
        click.option("--front", type=_FILE, help="Write the whole front to this CSV file."),
        click.option("--plot", type=_FILE, help="Draw the front: .png, .pdf or .svg."),
        click.option(
            "--json", "as_json", is_flag=True, help="Print JSON, the whole front included."
        ),
    ),
    section("What runs a bundle", run_options),
)
