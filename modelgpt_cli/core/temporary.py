"""Temporary files of ours: which are open, and how those go that a killed process has left behind."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"\.tmp-[0-9a-f]{8}-.")
_STDIN = re.compile(r"modelgpt-stdin-.")
_OLD = 24 * 3600
"""Seconds after which a temporary file is a leftover: no command leaves one that it is writing alone for so long."""
_open: dict[Path, int] = {}
"""File → the process that is to remove it: one that was forked must leave it alone."""
_swept: set[Path] = set()


def temporary_name(target: Path) -> Path:
    """Return a new name beside `target` that ends as its does."""
    return target.with_name(f".tmp-{secrets.token_hex(4)}-{target.name[-200:]}")


@contextmanager
def removed_at_end(path: Path) -> Iterator[None]:
    """Remove a file, if it is still there, at the end of the block or by `remove_open`, whichever comes."""
    _open[path] = os.getpid()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        _open.pop(path, None)


def remove_open() -> None:
    """Remove the files of all blocks that this process is in, where it is to leave without ending them."""
    for path, process in list(_open.items()):
        if process == os.getpid():
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what processes that were killed left in a folder over a day ago; looked for once a process."""
    if folder in _swept:
        return
    _swept.add(folder)
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if _NAME.match(entry.name) or _STDIN.match(entry.name):
                _remove_old(entry)


def _remove_old(entry: os.DirEntry[str]) -> None:
    """Remove a file unless it is young, no ordinary one or another user's."""
    with contextlib.suppress(OSError):
        state = entry.stat(follow_symlinks=False)
        ours = not hasattr(os, "getuid") or state.st_uid == os.getuid()
        if ours and entry.is_file(follow_symlinks=False) and time.time() - state.st_mtime > _OLD:
            os.unlink(entry.path)
