"""Image files and Pillow images -> upright 8-bit pixels, grey (L) or RGB, by Pillow.

Files are untrusted: the header is checked before any pixel is decoded. The first picture of an
animation or of several pages is taken, and rotated by its EXIF orientation. Colour profiles are not
applied. Then, by Pillow's mode:

=======================================  ==========================================================
L, RGB                                   unchanged
1, P, CMYK, YCbCr, HSV, LAB, RGBX        to RGB (1 to L), as Pillow converts them
RGBA, RGBa, LA, La, PA                   laid over white, as viewers show them; so are palettes and
                                         colours that a file marks as transparent
I;16 and its variants; I, if a 16-bit    0 to 65535 becomes 0 to 255, rounded; for a 12-bit TIFF
file is read as that (PNG, PGM)          file 0 to 4095
other: I (integers), F (floats)          refused, as the values of black and white are not known
=======================================  ==========================================================

Grey is Pillow's ``L`` of RGB. Files with 16 bits per colour are read by Pillow with 8. JPEG files
are decoded in full: draft mode at a smaller scale would be faster, but its pixels differ from those
in training.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import numpy as np

from edgeexit_runtime.errors import BackendError, ImageError

if TYPE_CHECKING:
    from PIL import Image, ImageFile

MAX_ASPECT = 64
"""Longer images are refused: enlarging the shorter side enlarges the longer one too."""
MAX_PIXELS = 128_000_000
"""Default limit: phones take 108 million pixels; decoding needs 4 to 16 bytes for each."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "AVIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000"),
    *("PCX", "QOI", "SGI", "SUN", "PSD", "TGA"),  # TGA has no signature, so it comes last
)
"""Formats that are read, by Pillow's names. Others may render a drawing or run a program."""
INSTALL = "pip install 'edgeexit-runtime[images]'"

CONVERTED = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"})
TRANSPARENT = frozenset({"RGBA", "RGBa", "LA", "La", "PA"})
FORMATS_OF_16_BITS = frozenset({"PNG", "PPM"})
"""Formats whose 16-bit files have mode I: PGM always, PNG before Pillow 11."""

AVIF = (b"ftypavif", b"ftypavis")
NOT_AVAILABLE = "not available"
"""The end of Pillow's message about a decoder that it was built without."""

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 0x0112, 258, 262  # EXIF's and TIFF's tags
WHITE_IS_ZERO = 0
BIG_TIFF = 43
MAX_TIFF_PARTS = 100_000

ImageFileSource: TypeAlias = "str | Path | BinaryIO | Image.Image"


