"""Tokens and what they cost: as the server counts them, or estimated before anything is sent."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BYTES_PER_TOKEN = 4
"""Of UTF-8. Tokenizers differ: English has some four letters to a token, other scripts fewer, of two or three bytes."""
IMAGE_TOKENS, TILE_TOKENS, TILE = 85, 170, 512
"""An image counts as the first, and the second for each tile, of so many pixels a side, that it begins. That is how
some vision models count; others take less or several times as much."""
HOW = f"a token per {BYTES_PER_TOKEN} bytes of text"
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
    return math.ceil(len(text.encode("utf-8", errors="replace")) / BYTES_PER_TOKEN)


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
