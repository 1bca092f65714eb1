"""Comparison of trained runs: the columns of Table V, on test images not used for any choice."""

from __future__ import annotations

import math
import re
import shlex
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from edgeexit.cost import network_cost
from edgeexit.data import ImageData
from edgeexit.data.dataset import ImageDataset
from edgeexit.errors import CheckpointError, SpecError, TrainingError
from edgeexit.evaluation import (
    AdaptiveReport,
    ExitPredictions,
    PathCosts,
    evaluate_adaptive,
    predict,
)
from edgeexit.fitting import check_same
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.thresholds import Limits, best_setting, search_thresholds
from edgeexit.training import Checkpoint, TrainConfig, load_checkpoint
from edgeexit.training.record.folder import RunFolder
from edgeexit.training.teaching.teachers import TEACHER, TaughtNet, Teacher, create_teacher

_SEED = re.compile(r"[-_. ]?seed[-_. ]?[0-9]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run that has finished all its epochs.

    Attributes:
        name: name of its folder.
        checkpoint: checkpoint of the best epoch.
        config: its configuration.
    """

    name: str
    checkpoint: Checkpoint
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class Execution:
    """How networks are evaluated, see :func:`edgeexit.evaluation.predict`."""

    batch_size: int = 256
    workers: int = 0
    device: str = "cpu"

    def predict(
        self, net: nn.Module, images: ImageDataset, progress: Callable[[int], None] | None = None
    ) -> ExitPredictions:
        """Run every exit of ``net`` on every image."""
        return predict(
            net,
            images,
            batch_size=self.batch_size,
            device=self.device,
            workers=self.workers,
            progress=progress,
        )


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """Results of a run. Accuracies are fractions of the test images.

    Attributes:
        name: name of its folder.
        config: its configuration.
        teacher_accuracy: None without a teacher, or if it could not be loaded.
        teacher_problem: why the teacher could not be loaded, or empty.
        thresholds: chosen on the validation images.
        report: evaluation on the test images at these thresholds.
    """

    name: str
    config: TrainConfig
    teacher_accuracy: float | None
    teacher_problem: str
    thresholds: dict[str, float]
    report: AdaptiveReport


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation (n - 1) over runs; ``std`` is None for a single run."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value or more."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(math.fsum(values) / len(values), std)

    def in_percent(self) -> str:
        """Return a fraction's spread in percent, such as ``93.17 ± 0.42``."""
        std = "" if self.std is None else f" ± {100 * self.std:.2f}"
        return f"{100 * self.mean:.2f}{std}"


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that differ only in their seed.

    Attributes:
        name: the runs' name without the seed.
        runs: in the order in which they were given.
        accuracy: accuracy of each exit over all test images.
        teacher_accuracy: None if any run has none.
        adaptive_accuracy, average_macs, macs_ratio: at the tuned thresholds, Eq. 5; the ratio is
            to the plain backbone.
    """

    name: str
    runs: tuple[ComparedRun, ...]
    accuracy: dict[str, Spread]
    teacher_accuracy: Spread | None
    adaptive_accuracy: Spread
    average_macs: Spread
    macs_ratio: Spread


def load_finished_run(path: Path) -> FinishedRun:
    """Return the run in the folder ``path``.

    Raises:
        TrainingError: there is none, or it is not finished.
        CheckpointError: it is damaged.
    """
    folder = RunFolder(path)
    if not folder.last.exists():
        raise TrainingError(
            f"{path}: expected the folder of a run, with a last.pt in it; give the -o of edgeexit "
            "train"
        )
    state = folder.load()
    if len(state.history) < state.epochs:
        command = shlex.join(["edgeexit", "train", "--resume", "-o", str(path)])
        raise TrainingError(
            f"{path} is not finished: epoch {len(state.history)} of {state.epochs} is done; "
            f"continue it with: {command}"
        )
    return FinishedRun(path.name or str(path), load_checkpoint(folder.best), state.config)


def check_comparable(runs: Sequence[FinishedRun]) -> None:
    """Raise DataError if the runs do not have the same test images.

    The held-out validation images may differ.
    """
    first = runs[0]
    for run in runs[1:]:
        check_same(
            f"{first.name} and {run.name} cannot be compared",
            "compare runs on the same images",
            (
                ("data set", first.config.data.name, run.config.data.name),
                ("folder of images", first.config.data.data_dir, run.config.data.data_dir),
                ("classes", first.checkpoint.class_names, run.checkpoint.class_names),
            ),
        )


def compare_run(
    run: FinishedRun,
    data: ImageData,
    limits: Limits,
    execution: Execution,
    model: ModelSource | None = None,
) -> ComparedRun:
    """Choose thresholds on the validation images and evaluate the run on the test images.

    Args:
        run: the run.
        data: the data that it was trained on.
        limits: limits on the thresholds' accuracy and cost.
        execution: batch size, workers and device of the evaluation.
        model: the user's model or its factory, for a backbone that is not registered.

    Raises:
        TuningError: no thresholds meet the limits.
        CheckpointError, DataError: the network does not fit its weights, an image is damaged.
    """
    net = run.checkpoint.build(model)
    cost = network_cost(net)
    val = execution.predict(net, data.splits["val"])
    front = search_thresholds(val, PathCosts.in_macs(cost), max_path_cost=limits.max_path_cost)
    thresholds = best_setting(front, limits).thresholds
    teacher, problem = _load_teacher(run, data, model)
    test, teacher_accuracy = _predict_taught(net, teacher, data, execution)
    return ComparedRun(
        name=run.name,
        config=run.config,
        teacher_accuracy=teacher_accuracy,
        teacher_problem=problem,
        thresholds=thresholds,
        report=evaluate_adaptive(test, thresholds, cost),
    )


def group_runs(runs: Sequence[ComparedRun]) -> list[RunGroup]:
    """Group the runs that differ only in their seed; groups are ordered by their first run."""
    groups: dict[TrainConfig, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(_setting(run.config), []).append(run)
    return [_group(members) for members in groups.values()]


def _group(runs: Sequence[ComparedRun]) -> RunGroup:
    names = [_SEED.sub("", run.name) for run in runs] if len(runs) > 1 else [runs[0].name]
    exits = [exit_.name for exit_ in runs[0].report.exits]
    accuracies = [{exit_.name: exit_.accuracy for exit_ in run.report.exits} for run in runs]
    taught = [run.teacher_accuracy for run in runs if run.teacher_accuracy is not None]
    return RunGroup(
        name=names[0] if len(set(names)) == 1 else f"{names[0]}, ...",
        runs=tuple(runs),
        accuracy={name: Spread.of([shares[name] for shares in accuracies]) for name in exits},
        teacher_accuracy=Spread.of(taught) if len(taught) == len(runs) else None,
        adaptive_accuracy=Spread.of([run.report.adaptive_accuracy for run in runs]),
        average_macs=Spread.of([run.report.average_macs for run in runs]),
        macs_ratio=Spread.of([run.report.macs_ratio for run in runs]),
    )


def _setting(config: TrainConfig) -> TrainConfig:
    """Return ``config`` without the fields that differ between seeds or do not affect the result.

    Initial weights and teachers are different files for every seed, so their paths are ignored.
    """
    return replace(
        config,
        seed=0,
        init=config.init and "INIT",
        teacher=config.teacher and "TEACHER",
        device="cpu",
        workers=0,
        save_minutes=0,
        data=replace(config.data, download=False),
    )


def _load_teacher(
    run: FinishedRun, data: ImageData, model: ModelSource | None
) -> tuple[Teacher | None, str]:
    """Return the teacher and an empty text, or None and the reason why it cannot be loaded."""
    try:
        return create_teacher(run.config, data, model), ""
    except (CheckpointError, SpecError) as error:  # its file may be gone; the run is still useful
        return None, f"the teacher of {run.name} could not be loaded: {error}"


def _predict_taught(
    net: MultiExitNet, teacher: Teacher | None, data: ImageData, execution: Execution
) -> tuple[ExitPredictions, float | None]:
    """Return the predictions on the test images and the teacher's accuracy on them."""
    if teacher is None:
        return execution.predict(net, data.splits["test"]), None
    both = execution.predict(TaughtNet(net, teacher), data.splits["test"])
    assert both.exit_names[-1] == TEACHER
    exits = ExitPredictions(
        both.exit_names[:-1], both.confidences[:-1], both.labels[:-1], both.targets
    )
    return exits, float(both.correct[-1].mean())
