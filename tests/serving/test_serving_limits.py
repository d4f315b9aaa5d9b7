"""What a server refuses: keys, sizes, slow clients, too many at once; and what it counts and logs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_server import GOOD, client, fruit_model

from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.app import make_app
from modelgpt_cli.serving.jobs import Job, Scored
from modelgpt_cli.serving.models import Models


@pytest.fixture(scope="module")
def fruit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fruit_model(tmp_path_factory.mktemp("fruit") / "fruit.onnx")


def test_a_key_is_asked_for_but_by_health(fruit: Path) -> None:
    with client(fruit, api_key="s3cret") as server:
        for headers in ({}, {"X-API-Key": "s3cre"}, {"Authorization": "Basic s3cret"}, {"X-API-Key": "é"}):
            reply = server.post("/predict", json=GOOD, headers={k: v.encode() for k, v in headers.items()})
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
            assert "s3cret" not in reply.text
        assert server.get("/").status_code == server.get("/metrics").status_code == 401
        for headers in ({"X-API-Key": "s3cret"}, {"Authorization": "Bearer s3cret"}):
            assert server.post("/predict", json=GOOD, headers=headers).status_code == 200
        assert server.get("/v2/health/live").status_code == server.get("/v2/health/ready").status_code == 200


def test_large_bodies_are_refused_before_and_while_they_arrive(fruit: Path) -> None:
    with client(fruit, max_body=0.001) as server:
        assert server.post("/predict", json=GOOD).status_code == 200
        told = server.post("/predict", json=[GOOD] * 100)
        assert (told.status_code, told.json()["error"]) == (413, "The body is larger than 0.001 MB.")

        def parts() -> Any:
            yield from (b"[" + b" " * 400 for _ in range(10))

        untold = server.post("/predict", content=parts(), headers={"Content-Type": "application/json"})
        assert untold.status_code == 413
        form = server.post("/predict", files={"file": ("a.csv", b"size\n" + b"1\n" * 2000)})
        assert form.status_code == 413
        assert server.post("/predict", json=GOOD).status_code == 200


def ask(app: Any, body: Sequence[bytes], *, pause: float = 0.0, path: str = "/predict") -> tuple[int, Any]:
    """Send a body in parts with pauses, straight into the application."""
    sent: list[Any] = []

    async def run() -> None:
        parts = list(body)

        async def receive() -> Any:
            if pause and len(parts) < len(body):
                await asyncio.sleep(pause)
            part = parts.pop(0) if parts else b""
            return {"type": "http.request", "body": part, "more_body": bool(parts)}

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json")]
        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "path": path}
        scope |= {"raw_path": path.encode(), "root_path": "", "query_string": b"", "headers": headers, "scheme": "http"}
        await app({**scope, "client": ("1.2.3.4", 5), "server": ("testserver", 80)}, receive, send)

    asyncio.run(run())
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_slow_body_and_a_slow_answer_end_in_time(fruit: Path) -> None:
    models = Models.load({"fruit": fruit})
    status, reply = ask(make_app(models, ServeOptions(timeout=0.2)), [b"{", b'"size": 1}'], pause=5)
    assert (status, reply["error"]) == (408, "The body did not arrive within 0.2 seconds.")
    served = models.get("fruit")
    assert served is not None
    go = threading.Event()

    def wait(jobs: Sequence[Job]) -> list[Scored | Exception]:
        go.wait(20)
        raise RuntimeError("nobody waits for it any more")

    served.score = wait  # type: ignore[method-assign]
    try:
        status, reply = ask(make_app(models, ServeOptions(timeout=0.2)), [json.dumps(GOOD).encode()])
    finally:
        go.set()
    assert (status, reply["error"]) == (504, "No answer within 0.2 seconds.")


def test_overload_is_told_at_once(fruit: Path) -> None:
    models = Models.load({"fruit": fruit})
    served = models.get("fruit")
    assert served is not None
    begun, go, score = threading.Event(), threading.Event(), served.score

    def wait(jobs: Sequence[Job]) -> list[Scored | Exception]:
        begun.set()
        go.wait(20)
        return score(jobs)

    served.score = wait  # type: ignore[method-assign]
    app = make_app(models, ServeOptions(max_waiting=1, batch_ms=0.0))
    from fastapi.testclient import TestClient

    with TestClient(app) as server:  # type: ignore[arg-type]
        found: list[int] = []
        first = threading.Thread(target=lambda: found.append(server.post("/predict", json=GOOD).status_code))
        first.start()
        assert begun.wait(20)
        reply = server.post("/predict", json=GOOD)
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert server.get("/v2/health/live").status_code == 200
        go.set()
        first.join(20)
        assert found == [200]


def test_what_fails_unexpectedly_is_one_line(fruit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models.load({"fruit": fruit})
    served = models.get("fruit")
    assert served is not None
    monkeypatch.setattr(served, "score", lambda jobs: [ZeroDivisionError("a slip") for _ in jobs])
    status, reply = ask(make_app(models, ServeOptions()), [json.dumps(GOOD).encode()])
    assert (status, reply["error"]) == (500, "The server has failed at this request.")


def test_requests_are_counted_and_logged(fruit: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with client(fruit) as server:
        server.post("/predict", json=[GOOD, GOOD])
        server.post("/predict", content=b"{", headers={"Content-Type": "application/json"})
        text = server.get("/metrics").text
    for line in (
        'modelgpt_requests_total{model="fruit",status="200"} 1.0',
        'modelgpt_errors_total{model="fruit",status="400"} 1.0',
        'modelgpt_rows_total{model="fruit"} 2.0',
        'modelgpt_request_seconds_count{model="fruit"} 2.0',
    ):
        assert line in text
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    first = next(line for line in lines if line["message"] == "request")
    assert (first["method"], first["path"], first["status"], first["model"], first["rows"]) == (
        "POST", "/predict", 200, "fruit", 2,
    )  # fmt: skip
    with client(fruit, log_level="warning") as server:
        server.post("/predict", json=GOOD)
    assert not capsys.readouterr().err
