"""Images for the benchmark: folders, archives, data sets, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from edgeexit_runtime import Manifest, Preprocessing, load_manifest
from numpy.typing import NDArray
from PIL import Image
from support.tiny_bundle import unchecked
from torchvision.transforms import v2

from edgeexit.bench import BenchImages, images_from_dataset, images_from_folder, images_from_npz
from edgeexit.data import DataConfig, load_data
from edgeexit.errors import DataError, InputError, UnknownNameError


@pytest.fixture
def manifest(bundle: Path) -> Manifest:
    return load_manifest(bundle)


def picture(seed: int, width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def with_resize(manifest: Manifest, resize: int | None) -> Manifest:
    preprocessing = dataclasses.replace(manifest.preprocessing, resize=resize)
    return dataclasses.replace(manifest, preprocessing=preprocessing)


# folders


@pytest.mark.parametrize("size", [(40, 25), (25, 40), (8, 8), (31, 31), (9, 50)])
@pytest.mark.parametrize("resize", [None, 8, 11])
def test_a_folder_is_prepared_as_torchvision_prepares_it(
    manifest: Manifest, tmp_path: Path, size: tuple[int, int], resize: int | None
) -> None:
    image = picture(0, *size)
    (tmp_path / "flat").mkdir()
    image.save(tmp_path / "flat" / "a.png")
    found = images_from_folder(tmp_path / "flat", with_resize(manifest, resize), 5, 0)

    steps = [v2.Resize((8, 8))] if resize is None else [v2.Resize(resize), v2.CenterCrop((8, 8))]
    preprocessing = manifest.preprocessing
    expected = v2.Compose(
        [
            *steps,
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(preprocessing.mean), list(preprocessing.std)),
        ]
    )(image)
    np.testing.assert_allclose(found.images[0], expected.numpy(), atol=1e-5)
    assert found.images.dtype == np.float32
    assert found.labels is None
    assert found.source == str(tmp_path / "flat")


def test_grey_images_and_other_files(manifest: Manifest, tmp_path: Path) -> None:
    picture(0, 8, 8).convert("L").save(tmp_path / "a.JPG", format="png")
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    assert images_from_folder(tmp_path, manifest, 5, 0).images.shape == (1, 3, 8, 8)


def test_a_bundle_for_grey_images(manifest: Manifest, tmp_path: Path) -> None:
    preprocessing = Preprocessing((1, 8, 8), (0.5,), (0.5,))
    picture(0, 8, 8).save(tmp_path / "a.png")
    grey = unchecked(manifest, preprocessing=preprocessing)
    found = images_from_folder(tmp_path, grey, 5, 0)
    expected = np.asarray(picture(0, 8, 8).convert("L"), np.float32) / 255 * 2 - 1
    np.testing.assert_allclose(found.images[0, 0], expected, atol=1e-5)


def test_a_bundle_for_two_channels(manifest: Manifest, tmp_path: Path) -> None:
    picture(0, 8, 8).save(tmp_path / "a.png")
    two = unchecked(manifest, preprocessing=Preprocessing((2, 8, 8), (0.5,) * 2, (0.5,) * 2))
    with pytest.raises(InputError, match="takes images of 2 channels, files hold 1 or 3; give an"):
        images_from_folder(tmp_path, two, 5, 0)


def test_class_folders_give_the_bundles_labels(manifest: Manifest, tmp_path: Path) -> None:
    for name in ("7", "2"):
        (tmp_path / name / "deeper").mkdir(parents=True)
        Image.new("RGB", (8, 8), (int(name), 0, 0)).save(tmp_path / name / "deeper" / "a.png")
    (tmp_path / "empty").mkdir()
    found = images_from_folder(tmp_path, manifest, 5, 0)
    assert found.labels is not None
    red = found.images[:, 0, 0, 0] * 0.324 + 0.305
    np.testing.assert_array_equal(np.rint(red * 255), found.labels)
    assert sorted(found.labels) == [2, 7]


def test_other_files_are_counted(manifest: Manifest, tmp_path: Path) -> None:
    for name in ("a.png", "3/b.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        picture(0, 8, 8).save(tmp_path / name)
    (tmp_path / "3" / "c.heic").touch()
    found = images_from_folder(tmp_path / "3", manifest, 5, 0)
    assert (len(found.images), found.notes) == (1, (f"{tmp_path / '3'}: left out 1 .heic",))
    with pytest.raises(DataError, match="got both, 1 beside the folders; move these into"):
        images_from_folder(tmp_path, manifest, 5, 0)
    (tmp_path / "3").rename(tmp_path / "holidays")
    found = images_from_folder(tmp_path, manifest, 5, 0)
    assert (len(found.images), found.labels) == (2, None)


def test_class_folders_of_other_classes(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    picture(0, 8, 8).save(tmp_path / "cat" / "a.png")
    expected = "'cat' is no class of the bundle (0, 1, 2, 3, 4, ...); name class folders as its"
    with pytest.raises(DataError, match=re.escape(expected)):
        images_from_folder(tmp_path, manifest, 5, 0)


def test_no_folder_and_an_empty_one(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no folder .*none; expected one with images"):
        images_from_folder(tmp_path / "none", manifest, 5, 0)
    (tmp_path / "a.heic").touch()
    with pytest.raises(DataError, match=r": expected images .*, 1 \.heic, .* end in \.jpg"):
        images_from_folder(tmp_path, manifest, 5, 0)


def test_an_unreadable_image_is_named(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image at all")
    with pytest.raises(DataError, match=r"broken\.png: not a readable image \(.*\); replace or"):
        images_from_folder(tmp_path, manifest, 5, 0)


def test_only_a_seeded_choice_is_read(manifest: Manifest, tmp_path: Path) -> None:
    for number in range(20):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / f"{number:02}.png")

    def chosen(samples: int, seed: int) -> list[int]:
        images = images_from_folder(tmp_path, manifest, samples, seed).images
        red: list[int] = np.rint((images[:, 0, 0, 0] * 0.324 + 0.305) * 255).astype(int).tolist()
        return red

    assert sorted(chosen(50, 0)) == list(range(20))
    assert len(set(chosen(5, 0))) == 5
    assert chosen(5, 0) == chosen(5, 0) != chosen(5, 1)
    with pytest.raises(InputError, match="samples: expected 1 or more, got 0"):
        chosen(0, 0)


# archives


def save(tmp_path: Path, **arrays: NDArray[np.generic]) -> Path:
    np.savez(tmp_path / "images.npz", **arrays)  # type: ignore[arg-type]
    return tmp_path / "images.npz"


def test_an_archive_of_pixels_is_normalized(manifest: Manifest, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    labels = np.arange(6, dtype=np.uint8)
    found = images_from_npz(save(tmp_path, images=pixels, labels=labels), manifest, 4, 0)
    assert found.labels is not None
    assert found.labels.dtype == np.int64
    assert len(set(found.labels.tolist())) == 4
    np.testing.assert_array_equal(found.images, manifest.preprocessing(pixels[found.labels]))


def test_an_archive_of_normalized_images_is_taken_as_it_is(
    manifest: Manifest, tmp_path: Path
) -> None:
    images = manifest.preprocessing(
        np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    )
    found = images_from_npz(save(tmp_path, images=images), manifest, 9, 0)
    assert (found.labels, found.notes) == (None, ())
    (note,) = images_from_npz(save(tmp_path, images=abs(images) * 40), manifest, 9, 0).notes
    assert "images.npz: values from " in note
    assert sorted(found.images[:, 0, 0, 0]) == sorted(images[:, 0, 0, 0])
    assert found.images.flags.c_contiguous


FLOATS = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"labels": np.zeros(2)}, "expected an array 'images', got labels"),
        ({"images": np.zeros((2, 3, 8, 8))}, "(N, channels, height, width), got float64"),
        ({"images": FLOATS[0]}, "float32 (N, channels, height, width), got float32 (3, 8, 8)"),
        ({"images": FLOATS[:0]}, "images.npz: expected at least one image, got none"),
        ({"images": FLOATS[..., :4]}, "takes float32 images (N, 3, 8, 8), got (2, 3, 8, 4)"),
        ({"images": FLOATS.astype(np.uint8)}, "takes uint8 images (N, 8, 8, 3), got (2, 3, 8, 8)"),
        ({"images": FLOATS + np.nan}, "images: expected finite values, got NaN or infinity"),
        (
            {"images": FLOATS, "labels": np.zeros(3, np.int64)},
            "labels: expected integers (2,), got int64 (3,)",
        ),
        (
            {"images": FLOATS, "labels": np.zeros(2)},
            "labels: expected integers (2,), got float64 (2,)",
        ),
        ({"images": FLOATS, "labels": np.array([0, 10])}, "expected 0 to 9, got 0 to 10"),
        ({"images": FLOATS, "labels": np.array([-1, 0])}, "expected 0 to 9, got -1 to 0"),
    ],
)
def test_an_archive_that_does_not_fit(
    manifest: Manifest, tmp_path: Path, arrays: dict[str, NDArray[np.generic]], expected: str
) -> None:
    with pytest.raises((DataError, InputError), match=re.escape(expected)):
        images_from_npz(save(tmp_path, **arrays), manifest, 5, 0)


def test_an_archive_that_is_none(manifest: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "images.npz"
    with pytest.raises(DataError, match=r"images\.npz: no such file; expected a NumPy archive"):
        images_from_npz(path, manifest, 5, 0)
    path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"images\.npz: not a NumPy file of plain arrays; expected"):
        images_from_npz(path, manifest, 5, 0)


def test_no_images_or_too_few_labels() -> None:
    with pytest.raises(InputError, match="test: expected at least one image, got none"):
        BenchImages("test", FLOATS[:0], None)
    with pytest.raises(InputError, match="test: expected a label for each of 2 images, got 1"):
        BenchImages("test", FLOATS, np.zeros(1, np.int64))


# data sets


def test_a_data_set_gives_its_test_images(manifest: Manifest) -> None:
    found = images_from_dataset(DataConfig("digits"), manifest, 10_000, 0)
    split = load_data(DataConfig("digits", input_size=(3, 8, 8))).splits["test"]
    assert found.source == "digits (test)"
    assert found.labels is not None
    assert len(found.images) == len(split)
    key = found.images.reshape(len(split), -1).sum(1)
    expected = np.array([split[index][0].numpy().sum() for index in range(len(split))])
    np.testing.assert_allclose(np.sort(key), np.sort(expected), rtol=1e-4, atol=1e-2)
    assert sorted(found.labels) == sorted(split[index][1] for index in range(len(split)))


def test_a_data_set_that_is_unknown_or_of_other_classes(manifest: Manifest) -> None:
    with pytest.raises(UnknownNameError, match="did you mean digits"):
        images_from_dataset(DataConfig("digit"), manifest, 5, 0)
    letters = unchecked(manifest, class_names=tuple("abcd"))
    with pytest.raises(DataError, match="digits: expected the network's 4 classes, got 10; choose"):
        images_from_dataset(DataConfig("digits"), letters, 5, 0)


def test_a_data_set_of_other_names_is_said_to_be_one(manifest: Manifest) -> None:
    letters = dataclasses.replace(manifest, class_names=tuple("abcdefghij"))
    found = images_from_dataset(DataConfig("digits"), letters, 5, 0)
    assert "class 0 named a, got 0; classes are compared by number" in found.notes[0]


def test_a_data_set_that_is_normalized_another_way(manifest: Manifest) -> None:
    other = dataclasses.replace(manifest.preprocessing, mean=(0.5, 0.5, 0.5))
    with pytest.raises(DataError, match=r"digits: expected the network's mean \(0\.5, .*, got .*"):
        images_from_dataset(
            DataConfig("digits"), dataclasses.replace(manifest, preprocessing=other), 5, 0
        )
