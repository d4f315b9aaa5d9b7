"""Detection on a page: an image with its boxes drawn over it. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.deployment.page import AnswerKind
from modelgpt_cli.domains.image.page import fields
from modelgpt_cli.runtime.session import Model

__all__ = ["ANSWER", "answer", "fields"]
ANSWER: AnswerKind = "boxes"


def answer(model: Model) -> Mapping[str, Any]:
    """Return the score from which on boxes are shown."""
    return {"least_score": model.metadata["decoding"]["shown"]}
