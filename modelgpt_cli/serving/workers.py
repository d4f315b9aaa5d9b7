"""Requests answered in several processes: one takes them all and hands each to a worker; a worker's death loses none.

uvicorn and `Guard` run in the process that takes requests. A worker has all models, and `app.make_routes`. The two talk
over a pair of sockets, where a message is its length and a pickle. To the worker: a number, a request's scope and its
body; no scope means that nobody waits for the number's answer any more. Back: the number, and the answer. The number 0
asks whether the worker is there; so it answers, also once it has loaded its models, and so it tells what it counts.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import pickle
import signal
import socket
import struct
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.errors import RequestError, overloaded
from modelgpt_cli.serving.guard import App, Message, Receive, Send, error_reply, foreseen
from modelgpt_cli.serving.metrics import Counts

logger = logging.getLogger("modelgpt.serve")
_LENGTH = struct.Struct("<Q")
_SCOPE = ("type", "asgi", "http_version", "server", "client", "scheme", "root_path", "headers", "method", "path",
          "raw_path", "query_string")  # fmt: skip
"""What a worker gets to know of a request."""
_TRIES = 2
"""Workers that a request is given to, one after the other, as each dies with it: what has killed two kills a third."""
_LOOK_SECONDS = 1.0
"""Between questions to a worker whether it is there; and before another is begun where one could not begin."""
_SILENT_SECONDS = 60
"""After which a worker that doesn't say so is ended. Its event loop does within a second, however long models run."""
_END_SECONDS = 5


class Reply(NamedTuple):
    """An answer, as a worker gives it."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    state: dict[str, Any]
    """What is counted and logged: the model, and how many rows."""


class WorkerLostError(Exception):
    """A worker died with a request."""


class Process(Protocol):
    """What `multiprocessing` knows of a worker."""

    @property
    def pid(self) -> int | None:
        """Its number, once it runs."""

    @property
    def exitcode(self) -> int | None:
        """How it ended; None while it runs."""

    def kill(self) -> None:
        """End it at once."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended."""


Begin = Callable[[socket.socket], Process]
"""Begins a worker at one end of a pair of sockets."""


class Relay:
    """The ASGI application of the process that takes requests.

    Parameters
    ----------
    begin : callable
    options : ServeOptions
    counts : Counts

    Attributes
    ----------
    taken : int
        Requests that wait or run.
    """

    def __init__(self, begin: Begin, options: ServeOptions, counts: Counts) -> None:
        self.taken = 0
        self._begin, self._options, self._counts = begin, options, counts
        self._workers: list[_Worker] = []
        self._some = asyncio.Event()
        self._numbers = itertools.count(1)
        self._lifespan = Router(lifespan=self.running)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Have a worker answer a request."""
        if scope["type"] != "http":
            await self._lifespan(scope, receive, send)
            return
        body = await Request(scope, receive).body()
        if self.taken >= self._options.max_waiting and scope["method"] == "POST":
            raise overloaded()
        self.taken += 1
        try:
            reply = await self._answered({name: scope[name] for name in _SCOPE if name in scope}, body)
        finally:
            self.taken -= 1
        scope["state"] |= reply.state
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": reply.body})

    async def _answered(self, scope: Mapping[str, Any], body: bytes) -> Reply:
        for _ in range(_TRIES):
            while not self._workers:
                self._some.clear()
                await self._some.wait()
            worker = min(self._workers, key=lambda one: len(one.asked))
            with suppress(WorkerLostError):
                return await worker.answer(next(self._numbers), scope, body)
        raise RequestError(
            500, "The server has failed at this request.", f"{_TRIES} processes died while they had it.", "See its log."
        )

    @asynccontextmanager
    async def running(self, _: object = None) -> AsyncIterator[None]:
        """Have workers in the meantime; a lifespan, as Starlette knows it."""
        tasks = [asyncio.create_task(self._keep_one()) for _ in range(self._options.workers)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep_one(self) -> None:
        """Have a worker, and another when it has died."""
        while True:
            try:
                worker = await _Worker.begin(self._begin)
            except OSError as error:
                logger.error("No process could be begun: %s", error)
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            try:
                await worker.listen(partial(self._welcome, worker), self._counts)
            finally:
                ready = worker in self._workers
                if ready:
                    self._workers.remove(worker)
                lost = worker.lose()
                await worker.end()
            logger.warning(
                "A process that answers has died; another takes its place, and others its requests.",
                extra={"pid": worker.process.pid, "exit": worker.process.exitcode, "requests": lost},
            )
            if not ready:
                await asyncio.sleep(_LOOK_SECONDS)

    def _welcome(self, worker: _Worker) -> None:
        self._workers.append(worker)
        self._some.set()


class _Worker:
    """A worker, as the process that takes requests sees it.

    Attributes
    ----------
    asked : dict
        Number → the answer to come.
    """

    def __init__(self, process: Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.process = process
        self.asked: dict[int, asyncio.Future[Reply]] = {}
        self._reader, self._writer = reader, writer
        self._silent_since = 0.0

    @classmethod
    async def begin(cls, begin: Begin) -> _Worker:
        """Begin a process."""
        own, other = socket.socketpair()
        with other:
            try:
                process = begin(other)
            except BaseException:
                own.close()
                raise
        return cls(process, *await asyncio.open_connection(sock=own))

    async def answer(self, number: int, scope: Mapping[str, Any], body: bytes) -> Reply:
        """Have a request answered.

        Raises
        ------
        WorkerLostError
            The worker died before it had.
        """
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.asked[number] = answer
        self._writer.write(_packed(number, scope, body))
        try:
            return await answer
        except asyncio.CancelledError:
            self._writer.write(_packed(number, None, b""))
            raise

    async def listen(self, ready: Callable[[], object], counts: Counts) -> None:
        """Hand answers on until the worker is gone; call `ready` when it first speaks."""
        watching = None
        try:
            async for number, content in _messages(self._reader):
                if number:
                    answer = self.asked.pop(number)
                    if not answer.done():
                        answer.set_result(content)
                elif content:
                    getattr(counts, content[0])(*content[1:])
                elif watching is None:
                    watching = asyncio.create_task(self._watch())
                    ready()
                else:
                    self._silent_since = 0.0
        finally:
            if watching is not None:
                watching.cancel()

    async def _watch(self) -> None:
        """Ask again and again whether the worker is there; end one that is not."""
        now = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if not self._silent_since:
                self._silent_since = now()
                self._writer.write(_packed(0, None, b""))
            elif now() - self._silent_since > _SILENT_SECONDS:
                self.process.kill()

    def lose(self) -> int:
        """Tell those who wait for the worker that it is gone; return how many there are."""
        waiting = [answer for answer in self.asked.values() if not answer.done()]
        for answer in waiting:
            answer.set_exception(WorkerLostError())
        return len(waiting)

    async def end(self) -> None:
        """Close the connection, upon which a process ends, and see to it that it does."""
        self._writer.close()
        join = partial(asyncio.get_running_loop().run_in_executor, None, self.process.join)
        await join(_END_SECONDS)
        self.process.kill()
        await join()


def begin_process(named: Mapping[str, Path], options: ServeOptions) -> Begin:
    """Return what begins a worker that answers with some models, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")

    def begin(connection: socket.socket) -> Process:
        process = spawn.Process(target=work, args=(connection, named, options), daemon=True)
        process.start()
        return process

    return begin


