"""A text model on a page: a box for the text, or two for a pair. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.deployment.page import Field
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS
from modelgpt_cli.runtime.session import Model

ANSWER = None


def fields(model: Model) -> list[Field]:
    """Return a field for each text."""
    segments = SEGMENTS if len(model.inputs) == 2 else ""
    return [Field(one.column, "tokens", IDS, MASK, segments) for one in model.inputs]


def answer(model: Model) -> Mapping[str, Any]:
    """Return nothing more."""
    return {}
