"""When this process began to load modelgpt: what a user waits for is more than the work itself."""

from __future__ import annotations

import time

_STARTED = time.monotonic()


def seconds_since_start() -> float:
    """Return the seconds since modelgpt was first imported in this process."""
    return time.monotonic() - _STARTED
