"""What a client gets to read when something goes wrong: an HTTP status, and the words that the command line has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError

UNPROCESSABLE = 422
"""The status of all errors of the rooms below: a request that can be read, and asks for what can't be had."""


class RequestError(ModelGPTError):
    """A request can't be answered.

    Parameters
    ----------
    status : int
        The HTTP status.
    retry_after : int, optional
        Seconds after which the client may ask again.
    """

    def __init__(
        self, status: int, problem: str, cause: str = "", hint: str = "", *, retry_after: int | None = None
    ) -> None:
        super().__init__(problem, cause, hint)
        self.status = status
        self.retry_after = retry_after


def overloaded() -> RequestError:
    """Make the error for a request that the server has no room for."""
    return RequestError(
        503,
        "The server has no room for this request.",
        "As many as it holds are waiting (--max-waiting, --max-body).",
        "Ask again in a second.",
        retry_after=1,
    )


def status_of(error: ModelGPTError) -> int:
    """Return the HTTP status of an error."""
    return error.status if isinstance(error, RequestError) else UNPROCESSABLE


def told(error: ModelGPTError, path: Path | None = None) -> Mapping[str, Any]:
    """Return what a client is told; where the model's file lies on the server is left out."""
    parts = {"error": error.problem, "cause": error.cause, "hint": error.hint}
    if path is not None:
        parts = {name: text.replace(str(path), path.name) for name, text in parts.items()}
    return {name: text for name, text in parts.items() if text}
