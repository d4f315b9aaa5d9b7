"""Ctrl-C, SIGTERM and SIGHUP: each ends a command in order, with nothing of ours left behind, or else soon.

They are raised as a KeyboardInterrupt where the work stands, so that every ``finally`` does its part.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

from modelgpt_cli.core.temporary import remove_open

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask a process to end; Windows has no SIGHUP."""
_PATIENCE = 1.0
"""Seconds that a module may take to be loaded once the process is to end: loading torch takes several."""
_AGAIN = 0.05
_GRACE = 5.0
"""Seconds that the work may take to end once it is interrupted; it takes up to two. A signal that comes when a lock has
just been taken leaves it so, and then threads wait for good: seen in one of 16 interrupted predictions on busy CPUs."""


class EndedError(KeyboardInterrupt):
    """A signal asks the process to end."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.signum = signum


class _State:
    """What the handlers know."""

    process = 0
    """The one that they are for."""
    first = 0.0
    """When the first signal came that has not been raised yet."""
    leaving = False
    """Whether the work is over, and a signal has nothing to interrupt."""
    goes_on = False
    """Whether the work may go on after a Ctrl-C, in another way."""


def handle_signals() -> None:
    """Let each of `ENDING` raise `EndedError` in this process; what its parent has it ignore, as by nohup, stays so."""
    _State.process = os.getpid()
    sys.unraisablehook = _raise_again
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let the block go on after a first Ctrl-C, which it has to catch; a second one ends the process as ever."""
    _State.goes_on = True
    try:
        yield
    finally:
        _State.goes_on = False


def leave(code: int) -> NoReturn:
    """Leave at once: without Python's own end, but with no temporary file left and all output written."""
    _State.leaving = True
    remove_open()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def begin_to_leave() -> None:
    """From here on, a signal ends the process at once."""
    _State.leaving = True


def exit_code(signum: int) -> int:
    """The exit code that shells expect of a process that a signal has ended."""
    return 128 + signum


def signal_behind(error: BaseException | None) -> int | None:
    """The signal behind an error, if one is: a compiled module that is being loaded makes an ImportError of it."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return getattr(error, "signum", signal.SIGINT)
        error = error.__cause__ or error.__context__
    return None


def say_ended(signum: int) -> None:
    """Say in a word, where anybody still listens, why the command has ended."""
    with contextlib.suppress(OSError, ValueError):
        print(
            "Interrupted." if signum == signal.SIGINT else f"Ended by {signal.Signals(signum).name}.", file=sys.stderr
        )


def _handle(signum: int, frame: FrameType | None) -> None:
    """Raise; while a module is being loaded, a little later: not every compiled one lives through an exception."""
    if os.getpid() != _State.process:  # a forked worker, which is to die of it as if nothing had been set up
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)
        return
    now = time.monotonic()
    _State.first = _State.first or now
    if _State.leaving:
        leave(exit_code(signum))
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    if frame is None:
        _State.first = 0.0
        if not (_State.goes_on and signum == signal.SIGINT):
            _start_timer(_GRACE, _leave_stuck, signum)
        _State.goes_on = False
        raise EndedError(signum)
    if now - _State.first > _PATIENCE:
        say_ended(signum)
        leave(exit_code(signum))
    _come_again(signum)


def _come_again(signum: int) -> None:
    _start_timer(_AGAIN, _thread.interrupt_main, signum)


def _leave_stuck(signum: int) -> None:
    if not _State.leaving:
        say_ended(signum)
    leave(exit_code(signum))


def _start_timer(seconds: float, work: Callable[[Any], object], signum: int) -> None:
    timer = threading.Timer(seconds, work, [signum])
    timer.daemon = True
    timer.start()


def _raise_again(problem: Any) -> None:
    """Let a signal that came while an object was being taken apart, where Python drops it, come again."""
    if isinstance(problem.exc_value, EndedError):
        _come_again(problem.exc_value.signum)
    else:
        sys.__unraisablehook__(problem)
