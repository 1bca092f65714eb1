"""Every mode, orientation and format by every door, and what is refused before it is decoded."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import edgeexit_runtime as ee
import numpy as np
import pytest
from edgeexit_runtime.images.decoding import FORMATS, MAX_PIXELS, open_header, open_image
from numpy.typing import NDArray

Image = pytest.importorskip("PIL.Image")

RED = (255, 0, 0)
ORIENTATION = 0x0112
RAMP = np.repeat(np.arange(256, dtype=np.uint16)[None] * 257, 8, axis=0)  # (8, 256), 0 to 65535


def two_halves(mode: str, left: Any, right: Any) -> Any:
    """Return 8x8 pixels of two values in one of Pillow's modes."""
    image = Image.new(mode, (8, 8), left)
    image.paste(right, (4, 0, 8, 8))
    return image


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(bits: int, color: int, rows: NDArray[Any], transparent: bytes = b"") -> bytes:
    """Return a PNG file of pixels (H, W) or (H, W, C), also of kinds that Pillow does not write."""
    values = rows.reshape(len(rows), -1).astype(">u2" if bits == 16 else np.uint8)
    header = struct.pack(">IIBBBBB", rows.shape[1], len(rows), bits, color, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            png_chunk(b"tRNS", transparent) if transparent else b"",
            png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in values))),
            png_chunk(b"IEND", b""),
        ]
    )


def doors(file: Path) -> list[Any]:
    """Return a file as everything that is taken for an image."""
    data = file.read_bytes()
    return [file, str(file), io.BytesIO(data), Image.open(io.BytesIO(data))]


def read(source: Any, mode: str = "RGB", **options: Any) -> NDArray[np.uint8]:
    return np.asarray(open_image(source, mode, **options))


