"""Progress bars: one way for every step that may last. On stderr, on a terminal, and only once a step lasts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

Advance: TypeAlias = Callable[[int], object]
"""Called with how many more are done."""
_DELAY = 1.0
"""Seconds before a bar appears: what is over sooner needs none, and one that flashes up disturbs."""


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "rows") -> Iterator[Advance]:
    """Show a bar while the block runs, and remove it at the end.

    There is none where stderr is no terminal, with ``--quiet``, or where tqdm is not installed (the runtime alone does
    not need it).

    Parameters
    ----------
    what : str
        What is being done, in a word or two.
    total : int, optional
        How many there are, or about so many; None where that is not known beforehand, and the bar counts alone.
    unit : str
        What is counted, in the plural.

    Yields
    ------
    callable
        To be called with how many more are done.
    """
    if hidden() or not sys.stderr.isatty():
        yield _ignore
        return
    try:
        from tqdm import tqdm
    except ImportError:
        yield _ignore
        return
    with tqdm(total=total, desc=what, unit=f" {unit}", delay=_DELAY, leave=False) as bar:
        yield bar.update


def hidden() -> bool | None:
    """Return what tqdm takes as `disable`: True with ``--quiet``, else None, which leaves it to terminals."""
    return True if logging.getLogger("modelgpt").level > logging.INFO else None


def _ignore(_count: int) -> None:
    """Show nothing."""
