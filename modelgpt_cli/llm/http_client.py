"""The HTTP client under the LLM client: redirects are not followed, answers are bounded in time and size.

An answer that comes as a stream of events, word by word, is put together here: whoever asked sees one answer. So a
time-out counts silence, and a slow model that goes on writing is not given up.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import openai

from modelgpt_cli.core.background import unless_silent
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.web import RefusedAnswerError, bounded

if TYPE_CHECKING:
    _Client: Any
else:
    _Client = openai.DefaultHttpxClient

# Versions of the LLM client differ in their HTTP library, and each tries again after the time-outs of its own alone.
_library: Any = importlib.import_module(openai.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


_PATIENCE = 20
"""An answer may take so many times the time-out, as long as words keep coming."""


class BoundedClient(_Client):  # type: ignore[misc]  # one of two classes
    """Sends a request once, to its own host alone, and reads the whole answer.

    Parameters
    ----------
    seconds : float
        Of silence until a stream is given up; for the whole of any other answer. A server that sends a byte now and
        then is given up, too.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(timeout=seconds, follow_redirects=False)
        self._seconds = seconds

    def send(self, request: Any, **options: Any) -> Any:
        """Return the answer, read, unpacked and put together.

        Raises
        ------
        Exception
            The HTTP library's own for a time-out, where it takes longer; for a stream that breaks off.
        RefusedAnswerError
            It is too long, or nested too deeply to be JSON.
        """
        options |= {"stream": True, "follow_redirects": False}
        send = super().send

        def work(beat: Callable[[], None]) -> Any:
            return self._whole(send(request, **options), beat)

        try:
            return unless_silent(self._seconds, _PATIENCE * self._seconds, work)
        except TimeoutError as error:
            raise _library.ReadTimeout(str(error), request=request) from error

    def _whole(self, answer: Any, beat: Callable[[], None]) -> Any:
        kind = answer.headers.get("content-type", "")
        streamed = "event-stream" in kind and answer.status_code < 300
        try:
            content = bounded(_heard(answer.iter_bytes(), beat) if streamed else answer.iter_bytes())
        finally:
            answer.close()
        if "json" in kind:
            _check_depth(content)
        packed = ("content-encoding", "content-length", "transfer-encoding")
        headers = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in packed]
        status = answer.status_code
        if streamed:
            status, content = put_together(content, answer.request)
            headers = [*(pair for pair in headers if pair[0].lower() != "content-type"), ("content-type", _JSON)]
        return type(answer)(status, headers=headers, content=content, request=answer.request)


_JSON = "application/json"


def _heard(chunks: Iterable[bytes], beat: Callable[[], None]) -> Iterator[bytes]:
    """Give the chunks of a stream, each event a sign of life; comments, which keep a line open, are none."""
    for chunk in chunks:
        if b"data:" in chunk:
            beat()
        yield chunk


def put_together(content: bytes, request: Any = None) -> tuple[int, bytes]:
    """Make one answer of a stream of events: its status, and the body as it would have come in one piece.

    Raises
    ------
    Exception
        The HTTP library's own for a connection that broke off.
    RefusedAnswerError
        An event can't be read.
    """
    said: list[str] = []
    whole: dict[str, Any] = {}
    finish, ended = None, False
    for line in content.decode("utf-8", errors="replace").split("\n"):
        if not line.startswith("data:"):
            continue
        data = line[len("data:") :].strip()
        if data == "[DONE]":
            ended = True
            break
        event = _event(data)
        if event.get("error"):
            code = event["error"].get("code") if isinstance(event["error"], dict) else None
            status = code if isinstance(code, int) and 400 <= code < 600 else 500
            return status, json.dumps({"error": event["error"]}).encode()
        whole |= {key: event[key] for key in ("id", "model", "created", "usage") if event.get(key) is not None}
        choices = event.get("choices")
        for choice in choices if isinstance(choices, list) else []:
            delta = choice.get("delta") if isinstance(choice, dict) else None
            text = delta.get("content") if isinstance(delta, dict) else None
            said += [text] if isinstance(text, str) else []
            finish = (choice.get("finish_reason") if isinstance(choice, dict) else None) or finish
    if not ended and finish is None:
        raise _library.RemoteProtocolError("the answer broke off", request=request)
    message = {"role": "assistant", "content": "".join(said)}
    choice = {"index": 0, "finish_reason": finish or "stop", "message": message}
    frame = {"id": "", "object": "chat.completion", "created": 0, "model": ""}
    return 200, json.dumps({**frame, **whole, "choices": [choice]}).encode()


def _event(data: str) -> dict[str, Any]:
    try:
        event = parse_json(data)
    except ValueError as error:
        raise RefusedAnswerError(f"an event of its stream can't be read: {error}") from None
    return event if isinstance(event, dict) else {}


def _check_depth(content: bytes) -> None:
    """Refuse JSON that is nested too deeply; what is no JSON at all is told of by whoever reads it."""
    try:
        parse_json(content)
    except ValueError as error:
        if type(error) is ValueError:
            raise RefusedAnswerError(f"the answer can't be read: {error}") from None
