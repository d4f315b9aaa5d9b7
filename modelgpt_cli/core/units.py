"""Numbers with units, as the blocks of the requirement file take them: sizes, counts, times, shares."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from modelgpt_cli.core.errors import UsageError

BYTES: Mapping[str, float] = {
    "": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30
}  # fmt: skip
COUNTS: Mapping[str, float] = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "g": 10**9}
FLOPS: Mapping[str, float] = {
    f"{prefix}{unit}": factor * per
    for prefix, factor in COUNTS.items()
    for unit, per in {"": 1, "flop": 1, "flops": 1, "mac": 2, "macs": 2}.items()
}
"""A multiplication with its addition (MAC) is two operations."""
MILLISECONDS: Mapping[str, float] = {"": 1.0, "ms": 1.0, "s": 1000.0, "min": 60_000.0, "us": 0.001, "µs": 0.001}
_NUMBER = r"([0-9]+(?:\.[0-9]*)?(?:[eE][+]?[0-9]+)?|\.[0-9]+)"


def measure(where: str, value: object, units: Mapping[str, float], example: str) -> float:
    """Read a positive number with a unit.

    Parameters
    ----------
    where : str
        Key of the requirement file, for the message: ``limits: size``.
    units : mapping
        Unit in lower case → factor; "" where none may stand.

    Raises
    ------
    UsageError
        If it is no such number; names the key and an example.
    """
    match = re.fullmatch(_NUMBER + r"\s*([A-Za-zµ]*)", str(value).strip()) if not isinstance(value, bool) else None
    number = float(match[1]) * units.get(match[2].lower(), math.nan) if match else math.nan
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"{where} can't be {value!r}.", f"It is a positive number, such as {example}.")
    return number


def whole(where: str, value: object, units: Mapping[str, float], example: str) -> int:
    """Read a positive whole number with a unit; a fraction of a byte is cut off, half a thread is an error."""
    number = measure(where, value, units, example)
    if number < 1 or (len(units) == 1 and number != int(number)):
        raise UsageError(f"{where} can't be {value!r}.", f"It is a whole number, such as {example}.")
    return int(number)


def share(where: str, value: object) -> float:
    """Read a share, above 0 and at most 1: ``0.9`` or ``"90%"``."""
    text = str(value).strip()
    try:
        number = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not 0 < number <= 1:
        raise UsageError(f"{where} can't be {value!r}.", "It is a share, such as 0.9 or 90%.")
    return number


def one_of(where: str, value: object, known: tuple[str, ...]) -> str:
    """Read one of some words."""
    if value not in known:
        raise UsageError(f"{where} can't be {value!r}.", f"It is one of {', '.join(known)}.")
    return str(value)


def short(number: float, units: Mapping[str, int], gap: str) -> float | str:
    """Write a number with the largest unit that keeps it exact."""
    for unit, factor in units.items():
        if number % factor == 0:
            return f"{int(number // factor)}{gap}{unit}"
    return number


def plain_number(number: float, digits: int = 4, comma: str = ",") -> str:
    """Write a number as a person would: rounded, without an exponent, thousands set apart from 10,000 on.

    Parameters
    ----------
    digits : int
        Significant ones.
    comma : {",", ""}
        What sets thousands apart.
    """
    rounded = float(f"{number:.{digits}g}")
    if not math.isfinite(rounded) or (rounded and not 1e-6 <= abs(rounded) < 1e15):  # too long to be read otherwise
        return f"{number:.{digits}g}"
    decimals = digits - 1 - math.floor(math.log10(abs(rounded))) if rounded else 0
    text = f"{rounded:{comma if abs(rounded) >= 10_000 else ''}.{max(0, decimals)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
