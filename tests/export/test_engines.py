"""Engines of exported networks, built by TensorRT-RTX without a GPU, in every precision."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import edgeexit_runtime as ee
import pytest
from edgeexit_runtime.bundle.folder import open_bundle
from edgeexit_runtime.bundle.manifest import manifest_json
from edgeexit_runtime.engines.building import BuildReport, build_engines

from edgeexit.errors import BackendError
from edgeexit.export import PRECISIONS, ExportedBundle, Quantization
from edgeexit.models import ModelSpec, make_spec
from edgeexit.planning.candidates import export_untrained, random_network, untrained

pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")


def build(folder: Path) -> BuildReport:
    return build_engines(folder, library="tensorrt-rtx", compute_capability="8.6")


def random_bundle(folder: Path, spec: ModelSpec, precision: str) -> Path:
    """The bundle of a network with random weights, which hardly agrees with itself in FP16."""
    form = PRECISIONS[precision]
    if precision == "int8":
        form = form.quantized(Quantization("all", "minmax", "fp16"))
    export_untrained(random_network(spec), folder, untrained(form), max_batch=8)
    return folder


def check_all(folder: Path, precision: str) -> None:
    """Every stage and exit has an engine, whose layers are in the precision asked for."""
    report = build(folder)
    bundle = open_bundle(folder)
    engines = bundle.manifest.engines
    assert [entry.graph for entry in engines] == list(bundle.manifest.all_graphs())
    assert report.built == len(engines)
    stages = {stage.name for stage in bundle.manifest.stages}
    for entry in engines:
        assert len(bundle.read(entry)) == entry.size_bytes
        assert entry.precision == precision
        if precision == "int8":  # in FP16 what has no weights, in FP32 softmax and gate
            assert entry.layers["int8"] > 0.1
            floating = {"fp16"} if entry.graph in stages else {"fp16", "fp32"}
            assert set(entry.layers) == {"int8", *floating}
        elif precision == "fp32" or entry.graph in stages:
            assert entry.layers == {precision: 1.0}
        else:  # softmax and gate are FP32
            assert entry.layers[precision] >= 0.5
            assert 0 < entry.layers["fp32"] <= 0.5


def test_small_network(exported: ExportedBundle, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(exported.folder, folder)
    check_all(folder, exported.manifest.precision)
    with ee.load(folder) as session:
        assert len(session.manifest.engines) == 7


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_resnet20(precision: str, tmp_path: Path) -> None:
    spec = make_spec("resnet20", "3+1", 10)
    check_all(random_bundle(tmp_path / "out", spec, precision), precision)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_resnet18(precision: str, tmp_path: Path) -> None:
    spec = make_spec("resnet18", "4+3+2", 1000)
    check_all(random_bundle(tmp_path / "out", spec, precision), precision)


def test_int8_bundle_without_int8_layers(fp16_bundle: ExportedBundle, tmp_path: Path) -> None:
    """What was asked for is proven: an FP16 bundle that calls itself INT8 is found out."""
    folder = tmp_path / "bundle"
    shutil.copytree(fp16_bundle.folder, folder)
    manifest = dataclasses.replace(fp16_bundle.manifest, precision="int8")
    (folder / "manifest.json").write_text(manifest_json(manifest))
    with pytest.raises(
        BackendError, match=r"the bundle is int8, but no layer of any engine is; export it again$"
    ):
        build(folder)
    assert not list(folder.glob("*.engine"))
