"""A worker process: tasks from stdin, a line each, entries to stdout.

It ends where its input does, or the main process.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from contextlib import suppress

from modelgpt_cli.batch.manifest import TEXT
from modelgpt_cli.batch.work import Task, make, quieten
from modelgpt_cli.core.signals import begin_to_leave, handle_signals, leave

READY = "ready\n"
"""The first line that a worker writes, once all that a build imports is there."""
_LOOK = 0.5
"""Seconds between two looks whether the main process is still there."""
_GRACE = 2.0
"""Seconds for a build to end in order once it is not."""


def serve(main_process: int) -> None:
    """Do what stdin asks for until it ends, as it also does when the main process is killed.

    Parameters
    ----------
    main_process : int
        Its number. Without it a build that is under way has nobody to be for, and ends.
    """
    handle_signals()
    answers = os.fdopen(os.dup(1), "w", **TEXT)
    os.dup2(2, 1)  # what a library prints must not come between the answers
    if sys.platform != "win32":  # where the number of the parent stays when it is gone
        threading.Thread(target=_watch, args=[main_process], daemon=True).start()
    with suppress(BrokenPipeError, KeyboardInterrupt):  # the main process is gone, or has no more use for this one
        import modelgpt_cli.model_generator.build  # noqa: F401

        quieten()
        answers.write(READY)
        answers.flush()
        for line in sys.stdin.buffer:
            answers.write(make(Task.read(line.decode())).line())
            answers.flush()
    begin_to_leave()
    leave(0)


def _watch(main_process: int) -> None:
    """End this process soon after the main one is gone."""
    while os.getppid() == main_process:
        time.sleep(_LOOK)
    _thread.interrupt_main(signal.SIGTERM)
    time.sleep(_GRACE)
    leave(1)
