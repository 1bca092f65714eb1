"""Another bundle or ONNX file to compare with: that it runs as it should, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from edgeexit_runtime import Manifest, load_manifest
from edgeexit_runtime.bundle.expected_entry import Expected
from edgeexit_runtime.bundle.guarantee_entry import Guarantee
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.testing import make_model
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from support.tiny_bundle import unchecked

from edgeexit.bench import BenchImages, BenchOptions, run_bench
from edgeexit.bench.results.mixture import VERSUS
from edgeexit.bench.timing.versus import open_versus
from edgeexit.errors import BackendError, BundleError, DataError, EdgeExitError, InputError

QUICK = BenchOptions(threads=1, rounds=2, duration_s=60, warm_up_s=0)
CHOSEN: dict[str, Any] = {"backend": "auto", "providers": None, "threads": 1}
LeavingAt = Callable[[list[int], list[int]], NDArray[np.float32]]


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return load_manifest(bundle)


def classifier(
    batch: int | str = "N",
    size: tuple[int | str, ...] = (3, 8, 8),
    classes: int = 10,
    dtype: int = TensorProto.FLOAT,
    opset: int = 17,
    output_shape: tuple[int | str, ...] | None = None,
) -> onnx.ModelProto:
    """Return a model whose logits are the first pixels, with tensors named as the gate's are."""
    weights = np.zeros((int(np.prod([x for x in size if isinstance(x, int)])), classes), np.float32)
    weights[:classes, :classes] = np.eye(classes)[: len(weights)]
    if dtype == TensorProto.FLOAT16:
        weights = weights.astype(np.float16)
    nodes = [
        helper.make_node("Flatten", ["images"], ["confidence"]),
        helper.make_node("MatMul", ["confidence", "label"], ["logits"]),
    ]
    reads, writes = {"images": [batch, *size]}, {"logits": output_shape or [batch, classes]}
    return make_model(nodes, reads, writes, {"label": weights}, dtype=dtype, opset=opset)


def save(model: onnx.ModelProto, folder: Path, name: str = "small.onnx") -> Path:
    (folder / name).write_bytes(model.SerializeToString())
    return folder / name


def refused(path: Path, manifest: Manifest, kind: type[EdgeExitError] = DataError) -> str:
    with pytest.raises(kind) as raised, open_versus(path, manifest, CHOSEN):
        pass
    return str(raised.value)


# what runs


@pytest.mark.parametrize("opset", [12, 13, 17, 18, 21])
@pytest.mark.parametrize("batch", ["N", 1])
def test_an_onnx_file_answers_as_it_does_alone(
    manifest: Manifest, tmp_path: Path, opset: int, batch: int | str
) -> None:
    path = save(classifier(batch=batch, opset=opset), tmp_path)
    images = np.random.default_rng(0).standard_normal((7, 3, 8, 8), np.float32)
    with open_versus(path, manifest, CHOSEN) as versus:
        answers = versus.session.infer(images)
        assert versus.session.manifest.max_batch == (4 if batch == "N" else 1)
        assert versus.session.threads == 1
    logits = images.reshape(7, -1)[:, :10]
    np.testing.assert_array_equal(answers.labels, logits.argmax(1))
    softmax = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(answers.confidences, softmax.max(1), rtol=1e-5)
    assert (versus.name, dict(versus.thresholds)) == ("small.onnx", {})


def test_what_was_shown_and_expected_of_the_bundle_is_not_of_the_file(
    manifest: Manifest, tmp_path: Path
) -> None:
    thresholds = manifest.thresholds
    counts = dict.fromkeys(manifest.exit_names, (0,) * 9 + (1,))
    told = dataclasses.replace(
        manifest,
        guarantee=Guarantee("error", 0.1, 0.95, 100, 0.02, "val", thresholds),
        expected=Expected(len(counts), "val", thresholds, counts),
    )
    with open_versus(save(classifier(), tmp_path), told, CHOSEN) as versus:
        assert versus.session.manifest.guarantee is None
        assert versus.session.manifest.expected is None


def test_sizes_that_a_file_leaves_open_fit_any_bundle(manifest: Manifest, tmp_path: Path) -> None:
    model = classifier()
    for dim, name in zip(model.graph.input[0].type.tensor_type.shape.dim[2:], "HW", strict=True):
        dim.Clear()
        dim.dim_param = name
    path = save(model, tmp_path, "a model (1).onnx")  # no name for a file of a bundle
    with open_versus(path, manifest, CHOSEN) as versus:
        answers = versus.session.infer(np.zeros((1, 3, 8, 8), np.float32))
    assert answers.labels.tolist() == [0]
    assert versus.name == "a model (1).onnx"


