"""What the benchmark scripts share: the machine in words, and Markdown sections kept between markers."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import date
from importlib import metadata
from pathlib import Path

REPORT_HEAD = (
    "# Benchmarks\n\nEvery section is written by the command it names; edit nothing between the markers by hand.\n"
)


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


def versions(*names: str) -> str:
    """Installed versions, ``torch 2.9.0, scikit-learn 1.7.2``; a package that is absent is left out."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def command() -> str:
    """The command line of this process, as it could be typed again."""
    return " ".join(["python", *(f"'{a}'" if " " in a else a for a in sys.argv)])


def provenance(*packages: str) -> str:
    """Markdown lines that say how a section came to be: the command, the day, the machine, the versions."""
    lines = [f"    {command()}", "", f"{date.today().isoformat()}; {machine()}; {versions(*packages)}."]
    return "\n".join(lines)


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
