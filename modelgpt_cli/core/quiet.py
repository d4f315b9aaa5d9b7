"""Libraries kept quiet: what they say to programmers, users don't need to read."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[None]:
    """Keep the warnings of some loggers, and Python's, from the user.

    Handlers that a library gives them meanwhile are taken away again: with one at the root (`logging.info` alone puts
    one there) all that is logged later would be printed twice.

    Parameters
    ----------
    *loggers : str
        Their names; "" is the root's.
    """
    before = {logger: (logger.level, list(logger.handlers)) for logger in map(logging.getLogger, loggers)}
    for logger in before:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, (level, handlers) in before.items():
            logger.setLevel(level)
            logger.handlers[:] = handlers