def test_weights_among_the_inputs_as_old_files_list_them(
    manifest: Manifest, tmp_path: Path
) -> None:
    model = classifier()
    model.graph.input.append(helper.make_tensor_value_info("label", TensorProto.FLOAT, [192, 10]))
    with open_versus(save(model, tmp_path), manifest, CHOSEN) as versus:
        image = np.zeros((1, 3, 8, 8), np.float32)
        image[0, 0, 0, 5] = 1
        assert versus.session.infer(image).labels.tolist() == [5]


def test_everything_is_measured_on_the_same_images(
    bundle: Path, tmp_path: Path, leaving_at: LeavingAt
) -> None:
    path = save(classifier(), tmp_path)
    images = BenchImages("test", leaving_at([0, 1, 0], [3, 4, 5]), np.array([3, 4, 5]))
    options = dataclasses.replace(QUICK, versus=str(path), scenarios=("single-stream",))
    report = run_bench(bundle, images, options)
    assert report.mixture is not None
    plain, _, off, versus = report.mixture.runs
    assert (off.name, off.thresholds) == ("exit1 off", {"exit1": NEVER})
    # without exit 1 those who would have left there are seen by the final exit, which says 0
    assert off.accuracy == pytest.approx(1 / 3)
    assert (versus.name, versus.thresholds) == ("small.onnx", {})
    assert versus.accuracy == pytest.approx(2 / 3)  # it reads what exit 1 reads
    plain_ms = np.array(plain.times_ms)
    for result in (off, versus):
        assert np.shape(result.times_ms) == plain_ms.shape == (2, 3)
        assert result.ratio.value == pytest.approx(np.mean(result.times_ms) / plain_ms.mean())
    over = report.mixture.over_versus
    assert over is not None
    ours_ms = report.mixture.early_exit.latency.mean_ms
    assert over.value == pytest.approx(ours_ms / versus.latency.mean_ms)
    assert report.mixture.iso_accuracy is None  # three images are too few
    assert report.scenarios is not None
    assert report.scenarios.single_stream is not None
    assert (report.scenarios.offline, report.scenarios.server) == (None, None)
    names = [it.name for it in report.scenarios.single_stream.results]
    assert names == ["plain backbone", "early exit", "versus small.onnx"]
    assert report.options.versus == str(path)


def test_another_bundle_runs_at_its_own_thresholds(
    bundle: Path, manifest: Manifest, tmp_path: Path, leaving_at: LeavingAt
) -> None:
    other = changed(bundle, tmp_path / "other", lambda value: set_threshold(value, 1.0))
    with open_versus(other, manifest, CHOSEN) as versus:
        assert dict(versus.thresholds) == {"exit1": 1.0}
        versus.prepare()
        assert versus.session.infer(leaving_at([0], [3])).exits.tolist() == [1]
    assert (versus.role, versus.name, versus.label) == (VERSUS, "other", "versus other")


# what does not fit


