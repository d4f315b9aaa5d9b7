"""A segmentation on a page: an image with its mask drawn over it. Follows `deployment.page.Page`."""

from __future__ import annotations

from modelgpt_cli.deployment.page import AnswerKind
from modelgpt_cli.domains.image.page import answer, fields

__all__ = ["ANSWER", "answer", "fields"]
ANSWER: AnswerKind = "mask"
