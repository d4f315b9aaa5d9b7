"""Shared by all benchmarks: command lines, the machine's description, and Markdown sections kept between markers."""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import sys
from datetime import date
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
PROGRAM = "python -m scripts.benchmarks"
REPORT_HEAD = (
    "# Benchmarks\n\nEvery section is written by the command it names; edit nothing between the markers by hand.\n"
)
OPTIONS: dict[str, dict[str, object]] = {
    "--threads": {"type": int, "default": 1, "help": "threads of every method (default 1)"},
    "--seed": {"type": int, "default": 0},
    "--report": {"type": Path, "metavar": "PAGE", "help": "Markdown page whose section is rewritten"},
    "--compare": {"metavar": "NAME=FILE", "action": "append", "default": [], "help": "another checkpoint"},
}
"""Options that mean the same in several benchmarks."""


def data_folder(kind: str) -> Path:
    """Return the shared data of a kind: ``MODELGPT_DATA``, else ``../shared/data`` beside the checkout."""
    return Path(os.environ.get("MODELGPT_DATA") or ROOT.parent / "shared" / "data") / kind


def make_parser(command: str, description: str | None, *options: str) -> argparse.ArgumentParser:
    """Make a command's parser, with some of the `OPTIONS`."""
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} {command}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in options:
        parser.add_argument(flag, **OPTIONS[flag])  # type: ignore[arg-type]
    return parser


def names(text: str) -> list[str]:
    """Split ``a,b`` into a list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def numbers(text: str) -> list[int]:
    """Expand ``0,3``, ``0-2`` or both; argparse reports anything else."""
    found: list[int] = []
    for part in names(text):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def digest(path: Path, length: int) -> str:
    """Return the first hexadecimal digits of a file's SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:length]


def machine() -> str:
    """Name the processor, its cores and the memory, e.g. ``Intel Xeon, 2 cores, 23 GiB, Linux, Python 3.11.7``."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        name = found.group(1) if found else name
    parts = [name.strip(), f"{os.cpu_count()} cores"]
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        parts.append(f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB")
    return ", ".join([*parts, platform.system(), f"Python {platform.python_version()}"])


def versions(*packages: str) -> str:
    """Return installed versions, ``torch 2.9.0, scikit-learn 1.7.2``; a package that is absent is left out."""
    found = []
    for name in packages:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def command() -> str:
    """Return the command line of this process, as it can be typed again."""
    return " ".join([PROGRAM, *(f"'{a}'" if " " in a else a for a in sys.argv[1:])])


def provenance(*packages: str) -> str:
    """Return Markdown lines that say how a section came to be: the command, the day, the machine, the versions."""
    return f"    {command()}\n\n{date.today().isoformat()}; {machine()}; {versions(*packages)}."


def write_section(path: Path, name: str, text: str) -> None:
    """Put `text` between the markers of section `name` in a Markdown file; add the section at the end if it is new."""
    start, end = f"<!-- {name}: start -->", f"<!-- {name}: end -->"
    body = text.strip("\n")  # not the blanks that make its first line code
    section = f"{start}\n{body}\n{end}"
    page = path.read_text(encoding="utf-8") if path.exists() else REPORT_HEAD
    old = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    page = old.sub(lambda _: section, page) if old.search(page) else f"{page.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(path.suffix + ".tmp")
    temporary.write_text(page, encoding="utf-8")
    temporary.replace(path)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Lay out a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
