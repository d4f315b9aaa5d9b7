"""The HTTP client under the LLM client: redirects are not followed, answers are bounded in time and size."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import openai

from modelgpt_cli.core.background import within
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.web import RefusedAnswerError, bounded

if TYPE_CHECKING:
    _Client: Any
else:
    _Client = openai.DefaultHttpxClient

# Versions of the LLM client differ in their HTTP library, and each tries again after the time-outs of its own alone.
_library: Any = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


class BoundedClient(_Client):  # type: ignore[misc]
    """Sends a request once, to its own host alone, and reads the whole answer.

    Parameters
    ----------
    seconds : float
        For the whole answer: a server that sends a byte now and then is given up, too.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(timeout=seconds, follow_redirects=False)
        self._seconds = seconds

    def send(self, request: Any, **options: Any) -> Any:
        """Return the answer, read and unpacked.

        Raises
        ------
        Exception
            The HTTP library's own for a time-out, where it takes longer.
        RefusedAnswerError
            It is too long, or nested too deeply to be JSON.
        """
        options |= {"stream": True, "follow_redirects": False}
        try:
            return within(self._seconds, lambda: self._whole(super(BoundedClient, self).send(request, **options)))
        except TimeoutError as error:
            raise _library.ReadTimeout(str(error), request=request) from error

    def _whole(self, answer: Any) -> Any:
        try:
            content = bounded(answer.iter_bytes())
        finally:
            answer.close()
        if "json" in answer.headers.get("content-type", ""):
            _check_depth(content)
        packed = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in packed]
        return type(answer)(answer.status_code, headers=headers, content=content, request=answer.request)


def _check_depth(content: bytes) -> None:
    """Refuse JSON that is nested too deeply; what is no JSON at all is told of by whoever reads it."""
    try:
        parse_json(content)
    except ValueError as error:
        if type(error) is ValueError:
            raise RefusedAnswerError(f"the answer can't be read: {error}") from None
