"""A worker process: tasks from stdin, a line each, entries to stdout. It ends where its input does."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from modelgpt_cli.batch.manifest import TEXT
from modelgpt_cli.batch.work import Task, make, quieten

READY = "ready\n"
"""The first line that a worker writes, once all that a build imports is there."""


def serve() -> None:
    """Do what stdin asks for until it ends, as it also does when the main process is killed."""
    answers = os.fdopen(os.dup(1), "w", **TEXT)
    os.dup2(2, 1)  # what a library prints must not come between the answers
    import modelgpt_cli.model_generator.build  # noqa: F401

    quieten()
    answers.write(READY)
    answers.flush()
    with suppress(BrokenPipeError):  # the main process is gone, and its stdin will end too
        for line in sys.stdin.buffer:
            answers.write(make(Task.read(line.decode())).line())
            answers.flush()
    os._exit(0)
