"""The options of ``edgeexit tune`` besides those that it shares, and what does not go together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.shared import option_group
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits
    from edgeexit.thresholds.guarantee import Promise

MACS, LATENCY = "macs", "latency"
ALL = "all"
DEFAULT_CONFIDENCE = 0.95
TUNED = ".tuned"
_FILE = click.Path(dir_okay=False, path_type=Path)
_RISK_OPTIONS = "--max-drop, --max-error or --max-disagreement"


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """Values of :data:`tune_options`."""

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

    def with_output(self) -> TuneOptions:
        """Return them with a place for the tuned checkpoint, where one is written."""
        if self.path is None or self.output is not None or self.dry_run:
            return self
        return replace(self, output=_tuned_path(self.path))

    def promise(self, limits: Limits) -> Promise | None:
        """Return what is to be guaranteed; None where nothing is.

        Raises:
            click.UsageError: not one risk is asked for, or something that does not go with it.
            TuningError: it cannot be promised.
        """
        from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR

        from edgeexit.thresholds.guarantee import Promise

        targets = {ERROR: self.max_error, DISAGREEMENT: self.max_disagreement}
        asked = {risk: target for risk, target in targets.items() if target is not None}
        if not asked and self.confidence is None:
            if self.images is not None:
                raise click.UsageError(f"--images goes with a guarantee: {_RISK_OPTIONS}")
            return None
        if limits.max_drop is not None:
            asked[DROP] = limits.max_drop
        if len(asked) != 1:
            got = ", ".join(f"--max-{risk}" for risk in asked) or "none"
            raise click.UsageError(
                f"a guarantee (--confidence) is of one risk, {_RISK_OPTIONS}, got {got}"
            )
        if limits.min_accuracy is not None:
            least = f"--max-error {1 - limits.min_accuracy:g}"
            raise click.UsageError(f"--min-accuracy is no guarantee; as one it is {least} alone")
        for name, value in (
            ("--max-cost", limits.max_cost),
            ("--front", self.front),
            ("--plot", self.plot),
        ):
            if value is not None:
                raise click.UsageError(
                    f"{name} does not go with a guarantee (--confidence): leave one of them out"
                )
        ((risk, target),) = asked.items()
        return Promise(risk, target, self.confidence or DEFAULT_CONFIDENCE)

    def check(self) -> None:
        """Raise :class:`click.UsageError` where two of them do not go together."""
        if self.objective is not None and self.costs is not None:
            raise click.UsageError(
                "--costs says what is counted and --objective too: give one of them"
            )
        if self.engine_dir is None:
            self._check_checkpoint()
        else:
            self._check_bundle()
        self._check_files()

    def check_comparison(self, chooses: bool) -> None:
        """Raise :class:`click.UsageError` where something does not go with ``--score all``."""
        given = {
            "limits": chooses,
            "--calibrate": self.calibrate,
            "--front": self.front is not None,
            "--plot": self.plot is not None,
            "-o": self.output is not None,
        }
        for name, value in given.items():
            if value:
                raise click.UsageError(
                    f"--score all compares and chooses nothing: leave {name} out, or name one score"
                )

    def _check_files(self) -> None:
        """Keep one file from being written over another; only ``-o`` may be CKPT."""
        files = {
            "CKPT": self.path,
            "--costs": self.costs,
            "--front": self.front,
            "--plot": self.plot,
            "--output": self.output,
        }
        given = [(name, path.resolve()) for name, path in files.items() if path is not None]
        for (name, path), (other, same) in combinations(given, 2):
            if path == same and (name, other) != ("CKPT", "--output"):
                raise click.UsageError(f"{name} and {other} are the same file: {files[name]}")
        for name in ("--front", "--plot"):
            file = files[name]
            if file is None or self.engine_dir is None:
                continue
            if self.engine_dir.resolve() in file.resolve().parents:
                raise click.UsageError(
                    f"{name} {file} would lie in the bundle, which holds nothing but its own "
                    "files: choose another folder"
                )

    def _check_checkpoint(self) -> None:
        if self.path is not None and (self.path / "manifest.json").exists():
            command = format_command("tune", "--engine-dir", self.path)
            raise click.UsageError(f"{self.path} is a bundle, which is tuned by: {command}")
        if self.objective == LATENCY:
            raise click.UsageError(
                "a checkpoint has no latency: export it and give --engine-dir, or --costs with "
                "what 'edgeexit bench --json' wrote"
            )
        if self.dry_run and self.output is not None:
            raise click.UsageError("a --dry-run writes nothing: leave -o out")
        if self.images is not None:
            raise click.UsageError("--images goes with --engine-dir")

    def _check_bundle(self) -> None:
        if self.score is not None:
            raise click.UsageError(
                "the score is part of a bundle's graphs: export the checkpoint with --score"
            )
        if self.calibrate:
            raise click.UsageError(
                "temperatures are part of a bundle's graphs: calibrate the checkpoint and export it"
            )
        if self.output is not None:
            raise click.UsageError(
                "--engine-dir writes the thresholds into the bundle itself: leave -o out"
            )


def _tuned_path(path: Path) -> Path:
    """Return ``ckpt.tuned.pt`` for ``ckpt.pt``, and for ``ckpt.tuned.pt`` itself."""
    suffix = ".pt" if path.suffix == ".safetensors" else path.suffix
    return path.parent / f"{path.stem.removesuffix(TUNED)}{TUNED}{suffix}"


# everything but limits, samples and the model
tune_options = option_group(
    click.argument("path", metavar="[CKPT]", required=False, type=click.Path(path_type=Path)),
    click.option(
        "--engine-dir",
        type=click.Path(path_type=Path),
        help="Tune a bundle instead, by its own graphs, and write the thresholds into it.",
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
        "--confidence",
        type=typed.confidence,
        help="Guarantee --max-drop, --max-error or --max-disagreement with this probability: "
        "half of the images choose, the other half tests.  "
        f"[default: {DEFAULT_CONFIDENCE} with the last two; --max-drop alone is no guarantee]",
    ),
    click.option(
        "--images",
        type=click.Path(path_type=Path),
        help="Guarantee it on the images of this folder, such as the device's own. Those in "
        "class folders have labels.",
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
    click.option("--front", type=_FILE, help="Write the whole front to this CSV file."),
    click.option("--plot", type=_FILE, help="Draw the front: .png, .pdf or .svg."),
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
)
