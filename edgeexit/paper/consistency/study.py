"""Study of knowledge consistency with a baseline (Sections IV-C and V-G, Figs. 12 and 13).

For each network, stage and depth, the baseline's features are reconstructed from the network's. The
reconstruction replaces them, and the rest of the baseline classifies the test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgeexit.data import ImageData
from edgeexit.errors import EdgeExitError, TrainingError, prefixed
from edgeexit.files import write_into
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.paper.consistency.networks import (
    TrainedNetwork,
    build_baseline,
    build_network,
    check_comparable,
)
from edgeexit.paper.consistency.options import StudyOptions, StudyProgress
from edgeexit.paper.consistency.pairing import BaselineStage, StagePair
from edgeexit.paper.consistency.record import Fit, FitKey, StudyRecord, StudySettings
from edgeexit.paper.consistency.report import ConsistencyReport, NetworkCells, make_cell
from edgeexit.paper.consistency.stages import check_same_features, compared_stages
from edgeexit.training.comparison import Execution

RECORD = "consistency.json"
FEW_STEPS = 500
"""Fits with fewer steps get a warning; by default there are over ten times as many on CIFAR-100."""


class InterruptedStudyError(EdgeExitError):
    """Ctrl-C; finished fits are kept."""

    exit_code = 130


def study_consistency(
    baseline: TrainedNetwork,
    networks: Sequence[TrainedNetwork],
    data: ImageData,
    output: str | Path,
    options: StudyOptions | None = None,
    *,
    execution: Execution | None = None,
    dataset: str | None = None,
    model: ModelSource | None = None,
    progress: StudyProgress | None = None,
) -> ConsistencyReport:
    """Reconstruct the baseline's features from each network's, and measure the accuracy with them.

    Every finished fit is stored in ``consistency.json`` in the folder ``output``. Fits that are
    there already with the same settings are not repeated, so a stopped study resumes, and may be
    extended by networks, depths and runs. A fit depends only on the networks, the settings, stage,
    N and run; on the CPU it is reproducible.

    Args:
        baseline: the network whose features are reconstructed and replaced.
        networks: networks with the same backbone, compared at the stages with exits behind them.
            All use the same random numbers.
        data: the data that all were trained on. Reconstructions are trained on its ``train``
            split, without augmentation, and evaluated on ``test``.
        output: the folder.
        options: options of the study.
        execution: how networks are run.
        dataset: the name of ``data``; by default, that of the baseline's training data.
        model: the model for networks of the user's own code.
        progress: receives the progress.

    Raises:
        SpecError: features cannot be compared.
        CheckpointError, DataError: a network does not fit its weights, an image or the folder's
            file is damaged, or that file was made with other settings.
        TrainingError: a reconstruction's error is not finite.
        BusyError: another study is writing into ``output``.
        InterruptedStudyError: Ctrl-C.
    """
    output = Path(output)
    options = options or StudyOptions()
    check_comparable(baseline, networks, same_folder=False)
    with write_into(output):
        record = StudyRecord(output / RECORD, _settings(baseline, data, dataset, options))
        subjects = _subjects(networks, model, with_control=options.control)
        study = _Study(
            subjects, data, options, record, execution or Execution(), progress or StudyProgress()
        )
        return study.run(baseline, model)


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """A network under study, or the control with its shuffled features."""

    name: str
    fingerprint: str
    control: bool
    net: MultiExitNet
    stages: tuple[str, ...]


def _subjects(
    networks: Sequence[TrainedNetwork], model: ModelSource | None, *, with_control: bool
) -> list[_Subject]:
    subjects = []
    for network in networks:
        net = build_network(network, model)
        stages = compared_stages(net)
        subjects.append(_Subject(network.name, network.fingerprint, False, net, stages))
    if with_control:
        first = subjects[0]
        subjects.append(replace(first, name=f"{first.name}, shuffled", control=True))
    return subjects


class _Study:
    """A running study."""

    def __init__(
        self,
        subjects: list[_Subject],
        data: ImageData,
        options: StudyOptions,
        record: StudyRecord,
        execution: Execution,
        progress: StudyProgress,
    ) -> None:
        self.subjects, self.data, self.options = subjects, data, options
        self.record, self.execution, self.progress = record, execution, progress
        self.wanted = {
            key
            for subject in subjects
            for stage in subject.stages
            for key in self._keys(subject, stage)
        }

    def run(self, baseline: TrainedNetwork, model: ModelSource | None) -> ConsistencyReport:
        cuts = dict.fromkeys(subject.net.spec.points for subject in self.subjects)
        baselines = {points: build_baseline(baseline, points, model) for points in cuts}
        for subject in self.subjects:
            for stage in subject.stages:
                net = baselines[subject.net.spec.points]
                check_same_features(net, subject.net, stage, subject.name)
        accuracy = self._judge(next(iter(baselines.values())))
        self._show_fits(None)
        try:
            for points, net in baselines.items():
                self._run_baseline(net, [s for s in self.subjects if s.net.spec.points == points])
        except KeyboardInterrupt:
            raise InterruptedStudyError(
                f"interrupted after {self._done()} of {len(self.wanted)} fits, which are kept in "
                f"{self.record.path}; the same command resumes"
            ) from None
        report = ConsistencyReport(
            baseline=baseline.name,
            backbone=baseline.checkpoint.spec.backbone,
            baseline_accuracy=accuracy,
            settings=self.record.settings,
            runs=self.options.runs,
            networks=tuple(self._cells(subject) for subject in self.subjects),
        )
        self.record.finish(report)
        return report

    def _judge(self, baseline: MultiExitNet) -> float:
        """Return the accuracy of the baseline alone; keep the classes of the test images."""
        test = self.data.splits["test"]
        self.progress.work("baseline", len(test))
        answers = self.execution.predict(baseline, test, self.progress.done)
        self.labels = torch.from_numpy(answers.targets)
        return float(answers.correct[-1].mean())

    def _run_baseline(self, baseline: MultiExitNet, subjects: list[_Subject]) -> None:
        images = len(self.data.splits["train"])
        steps = self.options.fit.steps(images)
        if steps < FEW_STEPS and self._done() < len(self.wanted):
            self.progress.remark(
                f"{images} training images make {steps} steps per fit, which may not converge: "
                "more epochs or smaller batches make more steps"
            )
        for stage, _ in baseline.backbone.named_stages():
            todo = [s for s in subjects if stage in s.stages and self._missing(s, stage)]
            if not todo:
                continue
            cache = self.options.cache_bytes
            at = BaselineStage(baseline, stage, self.data, self.execution, cache, self.progress)
            for subject in todo:
                pair = at.pair(subject.net, subject.name, subject.control)
                for key in self._missing(subject, stage):
                    self._fit(pair, subject.name, key)

    def _fit(self, pair: StagePair, name: str, key: FitKey) -> None:
        _, _, stage, depth, run = key
        settings = self.options.fit
        what = f"{stage}  {name}  N = {depth}  run {run}"
        self.progress.work(what, settings.steps(len(pair.source)))
        seed = _seed(settings.seed, stage, depth, run)
        with prefixed(f"{what}: ", TrainingError):
            accuracy, mse, unexplained = pair.fit(
                depth, settings, seed, self.labels, self.progress.done
            )
        fit = Fit(name, *key, accuracy=accuracy, mse=mse, unexplained=unexplained)
        self.record.add(fit)
        self._show_fits(fit)

    def _keys(self, subject: _Subject, stage: str) -> list[FitKey]:
        """Return what identifies the subject's fits at a stage, all runs of a depth together."""
        runs = range(1, self.options.runs + 1)
        own = (subject.fingerprint, subject.control, stage)
        return [(*own, depth, run) for depth in self.options.depths for run in runs]

    def _missing(self, subject: _Subject, stage: str) -> list[FitKey]:
        return [key for key in self._keys(subject, stage) if key not in self.record.fits]

    def _done(self) -> int:
        return len(self.wanted & self.record.fits.keys())

    def _show_fits(self, last: Fit | None) -> None:
        self.progress.fits(self._done(), len(self.wanted), last)

    def _cells(self, subject: _Subject) -> NetworkCells:
        cells = []
        for stage in subject.stages:
            fits = [self.record.fits[key] for key in self._keys(subject, stage)]
            for depth in self.options.depths:
                runs = [fit for fit in fits if fit.depth == depth]
                cells.append(make_cell(stage, depth, runs))
        return NetworkCells(subject.name, subject.fingerprint, subject.control, tuple(cells))


def _settings(
    baseline: TrainedNetwork, data: ImageData, dataset: str | None, options: StudyOptions
) -> StudySettings:
    config = baseline.checkpoint.data
    own = dataset in (None, config.name)
    return StudySettings(
        baseline=baseline.fingerprint,
        dataset=dataset or config.name,
        hold_out=config.hold_out if own else None,
        input_size=baseline.checkpoint.spec.input_size,
        train_images=len(data.splits["train"]),
        test_images=len(data.splits["test"]),
        fit=options.fit,
        images=data.fingerprint,
    )


def _seed(seed: int, stage: str, depth: int, run: int) -> int:
    """Return the seed of one fit, the same for all compared networks."""
    digest = hashlib.sha256(f"{seed}/{stage}/{depth}/{run}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
