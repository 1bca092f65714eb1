"""Grey images in another shape than square, from a folder to a prediction; the limit of pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime import load_manifest
from PIL import Image
from support.command_line import invoke as run

from edgeexit.training import load_checkpoint

SIZE = (40, 30)  # of every image, 1200 pixels


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 images of 16 bits in two classes: dark and bright. Read as 8 bits, both would be white."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, low in (("dark", 1000), ("bright", 40000)):
        (folder / name).mkdir()
        for i in range(20):
            pixels = random.integers(low, low + 20000, SIZE[::-1], np.uint16)
            Image.fromarray(pixels).save(folder / name / f"{i:02}.png")
    return folder


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "run"
    run.ok(
        *("train", "--backbone", "resnet20", "--branches", "n+n", "--epochs", 8, "--lr", 0.05),
        *("--dataset", "imagefolder", "--data-dir", photos, "--batch-size", 8, "--device", "cpu"),
        *("--channels", 1, "--input-size", "8x16", "-o", output),
    )
    return output / "ckpt.pt"


@pytest.fixture(scope="module")
def bundle(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("bundle") / "out"
    run.ok("export", trained, "-o", output, "--engine", "none")
    return output


@pytest.mark.slow
def test_grey_wide_images_from_a_folder_to_predictions(
    trained: Path, bundle: Path, photos: Path
) -> None:
    checkpoint = load_checkpoint(trained)
    assert checkpoint.spec.input_size == (1, 8, 16)
    assert run.json("eval", trained, "--device", "cpu")["samples"] == 4
    manifest = load_manifest(bundle)
    assert manifest.preprocessing == checkpoint.preprocessing
    assert (manifest.preprocessing.input_size, manifest.preprocessing.resize) == ((1, 8, 16), 9)
    answers = run.ok("predict", "--engine-dir", bundle, photos, "--json").stdout.splitlines()
    answers = [json.loads(answer) for answer in answers]
    right = [Path(answer["source"]).parent.name == answer["label"] for answer in answers]
    assert np.mean(right) > 0.9


@pytest.mark.slow
def test_the_limit_of_pixels_holds_wherever_files_are_read(
    trained: Path, bundle: Path, photos: Path, tmp_path: Path
) -> None:
    data = ("--dataset", "imagefolder", "--data-dir", photos)
    for command in (
        ("train", "--backbone", "resnet20", *data, "--batch-size", 8, "-o", tmp_path / "run"),
        ("eval", trained, "--device", "cpu"),
        ("tune", trained, "--device", "cpu"),
        ("export", trained, "-o", tmp_path / "out"),
        ("export", trained, "--precision", "int8", "--calibration-data", photos),
        ("bench", "--engine-dir", bundle, "--images", photos),
        ("bench", "--engine-dir", bundle, *data),
        ("predict", "--engine-dir", bundle, photos),
        ("figures", bundle, "-o", tmp_path / "figures"),
    ):
        told = run.refused(*command, "--max-pixels", "1K")
        assert "40x30 are 1,200 pixels, more than 1,000; make it smaller" in told


def test_the_limit_of_a_training_is_kept(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    options = ("--input-size", 8, "--batch-size", 8, "--epochs", 1, "--device", "cpu", "-o", output)
    data = ("--dataset", "imagefolder", "--data-dir", photos, "--max-pixels", "1.2K")
    run.ok("train", "--backbone", "resnet20", *data, *options)
    assert load_checkpoint(output / "ckpt.pt").data.max_pixels == 1200
    run.ok("eval", output / "ckpt.pt", "--device", "cpu")


@pytest.mark.parametrize(
    ("size", "channels", "expected"),
    [
        ((), ("--channels", 1), (1, 16, 16)),
        (("--input-size", "8x24"), (), (3, 8, 24)),
        (("--input-size", "8x24"), ("--channels", 1), (1, 8, 24)),
    ],
)
def test_size_and_channels_are_put_over_a_configuration(
    photos: Path, tmp_path: Path, size: tuple[str, ...], channels: tuple[str, ...], expected: object
) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        'backbone = "resnet20"\nbranches = "none"\nepochs = 1\nbatch_size = 8\ndevice = "cpu"\n'
        f'[data]\nname = "imagefolder"\ndata_dir = "{photos}"\ninput_size = [3, 16, 16]\n'
    )
    run.ok("train", "--config", config, *size, *channels, "-o", tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "ckpt.pt").spec.input_size == expected
    resumed = ("train", "--resume", "-o", tmp_path / "run", *size, *channels, "--json")
    assert json.loads(run.ok(*resumed).stdout)["finished_before"] is True


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--channels", "2", "'2' is not one of '1', '3'"),
        ("--input-size", "8x", "height x width such as 240x320, got '8x'"),
        ("--max-pixels", "0", "expected a number of pixels such as 200M, got '0'"),
        ("--max-pixels", "many", "expected a number of pixels such as 200M, got 'many'"),
    ],
)
def test_options_that_cannot_be(option: str, value: str, message: str) -> None:
    told = run.refused(
        "train", "--backbone", "resnet20", "--dataset", "digits", "-o", "x", option, value, code=2
    )
    assert message in told
