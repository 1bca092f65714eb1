"""``edgeexit split``: an ONNX file -> a bundle that the other commands take, without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgeexit_runtime import load_manifest
from PIL import Image
from support.command_line import invoke
from support.messages import missing
from support.own_exits import Internal
from support.own_onnx import SIZE, internal

from edgeexit.errors import ExportError

WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "onnxscript.function_libs"):
    sys.modules[name] = None
from edgeexit.cli import main
main(sys.argv[1:], prog_name="edgeexit")
"""


def test_split_works_where_torch_is_not_installed(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, *SIZE[1:], 3), np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    (tmp_path / "names.txt").write_text("\n".join("abcde") + "\n", encoding="utf-8-sig")
    internal().save(tmp_path)
    words = ["split", "m.onnx", "--images", "images.npy", "--class-names", "names.txt"]
    words += ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--precision", "fp16"]
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *words],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    manifest = load_manifest(tmp_path / "out")
    assert manifest.class_names == tuple("abcde")
    assert manifest.preprocessing.std == (0.25,) * 3
    assert "torch" not in manifest.versions
    assert "trained on  unknown" in invoke.ok("inspect", str(tmp_path / "out")).output
    assert manifest.model.branches == "own+own"
    assert "20 images" in result.stdout
    assert "edgeexit tune --engine-dir out/" in result.stdout


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ((), ("ImageNet", "random images")),
        (("--mean", "0,0,0"), ("--mean and --std",)),
        (("--resize", "40"), ("--resize", "--dataset")),
        (("--dataset", "digits", "--resize", "40"), ("digits", "not cropped")),
        (("--mean", "0,0,x", "--std", "1,1,1"), ("0.5,0.5,0.5",)),
        (("--mean", "0,0", "--std", "1,1"), ("3 channels",)),
        (("--dataset", "digits", "--mean", "0,0,0"), ("--mean and --std",)),
        (("--dataset", "digits", "--mean", "0,0", "--std", "1,1"), ("3 channels",)),
        (("--dataset", "digits"), ("5 classes", "digits with 10")),
        (("--class-names", "m.onnx"), ("m.onnx",)),
    ],
)
def test_what_the_file_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    internal().save(tmp_path)
    monkeypatch.chdir(tmp_path)
    result = invoke("split", "m.onnx", *words)
    assert bool(words) == bool(result.exit_code)
    assert not missing(result.output, *facts)


def test_images_of_every_folder_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where images leave is recorded, too: those of the first classes alone would be no measure."""
    for label, name in enumerate("abcde"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            image = Image.new("RGB", SIZE[1:], (50 * label, number, 0))
            image.putpixel((1, 1), (255, 255, 255))  # of one color alone it would be refused
            image.save(tmp_path / "photos" / name / f"{number}.png")
    looked_at: list[Any] = []

    def write(*arguments: Any, **_: Any) -> None:
        looked_at.extend(arguments[3])
        raise ExportError("seen enough")

    monkeypatch.setattr("edgeexit.export.writing.write_bundle", write)
    internal().save(tmp_path)
    monkeypatch.chdir(tmp_path)
    words = ("--images", "photos", "--samples", "20", "--mean", "0,0,0", "--std", "1,1,1")
    assert "seen enough" in invoke("split", "m.onnx", *words).output
    assert len(looked_at) == 20
    assert len({float(image[0, 0, 0]) for image in looked_at}) == 5


def test_bundle_of_a_file_is_tuned_measured_and_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is no good, but every command runs on it and agrees on what it is."""
    torch.manual_seed(0)
    model = Internal(classes=10).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, 32, 32),),
            tmp_path / "m.onnx",
            input_names=["images"],
            output_names=["exit_a", "exit_b", "out"],
            dynamic_axes={"images": {0: "batch"}},
            dynamo=False,
        )
    monkeypatch.chdir(tmp_path)

    invoke.ok("split", "m.onnx", "--outputs", "exit_a,exit_b,out", "--dataset", "digits")
    proof = load_manifest(tmp_path / "out").verification
    assert proof["source"] == "digits, val"
    assert all(exit_["equal_labels"] == 1 for exit_ in proof["exits"])
    assert all(e["accuracy"] == e["network_accuracy"] for e in proof["exits"])
    invoke.ok("tune", "--engine-dir", "out/", "--max-drop", "0.5")
    assert load_manifest(tmp_path / "out").thresholds != {"exit1": 1.0, "exit2": 1.0}
    invoke.ok("bench", "--engine-dir", "out/", "--rounds", "2", "--duration", "0.2", "--json")
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
