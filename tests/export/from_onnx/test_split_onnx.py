"""ONNX files with several exits: split, compared with the file, and written as bundles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import onnx
import pytest
from edgeexit_runtime import Preprocessing
from onnx import TensorProto, helper, numpy_helper
from support.own_onnx import CLASSES, SIZE, Written, internal

from edgeexit.errors import DataError, EdgeExitError, ExportError, InputError
from edgeexit.export import PRECISIONS, ExportOptions, load_calibration_images
from edgeexit.export.from_onnx.classifier import read_classifier
from edgeexit.export.from_onnx.running import WatchedModel, random_images
from edgeexit.export.from_onnx.split import OnnxParts, split_onnx
from edgeexit.export.writing import ExportedBundle, write_bundle

PREPROCESSING = Preprocessing(SIZE, (0.5,) * 3, (0.5,) * 3)
EXITS = ("early", "middle", "out")


def written(parts: OnnxParts, folder: Path, precision: str = "fp32", **more: Any) -> ExportedBundle:
    names = tuple("abcde")
    images = np.random.default_rng(7).standard_normal((24, *SIZE), np.float32)
    form = replace(PRECISIONS[precision], min_agreement=0.5)
    subject = parts.subject(PREPROCESSING, names, {})
    return write_bundle(
        subject, folder / "out", ExportOptions(form, parts.opset), images, "random", **more
    )


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("batch", ["N", 1])
def test_bundle_answers_as_the_file(tmp_path: Path, batch: int | str, opset: int) -> None:
    parts = split_onnx(internal(batch, opset).save(tmp_path), ",".join(EXITS))
    bundle = written(parts, tmp_path)
    assert parts.opset == min(max(opset, 18), 20) == bundle.manifest.opset
    assert bundle.verification.equal_answers == 1
    whole = WatchedModel(parts.classifier.original, "images", EXITS)
    for count in (1, 3, 5):
        images = random_images(SIZE, count)
        alone = [whole(images[number : number + 1]) for number in range(count)]
        expected = [np.concatenate([answer[name] for answer in alone]) for name in EXITS]
        with ee.load(bundle.folder) as session:
            assert session.thresholds == {"exit1": 1.0, "exit2": 1.0}
            every = session.infer_all_exits(images)
            assert session.infer(images).exits.tolist() == [2] * count
        np.testing.assert_array_equal(every.labels, [logits.argmax(1) for logits in expected])


def test_costs_are_those_of_the_layers(tmp_path: Path) -> None:
    cost = split_onnx(internal().save(tmp_path), "auto").cost
    stages = (3 * 8 * 9 * 64, 8 * 8 * 9 * 64, 8 * 12 * 9 * 16)
    branches = (8 * CLASSES, 8 * CLASSES, 12 * CLASSES)
    assert [exit_.branch_macs for exit_ in cost.exits] == list(branches)
    assert [exit_.backbone_macs for exit_ in cost.exits] == list(np.cumsum(stages))
    assert cost.baseline_macs == sum(stages) + branches[-1]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_other_precisions(tmp_path: Path, precision: str) -> None:
    parts = split_onnx(internal().save(tmp_path), "auto")
    calibration = None
    if precision == "int8":
        pixels = np.random.default_rng(3).integers(0, 255, (40, *SIZE[1:], 3), np.uint8)
        np.save(tmp_path / "images.npy", pixels)
        calibration = load_calibration_images(tmp_path / "images.npy", PREPROCESSING)
    bundle = written(parts, tmp_path, precision, calibration=calibration)
    assert bundle.manifest.precision == precision
    assert {t.dtype for t in bundle.manifest.stages[0].graph.outputs} == {
        "float16" if precision == "fp16" else "float32"
    }
    with ee.load(bundle.folder) as session:
        assert len(session.infer(random_images(SIZE, 3)).labels) == 3


def with_sizes(batch: int | str) -> Written:
    """Sizes are computed, a token is joined to the features, and a softmax ends one answer."""
    model = Written(batch)
    x = model.convolution("images", "first", (3, 8), 4)  # (N, 8, 4, 4)
    if batch == 1:
        shape = model.constant(np.array([1, 8, 16]))
    else:
        model.add("Shape", [x], "shape")
        model.add("Gather", ["shape", model.constant(np.array([0]))], "count", axis=0)
        rest = model.constant(np.array([8, 16]))
        shape = model.add("Concat", ["count", rest], "target", axis=0)
    model.add("Reshape", [x, shape], "flat")
    model.add("Transpose", ["flat"], "tokens", perm=[0, 2, 1])  # (N, 16, 8)
    token = model.weight(1, 1, 8)
    if batch != 1:
        ones = model.constant(np.array([1, 8]))
        model.add("Concat", ["count", ones], "repeats", axis=0)
        token = model.add("Expand", [token, "repeats"], "token")
    model.add("Concat", [token, "tokens"], "joined", axis=1)  # (N, 17, 8)
    axes = model.constant(np.array([1]))
    model.answer(model.add("ReduceMean", ["joined", axes], "mean", keepdims=0), "raw", 8)
    model.outputs[:] = [model.add("Softmax", ["raw"], "early", axis=-1)]
    model.add("MatMul", ["joined", model.weight(8, 8)], "mixed")
    first = model.constant(np.array(0))
    model.answer(model.add("Gather", ["mixed", first], "class", axis=1), "out", 8)
    return model


@pytest.mark.parametrize("batch", ["N", 1])
def test_sizes_tokens_and_a_softmax(tmp_path: Path, batch: int | str) -> None:
    parts = split_onnx(with_sizes(batch).save(tmp_path), "early,out")
    assert any("early" in note and "softmax" in note for note in parts.notes)
    assert parts.exit_names == ("exit1", "final")
    assert [len(graph.inputs) for graph in parts.graphs] == [1, 1, 1, 1, 1]
    assert written(parts, tmp_path).verification.equal_answers == 1


def test_early_logits_that_a_later_exit_reads(tmp_path: Path) -> None:
    model = internal()
    model.nodes[-1].output[0] = "raw"
    model.outputs[-1] = model.add("Add", ["raw", "early"], "out")
    parts = split_onnx(model.save(tmp_path), "auto")
    (stage1, exit1) = parts.graphs[:2]
    assert len(stage1.outputs) == 2, "features and logits"
    assert exit1.inputs[0].shape == (CLASSES,)
    assert written(parts, tmp_path).verification.equal_answers == 1


def of_one_place(tmp_path: Path) -> Path:
    model = Written(1)
    x = model.convolution("images", "first", (3, 8), 2)
    model.classifier(x, "early", 8)
    x = model.convolution(x, "second", (8, 8))
    pooled = model.add("GlobalAveragePool", [x], "pooled")
    # the images become positions of one image: no batch can be told from them
    model.add("Transpose", [pooled], "moved", perm=[1, 0, 2, 3])
    model.add("Reshape", ["moved", model.constant(np.array([1, 8]))], "flat")
    model.answer("flat", "out", 8)
    return model.save(tmp_path)


def beside(tmp_path: Path) -> Path:
    model = internal()
    axes = model.constant(np.array([0]))
    model.add("ReduceMean", ["out", axes], "mean", keepdims=1)
    model.outputs[-1] = model.add("Sub", ["out", "mean"], "centred")
    return model.save(tmp_path)


def infinite(tmp_path: Path) -> Path:
    model = internal()
    zero = model.constant(np.zeros(1, np.float32))
    model.outputs[-1] = model.add("Div", ["out", zero], "divided")
    return model.save(tmp_path)


def softmax_of_maps(tmp_path: Path) -> Path:
    """The softmax is not the last node, so that it cannot be omitted."""
    model = internal()
    axes = model.constant(np.array([2, 3]))
    model.add("Unsqueeze", ["early", axes], "map")
    model.outputs[0] = model.add(
        "Flatten", [model.add("Softmax", ["map"], "soft", axis=1)], "flattened", axis=1
    )
    return model.save(tmp_path)


def choosing(tmp_path: Path) -> Path:
    model = internal()
    body = helper.make_graph(
        [helper.make_node("Identity", ["out"], ["taken"])],
        "body",
        [],
        [helper.make_tensor_value_info("taken", TensorProto.FLOAT, ["N", CLASSES])],
    )
    model.add("ReduceMax", ["early"], "largest", keepdims=0)
    model.add("Greater", ["largest", model.constant(np.array(0.5, np.float32))], "sure")
    model.outputs[-1] = model.add("If", ["sure"], "chosen", then_branch=body, else_branch=body)
    return model.save(tmp_path)


@pytest.mark.parametrize(
    ("make", "error", "facts"),
    [
        (of_one_place, ExportError, ("for 3 images", "dynamic batch")),
        (beside, ExportError, ("centred", "beside")),
        (infinite, ExportError, ("divided", "not finite")),
        (softmax_of_maps, ExportError, ("flattened", "probabilities", "logits")),
        (choosing, DataError, ("If", "every exit")),
    ],
)
def test_what_cannot_be_split_is_said(
    tmp_path: Path, make: Any, error: type[EdgeExitError], facts: tuple[str, ...]
) -> None:
    with np.errstate(all="ignore"), pytest.raises(error) as caught:
        split_onnx(make(tmp_path), "auto")
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)


@pytest.mark.parametrize(
    ("outputs", "facts"),
    [
        ("early,midle,out", ("midle", "did you mean middle")),
        ("early", ("2 or more",)),
        ("early,early", ("early twice",)),
        ("middle,early,out", ("early", "early,middle,out")),
    ],
)
def test_outputs_that_are_no_order_of_exits(
    tmp_path: Path, outputs: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        split_onnx(internal().save(tmp_path), outputs)
    assert all(fact in str(caught.value) for fact in facts), str(caught.value)


def test_files_of_other_kinds(tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"no protobuf")
    with pytest.raises(DataError, match="not an ONNX model"):
        split_onnx(tmp_path / "none.onnx", "auto")
    with pytest.raises(DataError, match="dynamic or 1, got 4"):
        split_onnx(internal(4).save(tmp_path), "auto")
    file = internal().save(tmp_path, size=(3, "H", "W"))
    with pytest.raises(InputError, match="--input-size"):
        split_onnx(file, "auto")
    assert read_classifier(file, "auto", SIZE, 18).input_size == SIZE
    with pytest.raises(InputError, match=r"\(3, 16, 16\)"):
        split_onnx(internal().save(tmp_path), "auto", input_size=(3, 8, 8))
    model = onnx.load(tmp_path / "m.onnx")
    for tensor in model.graph.initializer:
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16))
        tensor.CopyFrom(
            helper.make_tensor(tensor.name, half.data_type, half.dims, half.raw_data, raw=True)
        )
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(DataError, match="got fp16"):
        split_onnx(tmp_path / "m.onnx", "auto")


def test_weights_outside_of_the_folder_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    file = internal().save(tmp_path / "inside")
    model = onnx.load(file)
    onnx.save(model, file, save_as_external_data=True, location="m.data", size_threshold=0)
    assert split_onnx(file, "auto").exit_names == ("exit1", "exit2", "final")
    (tmp_path / "inside" / "m.data").rename(tmp_path / "m.data")
    moved = onnx.load(file, load_external_data=False)
    for tensor in moved.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../m.data" if entry.key == "location" else entry.value
    file.write_bytes(moved.SerializeToString())
    with pytest.raises(DataError, match="outside of its folder"):
        split_onnx(file, "auto")
