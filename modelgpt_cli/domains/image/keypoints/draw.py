"""Images with their points, edges and names drawn over them. Needs Pillow.

Shapes: H, W pixels, K points.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modelgpt_cli.domains.image.dense.draw import palette
from modelgpt_cli.domains.image.layout import printable

Box: TypeAlias = tuple[float, float, float, float]
_LEAST_SIDE = 480
"""A smaller image is drawn larger, so that names can be read."""
_UNSURE = 0.5
"""A point whose score is lower is drawn hollow."""
_LEAST_TEXT, _MOST_TEXT = 10, 24
_MOST_NAMED = 40
"""Of more points, numbers stand for the names."""


def drawn_png(
    image: np.ndarray, points: np.ndarray, names: Sequence[str], edges: Sequence[Sequence[int]] = ()
) -> bytes:
    """Return an image, uint8 (H, W, 3), with its points (K, 3) drawn over it, as a PNG; unsure ones are hollow."""
    height, width = image.shape[:2]
    times = max(1, -(-_LEAST_SIDE // max(height, width)))
    whole = Image.fromarray(image).resize((width * times, height * times), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(whole)
    side = max(whole.size)
    radius, line = max(3, side // 120), max(1, side // 320)
    font = ImageFont.load_default(int(np.clip(side // 45, _LEAST_TEXT, _MOST_TEXT)))
    colours = [tuple(colour.tolist()) for colour in palette([f"point {k}" for k in range(len(names))])]
    places = [(float(x) * times, float(y) * times) for x, y in points[:, :2]]
    for first, second in edges:
        draw.line((*places[first], *places[second]), fill="white", width=line + 2)
        draw.line((*places[first], *places[second]), fill=colours[first], width=line)
    for k, (x, y) in enumerate(places):
        box = (x - radius, y - radius, x + radius, y + radius)
        sure = points[k, 2] >= _UNSURE
        draw.ellipse(box, fill=colours[k] if sure else None, outline="white" if sure else colours[k], width=line + 1)
    taken = [(x - radius, y - radius, x + radius, y + radius) for x, y in places]
    for k, place in enumerate(places):
        text = printable(names[k])[:30] if len(names) <= _MOST_NAMED else str(k + 1)
        at, anchor = _beside(draw, place, text, font, radius + 3, whole.size, taken)
        draw.text(at, text, fill="white", font=font, anchor=anchor, stroke_width=2, stroke_fill=(20, 20, 20))
    content = io.BytesIO()
    whole.save(content, "PNG")
    return content.getvalue()


def _beside(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    font: Any,
    gap: int,
    size: tuple[int, int],
    taken: list[Box],
) -> tuple[tuple[float, float], str]:
    """Where a point's name is written, and how it is anchored: beside it where the least is covered."""
    x, y = place
    choices: list[tuple[tuple[float, float], str]] = [((x + gap, y), "lm"), ((x - gap, y), "rm")]
    choices += [((x, y - gap), "mb"), ((x, y + gap), "mt"), ((x + gap, y + gap), "lt"), ((x - gap, y - gap), "rb")]
    boxes = [draw.textbbox(at, text, font=font, anchor=anchor) for at, anchor in choices]
    covered = [sum(_common(box, other) for other in taken) + _outside(box, size) for box in boxes]
    best = covered.index(min(covered))
    taken.append(boxes[best])
    return choices[best]


def _common(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(wide, 0) * max(high, 0)


def _outside(box: Box, size: tuple[int, int]) -> float:
    """The area of a box that lies outside of an image."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _common(box, (0, 0, *size))
