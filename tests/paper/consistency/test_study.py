from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.messages import missing

from edgeexit.data import DataConfig, ImageData, load_data
from edgeexit.errors import BusyError, DataError, SpecError
from edgeexit.files import write_into
from edgeexit.paper.consistency import (
    ConsistencyReport,
    Execution,
    Fit,
    FitSettings,
    InterruptedStudyError,
    StudyOptions,
    StudyProgress,
    TrainedNetwork,
    check_comparable,
    name_networks,
    study_consistency,
)
from edgeexit.training import TrainConfig, load_checkpoint, train

NetworkFactory = Callable[..., TrainedNetwork]

QUICK = StudyOptions((0, 1), runs=2, fit=FitSettings(epochs=2, batch_size=16))


class Told(StudyProgress):
    """Remembers what is told; Ctrl-C comes with one of the fits."""

    def __init__(self, stop_at: int = -1) -> None:
        self.remarks: list[str] = []
        self.works: list[tuple[str, int]] = []
        self.left = 0
        self.finished: list[int] = []
        self.stop_at = stop_at

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def work(self, what: str, total: int) -> None:
        assert self.left == 0, "each piece came to its end"
        self.works.append((what, total))

    def done(self, count: int) -> None:
        self.left = self.works[-1][1] - count

    def fits(self, done: int, total: int, last: Fit | None) -> None:
        self.finished.append(done)
        if done == self.stop_at:
            raise KeyboardInterrupt


def accuracies(report: ConsistencyReport) -> dict[tuple[str, str, int], tuple[float, ...]]:
    return {
        (network.name, cell.stage, cell.depth): cell.accuracies
        for network in report.networks
        for cell in network.cells
    }


TOLERANCE = 0.02
"""Within which a network reaches its own accuracy from its own features, at N = 0."""


@pytest.fixture(scope="module")
def digits_network(tmp_path_factory: pytest.TempPathFactory) -> TrainedNetwork:
    """A ResNet-20 with branches that is right on most digits of 8x8 pixels."""
    pytest.importorskip("sklearn")
    data = DataConfig("digits", input_size=(3, 8, 8))
    config = TrainConfig("resnet20", "1+n", data, epochs=3, batch_size=32, lr=0.05, device="cpu")
    path = train(config, tmp_path_factory.mktemp("run")).checkpoint
    (network,) = name_networks([path], [load_checkpoint(path)])
    return network


def test_a_network_finds_itself_and_shuffled_features_find_nothing(
    digits_network: TrainedNetwork, tmp_path: Path
) -> None:
    network, data = digits_network, load_data(digits_network.checkpoint.data)
    options = StudyOptions((0,), runs=1, fit=FitSettings(epochs=6, batch_size=16), control=True)
    report = study_consistency(network, [network], data, tmp_path, options)
    own = report.baseline_accuracy
    assert own > 0.8
    found = accuracies(report)
    for stage in ("stage1", "stage2"):
        assert found["1+n", stage, 0][0] == pytest.approx(own, abs=TOLERANCE)
        assert found["1+n, shuffled", stage, 0][0] < 0.3
    itself, shuffled = report.networks
    assert all(cell.unexplained.mean < 0.1 for cell in itself.cells)
    assert all(cell.unexplained.mean > 0.9 for cell in shuffled.cells)