PALETTE = two_halves("P", 1, 2)
PALETTE.putpalette([0, 0, 0, *RED, 255, 255, 255])
PALETTE_AND_ALPHA = two_halves("PA", (1, 255), (0, 0))
PALETTE_AND_ALPHA.putpalette([0, 0, 0, *RED])
CLEAR_PALETTE = PALETTE.copy()
CLEAR_PALETTE.putpalette([0, 0, 0, *RED, 9, 9, 9])
RED_LEFT = {
    "RGB": two_halves("RGB", RED, "white"),
    "P": PALETTE,
    "P and transparency": CLEAR_PALETTE,
    "RGB and transparency": two_halves("RGB", RED, (9, 9, 9)),
    "RGBA": two_halves("RGBA", (*RED, 255), (9, 9, 9, 0)),
    "CMYK": two_halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)),
    "LAB": two_halves("LAB", (138, 209, 198), (255, 128, 128)),
    "YCbCr": two_halves("YCbCr", (76, 85, 255), (255, 128, 128)),
    "HSV": two_halves("HSV", (0, 255, 255), (0, 0, 255)),
    "RGBX": two_halves("RGBX", (*RED, 0), (255, 255, 255, 0)),
    "RGBa": two_halves("RGBa", (*RED, 255), (0, 0, 0, 0)),
    "PA": PALETTE_AND_ALPHA,
}
PICTURES: dict[str, tuple[Any, Any]] = {
    **{mode: (image, RED) for mode, image in RED_LEFT.items()},
    "L": (two_halves("L", 50, 255), (50,) * 3),
    "1": (two_halves("1", 0, 1), (0,) * 3),
    "LA": (two_halves("LA", (50, 255), (9, 0)), (50,) * 3),
    "La": (two_halves("La", (50, 255), (0, 0)), (50,) * 3),
    "half transparent": (two_halves("LA", (50, 51), (9, 0)), (50 // 5 + 255 - 51,) * 3),
}
"""By mode, and the colour of the left half; the right one is white."""
SUFFIXES = {"CMYK": ".tif", "LAB": ".tif"}
NO_FILES = ("YCbCr", "HSV", "RGBX", "RGBa", "PA", "La")  # modes of Pillow's own
TOLERANCE = {"LAB": 5, "YCbCr": 1}
CLEAR = {"P and transparency": 2, "RGB and transparency": (9, 9, 9)}


@pytest.mark.parametrize("mode", PICTURES)
def test_one_picture_in_every_mode_is_the_same(mode: str, tmp_path: Path) -> None:
    image, left = PICTURES[mode]
    clear = CLEAR.get(mode)
    sources = [] if clear else [image]
    if mode not in NO_FILES:
        file = tmp_path / f"image{SUFFIXES.get(mode, '.png')}"
        image.save(file, **({"transparency": clear} if clear else {}))
        sources += doors(file)
    expected = two_halves("RGB", left, "white")
    for source in sources:
        for into in ("RGB", "L"):
            difference = read(source, into) - np.asarray(expected.convert(into)).astype(int)
            assert np.abs(difference).max() <= TOLERANCE.get(mode, 0)


def sixteen_bits(kind: str) -> bytes:
    """Return a file of :data:`RAMP`, or of as much of it as the kind holds."""
    file = io.BytesIO()
    if kind == "png":
        return png(16, 0, RAMP)
    if kind == "pgm":
        return b"P5 256 8 65535\n" + RAMP.astype(">u2").tobytes()
    if kind == "pgm of 10 bits":
        return b"P5 256 8 1020\n" + (RAMP // 257 * 4).astype(">u2").tobytes()
    if kind == "jpeg 2000":
        Image.fromarray(RAMP).save(file, "jpeg2000")
        return file.getvalue()
    tags = {262: 0} if kind == "tiff, white is zero" else {}
    image = Image.fromarray(65535 - RAMP if tags else RAMP)
    if kind == "tiff, big end first":
        image = Image.fromarray(RAMP.astype(">u2"))
    image.save(file, "tiff", tiffinfo=tags)
    data = file.getvalue()
    if kind == "tiff of 12 bits":
        packed = RAMP.astype(np.uint32) // 257 * 4095 // 255  # two values in three bytes
        first, second = packed[:, ::2], packed[:, 1::2]
        three = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=-1)
        data = data.replace(RAMP.tobytes(), three.astype(np.uint8).tobytes().ljust(4096, b"\0"))
        data = data.replace(
            struct.pack("<HHII", 258, 3, 1, 16), struct.pack("<HHII", 258, 3, 1, 12)
        )
    return data


@pytest.mark.parametrize(
    "kind",
    [
        *("png", "pgm", "pgm of 10 bits", "jpeg 2000", "tiff", "tiff of 12 bits"),
        *("tiff, white is zero", "tiff, big end first"),
    ],
)
def test_grey_of_16_bits_is_scaled_by_its_range(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(sixteen_bits(kind))
    expected = np.repeat(np.arange(256)[None], 8, axis=0)
    for source in doors(path):
        np.testing.assert_array_equal(read(source, "L"), expected)
        np.testing.assert_array_equal(read(source)[..., 1], expected)


def test_16_bits_are_rounded() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    expected = np.rint(values / 257)
    for kind in ("<u2", ">u2"):
        np.testing.assert_array_equal(read(Image.fromarray(values.astype(kind)), "L"), expected)


def test_grey_of_16_bits_with_a_transparent_value() -> None:
    pixels = read(io.BytesIO(png(16, 0, RAMP, struct.pack(">H", 257 * 7))), "L")
    assert (pixels[0, 6], pixels[0, 7], pixels[0, 8]) == (6, 255, 8)


def test_colours_of_16_bits(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(png(16, 2, np.repeat(RAMP[..., None], 3, axis=2)))
    for source in doors(tmp_path / "image.png"):
        np.testing.assert_array_equal(read(source)[0, :, 2], np.arange(256))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_without_a_range_are_refused_by_name(mode: str, tmp_path: Path) -> None:
    file = tmp_path / "scan.tif"
    Image.new(mode, (8, 8), 1).save(file)
    message = f"its pixels have Pillow's mode {mode}, and their range is not known; save it with"
    for source in doors(file):
        name = str(file) if isinstance(source, (str, Path)) else "the image"
        with pytest.raises(ee.ImageError, match=re.escape(f"{name}: {message} 8 or 16 bits")):
            read(source)


CORNERS = np.zeros((16, 32, 3), np.uint8)  # wide, and each quarter has a colour of its own
CORNERS[:8, 16:] = 255, 0, 0
CORNERS[8:, :16] = 0, 255, 0
CORNERS[8:, 16:] = 0, 0, 255


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_opencv_turns_it(
    orientation: int, kind: str, tmp_path: Path
) -> None:
    cv2 = pytest.importorskip("cv2")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = tmp_path / f"photo.{kind}"
    exact = {"jpeg": {"quality": 100, "subsampling": 0}, "webp": {"lossless": True}}
    Image.fromarray(CORNERS).save(file, kind, exif=exif.tobytes(), **exact.get(kind, {}))
    by_hand = {2: CORNERS[:, ::-1], 3: CORNERS[::-1, ::-1], 4: CORNERS[::-1]}
    turned = CORNERS.transpose(1, 0, 2)
    by_hand |= {5: turned, 6: turned[:, ::-1], 7: turned[::-1, ::-1], 8: turned[::-1]}
    for source in doors(file):
        pixels = read(source).astype(int)
        assert np.abs(pixels - by_hand.get(orientation, CORNERS)).max() <= 3
    if kind == "jpeg":
        seen = cv2.imread(str(file))[..., ::-1].astype(int)
        assert np.abs(pixels - seen).max() <= 3


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("exif", [b"not at all", b"II", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0"])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_data_do_not_spoil_a_picture(kind: str, exif: bytes, tmp_path: Path) -> None:
    Image.fromarray(CORNERS).save(tmp_path / "photo", kind, exif=b"Exif\0\0" + exif)
    assert read(tmp_path / "photo").shape == CORNERS.shape


def test_pillows_own_image_stays_as_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(CORNERS).save(tmp_path / "photo.png", exif=exif)
    image = Image.open(tmp_path / "photo.png")
    assert read(image).shape == read(image).shape == (32, 16, 3)
    assert image.size == (32, 16)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_pictures_the_first_is_taken(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"image.{suffix}"
    first, second = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), "blue")
    lossless = {"lossless": True} if suffix == "webp" else {}
    first.save(file, save_all=True, append_images=[second], **lossless)
    for source in doors(file):
        assert np.unique(read(source).reshape(-1, 3), axis=0).tolist() == [[255, 0, 0]]


def test_only_formats_that_hold_pixels_are_read() -> None:
    """EPS would start another program."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "eps")
    with pytest.raises(ee.ImageError, match="the image: not a readable image"):
        read(file)
    Image.init()
    assert set(FORMATS) - {"AVIF"} <= set(Image.OPEN)


class Pipe(io.BytesIO):
    """A stream that only goes on."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        raise io.UnsupportedOperation


def test_a_stream_that_cannot_go_back() -> None:
    np.testing.assert_array_equal(read(Pipe(png(8, 2, CORNERS))), CORNERS)


SIZE = 50_000
HEADERS = {
    "PNG": b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", SIZE, SIZE, 8, 2, 0, 0, 0))
    + png_chunk(b"IDAT", b""),
    "JPEG": b"\xff\xd8\xff\xc0"
    + struct.pack(">HBHHB3B", 11, 8, SIZE, SIZE, 1, 1, 0x11, 0)
    + b"\xff\xda\0\x08\x01\x01\0\0\x3f\0",
    "GIF": b"GIF89a"
    + struct.pack("<HHBBBBHHHHBB", SIZE, SIZE, 0, 0, 0, 0x2C, 0, 0, SIZE, SIZE, 0, 2),
    "BMP": b"BM"
    + struct.pack("<IHHI", 54, 0, 0, 54)
    + struct.pack("<IiiHHIIiiII", 40, SIZE, SIZE, 1, 24, 0, 0, 0, 0, 0, 0),
    "PPM": f"P6 {SIZE} {SIZE} 255\n".encode(),
    "QOI": b"qoif" + struct.pack(">IIBB", SIZE, SIZE, 3, 0),
}


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize("pillows_limit", [None, 10**9])
def test_too_many_pixels_are_refused_by_the_header_alone(
    kind: str, pillows_limit: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever limit is set in Pillow, which is one for the whole process."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_limit)
    Image.init()  # some plugins load an image of their own when they are imported
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    message = "the image: 50000x50000 are 2,500,000,000 pixels, more than 128,000,000; make it"
    with pytest.raises(ee.ImageError, match=message):
        read(io.BytesIO(HEADERS[kind]))


def tiff_of_tiles(count: int) -> bytes:
    """Return a file of an image of 16x16 with ``count`` tiles, which all lie in one place."""
    tags = {256: 16, 257: 16, 258: 8, 259: 1, 262: 1, 277: 1, 322: 16, 323: 16}
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items()]
    place = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries.append(struct.pack("<HHII", 324, 4, count, place))
    start = b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)
    return start + struct.pack("<I", 8) * count + bytes(256)


def test_a_tiff_file_of_more_tiles_than_pixels(tmp_path: Path) -> None:
    """Pillow takes seconds for each million, before it says how large the image is."""
    assert read(io.BytesIO(tiff_of_tiles(1000))).shape == (16, 16, 3)
    file = tmp_path / "scan.tif"
    file.write_bytes(tiff_of_tiles(100_001))
    with pytest.raises(
        ee.ImageError, match=r"scan\.tif: its 100,001 strips or tiles are more than"
    ):
        read(file)


def test_the_limit_of_pixels_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)
    for source in (io.BytesIO(png(8, 0, np.zeros((20, 20)))), Image.new("L", (20, 20))):
        assert read(source, max_pixels=400).shape == (20, 20, 3)
        with pytest.raises(ee.ImageError, match="or raise max_pixels"):
            read(source, max_pixels=399)


def test_a_phones_108_million_pixels_are_let_in() -> None:
    with open_header(io.BytesIO(b"P5 12000 9000 255\n")) as image:
        assert image.size == (12000, 9000)
    assert MAX_PIXELS >= 12000 * 9000


def test_images_may_be_64_times_as_long_as_wide() -> None:
    assert read(Image.new("L", (2, 128))).shape == (128, 2, 3)
    for size in ((2, 129), (129, 2)):
        with pytest.raises(ee.ImageError, match="are more than 64 times as long as wide; crop it"):
            read(Image.new("L", size))


def test_a_damaged_image_of_pillows_own_is_told_too(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(png(8, 2, np.random.default_rng(0).integers(0, 256, (64, 64, 3)))[:4000])
    for source in doors(file):
        with pytest.raises(ee.ImageError, match="not a readable image"):
            read(source)


@pytest.mark.parametrize(
    ("suffix", "lacking", "said"),
    [
        (".avif", "format", "AVIF not available"),
        (".webp", "library", "WEBP not available"),
        (".jp2", "decoder", "decoder jpeg2k not available"),
    ],
)
def test_a_format_that_this_pillow_cannot_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, lacking: str, said: str
) -> None:
    path = tmp_path / f"photo{suffix}"
    Image.init()
    if Image.registered_extensions().get(suffix) not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {suffix}")
    two_halves("RGB", RED, 0).resize((64, 64)).save(path)
    assert read(path).shape == (64, 64, 3)
    if lacking == "format":  # as in Pillows before 11.3
        monkeypatch.delitem(Image.OPEN, "AVIF")
    elif lacking == "library":
        factory, accept = Image.OPEN["WEBP"]
        told = "image file could not be identified because WEBP support not installed"
        lacks: Any = (factory, lambda prefix: accept(prefix) and told)
        monkeypatch.setitem(Image.OPEN, "WEBP", lacks)
    else:
        monkeypatch.delattr(Image.core, "jpeg2k_decoder")
    expected = f"photo{suffix}: this Pillow cannot read it ({said}); install one that can, or save"
    with pytest.raises(ee.ImageError, match=re.escape(expected)):
        open_image(path, "RGB")
