"""Tokens and what they cost: as the server counts them, or estimated before anything is sent."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_WORD = re.compile("[A-Za-z\u00c0-\u024f]+")
_SHORT = 6
"""Letters of a word that is one token, on average."""
_WEIGHTS: tuple[tuple[re.Pattern[str], float], ...] = (
    (_WORD, 0.92),
    (re.compile(r"\d+"), 2.3),
    (re.compile(r"[^\w\s]"), 0.6),
    (re.compile(r"\n\s*|  +"), 0.5),
    (re.compile("[\u00c0-\u024f]"), 1.2),
    (re.compile("[\u0370-\u05ff]"), 0.3),
    (re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7ff]"), 0.42),
    (re.compile("[\u0600-\u303f\U00010000-\U0010ffff]"), 1.45),
)
"""What a text has → tokens each: words, numbers, signs, breaks, accents, letters of other scripts. Least squares of the
tokens that o200k_base (GPT-4o) makes of the prompts, this documentation, requests in nine languages and rows in
JSON."""
_LONG = 0.52
"""Tokens of each further letter of a longer word."""
IMAGE_TOKENS, TILE_TOKENS, TILE = 85, 170, 512
"""An image counts as the first, and the second for each tile, of so many pixels a side, that it begins. That is how
some vision models count; others take less or several times as much."""
HOW = "by words, numbers and signs of the text; a model's own tokenizer counts otherwise"
HOW_IMAGES = f"{IMAGE_TOKENS} per image and {TILE_TOKENS} per tile of {TILE} pixels in it"
"""The estimate, for a person."""


@dataclass(frozen=True)
class Prices:
    """What a model costs, in US dollars per million tokens."""

    tokens_in: float
    tokens_out: float


@dataclass(frozen=True)
class Usage:
    """Tokens of one request, or of several."""

    tokens_in: int = 0
    tokens_out: int = 0
    estimated: bool = False
    """Whether any of it is an estimate, as the server did not say."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_in + other.tokens_in, self.tokens_out + other.tokens_out, self.estimated or other.estimated
        )

    def cost(self, prices: Prices | None) -> float | None:
        """US dollars; None where no prices are known."""
        if prices is None:
            return None
        return (self.tokens_in * prices.tokens_in + self.tokens_out * prices.tokens_out) / 1e6

    def words(self, prices: Prices | None = None) -> str:
        """For a person: "about 1,240 tokens in and 120 out, $0.0003"."""
        cost = self.cost(prices)
        text = f"{'about ' if self.estimated else ''}{self.tokens_in:,} tokens in and {self.tokens_out:,} out"
        return text if cost is None else f"{text}, {money(cost)}"


def money(dollars: float) -> str:
    """Say an amount of US dollars, however small."""
    if 0 < dollars < 0.0001:
        return "less than $0.0001"
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.4f}"


def estimate(request: Mapping[str, Any], tokens_out: int = 0) -> Usage:
    """Estimate what a request takes before it is sent: see `HOW`.

    Parameters
    ----------
    request : mapping
        The body of a Chat Completions request: messages and schema count.
    tokens_out : int
        What the answer will be, which the caller knows best.
    """
    schema = request.get("response_format")
    tokens = text_tokens(json.dumps(schema)) if schema else 0
    for message in request["messages"]:
        content = message["content"]
        if isinstance(content, str):
            tokens += text_tokens(content)
            continue
        for part in content:
            is_image = part["type"] == "image_url"
            tokens += image_tokens(part["image_url"]["url"]) if is_image else text_tokens(part["text"])
    return Usage(tokens, tokens_out, estimated=True)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text."""
    tokens = sum(weight * len(pattern.findall(text)) for pattern, weight in _WEIGHTS)
    tokens += _LONG * sum(max(0, len(word) - _SHORT) for word in _WORD.findall(text))
    return math.ceil(tokens)


def image_tokens(url: str) -> int:
    """Estimate the tokens of an image in a ``data:`` URL; of one that can't be read, as one tile."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
            width, height = image.size
    except (binascii.Error, UnidentifiedImageError, OSError):
        width = height = TILE
    tokens: int = IMAGE_TOKENS + TILE_TOKENS * math.ceil(width / TILE) * math.ceil(height / TILE)
    return tokens
