"""Images to arrays: a file's bytes become RGB pixels, or a short reason why not. Needs Pillow and numpy alone.

Used wherever images are read: on the way of the data below `image_source`, and by the runtime, so that a model is
shown the same pixels when it is made and when it is used.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.formats import HEAD, brand, common_formats, lacking, readable_formats, reads_heic

if TYPE_CHECKING:
    from PIL import Image

MOST_BYTES = 512 << 20
"""A larger file is no image that could be used, and may be an archive's way to fill the memory."""
MOST_PIXELS = 100_000_000
"""More than any camera of today makes; a file of a few kilobytes can claim to hold far more, and fill the memory."""
SHARP = 2
"""An image that is to be resized may be decoded smaller, but with so many times the pixels a side: sharp all the same.
The same for what is learned from and what is predicted, as it shows in the answers."""
_16_BITS = 65_535


class ImageError(Exception):
    """An image can't be read.

    Parameters
    ----------
    reason : str
        Why, in a few words that can stand behind its name: "cut short".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def image_size(content: bytes, *, most_pixels: int = MOST_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, as a file's first bytes tell them; nothing is decoded.

    Raises
    ------
    ImageError
        The bytes are no image, or one of more than `most_pixels`.
    """
    with opened(content, most_pixels) as image:
        return image.size


def decode_image(content: bytes, *, most_pixels: int = MOST_PIXELS, least: int = 0) -> np.ndarray:
    """Decode an image.

    It is turned upright as its EXIF data say; grey, palette, CMYK and 16-bit images become RGB of 8 bits; what is
    transparent is laid on white; of an animation the first frame is taken. Numbers of 16 bits are divided by 257;
    of floating point they are taken as 0 to 1 if none is larger, else as 0 to 255.

    Parameters
    ----------
    content : bytes
        The file's; what format it has is found from them.
    most_pixels : int
        Images of more are refused before they are decoded (Pillow refuses more than some 179 million itself).
    least : int
        If above 0: the image may come out smaller, by 2, 4 or 8, but with no side below `least` pixels. JPEG alone
        can do so, and is then decoded several times faster.

    Returns
    -------
    ndarray
        uint8 [H, W, 3].

    Raises
    ------
    ImageError
        The bytes are no image, too large a one, or a damaged one.
    """
    from PIL import ImageOps

    with opened(content, most_pixels) as image:
        if least:
            image.draft(None, (least, least))
        image.load()
        return _rgb(ImageOps.exif_transpose(image))


@lru_cache
def need_pillow() -> None:
    """Load Pillow, which this module alone needs to decode images, and keep it from talking.

    Raises
    ------
    ModelGPTError
        It is not installed.
    """
    try:
        # Named, as Pillow would load these of its readers only together with all the others, which takes longer.
        from PIL import TiffImagePlugin, WebPImagePlugin  # noqa: F401

        with suppress(ImportError):  # since Pillow 11.3
            from PIL import AvifImagePlugin  # noqa: F401
    except ImportError as error:
        raise ModelGPTError(
            "To read images, the library Pillow is needed.", "It is not installed.", "Install it: pip install pillow"
        ) from error
    # What is odd about a file Pillow says to stderr, for every file anew; what matters of it becomes a reason here.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    logging.getLogger("PIL").setLevel(logging.CRITICAL)


@contextmanager
def opened(content: bytes, most_pixels: int = MOST_PIXELS) -> Iterator[Image.Image]:
    """The image with its header read; every error on the way, here and in the block, is an `ImageError`."""
    if not content:
        raise ImageError("empty file")
    need_pillow()
    from PIL import Image, UnidentifiedImageError

    try:
        with _identified(content) as image:
            width, height = image.size
            if width * height > most_pixels:
                raise ImageError(_too_large(width, height, most_pixels))
            yield image
    except Image.DecompressionBombError:
        raise ImageError(f"more than the {most_pixels:,} pixels allowed") from None
    except UnidentifiedImageError:
        raise ImageError(_unknown(content)) from None
    except MemoryError:
        raise ImageError("too large for this machine's memory") from None
    # Pillow's readers let through whatever a broken file makes them stumble over.
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        LookupError,
        TypeError,
        ArithmeticError,
        AttributeError,
        AssertionError,
        RuntimeError,
    ) as error:
        raise ImageError("cut short" if "truncated" in str(error).lower() else "damaged") from error
    except (struct.error, zlib.error) as error:
        raise ImageError("damaged") from error


def _identified(content: bytes) -> Image.Image:
    """The image with its header read, by the readers of common formats or else by all."""
    from PIL import Image, UnidentifiedImageError

    if brand(content[:HEAD]) == "HEIC" and not reads_heic():
        raise ImageError(lacking(content))
    try:
        return Image.open(io.BytesIO(content), formats=common_formats())
    except UnidentifiedImageError:
        return Image.open(io.BytesIO(content), formats=readable_formats())


def _unknown(content: bytes) -> str:
    """Why no reader takes a file."""
    kind = brand(content[:HEAD])
    return lacking(content) or (f"a damaged {kind} file" if kind else "no image in a known format")


def _too_large(width: int, height: int, most_pixels: int) -> str:
    return f"{width:,} x {height:,} pixels, more than the {most_pixels:,} allowed"


def _rgb(image: Image.Image) -> np.ndarray:
    """Pixels of any mode as RGB: uint8 [H, W, 3]."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        grey = _grey(np.asarray(image))  # [H, W]
        return np.repeat(grey[:, :, None], 3, axis=2)  # [H, W, 3]
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.array(image.convert("RGB"))


def _grey(values: np.ndarray) -> np.ndarray:
    """Grey values of 16 or 32 bits as 8: uint8 of the same shape. Pillow itself would cut them off at 255."""
    if values.dtype.kind == "f":
        scale = 255.0 if np.nanmax(values) <= 1 else 1.0
        grey: np.ndarray = np.nan_to_num(np.clip(values * scale, 0, 255)).round()
    else:
        grey = np.clip(values, 0, _16_BITS).astype(np.uint32) // 257
    return grey.astype(np.uint8)
