"""How a command speaks: results to stdout; words, warnings and small tables to stderr."""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from modelgpt_cli.core.json_text import plain
from modelgpt_cli.core.printable import POWERFUL, printable

_COLOURS = {"red": "31", "yellow": "33"}


def paint(text: str, colour: str, *, stream: TextIO) -> str:
    """Colour a word where a person reads it: on a terminal, unless ``NO_COLOR`` is set or the terminal is dumb."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not stream.isatty():
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


class _Words(logging.Formatter):
    """Warnings are announced, words for the user stand plain, debug lines name their module."""

    def format(self, record: logging.LogRecord) -> str:
        message = printable(record.getMessage())
        if record.levelno >= logging.WARNING:
            message = paint("Warning:", "yellow", stream=sys.stderr) + " " + message
        elif record.levelno < logging.INFO:
            message = f"{record.module}: {message}"
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return message


def set_up_logging(*, quiet: bool, verbose: bool) -> None:
    """Send the ``modelgpt`` logger to stderr: warnings always, words unless quiet, details when verbose."""
    logger = logging.getLogger("modelgpt")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Words())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
    if not verbose and not sys.warnoptions:
        # Warnings of the libraries below speak to programmers; what a user must know goes through the logger.
        warnings.simplefilter("ignore")


def result(text: str | os.PathLike[str]) -> None:
    """Write the command's result to stdout: as it is, but for a terminal without what has power over one."""
    shown = os.fspath(text)
    print(printable(shown) if sys.stdout.isatty() else shown)


def result_json(value: Mapping[str, Any]) -> None:
    """Write the command's result to stdout as JSON."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    print(POWERFUL.sub(lambda match: json.dumps(match[0])[1:-1], text))


def say(text: str) -> None:
    """Write words or a small table to stderr, unless the user asked for quiet."""
    if logging.getLogger("modelgpt").isEnabledFor(logging.INFO):
        print(printable(text), file=sys.stderr)


def number(value: Any) -> str:
    """Format one number for a person: four significant digits, ``-`` for none."""
    if value is None:
        return "-"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) and abs(value) > sys.float_info.max:  # nothing here formats it
        return str(value)
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.4f}" if 1e-3 <= abs(value) < 10 else f"{value:.4g}"
    return f"{value:,.0f}" if isinstance(value, int) else f"{value:.4g}"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out a small table: the first column left, the others right."""
    cells = [list(header), *[[number(value) for value in row] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = []
    for row in cells:
        first = row[0].ljust(widths[0])
        lines.append("  ".join([first, *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]).rstrip())
    return "\n".join(lines)


def metrics_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out ``{"model": {"accuracy": ...}, "linear": {...}}``: one row per method, one column per metric.

    All numbers of a column have the same decimals: four, or fewer where there are large ones.
    """
    names = list(dict.fromkeys(name for values in metrics.values() for name in values))
    columns = [_decimals([values.get(name) for values in metrics.values()]) for name in names]
    rows = [list(row) for row in zip(metrics, *columns, strict=True)]
    return table(["", *(name.replace("_", " ") for name in names)], rows)


def _decimals(values: Sequence[Any]) -> list[Any]:
    """Numbers as text, with as many decimals as give the largest five digits, four at most; the rest as it is."""
    numbers = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    digits = len(f"{max(map(abs, numbers), default=0.0):.0f}")
    places = min(4, max(0, 5 - digits))
    # Adding zero makes a plain zero of a negative one.
    return [f"{round(value, places) + 0.0:.{places}f}" if value in numbers else value for value in values]


def size(n_bytes: int) -> str:
    """Say a size in bytes as people do: ``412 kB``."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    value = float(n_bytes)
    for unit in ("kB", "MB"):
        value /= 1000
        if value < 1000:
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{value / 1000:.3g} GB"


def duration(seconds: float) -> str:
    """Say a duration as people do: ``1.8 s``, ``4 min 12 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
