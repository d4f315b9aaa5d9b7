"""Generators, encoders and backbones for builds, which only run them: read once in a process, for all of its builds.

A file that has changed since is read anew.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TypeVar

from modelgpt_cli.core.paths import expand
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

P = ParamSpec("P")
T = TypeVar("T")


def read_once(read: Callable[P, T], place: Callable[P, str | Path | None]) -> Callable[P, T]:
    """Make a reader that keeps what it read last, for the next call with the same arguments.

    Parameters
    ----------
    place : callable
        The file or folder that is read, of the same arguments; None, or a name that is none, for what doesn't change.
    """

    @lru_cache(maxsize=1)
    def kept(_: int, *args: P.args, **options: P.kwargs) -> T:
        return read(*args, **options)

    def shared(*args: P.args, **options: P.kwargs) -> T:
        where = place(*args, **options)
        return kept(0 if where is None else _modified(expand(where)), *args, **options)  # type: ignore[arg-type]  # they are hashable

    return shared


def _modified(path: Path) -> int:
    """When a file, or any in a folder, was last changed, in ns; 0 where there is none, which its reader will tell."""
    files = path.iterdir() if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=0)


shared_encoder = read_once(TextEncoder, lambda source=None, device="cpu": source)
"""See `TextEncoder`."""
