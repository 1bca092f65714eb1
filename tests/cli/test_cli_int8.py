"""``edgeexit export --precision int8`` as a user types it, and commands that read its bundle."""

from __future__ import annotations

import json
import re
from pathlib import Path

import click
import edgeexit_runtime as ee
import numpy as np
import pytest
from click.testing import Result
from edgeexit_runtime.backends.cuda.device import Gpu
from edgeexit_runtime.bundle.quantization_entry import QuantizationEntry
from PIL import Image
from support.command_line import SCREEN, Command, table_rows
from support.hardware import place_cpu, place_gpu

from edgeexit.cli.build import EngineChoice
from edgeexit.cli.options.quantize import QuantizeOptions
from edgeexit.data import DataConfig, load_data
from edgeexit.export.int8 import dynamic as dynamic_module

SIZE = (3, 8, 8)


run = Command(env={"COLUMNS": "200"})


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 training images as uint8."""
    data = load_data(DataConfig("digits", input_size=SIZE))
    split = data.splits["train"]
    mean = np.asarray(data.preprocessing.mean, np.float32)[:, None, None]
    std = np.asarray(data.preprocessing.std, np.float32)[:, None, None]
    pixels = [(split[place][0].numpy() * std + mean) * 255 for place in range(40)]
    path = tmp_path_factory.mktemp("images") / "train.npy"
    np.save(path, np.stack(pixels).round().astype(np.uint8).transpose(0, 2, 3, 1))
    return path


@pytest.fixture(scope="module")
def exported(
    checkpoint: Path, images: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    output = tmp_path_factory.mktemp("out") / "int8"
    options = ("--precision", "int8", "--calibration-data", images, "--min-agreement", 0.5)
    result = run.ok("export", checkpoint, "-o", output, *options)
    return output, result


def test_what_is_printed(exported: tuple[Path, Result]) -> None:
    folder, result = exported
    manifest = ee.load_manifest(folder)
    entry, proof = manifest.quantization, manifest.verification
    assert entry is not None
    assert entry.candidates is not None
    assert (entry.samples, entry.held_out) == (32, 8)
    for exit_ in proof["exits"]:
        (agreement,) = (row for row in table_rows(result.stdout) if row[0] == exit_["name"])
        assert agreement[2:] == [
            f"{exit_['equal_labels']:.2%}",
            f"{exit_['equal_decisions']:.2%}",
            f"{exit_['network_accuracy']:.4f}",
            f"{exit_['accuracy']:.4f}",
        ]
        assert re.search(f"sizes as ratios to fp32.*{exit_['name']} \\d", result.stdout)
    size = sum(graph.size_bytes for _, graph in manifest.graphs())
    assert f"{size / 1e6:.2f} MB in int8" in result.stdout.splitlines()[0]
    assert len(result.stdout.splitlines()) <= SCREEN
    assert f"Ranges by {entry.method} on 32 images of" in result.stdout
    assert "--method auto compared on 8 more:" in result.stdout
    (kept,) = [line for line in result.stdout.splitlines() if line.endswith("(kept)")]
    assert kept.split()[0] == entry.method
    assert "that is few: use 100 or more" in result.stdout
    assert f"next: edgeexit bench --engine-dir {folder}/\n" in result.stdout
    assert "--versus FP32/" in result.stdout
    assert entry.target is not None
    assert entry.target.name == "cpu"
    assert "target cpu, chosen since no engines are built: " in result.stdout
    assert "name --target tensorrt" in result.stdout


def test_json_says_the_same(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    options = ("--precision", "int8", "--calibration-data", images, "--min-agreement", 0.5)
    more = ("--method", "percentile", "--json", "--no-baseline")
    result = run.ok("export", checkpoint, "-o", tmp_path / "out", *options, *more)
    printed = json.loads(result.stdout)
    manifest = ee.load_manifest(tmp_path / "out")
    assert printed["quantization"]["method"] == "percentile"
    assert printed["quantization"]["samples"] == 40
    assert {part["name"]: part["after"] for part in printed["sizes"]} == {
        name: graph.size_bytes for name, graph in manifest.all_graphs().items()
    }
    assert all(part["after"] < part["before"] for part in printed["sizes"] if part["before"] > 4000)
    assert printed["exits"] == manifest.verification["exits"]


def test_other_commands_read_it(exported: tuple[Path, Result], tmp_path: Path) -> None:
    folder, _ = exported
    run.ok(
        *("bench", "--engine-dir", folder, "--dataset", "digits", "--duration", 0.2),
        *("--samples", 40, "--json", tmp_path / "bench.json"),
    )
    report = json.loads((tmp_path / "bench.json").read_text())
    manifest = ee.load_manifest(folder)
    assert report["bundle"]["precision"] == "int8"
    assert [path["path_macs"] for path in report["paths"]] == [
        exit_.path_macs for exit_ in manifest.exits
    ]
    run.ok("tune", "--engine-dir", folder, "--max-drop", 0.05)
    after = ee.load_manifest(folder)
    assert after.thresholds != manifest.thresholds
    assert after.quantization == manifest.quantization
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 9, 3), np.uint8)).save(
        tmp_path / "x.png"
    )
    predicted = run.ok("predict", "--engine-dir", folder, tmp_path / "x.png", "--json")
    assert json.loads(predicted.stdout.splitlines()[0])["exit"] in manifest.exit_names


def test_classifier_alone(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--precision", "int8", "--quantize", "classifier", "--min-agreement", 0.5)
    told = run.refused("export", checkpoint, "-o", tmp_path / "out", *options)
    assert "no exit ends in a linear layer of 65536 weights or more" in told
    assert "choose --quantize all, or --prec" in told
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(dynamic_module, "MIN_WEIGHTS", 100)
    # it changes nothing: such a bundle is for CPUs
    place_gpu(monkeypatch, Gpu("RTX 3090", "8.6"))
    result = run.ok("export", checkpoint, "-o", tmp_path / "out", *options)
    assert "engines" not in result.stderr
    assert "8 bits: the weights of the exits' large classifiers" in result.stdout
    assert ee.load_manifest(tmp_path / "out").quantization == QuantizationEntry(
        "classifier", "dynamic", "fp32"
    )


def test_a_target_that_is_named_says_so(checkpoint: Path, images: Path, tmp_path: Path) -> None:
    options = ("--precision", "int8", "--calibration-data", images, "--min-agreement", 0.5)
    more = ("--method", "minmax", "--no-baseline", "--target", "tensorrt")
    result = run.ok("export", checkpoint, "-o", tmp_path / "out", *options, *more)
    assert "target tensorrt, as --target says" in result.stdout
    entry = ee.load_manifest(tmp_path / "out").quantization
    assert entry is not None
    assert entry.target is not None
    assert (entry.target.name, entry.target.engine, entry.features) == ("tensorrt", "gpu", {})


def test_auto_follows_the_engine() -> None:
    options = QuantizeOptions(calibration_data=Path("x"))
    for builds, target, fallback in ((True, "tensorrt", "fp16"), (False, "cpu", "fp32")):
        chosen = options.precision("int8", builds, None).quantization
        assert chosen is not None
        assert (chosen.target, chosen.fallback) == (target, fallback)
    assert options.precision("int8", False, 0.5).min_agreement == 0.5
    assert "with tensorrt-rtx" in options.reason(EngineChoice("tensorrt-rtx"))
    assert "no engines are built: no GPU" in options.reason(EngineChoice(reason="no GPU"))


@pytest.mark.parametrize("vnni", [True, False, None])
def test_auto_names_the_form_for_a_cpu_without_vnni(
    vnni: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    place_cpu(monkeypatch, vnni=vnni)
    options = QuantizeOptions(calibration_data=Path("x"))
    assert ("cpu-7bit" in options.reason(EngineChoice())) == (vnni is not True)


def test_tensorrt_builds_no_bundle_for_cpus() -> None:
    options = QuantizeOptions(calibration_data=Path("x"), target="cpu")
    with pytest.raises(click.UsageError) as raised:
        options.precision("int8", True, None)
    assert "--target cpu is for CPUs, TensorRT cannot build it" in raised.value.message
    assert "--target tensorrt" in raised.value.message


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (("fp32", "--target", "cpu"), "--target goes with --precision int8, got fp32", 2),
        (("int8", "--target", "gpu"), "unknown quantization target 'gpu'", 2),
        (
            ("int8", "--quantize", "classifier", "--target", "cpu"),
            "--target goes with --quantize all: large classifiers alone have one form",
            2,
        ),
        (
            ("int8", "--calibration-data", "x", "--target", "cpu", "--fallback", "fp16"),
            "--fallback fp16 does not go with --target cpu, which takes fp32; omit it",
            2,
        ),
        (("int8",), "--precision int8 needs --calibration-data: a folder of images, a .npy", 2),
        (("fp16", "--method", "minmax"), "--method goes with --precision int8, got fp16", 2),
        (("fp32", "--quantize", "all"), "--quantize goes with --precision int8, got fp32", 2),
        (("fp32", "--fallback", "fp16"), "--fallback goes with --precision int8, got fp32", 2),
        (("fp32", "--calibration-data", "x"), "--calibration-data goes with --precision int8", 2),
        (
            ("int8", "--quantize", "classifier", "--method", "auto"),
            "--method goes with --quantize all: classifiers are rounded to the range of each image",
            2,
        ),
        (("int8", "--quantize", "classifier", "--calibration-data", "x"), "omit it", 2),
        (("int8", "--calibration-data", "nowhere"), "nowhere: no such file or folder", 1),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...], message: str, code: int, checkpoint: Path, tmp_path: Path
) -> None:
    told = run.refused(
        "export", checkpoint, "-o", tmp_path / "out", "--precision", *arguments, code=code
    )
    assert message in " ".join(told.split())
    assert list(tmp_path.iterdir()) == []


def test_engines_are_built_with_fp16_around_it(
    checkpoint: Path, images: Path, tmp_path: Path
) -> None:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX is not installed")
    options = ("--precision", "int8", "--min-agreement", 0.5, "--no-baseline")
    engine = ("--engine", "tensorrt-rtx", "--compute-capability", "8.6")
    output = tmp_path / "out"
    run.ok("export", checkpoint, "-o", output, "--calibration-data", images, *options, *engine)
    manifest = ee.load_manifest(output)
    assert manifest.quantization is not None
    assert manifest.quantization.fallback == "fp16"
    assert manifest.opset == 19
    assert len(manifest.engines) == 6
    assert all("int8" in entry.layers and "fp16" in entry.layers for entry in manifest.engines)
    told = run.refused(
        *("export", checkpoint, "-o", tmp_path / "cpu", *options, "--quantize", "classifier"),
        *engine,
        code=2,
    )
    assert "--quantize classifier is for CPUs, TensorRT cannot build it" in told
    assert not (tmp_path / "cpu").exists()
