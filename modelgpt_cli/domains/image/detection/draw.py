"""An image with its boxes drawn in, with names and scores. Needs Pillow.

Shapes: H, W pixels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modelgpt_cli.domains.image.dense.draw import palette
from modelgpt_cli.domains.image.layout import printable

_LEAST_TEXT, _MOST_TEXT = 10, 32
_LONGEST = 24


def drawn_png(image: np.ndarray, boxes: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> bytes:
    """Return an image, uint8 (H, W, 3), with boxes as `answers.run` gives them, as a PNG; the best are on top."""
    colours = dict(zip(labels, palette(labels).tolist(), strict=True))
    whole = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(whole)
    size = int(np.clip(max(image.shape[:2]) // 40, _LEAST_TEXT, _MOST_TEXT))
    font = ImageFont.load_default(size)
    line = max(1, size // 6)
    for one in reversed(boxes):
        colour = tuple(colours[one["label"]])
        left, top, right, bottom = one["box"]
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        name = printable(one["label"])
        name = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
        text = f"{name} {one['score']:.2f}"
        wide, high = font.getlength(text) + 4, size + 4
        x = max(0, min(left, image.shape[1] - wide))
        y = top - high if top >= high else top
        draw.rectangle((x, y, x + wide, y + high), fill=colour)
        light = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2] > 140
        draw.text((x + 2, y + 1), text, fill="black" if light else "white", font=font)
    content = io.BytesIO()
    whole.save(content, "PNG")
    return content.getvalue()