def test_a_second_study_in_the_same_folder_is_refused(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path
) -> None:
    plain = trained("none")
    with write_into(tmp_path), pytest.raises(BusyError, match=f"{tmp_path}: process"):
        study_consistency(plain, [trained("1+1", seed=1)], noise, tmp_path, QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def networks(trained: NetworkFactory) -> tuple[TrainedNetwork, list[TrainedNetwork]]:
    """A baseline, and two networks to compare with it."""
    return trained("none"), [trained("1+1", seed=1), trained("2+n", seed=2)]


@pytest.fixture(scope="module")
def whole(
    networks: tuple[TrainedNetwork, list[TrainedNetwork]],
    noise: ImageData,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ConsistencyReport, Told, Path]:
    """A quick study of them: its report, what it told, and its folder."""
    told, folder = Told(), tmp_path_factory.mktemp("whole")
    return study_consistency(*networks, noise, folder, QUICK, progress=told), told, folder


def test_every_stage_depth_and_run_is_fitted(whole: tuple[ConsistencyReport, Told, Path]) -> None:
    report, told, folder = whole
    assert [network.name for network in report.networks] == ["1+1", "2+n"]
    assert (report.baseline, report.backbone) == ("plain", "resnet20")
    assert report.stages == ("stage1", "stage2")
    assert told.finished == list(range(17))
    assert told.left == 0
    fits = [what for what, _ in told.works if "run" in what]
    assert fits[0] == "stage1  1+1  N = 0  run 1"
    assert len(set(fits)) == 16
    (remark,) = told.remarks
    assert not missing(remark, "40 training images", "4 steps per fit", "more epochs or smaller")
    cell = report.networks[0].cells[0]
    assert cell.accuracy.std == pytest.approx(statistics.stdev(cell.accuracies))
    stored = json.loads((folder / "consistency.json").read_text())
    assert len(stored["fits"]) == 16
    assert stored["report"]["baseline_accuracy"] == report.baseline_accuracy


def test_a_study_is_extended_and_goes_on_to_the_same_results(
    networks: tuple[TrainedNetwork, list[TrainedNetwork]],
    whole: tuple[ConsistencyReport, Told, Path],
    noise: ImageData,
    tmp_path: Path,
) -> None:
    baseline, (first, second) = networks
    small = replace(QUICK, depths=(0,), runs=1)
    study_consistency(baseline, [first], noise, tmp_path, small)  # one fit at both stages
    both = (baseline, [first, second], noise, tmp_path, QUICK)
    with pytest.raises(InterruptedStudyError) as error:
        study_consistency(*both, progress=Told(stop_at=5))
    kept = str(tmp_path / "consistency.json")
    assert not missing(error.value, "after 5 of 16 fits", kept, "the same command")
    assert error.value.exit_code == 130
    told, again = Told(), Told()
    assert study_consistency(*both, progress=told) == whole[0]
    assert told.finished == list(range(5, 17))
    assert study_consistency(*both, progress=again) == whole[0]
    assert again.works == [("baseline", 20)], "nothing is left to do"
    assert again.remarks == []


def test_features_that_do_not_fit_are_computed_anew(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path
) -> None:
    baseline, network = trained("none"), trained("1+1", seed=1)
    quick, told = replace(QUICK, depths=(0,), runs=1), Told()
    kept = study_consistency(baseline, [network], noise, tmp_path / "kept", quick)
    small = replace(quick, cache_bytes=4 * 16 * 8 * 8 * 40 + 4 * 16 * 8 * 8 * 20)
    computed = study_consistency(
        *(baseline, [network], noise, tmp_path / "computed", small),
        execution=Execution(batch_size=8),
        progress=told,
    )
    # the baseline's come first, and those of test images fit; at stage2 all do
    (remark,) = (remark for remark in told.remarks if "cache" in remark)
    assert not missing(remark, "stage1", "1+1 on train", "0.000153 GiB", "7.63e-05", "recomputed")
    for one, other in zip(kept.networks[0].cells, computed.networks[0].cells, strict=True):
        assert one.unexplained.mean == pytest.approx(other.unexplained.mean, rel=1e-3)


def test_tensors_of_several_scales(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path
) -> None:
    baseline = trained("none", "msdnet_cifar100")
    network = trained("n+n+n+n+n+n", "msdnet_cifar100", seed=1, exits=1)
    quick = StudyOptions((1,), runs=1, fit=FitSettings(epochs=1), control=True)
    report = study_consistency(baseline, [network], noise, tmp_path, quick)
    assert report.stages == ("stage1",)
    assert [entry.control for entry in report.networks] == [False, True]


def test_features_below_zero_are_told(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path
) -> None:
    baseline, network = (
        trained(branches, "mobilenet_v2_cifar", exits=1) for branches in ("none", "n+n+n")
    )
    quick = StudyOptions((0,), runs=1, fit=FitSettings(epochs=1))
    study_consistency(baseline, [network], noise, tmp_path, quick, progress=(told := Told()))
    assert not missing(told.remarks[1], "stage1_out", "below zero", "not with the ReLU")


def test_other_settings_are_refused(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path
) -> None:
    baseline, network = trained("none"), trained("1+1", seed=1)
    quick = replace(QUICK, depths=(0,), runs=1)
    study_consistency(baseline, [network], noise, tmp_path, quick)
    stored = (tmp_path / "consistency.json").read_text()
    other = replace(quick, fit=replace(quick.fit, lr=0.1, batch_size=8))
    path = tmp_path / "consistency.json"
    with pytest.raises(DataError) as error:
        study_consistency(baseline, [network], noise, tmp_path, other)
    assert not missing(
        error.value,
        *(str(path), "--lr 0.01, now 0.1", "--fit-batch-size 16, now 8"),
        *("the same ones", "another -o"),
    )
    with pytest.raises(DataError, match=r"other settings \(baseline \w{16}, now \w{16}\): give"):
        study_consistency(trained("none", seed=5), [network], noise, tmp_path, quick)
    with pytest.raises(DataError, match=r"other settings \(images \w*, now abc\)"):
        study_consistency(baseline, [network], replace(noise, fingerprint="abc"), tmp_path, quick)
    assert (tmp_path / "consistency.json").read_text() == stored, "nothing was touched"
    older = json.loads(stored)
    del older["settings"]["images"]  # files had none
    path.write_text(json.dumps(older))
    study_consistency(baseline, [network], replace(noise, fingerprint="abc"), tmp_path, quick)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "edgeexit consistency"}'])