def changed(bundle: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a bundle with another manifest."""
    folder.mkdir()
    for file in bundle.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    value = json.loads((folder / MANIFEST_NAME).read_text())
    change(value)
    (folder / MANIFEST_NAME).write_text(json.dumps(value))
    return folder


def set_threshold(value: dict[str, Any], threshold: float) -> None:
    value["exits"][0]["threshold"] = threshold


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda value: value.update(class_names=[*"abcdefghij"]),
            "expected the bundle's class 0 named 0, got a; compare networks of the same data set",
        ),
        (
            lambda value: value["preprocessing"].update(mean=[0.5, 0.5, 0.5]),
            "expected the bundle's mean (0.305, 0.305, 0.305), got (0.5, 0.5, 0.5); compare",
        ),
        (
            lambda value: value["preprocessing"].update(resize=9),
            "expected the bundle's resize None, got 9",
        ),
    ],
)
def test_a_bundle_that_does_not_match(
    bundle: Path,
    manifest: Manifest,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
    expected: str,
) -> None:
    other = changed(bundle, tmp_path / "other", change)
    assert expected in refused(other, manifest, InputError)


def test_another_precision_of_the_same_network(
    bundle: Path, manifest: Manifest, tmp_path: Path
) -> None:
    other = changed(bundle, tmp_path / "half", lambda value: value.update(precision="fp16"))
    with open_versus(other, manifest, CHOSEN) as candidate:
        assert candidate.label == "versus half (fp16)"


def test_a_bundle_of_another_number_of_classes(bundle: Path, manifest: Manifest) -> None:
    fewer = unchecked(manifest, class_names=manifest.class_names[:4])
    assert "expected the bundle's 4 classes, got 10" in refused(bundle, fewer, InputError)


def with_another_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("confidence", TensorProto.FLOAT, None))


def with_another_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def with_labels_alone(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, ["N"]))


def with_half_weights(model: onnx.ModelProto) -> None:
    half = numpy_helper.from_array(np.zeros((192, 10), np.float16), "half")
    model.graph.initializer[0].CopyFrom(half)
    model.graph.node.insert(0, helper.make_node("Cast", ["half"], ["label"], to=TensorProto.FLOAT))


def with_quantized_weights(model: onnx.ModelProto) -> None:
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.zeros((192, 10), np.int8), "eight"),
            numpy_helper.from_array(np.float32(0.1), "scale"),
        ]
    )
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["eight", "scale"], ["label"]))


@pytest.mark.parametrize(
    ("change", "precision"), [(with_half_weights, "fp16"), (with_quantized_weights, "int8")]
)
def test_an_onnx_file_of_another_precision(
    manifest: Manifest,
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    precision: str,
) -> None:
    with open_versus(save(with_more(change), tmp_path), manifest, CHOSEN) as candidate:
        assert candidate.name == f"small.onnx ({precision})"
        assert candidate.session.infer(np.zeros((1, 3, 8, 8), np.float32)).labels.shape == (1,)


def with_an_unknown_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 999


def with_an_unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Flatter"


def with_an_operator_of_another_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "not.here"
    model.opset_import.append(helper.make_opsetid("not.here", 1))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 10])
    model.graph.output[0].CopyFrom(logits)


def with_more(change: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = classifier()
    change(model)
    return model


HALF = TensorProto.FLOAT16


@pytest.mark.parametrize(
    ("model", "kind", "expected"),
    [
        (classifier(size=(3, 9, 8)), InputError, "(3, 8, 8), got (3, 9, 8); both must"),
        (classifier(size=(1, 8, 8)), InputError, "of the bundle's (3, 8, 8), got (1, 8, 8)"),
        (classifier(classes=7), InputError, "the bundle's 10 classes, got 7; compare networks"),
        (classifier(batch=5), DataError, "a batch that is dynamic or 1, got 5; export"),
        (classifier(size=(192,)), DataError, "float32 (N, C, H, W), got float (?, 192)"),
        (classifier(dtype=HALF), DataError, "float32 (N, C, H, W), got float16 (?, 3, 8, 8)"),
        (classifier(opset=11), DataError, "ONNX opset 12 or later, got 11; export it again"),
        (with_more(with_another_output), DataError, "one output, got logits, confidence"),
        (with_more(with_another_input), DataError, "expected one input, images, got images, more"),
        (
            with_more(with_labels_alone),
            DataError,
            "best: expected logits float32 (N, K), got int64",
        ),
        (with_more(with_an_unknown_type), DataError, "(N, C, H, W), got type 999 (?, 3, 8, 8)"),
        (with_more(with_an_unknown_operator), DataError, "not a valid ONNX model: "),
        (
            with_more(with_an_operator_of_another_domain),
            BackendError,
            "small.onnx: onnxruntime cannot load it: ",
        ),
    ],
)
def test_an_onnx_file_that_does_not_fit(
    manifest: Manifest,
    tmp_path: Path,
    model: onnx.ModelProto,
    kind: type[EdgeExitError],
    expected: str,
) -> None:
    said = refused(save(model, tmp_path), manifest, kind)
    assert re.match(r".*small\.onnx: ", said)
    assert expected in said
    assert "\n" not in said


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07"])
def test_a_file_that_is_no_model(manifest: Manifest, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "small.onnx").write_bytes(content)
    said = refused(tmp_path / "small.onnx", manifest)
    assert "not an ONNX model; expected a classifier's .onnx file" in said


def test_what_is_not_there_and_a_folder_without_a_bundle(
    manifest: Manifest, tmp_path: Path
) -> None:
    said = refused(tmp_path / "none.onnx", manifest, InputError)
    assert "none.onnx: no such file or folder; expected a bundle of 'edgeexit export' or an" in said
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty", manifest, BundleError)
    assert "no such file; expected the folder that 'edgeexit export' wrote" in said
