"""Where the process of a ``modelgpt`` command begins: Ctrl-C is handled before the rest of the program is read."""

from __future__ import annotations

import os
import signal


def _end(signum: int, _frame: object) -> None:
    """End at once: nothing has begun that would have to be ended in order."""
    try:
        os.write(2, b"Interrupted.\n")
    finally:
        os._exit(128 + signum)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)

from modelgpt_cli.cli import entry  # noqa: E402

if __name__ == "__main__":
    entry()
