"""A bundle as one graph: its answers, what it skips, and bundles that make none."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from edgeexit_runtime import BundleError
from edgeexit_runtime.bundle.folder import Bundle, open_bundle
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.testing import write_bundle
from edgeexit_runtime.testing.bundles import edit_manifest, replace_graph
from edgeexit_runtime.testing.networks import CHAIN, NETWORKS, images_leaving_at, random_images
from numpy.typing import NDArray

from edgeexit.export.single.nested import OUTPUTS, nested_model


def open_model(model: onnx.ModelProto, profile: Path | None = None) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of inputs with defaults
    if profile is not None:  # nodes as they stand, by their own names
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    content = model.SerializeToString()
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run(session: Any, images: NDArray[np.float32], *thresholds: float) -> dict[str, NDArray[Any]]:
    feeds = {"images": images}
    if thresholds:
        feeds["thresholds"] = np.array(thresholds, np.float32)
    return dict(zip(OUTPUTS, session.run(OUTPUTS, feeds), strict=True))


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(write_bundle(tmp_path_factory.mktemp("bundles") / "chain"))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 5])
def test_answers_are_those_of_each_image_alone(name: str, batch: int, tmp_path: Path) -> None:
    network = NETWORKS[name]
    session = open_model(nested_model(open_bundle(write_bundle(tmp_path / "bundle", network))))
    images = random_images(30, seed=3)
    left = set()
    for threshold in (0.35, 0.6, 0.9):
        gammas = [threshold] * (len(network.exit_names) - 1)
        expected = network.expected(images, dict.fromkeys(network.exit_names[:-1], threshold))
        runs = [run(session, images[i : i + batch], *gammas) for i in range(0, 30, batch)]
        got = {output: np.concatenate([answer[output] for answer in runs]) for output in OUTPUTS}
        np.testing.assert_array_equal(got["exits"], expected.exits)
        np.testing.assert_array_equal(got["labels"], expected.labels)
        np.testing.assert_allclose(got["confidences"], expected.confidences, rtol=1e-5)
        np.testing.assert_array_equal(got["logits"].argmax(axis=1), expected.labels)
        left |= set(expected.exits.tolist())
    assert left == set(range(len(network.exit_names)))


@pytest.mark.parametrize(
    ("leaving", "parts"),
    [
        ([0], {"stage1", "exit1"}),
        ([1], {"stage1", "exit1", "stage2", "exit2"}),
        ([2], {"stage1", "exit1", "stage2", "exit2", "stage3", "final"}),
        ([0, 1, 0], {"stage1", "exit1", "stage2", "exit2"}),
    ],
)
def test_what_lies_behind_the_hardest_image_is_not_run(
    chain: Bundle, leaving: list[int], parts: set[str], tmp_path: Path
) -> None:
    session = open_model(nested_model(chain), tmp_path / "profile")
    answers = run(session, images_leaving_at(leaving))
    assert answers["exits"].tolist() == leaving
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    nodes = {event["name"] for event in events if event["cat"] == "Node"}
    assert {name.split("/")[0] for name in nodes if "/" in name} - {"thresholds"} == parts


def test_thresholds_are_the_bundles_unless_given(chain: Bundle) -> None:
    session = open_model(nested_model(chain))
    images = images_leaving_at([0, 1, 2])
    answers = run(session, images)
    assert answers["exits"].tolist() == [0, 1, 2]
    assert [answers[name].dtype for name in OUTPUTS] == ["int32", "float32", "int32", "float32"]
    assert [answers[name].shape for name in OUTPUTS] == [(3,), (3,), (3,), (3, 3)]
    assert run(session, images, 0, 0)["exits"].tolist() == [0, 0, 0]
    assert run(session, images, NEVER, NEVER)["exits"].tolist() == [2, 2, 2]


def test_thresholds_may_be_required(chain: Bundle) -> None:
    session = open_model(nested_model(chain, required_thresholds=True))
    assert [tensor.name for tensor in session.get_inputs()] == ["images", "thresholds"]
    assert run(session, images_leaving_at([1]), 0.6, 0.6)["exits"].tolist() == [1]
    with pytest.raises(ValueError, match="thresholds"):
        run(session, images_leaving_at([1]))


def with_thresholds(bundle: Bundle, **thresholds: float) -> Bundle:
    exits = tuple(
        dataclasses.replace(exit_, threshold=thresholds.get(exit_.name, exit_.threshold))
        for exit_ in bundle.manifest.exits
    )
    return Bundle(bundle.folder, dataclasses.replace(bundle.manifest, exits=exits))


def test_an_exit_that_is_off_is_left_out(chain: Bundle) -> None:
    model = nested_model(with_thresholds(chain, exit1=NEVER))
    assert b"exit1/" not in model.SerializeToString()
    session = open_model(model)
    answers = run(session, images_leaving_at([0, 1, 2]), 0.6)
    expected = CHAIN.expected(images_leaving_at([0, 1, 2]), {"exit1": NEVER, "exit2": 0.6})
    np.testing.assert_array_equal(answers["exits"], expected.exits)
    np.testing.assert_array_equal(answers["labels"], expected.labels)


def test_without_exits_that_are_on_there_are_no_thresholds(chain: Bundle) -> None:
    session = open_model(nested_model(with_thresholds(chain, exit1=NEVER, exit2=NEVER)))
    assert [tensor.name for tensor in session.get_inputs()] == ["images"]
    assert run(session, images_leaving_at([0, 1]))["exits"].tolist() == [2, 2]


# bundles that make none


def test_parts_of_other_opsets(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    model = onnx.load(folder / "exit2.onnx")
    model.opset_import[0].version = 14
    replace_graph(folder, "exit2", model.SerializeToString())
    with pytest.raises(BundleError, match=r"exit2 has opset 14 of ONNX, parts before it 13"):
        nested_model(open_bundle(folder))


@pytest.mark.parametrize("content", [b"", b"\x0a\xff", b"not a model"])
def test_a_part_that_is_no_model(content: bytes, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    replace_graph(folder, "stage2", content)
    with pytest.raises(BundleError, match="stage2"):
        nested_model(open_bundle(folder))


def test_a_part_with_other_tensors_than_the_manifest_says(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")
    replace_graph(folder, "stage2", (folder / "stage3.onnx").read_bytes())
    with pytest.raises(BundleError, match="do not fit together"):
        nested_model(open_bundle(folder))


def test_parts_that_are_too_large_for_one_file(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle")

    def enlarge(manifest: dict[str, Any]) -> None:
        for stage in manifest["stages"]:
            stage["graph"]["size_bytes"] = 2**30

    edit_manifest(folder, enlarge)
    with pytest.raises(BundleError, match=r"3,221,.* bytes, one ONNX file holds 2,146,"):
        nested_model(open_bundle(folder))
