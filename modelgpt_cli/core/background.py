"""Work in a second thread while the caller goes on: reading, hashing and decoding leave Python's lock free."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TypeVar

T = TypeVar("T")


def begin(work: Callable[[], T]) -> Callable[[], T]:
    """Start `work` in a thread that dies with the process; what comes back waits for its result.

    What `work` raises is raised there, and nowhere if nobody asks.
    """
    future: Future[T] = Future()
    _start(work, future)
    return future.result


def _start(work: Callable[[], T], future: Future[T]) -> None:
    """Do `work` in a thread that dies with the process, for its result to be in `future`."""

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whatever it is, it belongs to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in a second thread while the caller works on the one before."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, items, None)
        while (item := upcoming.result()) is not None:
            upcoming = pool.submit(next, items, None)
            yield item


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return the result of `work`, unless it takes longer.

    Raises
    ------
    TimeoutError
        It does; it goes on in a thread that dies with the process, and its result is dropped.
    """
    future: Future[T] = Future()
    _start(work, future)
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        if future.done():  # `work` itself raised it
            raise
        raise TimeoutError(f"no complete answer within {seconds:g} seconds") from None


def unless_silent(seconds: float, most: float, work: Callable[[Callable[[], None]], T]) -> T:
    """Return the result of `work`, unless it is silent for too long, or takes longer in all.

    Parameters
    ----------
    seconds : float
        Of silence.
    most : float
        Seconds in all.
    work : callable
        Is given a function to call at each sign of life.

    Raises
    ------
    TimeoutError
        It is, or does; it goes on in a thread that dies with the process, and its result is dropped.
    """
    future: Future[T] = Future()
    begun = heard = time.monotonic()

    def beat() -> None:
        nonlocal heard
        heard = time.monotonic()

    _start(lambda: work(beat), future)
    while True:
        left = min(heard + seconds, begun + most) - time.monotonic()
        try:
            return future.result(max(left, 0.0))
        except FutureTimeoutError:
            if future.done():  # `work` itself raised it
                raise
            if min(heard + seconds, begun + most) <= time.monotonic():
                raise TimeoutError(f"silent for {seconds:g} seconds") from None
