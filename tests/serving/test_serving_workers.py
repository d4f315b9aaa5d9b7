"""Several processes behind one that takes requests: what dies loses nothing. The processes are tasks of this one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.guard import App, Guard
from modelgpt_cli.serving.metrics import Metrics
from modelgpt_cli.serving.workers import Relay, answer_messages


class Crew:
    """What begins workers, and can kill them."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.members: list[Member] = []

    def begin(self, connection: socket.socket) -> Member:
        self.members.append(Member(self.app, connection.dup()))
        return self.members[-1]


class Member:
    """A worker that is a task."""

    def __init__(self, app: App, connection: socket.socket) -> None:
        self.pid, self.exitcode = None, -9
        self.had: list[str] = []
        self._app = app
        self._task = asyncio.create_task(self._work(connection))

    async def _work(self, connection: socket.socket) -> None:
        reader, self._writer = await asyncio.open_connection(sock=connection)

        async def noted(scope: Any, receive: Any, send: Any) -> None:
            scope["worker"] = self
            self.had.append(scope["path"])
            await self._app(scope, receive, send)

        await answer_messages(noted, reader, self._writer)

    def kill(self) -> None:
        self._writer.transport.abort()

    def join(self, timeout: float | None = None) -> None:
        pass


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body, after a while."""
    body = (await receive())["body"]
    scope["state"] |= {"model": "m", "rows": 2}
    await asyncio.sleep(0.02)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-path", scope["path"].encode())]})
    await send({"type": "http.response.body", "body": body})


Ask = Callable[..., Awaitable[tuple[int, bytes]]]


def serving(app: App, use: Callable[[Ask, Crew], Awaitable[None]], **options: Any) -> Metrics:
    """Use a server of two workers."""
    chosen = ServeOptions(**{"workers": 2, **options})
    crew = Crew(app)

    async def run() -> Metrics:
        metrics = Metrics(lambda: relay.taken)
        relay = Relay(crew.begin, chosen, metrics)
        guard = Guard(relay, chosen, metrics)

        async def ask(path: str, body: bytes = b"") -> tuple[int, bytes]:
            found: list[Any] = []
            scope = {"type": "http", "method": "POST", "path": path, "headers": []}

            async def receive() -> Any:
                return {"type": "http.request", "body": body}

            async def send(message: Any) -> None:
                found.append(message)

            await guard(scope, receive, send)
            return found[0]["status"], found[1]["body"]

        async with relay.running():
            await use(ask, crew)
        return metrics

    return asyncio.run(run())


def test_requests_of_a_worker_that_dies_are_answered_by_another() -> None:
    async def use(ask: Ask, crew: Crew) -> None:
        await ask("/warm")
        asked = [asyncio.ensure_future(ask(f"/{k}", b"%d" % k)) for k in range(20)]
        await asyncio.sleep(0.01)
        killed = max(crew.members, key=lambda one: len(one.had))
        held = len(killed.had)
        assert held > 5
        killed.kill()
        assert await asyncio.gather(*asked) == [(200, b"%d" % k) for k in range(20)]
        assert sum(len(one.had) for one in crew.members if one is not killed) >= 20
        while len(crew.members) < 3:  # another takes its place
            await asyncio.sleep(0.01)

    text = serving(echo, use).render().decode()
    assert 'modelgpt_requests_total{model="m",status="200"} 21.0' in text
    assert 'modelgpt_rows_total{model="m"} 42.0' in text


def test_what_kills_two_workers_is_given_to_no_third() -> None:
    async def poison(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/poison":
            scope["worker"].kill()
            await asyncio.sleep(5)
        await echo(scope, receive, send)

    async def use(ask: Ask, crew: Crew) -> None:
        while not all(member.had for member in crew.members[:2]) or len(crew.members) < 2:
            await asyncio.gather(*(ask("/warm") for _ in range(4)))
        status, body = await ask("/poison")
        assert (status, json.loads(body)["error"]) == (500, "The server has failed at this request.")
        assert sum(one.had.count("/poison") for one in crew.members) == 2
        assert await ask("/after", b"1") == (200, b"1")  # by those that took their place

    serving(poison, use)


def test_what_takes_too_long_is_given_up_by_the_worker() -> None:
    ended: list[str] = []

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise

    async def use(ask: Ask, crew: Crew) -> None:
        status, body = await ask("/slow")
        assert status == 504, body
        for _ in range(200):
            await asyncio.sleep(0.01)
            if ended:
                break

    serving(slow, use, timeout=0.2)
    assert ended == ["/slow"]


def test_more_than_may_wait_are_refused_and_slips_are_answers(capsys: pytest.CaptureFixture[str]) -> None:
    async def slip(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.02)
        raise ZeroDivisionError("a slip")

    async def use(ask: Ask, crew: Crew) -> None:
        statuses = [status for status, _ in await asyncio.gather(*(ask("/predict") for _ in range(5)))]
        assert sorted(statuses) == [500, 500, 500, 503, 503]

    serving(slip, use, max_waiting=3)
