"""The options of ``edgeexit tune``; ``tune_rules.py`` checks their combinations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.fields import FILE, PATH, argument, flag, option
from edgeexit.cli.options.limits import LimitOptions
from edgeexit.cli.options.shared import output_option

if TYPE_CHECKING:
    from edgeexit.thresholds.guarantee import Promise

MACS, LATENCY = "macs", "latency"
ALL = "all"
DEFAULT_CONFIDENCE = 0.95
TUNED = ".tuned"


@dataclass(frozen=True, slots=True)
class TuneOptions(LimitOptions):
    """What is tuned, for what, and where the result goes."""

    path: Path | None = argument("[CKPT]", required=False, type=PATH)
    confidence: float | None = option(
        "Guarantee --max-drop, --max-error or --max-disagreement with this probability: "
        "half of the images are used to choose thresholds, the other half to test them.  "
        f"[default: {DEFAULT_CONFIDENCE} with the last two; --max-drop alone is no guarantee]",
        section="Guarantee",
        type=typed.confidence,
    )
    max_error: float | None = option(
        "Guarantee at most this error rate on images from the same source.", type=typed.fraction
    )
    max_disagreement: float | None = option(
        "Guarantee at most this share of answers that differ from the last exit's; needs "
        "no labels.",
        type=typed.fraction,
    )
    images: Path | None = option(
        "Use the images of this folder for the guarantee, such as those of the device. "
        "Images in class folders have labels.",
        type=PATH,
    )
    engine_dir: Path | None = option(
        "Tune a bundle instead, by running its graphs, and write the thresholds into it.",
        section="Tuning",
        type=PATH,
    )
    objective: str | None = option(
        "The average cost (Eq. 5) to minimize: MACs, or the bundle's latency, measured "
        "on this device first.  [default: macs]",
        type=click.Choice([MACS, LATENCY]),
    )
    costs: Path | None = option(
        "Cost of each path: a file of 'edgeexit bench --json', or JSON of your own, "
        'such as {"unit": "mJ", "paths": {"exit1": 1.2, "final": 4.1}}.',
        type=FILE,
    )
    calibrate: bool = flag("Fit a temperature per exit first, on half of the validation images.")
    score: str | None = option(
        "Confidence of an exit: its largest softmax value, the difference of the two "
        "largest, or 1 - entropy / maximum entropy; all compares them and chooses nothing.  "
        "[default: the checkpoint's]",
        metavar="softmax|margin|entropy|all",
    )
    grid_size: int | None = option(
        "Maximum number of values to try per exit.  [default: 10,000 for one branch, "
        "2,000 for two, else 200]",
        type=int,
    )
    output: Path | None = output_option(
        "Checkpoint to write with the new thresholds; may be CKPT itself.  [default: CKPT "
        "with .tuned: run/ckpt.tuned.pt for run/ckpt.pt]",
        section="Output",
        type=FILE,
    )
    dry_run: bool = flag("Write no thresholds; leave checkpoint and bundle unchanged.")
    front: Path | None = option("Write the whole front to this CSV file.", type=FILE)
    plot: Path | None = option("Draw the front: .png, .pdf or .svg.", type=FILE)
    as_json: bool = flag("Print JSON, the whole front included.", "--json")

    @property
    def is_guaranteed(self) -> bool:
        """Whether a guarantee is requested."""
        asked = (self.confidence, self.max_error, self.max_disagreement)
        return any(value is not None for value in asked)

    @property
    def chooses(self) -> bool:
        """Whether thresholds are chosen; otherwise only the front is shown."""
        return self.is_guaranteed or not self.limits.none_given

    @property
    def written(self) -> Path | None:
        """The checkpoint to write: ``ckpt.tuned.pt`` for ``ckpt.pt`` and for ``ckpt.tuned.pt``."""
        if self.output is not None or self.path is None or self.dry_run or not self.chooses:
            return self.output
        suffix = ".pt" if self.path.suffix == ".safetensors" else self.path.suffix
        return self.path.parent / f"{self.path.stem.removesuffix(TUNED)}{TUNED}{suffix}"

    @property
    def paths(self) -> dict[str, str]:
        """The input and output paths in the JSON."""
        named = {"checkpoint": self.path, "engine_dir": self.engine_dir, "output": self.written}
        return {name: str(path) for name, path in named.items() if path is not None}

    @property
    def risks(self) -> dict[str, float]:
        """Upper limits of the given risks; a guarantee needs exactly one."""
        from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR

        named = {ERROR: self.max_error, DISAGREEMENT: self.max_disagreement, DROP: self.max_drop}
        return {risk: target for risk, target in named.items() if target is not None}

    def promise(self) -> Promise | None:
        """Return the requested guarantee; None without.

        Raises:
            TuningError: the risk or the confidence is not within 0 to 1.
        """
        from edgeexit.thresholds.guarantee import Promise

        if not self.is_guaranteed:
            return None
        ((risk, target),) = self.risks.items()
        return Promise(risk, target, self.confidence or DEFAULT_CONFIDENCE)
