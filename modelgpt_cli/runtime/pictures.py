"""A picture's bytes to pixels, as its reader shows it. First step of `runtime.image_rows`; needs Pillow alone."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps


class PictureError(Exception):
    """A picture that can't be read, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode_picture(content: bytes, *, least: int | None = None) -> np.ndarray:
    """uint8 (H, W, 3); `least`: a short side of so many pixels is enough."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            if least is not None:
                picture.draft("RGB", (least, least))
            upright = ImageOps.exif_transpose(picture)
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(" ".join(str(error).split()) or "it is damaged") from error
