"""The Python that Triton runs, on a double of its backend: answers, batches, and what fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.backends.onnxruntime.x86_products import needs_exact_products
from edgeexit_runtime.testing import (
    CHAIN,
    NETWORKS,
    Network,
    images_leaving_at,
    random_images,
    write_bundle,
)
from numpy.typing import NDArray
from support.digits_bundle import digits_bundle, digits_frames
from support.triton_double import TritonDouble, TritonModelException

from edgeexit.export.triton.repository import write_repository

Change = Callable[[dict[str, Any]], object]


def anywhere(config: dict[str, Any]) -> None:
    """The parts are run by a session that widens sums of 8 bits, as Triton's does not."""
    config["parameters"].pop("needs_vnni", None)


def thresholds(**values: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        for name, text in values.items():
            config["parameters"][f"threshold_{name}"] = {"string_value": text}
        anywhere(config)

    return change


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``digits(precision)``: a bundle, made once."""
    return cache(lambda precision: digits_bundle(tmp_path_factory.mktemp(precision), precision))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_repository(write_bundle(tmp_path / "bundle"), tmp_path / "repository").folder


def joined(answers: list[Any]) -> dict[str, NDArray[Any]]:
    return {name: np.concatenate([it[name] for it in answers]) for name in answers[0]}


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "cpu-7bit"])
def test_digits_get_the_sessions_answers(
    digits: Callable[[str], Path], precision: str, tmp_path: Path
) -> None:
    folder = digits(precision)
    repository = write_repository(folder, tmp_path / "repository").folder
    with ee.load(folder, backend="onnxruntime") as session:
        images = session.preprocess(digits_frames())
        for setting in ({"exit1": 0.6, "exit2": 0.6}, {"exit1": 0.9, "exit2": 0.3}):
            session.thresholds = setting
            expected = session.infer(images)
            assert min(np.bincount(expected.exits)) > 20
            texts = {name: repr(value) for name, value in setting.items()}
            triton = TritonDouble(repository, change=thresholds(**texts))
            answers: list[Any] = []
            place, sizes = 0, [1, 2, 5, 3, 4, 1, 8]  # one after another, never more than 8 together
            for number in range(len(images)):
                together = ([], [0, 1, 2], [3, 4], [5], [6])[number % 5]
                batches = []
                for size in (sizes[which] for which in together):
                    batches.append(images[place : place + size])
                    place += size
                answers += triton.ask(*(batch for batch in batches if len(batch)))
            got = joined(answers)
            assert (got["labels"] == expected.labels).all()
            assert (got["exits"] == expected.exits).all()
            assert np.abs(got["confidences"] - expected.confidences).max() < 1e-5


def test_requests_that_wait_together_are_one_batch_which_shrinks(repository: Path) -> None:
    triton = TritonDouble(repository)
    places = [[2], [0, 1], [0]]
    answers = triton.ask(*map(images_leaving_at, places))
    assert [it["exits"].tolist() for it in answers if isinstance(it, dict)] == places
    assert {name: model.batches for name, model in triton.parts.items()} == {
        "edgeexit_stage1": [4],
        "edgeexit_exit1": [4],
        "edgeexit_stage2": [2],
        "edgeexit_exit2": [2],
        "edgeexit_stage3": [1],
        "edgeexit_final": [1],
    }
    triton.ask(images_leaving_at([0, 0]))
    assert triton.parts["edgeexit_stage2"].batches == [2], "those who have left pay for no more"


def test_a_threshold_of_2_switches_an_exit_off(repository: Path) -> None:
    triton = TritonDouble(repository, change=thresholds(exit1="2"))
    (answer,) = triton.ask(images_leaving_at([0, 1, 2]))
    assert isinstance(answer, dict)
    expected = CHAIN.expected(images_leaving_at([0, 1, 2]), {"exit1": 2.0, "exit2": 0.6})
    assert answer["exits"].tolist() == expected.exits.tolist()
    assert answer["labels"].tolist() == expected.labels.tolist()
    assert triton.parts["edgeexit_exit1"].batches == []


def test_an_error_in_one_request_leaves_the_others(repository: Path) -> None:
    triton = TritonDouble(repository)
    images = [images_leaving_at([place]) for place in (2, 1, 0)]
    images[1][0, 0, 0, 0] = np.nan
    first, second, third = triton.ask(*images)
    assert isinstance(first, dict)
    assert isinstance(third, dict)
    assert (first["exits"].tolist(), third["exits"].tolist()) == ([2], [0])
    assert second == "images: expected finite values, got NaN or infinity"
    assert triton.parts["edgeexit_stage1"].batches == [2]
    assert triton.ask(images[1]) == [second]


@pytest.mark.parametrize("part", ["edgeexit_stage2", "edgeexit_exit2"])
def test_a_part_that_fails_is_named_to_those_who_waited(repository: Path, part: str) -> None:
    triton = TritonDouble(repository)
    triton.parts[part].failing = True
    early, late, both = triton.ask(*map(images_leaving_at, ([0], [2], [0, 1])))
    assert isinstance(early, dict)
    assert early["exits"].tolist() == [0]
    assert late == both == f"{part}: it fails"
    triton.parts[part].failing = False
    assert isinstance(triton.ask(images_leaving_at([2]))[0], dict)


def test_a_part_that_is_not_loaded(repository: Path) -> None:
    triton = TritonDouble(repository)
    del triton.parts["edgeexit_stage3"]
    early, late = triton.ask(images_leaving_at([1]), images_leaving_at([2]))
    assert isinstance(early, dict)
    assert "edgeexit_stage3 is not ready" in late


def test_confidences_that_cannot_be_are_no_answer(
    digits: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = digits("fp16")
    triton = TritonDouble(write_repository(folder, tmp_path / "repository").folder)
    how = ee.load_manifest(folder).preprocessing
    images = how(digits_frames()[:3])
    images[1] *= 1e30
    beyond, usual = triton.ask(images[:2], images[2:])
    assert "beyond the network's precision" in beyond
    assert isinstance(usual, dict)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
def test_any_flow_of_tensors(network: Network, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", network)
    triton = TritonDouble(write_repository(folder, tmp_path / "repository").folder)
    images, size = random_images(40, seed=3), network.max_batch
    expected = network.expected(images, triton_thresholds(triton))
    got = joined(
        [it for start in range(0, 40, size) for it in triton.ask(images[start : start + size])]
    )
    assert len(set(expected.exits.tolist())) == len(network.exit_reads)
    assert (got["exits"] == expected.exits).all()
    assert (got["labels"] == expected.labels).all()


def triton_thresholds(triton: TritonDouble) -> dict[str, float]:
    return {
        key.removeprefix("threshold_"): float(value["string_value"])
        for key, value in triton.config["parameters"].items()
        if key.startswith("threshold_")
    }


# thresholds that are none


@pytest.mark.parametrize("text", ["high", "", "nan", "-0.1", "2.5", "1,0"])
def test_a_threshold_that_is_none(repository: Path, text: str) -> None:
    with pytest.raises(TritonModelException) as caught:
        TritonDouble(repository, change=thresholds(exit2=text))
    assert "threshold_exit2: expected 0 to 1, or 2 for never" in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (thresholds(exit7="0.5"), r"threshold_exit1, .*got .*threshold_exit7"),
        (
            lambda config: config["parameters"].pop("threshold_exit2"),
            r"threshold_exit2, got threshold_exit1$",
        ),
    ],
    ids=["of no exit", "missing"],
)
def test_thresholds_of_other_exits(repository: Path, change: Change, message: str) -> None:
    with pytest.raises(TritonModelException, match=message):
        TritonDouble(repository, change=change)


# CPUs whose sums saturate


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system does not tell")
def test_int8_for_cpus_is_refused_where_sums_saturate(
    digits: Callable[[str], Path], tmp_path: Path
) -> None:
    repository = write_repository(digits("int8"), tmp_path / "repository").folder
    if needs_exact_products():
        with pytest.raises(TritonModelException, match=r"no VNNI.*cpu-7bit"):
            TritonDouble(repository)
    else:
        TritonDouble(repository)
