"""What a hostile or broken server can't do: get the key or the words sent to another host, take all time or memory."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from fake_llm import answer

from modelgpt_cli.core.checks import Check
from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.core.web import MAX_ANSWER_BYTES, same_host
from modelgpt_cli.llm.asking import BadAnswerError, read_object
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.runtime.doctor import check
from modelgpt_cli.sources.catalogue.hub import search_hub

Act = Callable[[BaseHTTPRequestHandler], None]
BOMB = gzip.compress(bytes(4 * MAX_ANSWER_BYTES))


class Server:
    """Where a server is, and which paths it was asked for, with which key."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


@contextmanager
def serving(act: Act) -> Iterator[Server]:
    """A server that does `act` whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.asked.append((self.path, self.headers.get("authorization")))
            self.rfile.read(int(self.headers.get("content-length", 0)))
            with suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
                act(self)

        def do_GET(self) -> None:
            self.do_POST()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    found = Server(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def replying(status: int, body: bytes = b"", **headers: str) -> Act:
    """Answer so."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"content-type": "application/json", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return act


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send a byte now and then, for ever: each read is in time, the whole never is."""
    handler.send_response(200)
    handler.send_header("content-type", "application/json")
    handler.end_headers()
    while True:
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def dripping_headers(handler: BaseHTTPRequestHandler) -> None:
    """The same before the answer has begun."""
    while True:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" if not handler.close_connection else b"x: y\r\n")
        handler.close_connection = True
        handler.wfile.flush()
        time.sleep(0.05)


def ask(server: Server, timeout: float = 5.0) -> str:
    llm = LLM("fake", server.url, "sk-hush", timeout=timeout, retries=0)
    return llm.ask({"model": "fake", "messages": [{"role": "user", "content": "secret rows"}]}).text


def llm_check(server: Server, timeout: float = 5.0) -> Check:
    return check(base_url=server.url, timeout=timeout)[-1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_to_another_host(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serving(replying(200, b"{}")) as thief:
        with serving(replying(status, location=f"http://127.0.0.1:{thief.port}/v1/chat")) as server:
            with pytest.raises(UnreachableError, match="sends requests on to another address"):
                ask(server)
            assert llm_check(server).status == "broken"
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
            with pytest.raises(UnreachableError, match="out of reach"):
                search_hub("flowers")
            assert len(server.asked) == 3
        assert thief.asked == []


def test_doctor_follows_a_redirect_on_the_same_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-hush")

    def act(handler: BaseHTTPRequestHandler) -> None:
        moved = handler.path.endswith("/models")
        replying(302 if moved else 200, b"{}", **({"location": "/v2/list"} if moved else {}))(handler)

    with serving(act) as server:
        assert llm_check(server).status == "ok"
        assert server.asked == [("/v1/models", "Bearer sk-hush"), ("/v2/list", "Bearer sk-hush")]


@pytest.mark.parametrize("act", [dripping, dripping_headers])
def test_the_time_limit_is_for_the_whole_answer(act: Act) -> None:
    with serving(act) as server:
        with pytest.raises(UnreachableError, match="gave no answer in time") as failed:
            ask(server, timeout=0.5)
        assert failed.value.exit_code == 4
        assert llm_check(server, timeout=0.5).status == "broken"


@pytest.mark.parametrize(
    "act",
    [
        replying(200, bytes(MAX_ANSWER_BYTES + 1)),
        replying(200, BOMB, content_encoding="gzip"),
        replying(500, BOMB, content_encoding="gzip"),
    ],
    ids=["long", "bomb", "bomb in an error"],
)
def test_an_answer_that_is_too_long_is_not_read(act: Act) -> None:
    with serving(act) as server, pytest.raises(UnreachableError, match="can't be read") as failed:
        ask(server)
    assert "more than 10,000,000 bytes" in failed.value.cause


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 200_000,
        b'{"choices":' * 50_000,
        b"[1, 2]",
        b"null",
        b"7",
        b'"x"',
        b'{"choices": 3}',
        b'{"choices": {"a": 1}}',
        b'{"choices": [null]}',
        b'{"choices": [{"message": 5}]}',
        b'{"choices": "abc"}',
        b"{" + b"\xff" * 50,
        b"not json",
    ],
    ids=range(13),
)
def test_answers_of_other_shapes_are_exit_4(body: bytes) -> None:
    with serving(replying(200, body)) as server, pytest.raises(UnreachableError) as failed:
        ask(server)
    assert failed.value.exit_code == 4


def test_a_gzipped_answer_is_read() -> None:
    body = gzip.compress(answer("hello").body.encode())
    with serving(replying(200, body, content_encoding="gzip")) as server:
        assert ask(server) == "hello"


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"a": 1}', b"[1]", b'[{"id": {"x": 1}, "tags": 3}]', b'[{"no": "id"}]', b"\xff", b""]
)
def test_odd_answers_of_a_hub_are_exit_4(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with serving(replying(200, body)) as server:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.port}")
        with pytest.raises(UnreachableError) as failed:
            search_hub("flowers")
    assert failed.value.exit_code == 4


@pytest.mark.parametrize("text", ['```json\n{"a": 1}\n```', ' ```\n{"a": 1}```\n', '{"a": 1}'])
def test_an_object_in_a_fence_or_without(text: str) -> None:
    assert read_object(text) == {"a": 1}


def test_a_long_answer_is_looked_at_once() -> None:
    start = time.process_time()
    with pytest.raises(BadAnswerError):
        read_object("```\n" + " " * 2_000_000 + "x")
    with pytest.raises(BadAnswerError):
        read_object("[" * 500_000)
    assert time.process_time() - start < 5  # seconds would be hours, were it quadratic


@pytest.mark.parametrize(
    ("url", "other", "same"),
    [
        ("http://a/x", "http://a/y", True),
        ("http://a/x", "https://a/y", True),
        ("https://a/x", "http://a/y", False),
        ("http://a/x", "http://a:8080/y", False),
        ("http://a/x", "http://b/x", False),
        ("http://a/x", "http://a.b/x", False),
        ("http://a/x", "http://a@b/x", False),
        ("http://a/x", "http://a:port/x", False),
        ("http://a/x", "file:///etc/passwd", False),
    ],
)
def test_what_the_same_host_is(url: str, other: str, same: bool) -> None:
    assert same_host(url, other) is same
