"""Study of knowledge consistency with a baseline (Sections IV-C and V-G, Figs. 12 and 13).

For each network, stage and depth, the baseline's features are reconstructed from the network's. The
reconstruction replaces them, and the rest of the baseline classifies the test images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from edgeexit.data import ImageData
from edgeexit.errors import EdgeExitError, TrainingError
from edgeexit.evaluation import predict
from edgeexit.files import write_into
from edgeexit.models.factories import ModelSource
from edgeexit.models.multi_exit import MultiExitNet
from edgeexit.paper.consistency.networks import (
    TrainedNetwork,
    build_baseline,
    build_network,
    check_comparable,
)
from edgeexit.paper.consistency.options import StudyOptions
from edgeexit.paper.consistency.pairing import Labels, StagePair, open_stage
from edgeexit.paper.consistency.progress import StudyProgress, step_to_count
from edgeexit.paper.consistency.record import Fit, StudyRecord, StudySettings
from edgeexit.paper.consistency.report import ConsistencyReport, NetworkCells, make_cells
from edgeexit.paper.consistency.stages import (
    check_same_features,
    compared_stages,
    crossing_features,
)
from edgeexit.training.comparison import Execution

RECORD = "consistency.json"
FEW_STEPS = 500
"""Fits with fewer steps get a warning; by default there are over ten times as many on CIFAR-100."""


class InterruptedStudyError(EdgeExitError):
    """Ctrl-C; finished fits are kept."""

    exit_code = 130


@dataclass(frozen=True, slots=True, eq=False)
class _Subject:
    """A network under study, or the control with its shuffled features."""

    name: str
    fingerprint: str
    control: bool
    net: MultiExitNet
    stages: tuple[str, ...]


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
    study = _Study(data, options, execution or Execution(), progress or StudyProgress())
    with write_into(output):
        record = StudyRecord(output / RECORD, _settings(baseline, data, dataset, options))
        return study.run(baseline, networks, record, model)


class _Study:
    """A running study."""

    def __init__(
        self, data: ImageData, options: StudyOptions, execution: Execution, progress: StudyProgress
    ) -> None:
        self.data, self.options = data, options
        self.execution, self.progress = execution, progress

    def run(
        self,
        baseline: TrainedNetwork,
        networks: Sequence[TrainedNetwork],
        record: StudyRecord,
        model: ModelSource | None,
    ) -> ConsistencyReport:
        self.record = record
        subjects = self._subjects(networks, model)
        cuts = dict.fromkeys(subject.net.spec.points for subject in subjects)
        baselines = {points: build_baseline(baseline, points, model) for points in cuts}
        for subject in subjects:
            _check_features(baselines[subject.net.spec.points], subject)
        self.wanted = {
            (subject.fingerprint, subject.control, stage, depth, run)
            for subject in subjects
            for stage in subject.stages
            for depth, run in self._fits()
        }
        labels, accuracy = self._judge(next(iter(baselines.values())))
        self._show_fits(None)
        try:
            for points, net in baselines.items():
                members = [s for s in subjects if s.net.spec.points == points]
                self._run_baseline(net, members, labels)
        except KeyboardInterrupt:
            raise InterruptedStudyError(
                f"interrupted after {self._done()} of {len(self.wanted)} fits, which are kept in "
                f"{self.record.path}; the same command resumes"
            ) from None
        report = self._report(baseline, accuracy, subjects)
        self.record.finish(report)
        return report

    def _subjects(
        self, networks: Sequence[TrainedNetwork], model: ModelSource | None
    ) -> list[_Subject]:
        subjects = []
        for network in networks:
            net = build_network(network, model)
            stages = compared_stages(net)
            subjects.append(_Subject(network.name, network.fingerprint, False, net, stages))
        if self.options.control:
            first = subjects[0]
            subjects.append(replace(first, name=f"{first.name}, shuffled", control=True))
        return subjects

    def _judge(self, baseline: MultiExitNet) -> tuple[Labels, float]:
        """Return the classes of the test images, and the accuracy of the baseline alone."""
        test, batch_size = self.data.splits["test"], self.execution.batch_size
        self.progress.work("baseline", len(test))
        answers = predict(
            baseline,
            test,
            batch_size=batch_size,
            device=self.execution.device,
            workers=self.execution.workers,
            progress=step_to_count(self.progress),
        )
        return torch.from_numpy(answers.targets), float(answers.correct[-1].mean())

    def _run_baseline(
        self, baseline: MultiExitNet, subjects: list[_Subject], labels: Labels
    ) -> None:
        images = len(self.data.splits["train"])
        steps = self.options.fit.steps(images)
        if steps < FEW_STEPS and self._done() < len(self.wanted):
            self.progress.remark(
                f"{images} training images make {steps} steps per fit, which may not converge: "
                "more epochs or smaller batches make more steps"
            )
        for stage, _ in baseline.backbone.named_stages():
            todo = [s for s in subjects if stage in s.stages and any(self._missing(s, stage))]
            if not todo:
                continue
            open_pair = open_stage(
                baseline, stage, self.data, self.execution, self.options.cache_bytes, self.progress
            )
            for subject in todo:
                pair = open_pair(subject.net, subject.name, subject.control)
                for depth, run in self._missing(subject, stage):
                    self._fit(pair, subject, stage, depth, run, labels)

    def _fit(
        self, pair: StagePair, subject: _Subject, stage: str, depth: int, run: int, labels: Labels
    ) -> None:
        settings = self.options.fit
        what = f"{stage}  {subject.name}  N = {depth}  run {run}"
        self.progress.work(what, settings.steps(len(pair.source)))
        seed = _seed(settings.seed, stage, depth, run)
        try:
            fitted = pair.fit(depth, settings, seed, self.progress.step)
        except TrainingError as error:
            raise TrainingError(f"{what}: {error}") from error
        accuracy = pair.accuracy(fitted.network, labels)
        fit = Fit(
            network=subject.name,
            fingerprint=subject.fingerprint,
            control=subject.control,
            stage=stage,
            depth=depth,
            run=run,
            accuracy=accuracy,
            mse=fitted.mse,
            unexplained=fitted.unexplained,
        )
        self.record.add(fit)
        self._show_fits(fit)

    def _fits(self) -> list[tuple[int, int]]:
        runs = range(1, self.options.runs + 1)
        return [(depth, run) for depth in self.options.depths for run in runs]

    def _missing(self, subject: _Subject, stage: str) -> Iterator[tuple[int, int]]:
        for depth, run in self._fits():
            key = (subject.fingerprint, subject.control, stage, depth, run)
            if key not in self.record.fits:
                yield depth, run

    def _done(self) -> int:
        return len(self.wanted & self.record.fits.keys())

    def _show_fits(self, last: Fit | None) -> None:
        self.progress.fits(self._done(), len(self.wanted), last)

    def _report(
        self, baseline: TrainedNetwork, accuracy: float, subjects: Sequence[_Subject]
    ) -> ConsistencyReport:
        cells = []
        for subject in subjects:
            own = (subject.fingerprint, subject.control)
            fits = {key[2:]: fit for key, fit in self.record.fits.items() if key[:2] == own}
            found = make_cells(fits, subject.stages, self.options.depths, self.options.runs)
            cells.append(NetworkCells(subject.name, subject.fingerprint, subject.control, found))
        return ConsistencyReport(
            baseline=baseline.name,
            backbone=baseline.checkpoint.spec.backbone,
            baseline_accuracy=accuracy,
            settings=self.record.settings,
            runs=self.options.runs,
            networks=tuple(cells),
        )


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
    )


def _check_features(baseline: MultiExitNet, subject: _Subject) -> None:
    for stage in subject.stages:
        ours, theirs = (crossing_features(net, stage) for net in (baseline, subject.net))
        check_same_features(ours, theirs, stage, subject.name)


def _seed(seed: int, stage: str, depth: int, run: int) -> int:
    """Return the seed of one fit, the same for all compared networks."""
    digest = hashlib.sha256(f"{seed}/{stage}/{depth}/{run}".encode()).digest()
    return int.from_bytes(digest[:7], "big")