def open_image(source: ImageFileSource, mode: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return an image file or Pillow image, upright and in Pillow's ``mode``, ``RGB`` or ``L``.

    Raises:
        ImageError: it is not an image, is damaged, has a mode that is refused, or is so large or
            long that it may do harm.
        BackendError: Pillow is not installed.
    """
    with open_header(source, max_pixels) as image:
        return _converted(_upright(image), _black_and_white(image), mode)


@contextmanager
def open_header(source: ImageFileSource, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Yield an image of which only the header was read and checked.

    Raises:
        ImageError, BackendError: as :func:`open_image`; also for errors inside the block.
    """
    load_pillow()
    name = image_name(source)
    try:
        with _opened(source) as image:
            _check(image, name, max_pixels)
            yield image
    except ImageError:
        raise
    except Exception as error:  # every decoder of Pillow raises its own kinds
        if str(error).endswith(NOT_AVAILABLE):
            raise ImageError(
                f"{name}: this Pillow cannot read it ({error}); install one that can, or save the "
                "image as PNG or JPEG"
            ) from error
        raise ImageError(
            f"{name}: not a readable image ({type(error).__name__}); replace or remove it"
        ) from error


def image_name(source: object) -> str:
    """Return the name of an image in errors: its path, if it has one."""
    return str(source) if isinstance(source, (str, Path)) else "the image"


def load_pillow() -> ModuleType:
    """Return ``PIL.Image``.

    Raises:
        BackendError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ModuleNotFoundError as error:
        raise BackendError(f"Pillow is not installed: {INSTALL}") from error
    return Image


@contextmanager
def _opened(source: ImageFileSource) -> Iterator[Image.Image]:
    from PIL import Image

    if isinstance(source, Image.Image):
        yield source
    elif isinstance(source, (str, Path)):
        with Path(source).open("rb") as file:
            yield _identify(_from_start(file), str(source))
    else:
        yield _identify(_from_start(source), image_name(source))


def _from_start(file: BinaryIO) -> BinaryIO:
    try:
        file.seek(0)
    except (AttributeError, io.UnsupportedOperation):  # a socket or a pipe
        return io.BytesIO(file.read())
    return file


def _identify(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Return the image that a file holds, by its header.

    This is ``PIL.Image.open`` with :data:`FORMATS` alone and without Pillow's pixel limit, which is
    global to the process.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    prefix = file.read(16)
    for kind in FORMATS:
        factory, accept = Image.OPEN.get(kind, (None, None))
        if factory is None:  # this Pillow was built without the format
            continue
        try:
            accepted = accept is None or accept(prefix)
            if isinstance(accepted, str):  # Pillow's message about a missing library
                raise UnidentifiedImageError(f"{kind} {NOT_AVAILABLE}")
            if accepted:
                if kind == "TIFF":
                    _check_tiff(file, prefix, name)
                file.seek(0)
                return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):  # not this format after all
            continue
    if prefix[4:12] in AVIF:  # unknown to Pillow before 11.3
        raise UnidentifiedImageError(f"AVIF {NOT_AVAILABLE}")
    raise UnidentifiedImageError


def _check_tiff(file: BinaryIO, prefix: bytes, name: str) -> None:
    """Refuse a file for which Pillow would spend a minute listing millions of parts."""
    from PIL.TiffImagePlugin import STRIPOFFSETS, TILEOFFSETS, ImageFileDirectory_v2

    tags = ImageFileDirectory_v2(prefix if prefix[2] == BIG_TIFF else prefix[:8])
    file.seek(tags.next)
    tags.load(file)
    parts = max(np.size(tags.get(tag, ())) for tag in (STRIPOFFSETS, TILEOFFSETS))
    if parts > MAX_TIFF_PARTS:
        raise ImageError(
            f"{name}: its {parts:,} strips or tiles are more than {MAX_TIFF_PARTS:,}; save it with "
            "larger ones"
        )


def _check(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width}x{height} are {width * height:,} pixels, more than {max_pixels:,}; "
            "make it smaller, or raise max_pixels (--max-pixels)"
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{name}: {width}x{height} pixels are more than {MAX_ASPECT} times as long as wide; "
            "crop it or remove it"
        )
    if image.mode not in CONVERTED | TRANSPARENT and _black_and_white(image) is None:
        raise ImageError(
            f"{name}: its pixels have Pillow's mode {image.mode}, and their range is not known; "
            "save it with 8 or 16 bits per channel"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Return the image decoded and rotated upright."""
    from PIL import ImageOps

    image.load()
    if image.format == "TIFF":  # already rotated by load(); older Pillows keep the tag
        return image
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data are ignored
        return image
    return ImageOps.exif_transpose(image) if orientation in range(2, 9) else image


def _converted(image: Image.Image, grey: tuple[int, int] | None, mode: str) -> Image.Image:
    if grey is not None:
        image = _to_8_bits(image, *grey)
    elif _is_transparent(image):
        image = _over_white(image)
    elif image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)  # which would copy it


def _black_and_white(image: Image.Image) -> tuple[int, int] | None:
    """Return the values of black and white in a grey image of 16 bits; None for other images."""
    if image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        white = int(2 ** tags.get(BITS_PER_SAMPLE, (16,))[0]) - 1
        # Pillow inverts such files if they have 8 bits, but not if they have 16
        return (white, 0) if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO else (0, white)
    if image.mode == "I" and image.format in FORMATS_OF_16_BITS:
        return 0, 2**16 - 1
    return None


def _to_8_bits(image: Image.Image, black: int, white: int) -> Image.Image:
    from PIL import Image

    values = np.asarray(image)  # (H, W) uint16 or int32
    scaled = np.subtract(values, black, dtype=np.float32)
    scaled *= 255 / (white - black)
    grey = np.rint(scaled, out=scaled).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)


def _is_transparent(image: Image.Image) -> bool:
    palette = image.palette.mode if image.mode == "P" and image.palette else ""
    return image.mode in TRANSPARENT or "transparency" in image.info or palette.endswith("A")


def _over_white(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode == "La":
        image = image.convert("LA")
    rgba = image if image.mode == "RGBA" else image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(rgba, mask=rgba)
    return white
