"""Key points on a page: an image with its points and edges drawn over it. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.deployment.page import AnswerKind
from modelgpt_cli.domains.image.page import fields
from modelgpt_cli.runtime.session import Model

__all__ = ["ANSWER", "answer", "fields"]
ANSWER: AnswerKind = "points"


def answer(model: Model) -> Mapping[str, Any]:
    """Return the edges, pairs of points."""
    return {"edges": model.metadata["decoding"]["points"].get("edges") or []}