def work(connection: socket.socket, named: Mapping[str, Path], options: ServeOptions) -> None:
    """Answer requests, as a process, until the one that takes them is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # which may go to all: what has been accepted is to be answered
        signal.signal(number, signal.SIG_IGN)
    from modelgpt_cli.serving.server import set_up_log

    set_up_log(options)
    try:
        _run(_answer_all(connection, named, options))
    except ModelGPTError as error:  # a file was replaced by one that can't be loaded
        logger.error("%s", error.problem, extra={"cause": error.cause})
        sys.exit(1)


def _run(main: Coroutine[Any, Any, None]) -> None:
    """Run in the event loop that uvicorn takes."""
    try:
        import uvloop
    except ImportError:  # there is none for Windows
        asyncio.run(main)
    else:
        uvloop.run(main)


async def _answer_all(connection: socket.socket, named: Mapping[str, Path], options: ServeOptions) -> None:
    from modelgpt_cli.serving.app import Server, make_routes
    from modelgpt_cli.serving.models import Models

    reader, writer = await asyncio.open_connection(sock=connection)
    server = Server(Models.load(named, options.threads), options, _Told(writer))
    async with server.running():
        await answer_messages(make_routes(server, bytes), reader, writer)


async def answer_messages(app: App, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Have an ASGI application answer what comes, until the other end is gone."""
    running: dict[int, asyncio.Task[Reply]] = {}

    def done(number: int, task: asyncio.Task[Reply]) -> None:
        del running[number]
        writer.write(_packed(number, None if task.cancelled() else task.result()))

    writer.write(_packed(0, None))
    async for number, scope, body in _messages(reader):
        if scope is not None:
            task = running[number] = asyncio.create_task(_answer(app, scope, body))
            task.add_done_callback(partial(done, number))
        elif number in running:
            running[number].cancel()
        elif not number:
            writer.write(_packed(0, None))


class _Told:
    """Counts that the process which takes requests keeps."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._loop, self._writer = asyncio.get_running_loop(), writer

    def _write(self, message: bytes) -> None:
        self._loop.call_soon_threadsafe(self._writer.write, message)

    def count_batch(self, model: str, requests: int) -> None:
        self._write(_packed(0, ("count_batch", model, requests)))

    def count_reload(self, model: str) -> None:
        self._write(_packed(0, ("count_reload", model)))


async def _answer(app: App, scope: dict[str, Any], body: bytes) -> Reply:
    """Have an ASGI application answer a request that is all there."""
    state = scope["state"] = {}
    coming: list[Message] = [{"type": "http.request", "body": body}]
    start: Message = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        if not coming:
            await asyncio.get_running_loop().create_future()  # nobody leaves but by the task's being cancelled
        return coming.pop()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    try:
        await app(scope, receive, send)
    except Exception as error:
        if not start:
            status, headers, content = error_reply(foreseen(error), path=state.get("file"))
            await Response(content, status, headers)(scope, receive, send)
    told = {name: state[name] for name in ("model", "rows") if name in state}
    return Reply(start["status"], list(start["headers"]), b"".join(parts), told)


def _packed(*message: Any) -> bytes:
    raw = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(raw)) + raw


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[Any]:
    """Yield messages until the other end is gone."""
    with suppress(asyncio.IncompleteReadError, ConnectionError):
        while True:
            (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
            yield pickle.loads(await reader.readexactly(length))
