"""The process whose copies run the tests' commands."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from warm_process import WarmProcess


def test_threads_may_ask_it_at_the_same_time(warm_process: WarmProcess | None, tmp_path: Path) -> None:
    if warm_process is None:
        pytest.skip("copies of a process need fork")
    code = "import os, sys; print(sys.argv[1], flush=True); os._exit(int(sys.argv[1]) % 3)"

    def one(number: int) -> tuple[str, int]:
        command = ["a command", str(number), "x" * 10_000]
        run = warm_process.start(command, env=dict(os.environ), cwd=tmp_path, code=code)
        out, _ = run.communicate(timeout=60)
        return out, run.wait()

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(one, range(64)))
    assert answers == [(f"{number}\n", number % 3) for number in range(64)]
