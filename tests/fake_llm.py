"""A fake LLM: a real HTTP server that speaks Chat Completions, with scripted answers, faults and delays.

    with FakeLLM(sentence("Classify each iris flower …"), fault(429)) as llm:
        describe(..., base_url=llm.url, api_key="sk-test")
    assert len(llm.requests) == 2

The last reply is repeated when the script is at its end. `llm.requests` records what arrived.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One scripted reply."""

    status: int = 200
    body: str = ""
    delay: float = 0.0
    """Seconds before it comes."""
    hang_up: bool = False
    """Close the connection without a word."""
    content_type: str = "application/json"
    refuse_schema: bool = False
    """Answer 400 instead, without using this reply up, as long as the request has a response_format."""
    write: Callable[[Request], str] | None = None
    """What the model says, made from what it was asked; instead of `body`."""


@dataclass
class Request:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    """By lower-case name."""
    raw: str
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat messages."""
        messages: list[dict[str, str]] = self.body["messages"]
        return messages


def answer(content: str | None, **extra: Any) -> Reply:
    """Reply with a chat message that has this text, whatever it is."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    body = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": "fake", "choices": [choice]}
    return Reply(body=json.dumps(body), **extra)


def sentence(text: str, **extra: Any) -> Reply:
    """Reply with a well-formed answer: the schema's JSON holding `text`."""
    return answer(json.dumps({"requirement": text}), **extra)


def fault(status: int, message: str = "scripted fault", **extra: Any) -> Reply:
    """Reply with an HTTP error."""
    return Reply(status=status, body=json.dumps({"error": {"message": message, "type": "fake"}}), **extra)


class FakeLLM:
    """The server; use it in a ``with`` statement."""

    def __init__(self, *replies: Reply) -> None:
        self.requests: list[Request] = []
        self._replies = list(replies)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Base URL, as OPENAI_BASE_URL wants it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> FakeLLM:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next(self, request: Request) -> Reply:
        with self._lock:
            self.requests.append(request)
            reply = self._replies[0]
            if reply.refuse_schema and "response_format" in request.body:
                return fault(400, "response_format json_schema is not supported")
            if len(self._replies) > 1:
                self._replies.pop(0)
            return reply

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = fake._next(Request(self.path, headers, raw, json.loads(raw)))
                if reply.delay and fake._closing.wait(reply.delay):
                    return
                if reply.hang_up:
                    self.close_connection = True
                    return
                asked = fake.requests[-1]
                data = (answer(reply.write(asked)).body if reply.write else reply.body).encode()
                try:
                    self.send_response(reply.status)
                    self.send_header("content-type", reply.content_type)
                    self.send_header("content-length", str(len(data)))
                    self.send_header("retry-after-ms", "10")  # keeps the client's back-off short
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting: that is what a delay is for

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

        return Handler
