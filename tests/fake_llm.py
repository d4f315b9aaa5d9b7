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
    headers: dict[str, str] = field(default_factory=dict)
    """More of them."""
    refuse: tuple[str, ...] = ()
    """Answer 400 instead, without using this reply up, as long as the request has one of these parameters."""
    plain: bool = False
    """Answer in one piece, even where a stream is asked for."""
    pause: float = 0.0
    """Seconds between two events of a stream."""
    break_off: int | None = None
    """Close the connection after so many events of a stream."""


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


def answer(content: str | None, *, finish: str = "stop", model: str | None = None, **extra: Any) -> Reply:
    """Reply with a chat message that has this text, whatever it is; by the model that is asked, unless by another."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": finish, "message": message}
    body = {"id": "chat-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice]}
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
        self.models: list[str] = []
        """What its list of models names."""
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
            for name in reply.refuse:
                if name in request.body or (name == "maxItems" and name in request.raw):
                    return fault(400, f"Unknown parameter: '{name}'.")
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
                body = answer(reply.write(asked)).body if reply.write else reply.body
                events = _events(body, asked.body) if reply.status == 200 and not reply.plain else []
                kind = "text/event-stream" if events else reply.content_type
                data = body.replace('"model": null', f'"model": {json.dumps(asked.body.get("model"))}').encode()
                try:
                    self.send_response(reply.status)
                    self.send_header("content-type", kind)
                    if not events:
                        self.send_header("content-length", str(len(data)))
                    self.send_header("retry-after-ms", "10")  # keeps the client's back-off short
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for event in events[: reply.break_off]:
                        self.wfile.write(event)
                        self.wfile.flush()
                        if reply.pause and fake._closing.wait(reply.pause):
                            return
                    self.wfile.write(b"" if events else data)
                    self.close_connection = self.close_connection or bool(events)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting: that is what a delay is for

            def do_GET(self) -> None:
                listed = {"object": "list", "data": [{"id": name, "object": "model"} for name in fake.models]}
                data = json.dumps(listed).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

        return Handler


def _events(body: str, asked: dict[str, Any]) -> list[bytes]:
    """The same answer as a stream, where one was asked for: some letters an event, and the usage at the end."""
    try:
        whole = json.loads(body)
        (choice,) = whole["choices"]
        text = choice["message"]["content"]
    except (ValueError, KeyError, TypeError):
        return []
    if not asked.get("stream"):
        return []
    frame = {"id": "chat-1", "object": "chat.completion.chunk", "created": 1, "model": whole["model"] or asked["model"]}
    pieces = [text[i : i + 1000] for i in range(0, len(text), 1000)] if text else []
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]})
    events = [{**frame, "choices": [one]} for one in choices]
    if "usage" in whole:
        events.append({**frame, "choices": [], "usage": whole["usage"]})
    return [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