def test_a_damaged_file_is_refused(
    trained: NetworkFactory, noise: ImageData, tmp_path: Path, content: str
) -> None:
    (tmp_path / "consistency.json").write_text(content)
    with pytest.raises(DataError, match=r"expected the results of edgeexit consistency to resume"):
        study_consistency(trained("none"), [trained()], noise, tmp_path, QUICK)


def test_networks_of_other_data_cannot_be_compared(trained: NetworkFactory) -> None:
    with pytest.raises(DataError, match="expected the same data set, got noise and digits; train"):
        check_comparable(trained("none"), [trained(data=DataConfig("digits"))])
    held_out = DataConfig("noise", input_size=(3, 8, 8), hold_out=7)
    message = "expected the same held-out images per class, got the usual and 7; train"
    with pytest.raises(DataError, match=message):
        check_comparable(trained("none"), [trained(data=held_out)])


def test_networks_are_named_by_what_tells_them_apart(trained: NetworkFactory) -> None:
    paths = [Path("a/ckpt.pt"), Path("b/ckpt.pt"), Path("b/best.pt"), Path("d/ckpt.pt")]
    checkpoints = [trained(seed=seed).checkpoint for seed in range(3)]
    networks = name_networks(paths, [*checkpoints, trained("none").checkpoint])
    assert [network.name for network in networks] == [
        *("1+1 (a)", "1+1 (b) (b/ckpt.pt)", "1+1 (b) (b/best.pt)"),
        "plain",
    ]
    tuned = replace(checkpoints[0], thresholds={"exit1": 0.5, "exit2": 0.5})
    with pytest.raises(SpecError, match=r"a/ckpt.pt and b/ckpt.pt hold the same network: give it"):
        name_networks(paths[:2], [checkpoints[0], tuned])


def test_options_out_of_range_are_told() -> None:
    with pytest.raises(ValueError, match=r"depths: expected different numbers from 0 on, got \("):
        StudyOptions((1, 1))
    with pytest.raises(ValueError, match="runs: expected at least 1, got 0"):
        StudyOptions(runs=0)
    with pytest.raises(ValueError, match="cache_bytes: expected at least 0, got nan"):
        StudyOptions(cache_bytes=float("nan"))
