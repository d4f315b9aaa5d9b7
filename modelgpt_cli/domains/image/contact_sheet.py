"""The contact sheet: a few images, made small, on one page: all that an LLM is shown of them. Made for `profile`."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

MOST_SHOWN = 16
TILE = 160
"""Pixels of a tile's side: enough to see what kind of image it is, and no more is sent than that takes."""
_COLUMNS = 4
_GAP = 8
_GREY = (128, 128, 128)
"""Neither the white of paper nor the black of a night shot, so that each image's own edge shows."""
_QUALITY = 85


def contact_sheet(images: Sequence[np.ndarray]) -> bytes:
    """Put images side by side, in rows of four; none is enlarged.

    It is made of pixels alone: nothing that a file tells besides them, such as where a photo was taken, is in it.

    Parameters
    ----------
    images : sequence of ndarray
        uint8 [H, W, 3]; the first `MOST_SHOWN` are used.

    Returns
    -------
    bytes
        A JPEG.
    """
    shown = images[:MOST_SHOWN]
    n_columns = min(_COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    step = TILE + _GAP
    sheet = Image.new("RGB", (n_columns * step + _GAP, n_rows * step + _GAP), _GREY)
    for i, pixels in enumerate(shown):
        tile = Image.fromarray(pixels)
        tile.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
        left, top = (_GAP + step * at for at in (i % n_columns, i // n_columns))
        sheet.paste(tile, (left + (TILE - tile.width) // 2, top + (TILE - tile.height) // 2))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()


def sheet_size(sheet: bytes) -> tuple[int, int]:
    """Width and height of a sheet in pixels."""
    with Image.open(io.BytesIO(sheet)) as image:
        size: tuple[int, int] = image.size
        return size
