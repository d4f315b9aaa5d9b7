"""Images with their points, edges and names drawn over them. Needs Pillow.

Shapes: H, W pixels, K points.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modelgpt_cli.domains.image.dense.draw import palette
from modelgpt_cli.domains.image.layout import printable

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
        text = printable(names[k])[:30] if len(names) <= _MOST_NAMED else str(k + 1)
        draw.text(
            (x + radius + 2, y), text, fill="white", font=font, anchor="lm", stroke_width=2, stroke_fill=(20, 20, 20)
        )
    content = io.BytesIO()
    whole.save(content, "PNG")
    return content.getvalue()
