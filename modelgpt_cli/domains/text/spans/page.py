"""A model of marked texts on a page: a box for the text. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.deployment.page import AnswerKind, Field
from modelgpt_cli.domains.text.spans.words import SHAPES, WORDS
from modelgpt_cli.domains.text.token_rows import IDS, MASK
from modelgpt_cli.runtime.session import TOKENIZER, Model

ANSWER: AnswerKind = "spans"
_READ = ("BertNormalizer", "BertPreTokenizer")
"""How the page cuts a text into words."""


def fields(model: Model) -> list[Field]:
    """Return the text's field.

    Raises
    ------
    ModelGPTError
        The model's tokenizer makes other words than BERT's.
    """
    made = parse_json(model.extras[TOKENIZER])
    steps = tuple((made.get(name) or {}).get("type", "none") for name in ("normalizer", "pre_tokenizer"))
    if steps != _READ:
        raise ModelGPTError(
            "A page can't cut texts into this model's words.",
            f"Its tokenizer has {' and '.join(steps)}; a page knows {' and '.join(_READ)}.",
            "Build it with the usual encoder: without --backbone.",
        )
    return [Field(one.column, "tokens", IDS, MASK) for one in model.inputs]


def answer(model: Model) -> Mapping[str, Any]:
    """Return what turns scores of tags into spans, and the inputs beside the field's."""
    decoding = model.metadata["decoding"]
    return {
        "words": WORDS,
        "shapes": SHAPES,
        "window": model.metadata["max_tokens"],
        "sharpness": decoding["sharpness"],
        "transitions": decoding["transitions"],
    }
