"""A model repository: its files and configurations, and what is not made into one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from edgeexit_runtime import BackendError, BundleError, load_manifest
from edgeexit_runtime.bundle.engine_entry import EngineEntry, EngineOptions
from edgeexit_runtime.bundle.manifest import MANIFEST_NAME, Manifest, manifest_json
from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
from edgeexit_runtime.testing import CHAIN, edit_manifest, write_bundle
from google.protobuf import json_format
from support.triton_double import config_values, read_config

from edgeexit.errors import ExportError
from edgeexit.export.int8.targets import TARGETS
from edgeexit.export.triton.configs import early_exit_config, part_config
from edgeexit.export.triton.repository import write_repository
from edgeexit.export.triton.schema import config_text, new_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def test_each_part_is_a_model_of_the_bundles_bytes(folder: Path, tmp_path: Path) -> None:
    repository = write_repository(folder, tmp_path / "repository", "cats")
    assert repository.parts == (
        *("cats_stage1", "cats_exit1", "cats_stage2", "cats_exit2", "cats_stage3", "cats_final"),
    )
    assert {path.name for path in repository.folder.iterdir()} == {"cats", *repository.parts}
    for model in repository.parts:
        files = {path.name for path in (repository.folder / model).rglob("*") if path.is_file()}
        assert files == {"config.pbtxt", "model.onnx"}
        part = (folder / f"{model.removeprefix('cats_')}.onnx").read_bytes()
        assert (repository.folder / model / "1" / "model.onnx").read_bytes() == part
    files = {path.name for path in (repository.folder / "cats").rglob("*") if path.is_file()}
    assert files == {"config.pbtxt", "model.py", "parts.json"}
    assert repository.size_bytes == sum(
        (folder / f"{name}.onnx").stat().st_size for name, _ in load_manifest(folder).graphs()
    )
    assert repository.warnings == ()


def test_what_triton_is_told_of_a_part(folder: Path, tmp_path: Path) -> None:
    repository = write_repository(folder, tmp_path / "repository").folder
    size = [str(number) for number in load_manifest(folder).preprocessing.input_size]
    assert config_values(repository / "edgeexit_exit1") == {
        "name": "edgeexit_exit1",
        "platform": "onnxruntime_onnx",
        "input": [
            {"name": "first", "data_type": "TYPE_FP32", "dims": ["-1", *size]},
            {"name": "threshold", "data_type": "TYPE_FP32", "dims": ["1"]},
        ],
        "output": [
            {"name": "logits", "data_type": "TYPE_FP32", "dims": ["-1", "3"]},
            {"name": "confidence", "data_type": "TYPE_FP32", "dims": ["-1"]},
            {"name": "label", "data_type": "TYPE_INT32", "dims": ["-1"]},
            {"name": "exits", "data_type": "TYPE_BOOL", "dims": ["-1"]},
        ],
    }
    stage = config_values(repository / "edgeexit_stage2")
    assert [tensor["name"] for tensor in stage["input"]] == ["first"]


def test_what_triton_is_told_of_the_early_exit_model(folder: Path, tmp_path: Path) -> None:
    edit_manifest(folder, lambda manifest: manifest["exits"][0].update(threshold=0.123456789012))
    said = config_values(write_repository(folder, tmp_path / "repository").folder / "edgeexit")
    assert said["backend"] == "python"
    assert said["max_batch_size"] == CHAIN.max_batch
    assert said["dynamic_batching"] == {}
    assert said["instance_group"] == [{"kind": "KIND_CPU"}]
    assert [tensor["name"] for tensor in said["output"]] == ["labels", "confidences", "exits"]
    parameters = {key: value["string_value"] for key, value in said["parameters"].items()}
    manifest = load_manifest(folder)
    assert json.loads(parameters["class_names"]) == list(manifest.class_names)
    assert json.loads(parameters["exit_names"]) == ["exit1", "exit2", "final"]
    assert json.loads(parameters["std"]) == list(manifest.preprocessing.std)
    assert {key: value for key, value in parameters.items() if key.startswith("threshold")} == {
        "threshold_exit1": "0.123456789012",
        "threshold_exit2": "0.6",
    }


def test_the_schema_is_the_published_one(tmp_path: Path) -> None:
    with pytest.raises(json_format.ParseError, match="max_batch"):
        new_config(max_batch=3)
    with pytest.raises(json_format.ParseError, match="TYPE_FP8"):
        new_config(input=[{"name": "a", "data_type": "TYPE_FP8"}])
    message = new_config(name='a"\n\\é', parameters={"b": {"string_value": '["é", "\\""]'}})
    (tmp_path / "config.pbtxt").write_text(config_text(message), encoding="utf-8")
    assert read_config(tmp_path) == message


def int8(folder: Path, extent: str, fallback: str, target: str | None) -> Manifest:
    entry = QuantizationEntry(
        extent,
        "minmax" if target else "dynamic",
        fallback,
        target=TARGETS[target].entry if target else None,
    )
    return dataclasses.replace(load_manifest(folder), precision="int8", quantization=entry)


@pytest.mark.parametrize(
    ("extent", "target", "is_for_cpus", "wants_vnni"),
    [
        ("all", "cpu", True, True),
        ("all", "cpu-7bit", True, False),
        ("classifier", None, True, False),
        ("all", "tensorrt", False, False),
    ],
)
def test_8_bits_for_cpus_stay_on_cpus(
    folder: Path, extent: str, target: str | None, is_for_cpus: bool, wants_vnni: bool
) -> None:
    manifest = int8(folder, extent, "fp32", target)
    entry = manifest.stages[0].graph
    part = part_config("a", "stage1", entry, manifest, "onnxruntime_onnx")
    assert ("KIND_CPU" in config_text(part)) == is_for_cpus
    assert ("needs_vnni" in early_exit_config("a", manifest).parameters) == wants_vnni


# what is refused


def refused(folder: Path, output: Path, **options: str) -> str:
    """Return why no repository is written; nothing is left of it."""
    before = sorted(output.parent.iterdir())
    with pytest.raises((ExportError, BundleError, BackendError)) as caught:
        write_repository(folder, output, **options)
    assert sorted(output.parent.iterdir()) == before
    return str(caught.value)


def test_a_folder_that_is_there_is_left_alone(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "repository"
    output.mkdir()
    write_repository(folder, output)  # it is empty
    (output / "mine").write_text("mine")
    assert f"{output}: is there already" in refused(folder, output)
    assert (output / "mine").read_text() == "mine"
    assert f"{output / 'mine'}: is there already" in refused(folder, output / "mine")


def test_a_name_that_is_no_folders(folder: Path, tmp_path: Path) -> None:
    for name in ("../x", "", ".a", "a b", "a" * 65):
        assert "--name: " in refused(folder, tmp_path / "repository", name=name)


def test_a_platform_that_triton_does_not_have(folder: Path, tmp_path: Path) -> None:
    said = refused(folder, tmp_path / "repository", platform="openvino")
    assert "onnxruntime_onnx, tensorrt_plan" in said
    assert "'openvino'" in said


def test_no_bundle_and_a_changed_one(folder: Path, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in refused(tmp_path / "none", tmp_path / "repository")
    (folder / "exit2.onnx").write_bytes(b"changed")
    assert "exit2.onnx" in refused(folder, tmp_path / "repository")


def test_scales_in_fp16_are_not_for_onnx_runtime_in_triton(folder: Path, tmp_path: Path) -> None:
    manifest = int8(folder, "all", "fp16", "tensorrt")
    (folder / MANIFEST_NAME).write_text(manifest_json(manifest))
    said = refused(folder, tmp_path / "repository")
    assert "--fallback fp32" in said
    assert "--platform tensorrt_plan" in said


# engines


def add_engines(folder: Path, **changes: Any) -> None:
    """Let a bundle have engines: files that nobody runs here."""
    manifest = load_manifest(folder)
    engines = []
    for name, graph in manifest.graphs():
        content = f"engine of {name}".encode()
        (folder / f"{name}.engine").write_bytes(content)
        entry = EngineEntry(
            graph=name,
            file=f"{name}.engine",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            onnx_sha256=graph.sha256,
            library="tensorrt",
            version="10.3.0",
            gpu="NVIDIA L4",
            compute_capability="8.9",
            precision=manifest.precision,
            max_batch=manifest.max_batch,
            options=EngineOptions(),
            layers={},
            layers_from="network",
        )
        engines.append(dataclasses.replace(entry, **changes))
    text = manifest_json(dataclasses.replace(manifest, engines=tuple(engines)))
    (folder / MANIFEST_NAME).write_text(text)


def test_engines_are_served_as_plans(folder: Path, tmp_path: Path) -> None:
    add_engines(folder)
    repository = write_repository(folder, tmp_path / "repository", platform="tensorrt_plan")
    part = repository.folder / "edgeexit_exit2"
    assert (part / "1" / "model.plan").read_bytes() == b"engine of exit2"
    assert config_values(part)["platform"] == "tensorrt_plan"
    (line,) = repository.warnings
    assert "version of TensorRT" in line


def test_engines_that_triton_cannot_load(folder: Path, tmp_path: Path) -> None:
    def said(**changes: Any) -> str:
        add_engines(folder, **changes)
        return refused(folder, tmp_path / "repository", platform="tensorrt_plan")

    assert "tensorrt-rtx" in said(library="tensorrt-rtx")
    assert "stage1.onnx was changed" in said(onnx_sha256="0" * 64)
    assert "batches up to 2, the bundle has 4" in said(max_batch=2)
    edit_manifest(folder, lambda manifest: manifest["engines"].clear())
    told = refused(folder, tmp_path / "repository", platform="tensorrt_plan")
    assert "no engine was built from stage1; run: edgeexit build" in told
