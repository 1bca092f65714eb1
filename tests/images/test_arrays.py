"""NumPy's files, whole and harmful: one line each, and no more memory than the file or a limit."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from edgeexit_runtime.images.preprocess import Preprocessing
from numpy.typing import NDArray
from support.memory import MemoryPeak

from edgeexit.errors import DataError
from edgeexit.images.arrays import normalization_doubt, read_arrays

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_by_name(tmp_path: Path, save: Callable[..., None]) -> None:
    save(tmp_path / "a.npz", images=IMAGES, labels=np.array([1, 0]), other=np.zeros(3))
    arrays = read_arrays(tmp_path / "a.npz", ("images", "labels", "missing"), "")
    assert list(arrays) == ["images", "labels"]
    assert np.array_equal(arrays["images"], IMAGES)
    assert arrays["labels"].tolist() == [1, 0]


def test_one_array_has_the_first_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.asfortranarray(IMAGES))
    arrays = read_arrays(tmp_path / "a.npy", ("images", "labels"), "")
    assert list(arrays) == ["images"]
    assert np.array_equal(arrays["images"], IMAGES)


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", pictures=IMAGES)
    with pytest.raises(DataError, match=r"a\.npz: expected an array 'images', got pictures"):
        read_arrays(tmp_path / "a.npz", ("images",), "")


def array(images: np.ndarray = IMAGES) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, images)
    return buffer.getvalue()


def archive(content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as opened:
        opened.writestr("images.npy", content)
    return buffer.getvalue()


def _in_directory(offset: int, value: bytes) -> bytes:
    content = archive(array())
    place = content.rindex(b"PK\x01\x02") + offset
    return content[:place] + value + content[place + len(value) :]


HEADER = b"(2, 2, 2, 3)"
HARMFUL: dict[str, Callable[[], bytes]] = {
    "more in the header": lambda: array().replace(HEADER, b"(9**9, 2, 3)"),
    "a little more": lambda: array().replace(HEADER, b"(3, 2, 2, 3)"),
    "less in the header": lambda: array().replace(HEADER, b"(1, 2, 2, 3)"),
    "negative": lambda: array().replace(HEADER, b"(-2, 2,-2,3)"),
    "huge": lambda: array().replace(HEADER, b"(9999999999,)"),
    "no numbers": lambda: array().replace(HEADER, b"(2, 2, 2, x)"),
    "objects": lambda: array().replace(b"'|u1'", b"'|O' "),
    "a version to come": lambda: array().replace(b"NUMPY\x01", b"NUMPY\x09"),
    "bytes changed": lambda: archive(array()).replace(b"\x07\x08\x09", b"\x07\x07\x07"),
    "bytes lost": lambda: archive(array())[:150] + archive(array())[160:],
    "encrypted": lambda: _in_directory(8, b"\x01\x00"),
    "another method": lambda: _in_directory(10, b"\x63\x00"),
    "sizes of more than the file": lambda: _in_directory(20, struct.pack("<2I", 2**31, 2**31)),
    "small when packed": lambda: archive(b"\0" * 2**26, zipfile.ZIP_DEFLATED),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux says of memory")
@pytest.mark.parametrize("name", HARMFUL)
def test_harmful_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(HARMFUL[name]())
    peak = MemoryPeak()
    message = r"a\.npz: not a NumPy file of plain arrays; write it anew"
    with pytest.raises(DataError, match=message):
        read_arrays(path, ("images",), "write it anew")
    assert peak.more_bytes < 2**24


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_packed_has_a_limit(tmp_path: Path, method: int) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(archive(array(np.zeros((1, 32, 32, 1), np.uint8)), method))
    if method == zipfile.ZIP_STORED:
        assert read_arrays(path, ("images",), "", 1000)["images"].shape == (1, 32, 32, 1)
        return
    with pytest.raises(DataError, match="not a NumPy file"):
        read_arrays(path, ("images",), "", 1000)


IMAGENET = Preprocessing((3, 8, 8), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = Preprocessing((3, 8, 8), (0.0,) * 3, (1.0,) * 3)
CENTERED = Preprocessing((3, 8, 8), (0.5,) * 3, (1.0,) * 3)

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
PIXELS[0, 0, 0], PIXELS[0, 0, 1] = 0, 255
AS_CHANNELS = PIXELS.transpose(0, 3, 1, 2).astype(np.float32)
UNDIVIDED = "0 to 255, neither divided by 255 nor normalized"
DIVIDED = "0 to 1, divided by 255 and not normalized"


@pytest.mark.parametrize("preprocessing", [IMAGENET, PLAIN, CENTERED])
@pytest.mark.parametrize("scale", [1, 1.05, 0.3])  # resampling overshoots, gray ones are narrower
def test_what_normalizing_gives(preprocessing: Preprocessing, scale: float) -> None:
    assert normalization_doubt(np.float32(scale) * preprocessing(PIXELS), preprocessing) is None


@pytest.mark.parametrize(
    ("images", "preprocessing", "got", "likely", "expected"),
    [
        (AS_CHANNELS, IMAGENET, "0 to 255", UNDIVIDED, "-2.12 to 2.64"),
        (AS_CHANNELS, PLAIN, "0 to 255", UNDIVIDED, "0 to 1"),
        (AS_CHANNELS / 255, IMAGENET, "0 to 1", DIVIDED, "-2.12 to 2.64"),
        (AS_CHANNELS / 255, CENTERED, "0 to 1", DIVIDED, "-0.5 to 0.5"),
        (IMAGENET(PIXELS), CENTERED, "-2.12 to 2.64", "normalized otherwise", "-0.5 to 0.5"),
        (IMAGENET(PIXELS), PLAIN, "-2.12 to 2.64", "normalized otherwise", "0 to 1"),
        (-1 - AS_CHANNELS, IMAGENET, "-256 to -1", "normalized otherwise", "-2.12 to 2.64"),
    ],
)
def test_what_it_does_not_give(
    images: NDArray[np.float32], preprocessing: Preprocessing, got: str, likely: str, expected: str
) -> None:
    doubt = normalization_doubt(images, preprocessing)
    assert doubt is not None
    assert doubt.startswith(f"values from {got} look {likely}: mean ")
    assert doubt.endswith(f" give {expected}")
    for value in {*preprocessing.mean, *preprocessing.std}:
        assert f"{value:g}" in doubt
