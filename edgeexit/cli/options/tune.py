"""The options of ``edgeexit tune``, and what does not go together."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.options import typed
from edgeexit.cli.options.backend import check_options_of, run_options
from edgeexit.cli.options.limits import LIMITS, limit_options
from edgeexit.cli.options.shared import option_group, refuse, section
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit.thresholds import Limits
    from edgeexit.thresholds.guarantee import Promise

MACS, LATENCY = "macs", "latency"
ALL = "all"
DEFAULT_CONFIDENCE = 0.95
TUNED = ".tuned"
DATA_SET = ("dataset", "data_dir", "download")
_FILE = click.Path(dir_okay=False, path_type=Path)
_RISK_OPTIONS = "--max-drop, --max-error or --max-disagreement"


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

    def promise(self) -> Promise | None:
        """Return what is to be guaranteed; None where nothing is.

        Raises:
            click.UsageError: not one risk is asked for, or something that does not go with it.
            TuningError: it cannot be promised.
        """
        from edgeexit_runtime.bundle.guarantee_entry import DISAGREEMENT, DROP, ERROR

        from edgeexit.thresholds.guarantee import Promise

        if not self.is_guaranteed:
            _refuse((self.images is not None, f"--images goes with a guarantee: {_RISK_OPTIONS}"))
            return None
        limits = self.limits
        asked = {
            ERROR: self.max_error,
            DISAGREEMENT: self.max_disagreement,
            DROP: limits.max_drop,
        }
        risks = {risk: target for risk, target in asked.items() if target is not None}
        got = ", ".join(f"--max-{risk}" for risk in risks) or "none"
        least = 1 - (limits.min_accuracy or 0)
        _refuse(
            (
                len(risks) != 1,
                f"a guarantee (--confidence) is of one risk, {_RISK_OPTIONS}, got {got}",
            ),
            (
                limits.min_accuracy is not None,
                f"--min-accuracy is no guarantee; as one it is --max-error {least:g} alone",
            ),
            *(
                (
                    given,
                    f"{name} does not go with a guarantee (--confidence): leave one of them out",
                )
                for name, given in (
                    ("--max-cost", limits.max_cost is not None),
                    ("--front", self.front is not None),
                    ("--plot", self.plot is not None),
                )
            ),
        )
        ((risk, target),) = risks.items()
        return Promise(risk, target, self.confidence or DEFAULT_CONFIDENCE)

    def check(self) -> None:
        """Raise where some of them do not go together, before any work is done.

        Raises:
            click.UsageError, InputError, WriteError: so it is; a file cannot be written.
        """
        from edgeexit.bench import check_plot_path
        from edgeexit.files import check_writable

        check_options_of(self.path, self.engine_dir)
        both = "--costs says what is counted and --objective too: give one of them"
        _refuse((self.objective is not None and self.costs is not None, both))
        if self.engine_dir is None:
            self._check_checkpoint()
        else:
            self._check_bundle()
        self._check_files()
        if self.score == ALL:
            self._check_comparison()
        if self.images is not None:
            refuse(DATA_SET, "stays out: --images takes the place of a data set")
        if self.plot is not None:
            check_plot_path(self.plot)
        known = ", ".join(f"--{name.replace('_', '-')}" for name in LIMITS)
        needs = f"-o needs to know which thresholds to write: give one of {known}"
        _refuse((not self.chooses and self.output is not None, needs))
        for file in filter(None, (self.written, self.front, self.plot)):
            check_writable(file)

    def _check_checkpoint(self) -> None:
        is_bundle = self.path is not None and (self.path / "manifest.json").exists()
        command = format_command("tune", "--engine-dir", self.path)
        _refuse(
            (is_bundle, f"{self.path} is a bundle, which is tuned by: {command}"),
            (
                self.objective == LATENCY,
                "a checkpoint has no latency: export it and give --engine-dir, or --costs with "
                "what 'edgeexit bench --json' wrote",
            ),
            (
                self.dry_run and self.output is not None,
                "a --dry-run writes nothing: leave -o out",
            ),
            (self.images is not None, "--images goes with --engine-dir"),
        )

    def _check_bundle(self) -> None:
        _refuse(
            (
                self.score is not None,
                "the score is part of a bundle's graphs: export the checkpoint with --score",
            ),
            (
                self.calibrate,
                "temperatures are part of a bundle's graphs: calibrate the checkpoint and export "
                "it",
            ),
            (
                self.output is not None,
                "--engine-dir writes the thresholds into the bundle itself: leave -o out",
            ),
        )

    def _check_files(self) -> None:
        """Keep one file from being written over another; only ``-o`` may be CKPT."""
        files = {
            "CKPT": self.path,
            "--costs": self.costs,
            "--front": self.front,
            "--plot": self.plot,
            "--output": self.written,
        }
        given = [(name, path.resolve()) for name, path in files.items() if path is not None]
        for (name, path), (other, same) in combinations(given, 2):
            is_same = path == same and (name, other) != ("CKPT", "--output")
            _refuse((is_same, f"{name} and {other} are the same file: {files[name]}"))
        for name, path in given:
            lies_in_it = self.engine_dir is not None and self.engine_dir.resolve() in path.parents
            _refuse(
                (
                    lies_in_it and name in ("--front", "--plot"),
                    f"{name} {files[name]} would lie in the bundle, which holds nothing but its "
                    "own files: choose another folder",
                )
            )

    def _check_comparison(self) -> None:
        given = {
            "limits": self.chooses,
            "--calibrate": self.calibrate,
            "--front": self.front is not None,
            "--plot": self.plot is not None,
            "-o": self.output is not None,
        }
        why = "--score all compares and chooses nothing: leave {} out, or name one score"
        _refuse(*((value, why.format(name)) for name, value in given.items()))


def _refuse(*mistakes: tuple[bool, str]) -> None:
    """Raise :class:`click.UsageError` with what is said of the first mistake that was made."""
    for is_made, told in mistakes:
        if is_made:
            raise click.UsageError(told)


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
