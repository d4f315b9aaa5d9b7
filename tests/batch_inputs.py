"""What the tests of batches share: small tables, files of requests, and a requirement that comes when the test says."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PATIENCE = 120


def write_table(path: Path, seed: int = 0, rows: int = 80) -> Path:
    """A table whose column `buys` is "yes" where `visits` and `spent` are high."""
    values = np.random.default_rng(seed).normal(size=(rows, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{'yes' if a + b > 0 else 'no'}" for a, b, c in values]
    path.write_text("\n".join(["visits,spent,age,buys", *lines, ""]))
    return path


def write_requests(path: Path, *requests: Mapping[str, Any]) -> Path:
    """A file of requests."""
    path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return path


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    """The manifest's lines, by id, in their order."""
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return {entry["id"]: entry for entry in map(json.loads, lines)}


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


class Gate:
    """A requirement file whose reader waits until it is let through: a build that takes as long as a test wants."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._handle = -1

    def wait(self) -> None:
        """Until a build has come to it."""
        wait_for(self._opened)

    def leave(self) -> None:
        """After the death of who was waiting: there may be a next."""
        os.close(self._handle)

    def let_through(self) -> None:
        """Give it what it waits for."""
        os.write(self._handle, b"Tell whether a customer buys.\n---\ntarget: buys\n")
        os.close(self._handle)

    def replace(self) -> None:
        """Let the requirement be an ordinary file from now on."""
        self.path.unlink()
        self.path.write_text("Tell whether a customer buys.\n---\ntarget: buys\n")

    def _opened(self) -> bool:
        try:
            self._handle = os.open(self.path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody reads
                return False
            raise
        return True
