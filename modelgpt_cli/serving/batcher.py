"""Micro-batching: requests that arrive together are scored together, and no more wait than there is room for.

Runs in the event loop; the scoring itself runs in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from modelgpt_cli.serving.errors import RequestError, overloaded
from modelgpt_cli.serving.jobs import Job, RowsJob, Scored, can_join

_SHORT = 0.05
"""Seconds of a batch that leaves no room for a second one beside it: short batches mostly hold Python's lock, and while
one runs the next grows, which costs less a row. Of Adult's 14 columns 200 connections got a third more answers so."""


class Room:
    """What all models of a process share: how many requests may wait, and how many batches may run.

    Parameters
    ----------
    most : int
        Requests that may wait or run.
    jobs : int
        Batches that may run at a time.
    """

    def __init__(self, most: int, jobs: int) -> None:
        self.most = most
        self.taken = 0
        self.slots = asyncio.Semaphore(jobs)


@dataclass
class _Waiting:
    job: Job
    answer: asyncio.Future[Scored]
    arrived: float


class Batcher:
    """Hands the requests of one model to a thread, batch by batch.

    Parameters
    ----------
    score : callable
        Scores the requests of a batch, in a thread: `jobs.score_jobs` with the model that is served at the time.
    room : Room
    threads : Executor
    wait : float
        Seconds to wait after a request for others.
    most_rows : int
        Rows in a batch of several requests, at most.
    """

    def __init__(
        self,
        score: Callable[[Sequence[Job]], list[Scored | Exception]],
        room: Room,
        threads: Executor,
        *,
        wait: float,
        most_rows: int,
    ) -> None:
        self._score, self._room, self._threads = score, room, threads
        self._wait, self._most = wait, most_rows
        self._queue: list[_Waiting] = []
        self._dispatcher: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._last = 0.0  # seconds of the last batch

    async def submit(self, job: Job) -> Scored:
        """Score a request once its turn has come.

        Raises
        ------
        RequestError
            There is no room for it.
        ModelGPTError
            Its rows can't be scored.
        """
        if self._room.taken >= self._room.most:
            raise overloaded()
        loop = asyncio.get_running_loop()
        waiting = _Waiting(job, loop.create_future(), loop.time())
        self._room.taken += 1
        self._queue.append(waiting)
        if self._dispatcher is None:
            self._dispatcher = loop.create_task(self._dispatch())
        try:
            return await waiting.answer
        finally:
            self._room.taken -= 1

    async def _dispatch(self) -> None:
        """Start batches until nothing waits."""
        loop = asyncio.get_running_loop()
        try:
            while self._queue:
                first = self._queue[0]
                left = first.arrived + self._wait - loop.time()
                if left > 0 and isinstance(first.job, RowsJob) and sum(w.job.rows for w in self._queue) < self._most:
                    await asyncio.sleep(left)
                while isinstance(first.job, RowsJob) and self._running and self._last < _SHORT:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                await self._room.slots.acquire()
                batch = self._take()
                if not batch:
                    self._room.slots.release()
                    continue
                task = loop.create_task(self._run(batch))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            self._dispatcher = None

    def _take(self) -> list[_Waiting]:
        """Take the request that has waited longest, and those that can be scored with it."""
        self._queue = [waiting for waiting in self._queue if not waiting.answer.done()]  # whoever asked may have left
        if not self._queue:
            return []
        first, *others = self._queue
        batch, rows = [first], first.job.rows
        if not isinstance(first.job, RowsJob) or first.job.kinds is None:
            self._queue = others
            return batch
        kinds = dict(first.job.kinds)
        left: list[_Waiting] = []
        for waiting in others:
            job = waiting.job
            fits = isinstance(job, RowsJob) and rows + job.rows <= self._most
            if isinstance(job, RowsJob) and fits and can_join(job, kinds):
                batch.append(waiting)
                rows += job.rows
                kinds.update((name, kind) for name, kind in (job.kinds or {}).items() if kind)
            else:
                left.append(waiting)
        self._queue = left
        return batch

    async def _run(self, batch: Sequence[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            jobs = [waiting.job for waiting in batch]
            found = await loop.run_in_executor(self._threads, self._score, jobs)
            self._last = loop.time() - start
            for waiting, answer in zip(batch, found, strict=True):
                if waiting.answer.done():
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)
        except BaseException as error:
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(_failed(error))
            if not isinstance(error, Exception):
                raise
        finally:
            self._room.slots.release()


def _failed(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RequestError(503, "The server is stopping.", retry_after=1)
