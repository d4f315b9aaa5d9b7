"""Commands in fresh processes, their seconds and peak memory, and the report of what they took.

Peak memory is the kernel's own figure for each process (`wait4`; Linux and macOS). This module imports nothing large: a
child's figure starts at its parent's size.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..common import table

REPEATS = 3


@dataclass(frozen=True)
class Run:
    """One finished command."""

    seconds: float
    peak_mb: float
    cpu_seconds: float
    output: str = ""


@dataclass(frozen=True)
class Measurement:
    """One line of the report."""

    name: str
    value: float
    unit: str
    target: float | None
    """None: only reported."""
    better: str
    """Whether the value must stay ``under`` the target or reach ``at least`` it."""
    cpu_seconds: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met, if there is one."""
        if self.target is None:
            return None
        return self.value < self.target if self.better == "under" else self.value >= self.target


def modelgpt(*args: str | Path) -> Run:
    """Run the installed command to its end; leave with its words when it fails."""
    beside = Path(sys.executable).with_name("modelgpt")
    return run(str(beside if beside.exists() else "modelgpt"), *args)


def run(*args: str | Path) -> Run:
    """Run one command to its end; leave with its words when it fails."""
    command = [*map(str, args)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "MODELGPT_"))}
    print("$ " + " ".join([Path(command[0]).name, *command[1:]]), file=sys.stderr, flush=True)
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=output, stderr=errors, env=environment)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, words = (file.read().decode(errors="replace") for file in (output, errors))
    if child.returncode != 0:
        raise SystemExit(f"{' '.join(command)} left with {child.returncode}:\n{words}")
    per_mb = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # ru_maxrss: bytes there, KiB elsewhere
    done = Run(seconds, usage.ru_maxrss / per_mb, usage.ru_utime + usage.ru_stime, said)
    print(f"  {done.seconds:.2f} s, {done.cpu_seconds:.2f} s CPU, {done.peak_mb:,.0f} MB", file=sys.stderr, flush=True)
    return done


def median(runs: Sequence[Run]) -> tuple[float, float]:
    """Return the median of wall-clock and of CPU seconds."""
    return statistics.median(r.seconds for r in runs), statistics.median(r.cpu_seconds for r in runs)


def report(measurements: Sequence[Measurement]) -> str:
    """Lay the measurements out as Markdown."""
    rows = []
    for m in measurements:
        value = f"{m.value:,.2f}" if m.value < 100 else f"{m.value:,.0f}"
        cpu = "" if m.cpu_seconds is None else f"{m.cpu_seconds:,.2f} s"
        target = "" if m.target is None else f"{m.better} {m.target:,g} {m.unit}"
        rows.append([m.name, f"{value} {m.unit}", cpu, target, {None: "", True: "yes", False: "**no**"}[m.met]])
    return table(["what", "measured", "CPU time", "target", "met"], rows)
