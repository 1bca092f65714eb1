"""A single file: proven against its bundle, and what it says of itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path

import onnx
import pytest
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
from edgeexit_runtime.gate import NEVER
from edgeexit_runtime.testing import write_bundle
from edgeexit_runtime.testing.bundles import edit_manifest
from edgeexit_runtime.testing.networks import CHAIN, random_images
from support.digits_bundle import digits_bundle, digits_frames

from edgeexit.errors import DataError, ExportError
from edgeexit.export.int8.targets import TARGETS
from edgeexit.export.single.about import describe, read_single_file
from edgeexit.export.single.nested import nested_model
from edgeexit.export.single.packing import pack_bundle
from edgeexit.export.single.proof import prove_single

IMAGES = random_images(40, seed=3)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


@pytest.fixture
def packed(folder: Path, tmp_path: Path) -> Path:
    return pack_bundle(folder, tmp_path / "model.onnx", IMAGES, "noise").file


# the proof


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_digits_get_the_bundles_answers(precision: str, tmp_path: Path) -> None:
    folder = digits_bundle(tmp_path / "bundle", precision)
    how = open_bundle(folder).manifest.preprocessing
    packed = pack_bundle(folder, tmp_path / "model.onnx", how(digits_frames()), "digits, test")
    proof = packed.proof
    assert proof.decisions == 3 * len(digits_frames())
    assert min(proof.left_at.values()) > 100
    assert proof.by_rounding <= 1
    assert proof.confidence_difference < 1e-3
    assert len({tuple(setting.values()) for setting in proof.settings}) == 3
    types = {tensor.data_type for tensor in onnx.load(packed.file).graph.initializer}
    assert (onnx.TensorProto.UINT8 in types) == (precision == "int8")


def test_a_file_that_answers_otherwise_is_refused(folder: Path) -> None:
    bundle = open_bundle(folder)
    content = nested_model(bundle).SerializeToString()
    others = open_bundle(write_bundle(folder.parent / "other", dataclasses.replace(CHAIN, step=3)))
    with pytest.raises(ExportError, match=r"of 40 images get another label or exit .*batch 1"):
        prove_single(content, others, IMAGES, "noise")


def test_thresholds_that_are_not_the_bundles_are_found(folder: Path) -> None:
    content = nested_model(open_bundle(folder)).SerializeToString()
    edit_manifest(folder, lambda manifest: manifest["exits"][0].update(threshold=0.4))
    with pytest.raises(ExportError, match=r"thresholds exit1 0\.4, exit2 0\.6"):
        prove_single(content, open_bundle(folder), IMAGES, "noise")


def test_what_is_refused_leaves_no_file(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no samples"):
        pack_bundle(folder, tmp_path / "model.onnx", IMAGES[:0], "nothing")
    with pytest.raises(ExportError, match=r"ends in \.onnx, got .*model\.bin"):
        pack_bundle(folder, tmp_path / "model.bin", IMAGES, "noise")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


# what it says of itself


def test_it_says_what_the_manifest_says(folder: Path, tmp_path: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest["exits"][0].update(threshold=NEVER))
    packed = pack_bundle(folder, tmp_path / "model.onnx", IMAGES, "noise").file
    manifest, about = open_bundle(folder).manifest, read_single_file(packed)
    assert about == describe(manifest)
    assert about.class_names == manifest.class_names
    assert about.preprocessing == manifest.preprocessing
    assert about.thresholds == {"exit2": 0.6}, "exit1 is off"
    assert about.exits == ("exit1", "exit2", "final")
    keys = {entry.key for entry in onnx.load(packed).metadata_props}
    assert {"edgeexit.class_names", "edgeexit.thresholds", "edgeexit.versions"} <= keys


@pytest.mark.parametrize(
    ("precision", "expected"), [("fp32", ["TensorRT"]), ("fp16", ["TensorRT", "CPUs"])]
)
def test_it_warns_of_engines(folder: Path, precision: str, expected: list[str]) -> None:
    manifest = dataclasses.replace(open_bundle(folder).manifest, precision=precision)
    about = describe(manifest)
    assert [line.partition(":")[0] for line in about.warnings] == expected
    assert "4402" in about.warnings[0]


@pytest.mark.parametrize("target", TARGETS.names())
def test_it_warns_of_sums_that_saturate(folder: Path, target: str) -> None:
    entry = QuantizationEntry("all", "minmax", "fp32", target=TARGETS[target].entry)
    manifest = open_bundle(folder).manifest
    about = describe(dataclasses.replace(manifest, precision="int8", quantization=entry))
    is_warned = [line for line in about.warnings if "x64quantprecision" in line]
    assert len(is_warned) == (target == "cpu")


# files from outside


def edited(file: Path, change: Callable[[onnx.ModelProto], object]) -> Path:
    model = onnx.load(file)
    change(model)
    onnx.save(model, file)
    return file


def say(model: onnx.ModelProto, key: str, text: str) -> None:
    (entry,) = [it for it in model.metadata_props if it.key == f"edgeexit.{key}"]
    entry.value = text


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("format", "2", "newer edgeexit .format 2, this reads 1"),
        ("format", "[", "not|format|JSON"),
        ("class_names", '["a"]', "class_names: expected one for each class"),
        ("thresholds", '{"exit1": 0.5}', "expected the inputs"),
        ("thresholds", '{"final": 0.5}', "expected only exits before the last"),
        ("precision", '"fp8"', "precision: expected one of"),
        ("exits", '["exit1", "../x", "final"]', "name: expected a plain name"),
        ("versions", '{"onnx": "\\u001b[31m"}', "versions: expected printable text"),
    ],
)
def test_descriptions_that_cannot_be(packed: Path, key: str, text: str, message: str) -> None:
    edited(packed, partial(say, key=key, text=text))
    with pytest.raises(DataError, match=message) as caught:
        read_single_file(packed)
    assert str(packed) in str(caught.value)


def test_outputs_of_another_file(packed: Path) -> None:
    edited(packed, lambda model: model.graph.output.pop())
    with pytest.raises(DataError, match=r"expected the outputs .*'logits'"):
        read_single_file(packed)


def test_files_that_were_not_packed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'edgeexit pack' has not written; 'edgeexit split'"):
        read_single_file(folder / "stage1.onnx")
    (tmp_path / "m.onnx").write_bytes(b"\x00\x01")
    with pytest.raises(DataError, match="not an ONNX model"):
        read_single_file(tmp_path / "m.onnx")


# TensorRT


@pytest.mark.slow
def test_tensorrt_rtx_builds_it_for_one_image(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    folder = digits_bundle(tmp_path / "bundle", "fp32")
    content = nested_model(open_bundle(folder), required_thresholds=True).SerializeToString()
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    assert trt.OnnxParser(network, logger).parse(content)
    profile, config = builder.create_optimization_profile(), builder.create_builder_config()
    shape = (1, *open_bundle(folder).manifest.preprocessing.input_size)
    profile.set_shape("images", shape, shape, shape)
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None
