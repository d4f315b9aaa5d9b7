"""An image model on a page: an image that is dropped, chosen, or of a camera. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.deployment.page import Field
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.runtime.session import Model

ANSWER = None


def fields(model: Model) -> list[Field]:
    """Return the one field, an image."""
    return [Field(IMAGE, "pixels", IMAGE)]


def answer(model: Model) -> Mapping[str, Any]:
    """Return nothing more."""
    return {}
