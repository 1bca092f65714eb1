"""Trained runs side by side: the columns of Table V, on images that nothing was chosen on."""

from __future__ import annotations

import math
import re
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeexit.cost import network_cost
from edgeexit.data import ImageData
from edgeexit.errors import CheckpointError, DataError, SpecError, TrainingError
from edgeexit.evaluation import (
    AdaptiveReport,
    ExitPredictions,
    PathCosts,
    evaluate_adaptive,
    predict,
)
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.thresholds import Limits, best_setting, search_thresholds
from edgeexit.training import Checkpoint, TrainConfig, load_checkpoint
from edgeexit.training.record.folder import RunFolder
from edgeexit.training.teaching.teachers import TEACHER, TaughtNet, Teacher, create_teacher

_SEED = re.compile(r"[-_. ]?seed[-_. ]?[0-9]+$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class FinishedRun:
    """A run that came to its end.

    Attributes:
        name: of its folder.
        checkpoint: of the best epoch.
        config: how it was trained.
    """

    name: str
    checkpoint: Checkpoint
    config: TrainConfig


@dataclass(frozen=True, slots=True)
class Execution:
    """How networks are run: see :func:`edgeexit.evaluation.predict`."""

    batch_size: int = 256
    workers: int = 0
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """What a run achieved. Accuracies are fractions of the test images.

    Attributes:
        name: of its folder.
        config: how it was trained.
        teacher_accuracy: None without a teacher, or where it could not be loaded.
        teacher_problem: why it could not.
        thresholds: chosen on the validation images.
        report: of the test images at these thresholds.
    """

    name: str
    config: TrainConfig
    teacher_accuracy: float | None
    teacher_problem: str
    thresholds: dict[str, float]
    report: AdaptiveReport


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation (n - 1) over runs; the latter is None of a single one."""

    mean: float
    std: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of one value or more."""
        std = statistics.stdev(values) if len(values) > 1 else None
        return cls(math.fsum(values) / len(values), std)


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that differ in their seed alone.

    Attributes:
        name: what the names of the runs have in common.
        runs: in the order that they were given in.
        accuracy: of each exit over all test images.
        teacher_accuracy: None where a run has none.
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
        TrainingError: there is none, or it has not come to its end.
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
    """Raise DataError where runs were not judged on the same images.

    The held-out images may differ, but not what is tested on.
    """
    first = runs[0]
    for run in runs[1:]:
        for what, one, other in (
            ("data set", first.config.data.name, run.config.data.name),
            ("folder of images", first.config.data.data_dir, run.config.data.data_dir),
            ("classes", first.checkpoint.class_names, run.checkpoint.class_names),
        ):
            if one != other:
                raise DataError(
                    f"{first.name} and {run.name} cannot be compared: expected the same {what}, "
                    f"got {_short(one)} and {_short(other)}"
                )


def compare_run(
    run: FinishedRun,
    data: ImageData,
    limits: Limits,
    execution: Execution,
    model: ModelSource | None = None,
) -> ComparedRun:
    """Choose thresholds on the validation images, and judge the run on the test images.

    Args:
        run: the run.
        data: what it was trained on.
        limits: what the thresholds have to keep to.
        execution: how the network is run.
        model: what a network of the user's own code is built from.

    Raises:
        TuningError: no thresholds are good enough.
        CheckpointError, DataError: the network does not fit its weights, an image is damaged.
    """
    net = run.checkpoint.build(model)
    cost = network_cost(net)
    val = _predict(net, data, "val", execution)
    front = search_thresholds(
        val, PathCosts.in_macs(cost.exits), max_path_cost=limits.max_path_cost
    )
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
    """Return the runs in groups that differ in their seed alone, in the order of the first."""
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
    """Return ``config`` without what differs between seeds, or does not change the result.

    Weights to start from and teachers are of the same seed as the run, and lie elsewhere.
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
    """Return the teacher, or None and why there is none."""
    try:
        return create_teacher(run.config, data, model), ""
    except (CheckpointError, SpecError) as error:  # its file may be gone: the run is still there
        return None, f"the teacher of {run.name} could not be loaded: {error}"


def _predict(
    net: MultiExitNet, data: ImageData, split: str, execution: Execution
) -> ExitPredictions:
    return predict(
        net,
        data.splits[split],
        batch_size=execution.batch_size,
        device=execution.device,
        workers=execution.workers,
    )


def _predict_taught(
    net: MultiExitNet, teacher: Teacher | None, data: ImageData, execution: Execution
) -> tuple[ExitPredictions, float | None]:
    """Return the predictions on the test images, and the accuracy of the teacher there."""
    if teacher is None:
        return _predict(net, data, "test", execution), None
    both = predict(
        TaughtNet(net, teacher).to(execution.device),
        data.splits["test"],
        batch_size=execution.batch_size,
        device=execution.device,
        workers=execution.workers,
    )
    assert both.exit_names[-1] == TEACHER
    exits = ExitPredictions(
        both.exit_names[:-1], both.confidences[:-1], both.labels[:-1], both.targets
    )
    return exits, float(both.correct[-1].mean())


def _short(value: object) -> str:
    return f"{len(value)} classes" if isinstance(value, tuple) else repr(value)
