"""The target of ``edgeexit tune`` for a checkpoint: reads, runs and writes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeexit.cli.inputs.own_weights import NetworkOptions, load_network, network_words
from edgeexit.cli.inputs.samples import SampleOptions, load_samples, predict_split
from edgeexit.cli.options.tune import ALL, TuneOptions
from edgeexit.cli.terminal import remark
from edgeexit.formats import format_command

if TYPE_CHECKING:
    from edgeexit_runtime.bundle.guarantee_entry import Guarantee

    from edgeexit.data import ImageData
    from edgeexit.evaluation.calibration import Calibration
    from edgeexit.models import MultiExitNet
    from edgeexit.thresholds.score_areas import ScoreArea
    from edgeexit.thresholds.tuning import Subject, Tuning
    from edgeexit.training.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True)
class CheckpointTarget:
    """A checkpoint.

    Attributes:
        checkpoint: the checkpoint, with the chosen score.
        dropped: the guarantee of thresholds that will be replaced.
        options, samples, network: the typed options.
    """

    checkpoint: Checkpoint
    dropped: Guarantee | None
    options: TuneOptions
    samples: SampleOptions
    network: NetworkOptions

    @property
    def title(self) -> str:
        """A short description."""
        spec = self.checkpoint.spec
        return f"{spec.backbone}, branches {spec.pattern}"

    @property
    def written(self) -> str:
        """The destination of the thresholds, in words."""
        return str(self.options.written)

    @property
    def next_command(self) -> str:
        """The suggested next command."""
        return format_command("export", self.options.written, *network_words(self.checkpoint))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock nothing: the result is a file of its own."""
        yield

    def subject(self) -> Subject:
        """Run its network on val and test; with ``--calibrate``, calibrate it first."""
        from edgeexit.bench.path_costs import path_costs
        from edgeexit.cost import network_cost
        from edgeexit.thresholds.tuning import Subject

        net = self.checkpoint.build(self.network.factory())
        exits = network_cost(net)
        costs, source = path_costs(exits, self.options.costs)
        data = load_samples(self.checkpoint, self.samples)
        calibration = self._calibrate(net, data) if self.options.calibrate else None
        answers = {} if calibration is None else {"val": calibration.predictions}
        for split in ("val", "test"):
            if split not in answers:
                answers[split] = predict_split(net, data, split, self.samples)
        dataset = self.samples.dataset or self.checkpoint.data.name
        about = (self.title, dataset, source, f"{dataset}, val")
        return Subject(*about, exits, costs, answers, calibration=calibration)

    def score_areas(self) -> tuple[list[ScoreArea], str]:
        """Run its network on val and test with each score, and compare their fronts.

        Returns the results, ``softmax`` first, and the unit of the costs.
        """
        from edgeexit.bench.path_costs import path_costs
        from edgeexit.cost import network_cost
        from edgeexit.scores import SCORES, SOFTMAX, check_score
        from edgeexit.thresholds.score_areas import compare_scores

        net = self.checkpoint.build(self.network.factory())
        costs, _ = path_costs(network_cost(net), self.options.costs)
        data = load_samples(self.checkpoint, self.samples)
        answers = {}
        for name in sorted(SCORES.names(), key=lambda name: name != SOFTMAX):
            net.score = check_score(name, self.checkpoint.spec.num_classes)
            answers[name] = (
                predict_split(net, data, "val", self.samples),
                predict_split(net, data, "test", self.samples),
            )
        return compare_scores(answers, costs, self.options.grid_size), costs.unit

    def save(self, tuning: Tuning) -> Guarantee | None:
        """Write it with the thresholds, and with temperatures if they were fitted.

        Returns the guarantee of the previous thresholds.
        """
        from edgeexit.training.checkpoint import save_checkpoint

        assert self.options.written is not None
        assert tuning.thresholds is not None
        before, calibration = self.checkpoint, tuning.subject.calibration
        tuned = dataclasses.replace(
            before,
            thresholds=tuning.thresholds,
            temperatures=before.temperatures if calibration is None else calibration.temperatures,
            guarantee=tuning.guarantee,
            metrics={**before.metrics, "tuning": tuning.choice_json()},
        )
        save_checkpoint(self.options.written, tuned)
        return self.dropped

    def _calibrate(self, net: MultiExitNet, data: ImageData) -> Calibration:
        from edgeexit.devices import resolve_device
        from edgeexit.evaluation.calibration import calibrate
        from edgeexit.scores import SOFTMAX

        net.temperatures, net.score = {}, SOFTMAX
        before = predict_split(net, data, "val", self.samples)
        net.score = self.checkpoint.score
        return calibrate(
            net,
            data.splits["val"],
            before,
            batch_size=self.samples.batch_size,
            device=resolve_device(self.samples.device),
            workers=self.samples.workers,
        )


def read_checkpoint(
    path: Path, options: TuneOptions, samples: SampleOptions, network: NetworkOptions
) -> CheckpointTarget:
    """Read a checkpoint, and check that only an earlier tuning of it would be overwritten.

    Raises:
        CheckpointError, SpecError, DataError, UnknownNameError, click.UsageError: it cannot be
            read, or does not fit the options.
        WriteError: another file exists where it would be written.
    """
    from edgeexit.training.checkpoint import is_checkpoint

    written = options.written
    checkpoint = load_network(path, network, samples)
    if written == path and not is_checkpoint(path):
        raise click.UsageError(
            f"{path} holds weights alone, which are not overwritten; choose another -o"
        )
    dropped = checkpoint.guarantee
    if options.score not in (None, ALL):
        checkpoint = checkpoint.with_score(str(options.score))
    if written is not None and options.output is None:
        dropped = _replaced(written, checkpoint) or dropped
        if written == path:
            remark(f"{path} is tuned already: its thresholds are chosen again and replaced")
    return CheckpointTarget(checkpoint, dropped, options, samples, network)


def _replaced(path: Path, checkpoint: Checkpoint) -> Guarantee | None:
    """Return the guarantee in ``path``, which must be an earlier tuning of the same network."""
    from edgeexit.errors import CheckpointError, WriteError
    from edgeexit.training.checkpoint import load_checkpoint

    if not path.exists():
        return None
    try:
        found = load_checkpoint(path)
    except CheckpointError:
        found = None
    same = found is not None and (found.spec, found.data) == (checkpoint.spec, checkpoint.data)
    if found is None or not same or "tuning" not in found.metrics:
        raise WriteError(
            f"{path}: is there, and 'edgeexit tune' did not write it for this network; choose "
            "another -o"
        )
    return found.guarantee
