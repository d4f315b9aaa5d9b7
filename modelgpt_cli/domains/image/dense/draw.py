"""Masks as image files: a palette PNG of class indices, and an image with its mask drawn over it. Needs Pillow.

Shapes: H, W pixels, C classes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from modelgpt_cli.domains.image.dense.masks import IGNORE
from modelgpt_cli.domains.image.layout import printable

_SHADE = 0.55
"""How much of a drawn pixel is its class's colour."""
_FIRST = (
    (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75), (227, 119, 194),
    (188, 189, 34), (23, 190, 207), (255, 221, 51), (0, 0, 128), (0, 128, 0), (128, 0, 0), (170, 255, 195),
    (255, 215, 180), (128, 128, 128),
)  # fmt: skip
"""Colours that people tell apart; further ones are spread over the rest."""
_LEAST_TEXT, _MOST_TEXT = 11, 28
_BACKGROUND = ("background", "other", "unlabelled", "none")


def palette(labels: Sequence[str]) -> np.ndarray:
    """Return a colour for each class, uint8 (C, 3); a class called background is dark."""
    found = []
    for k, label in enumerate(labels):
        if label.lower() in _BACKGROUND:
            found.append((40, 40, 40))
        elif len(labels) <= len(_FIRST):
            found.append(_FIRST[k % len(_FIRST)])
        else:
            found.append(_spread(k))
    return np.array(found, dtype=np.uint8)


def _spread(k: int) -> tuple[int, int, int]:
    """One of many colours, as PASCAL VOC spreads them: the bits of a number turn by turn over red, green and blue."""
    parts, rest = [0, 0, 0], k + 1
    for shift in range(7, -1, -1):
        for channel in range(3):
            parts[channel] |= (rest >> channel & 1) << shift
        rest >>= 3
    red, green, blue = parts
    return red, green, blue


def mask_png(mask: np.ndarray, labels: Sequence[str]) -> bytes:
    """Return a mask, uint8 (H, W), as a PNG of class indices, with a palette of the classes' colours."""
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(labels)] = palette(labels)
    colours[IGNORE] = 255
    image = Image.fromarray(mask, "L")
    image.putpalette(colours.reshape(-1).tolist())
    return _png(image)


def drawn_png(image: np.ndarray, mask: np.ndarray, labels: Sequence[str]) -> bytes:
    """Return an image, uint8 (H, W, 3), with its mask drawn over it and the names of its classes below, as a PNG."""
    colours = palette(labels)
    over = image * (1 - _SHADE) + colours[mask] * _SHADE
    over[_edges(mask)] = 255
    height, width = mask.shape
    size = int(np.clip(max(height, width) // 32, _LEAST_TEXT, _MOST_TEXT))
    shares = np.bincount(mask.reshape(-1), minlength=len(labels)) / mask.size
    entries = [(colours[k], f"{_short(labels[k])} {_percent(shares[k])}") for k in np.argsort(-shares) if shares[k]]
    legend = _legend(entries, max(width, 12 * size), size)
    whole = Image.new("RGB", (legend.width, height + legend.height), "white")
    whole.paste(Image.fromarray(over.round().astype(np.uint8)), (0, 0))
    whole.paste(legend, (0, height))
    return _png(whole)


def _short(label: str) -> str:
    label = printable(label)
    return label if len(label) <= 30 else f"{label[:29]}…"


def _percent(share: float) -> str:
    return "< 1 %" if share < 0.005 else f"{100 * share:.0f} %"


def _edges(mask: np.ndarray) -> np.ndarray:
    """Where another class begins to the right or below, bool (H, W)."""
    found = np.zeros(mask.shape, bool)
    found[:, :-1] |= mask[:, 1:] != mask[:, :-1]
    found[:-1] |= mask[1:] != mask[:-1]
    return found


def _legend(entries: Sequence[tuple[np.ndarray, str]], width: int, size: int) -> Image.Image:
    """Squares of colour with names, in lines of a width."""
    font = ImageFont.load_default(size)
    gap, x, line = size // 2, size // 2, 0
    placed = []
    for colour, text in entries:
        wide = size + gap + round(font.getlength(text)) + 2 * gap
        if x > gap and x + wide > width:
            x, line = gap, line + 1
        placed.append((x, line, colour, text))
        x += wide
    high = round(size * 1.6)
    found = Image.new("RGB", (width, (line + 1) * high + gap), "white")
    draw = ImageDraw.Draw(found)
    for x, line, colour, text in placed:
        top = line * high + gap
        draw.rectangle((x, top, x + size, top + size), fill=tuple(colour.tolist()))
        draw.text((x + size + gap, top + size / 2), text, fill="black", font=font, anchor="lm")
    return found


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
