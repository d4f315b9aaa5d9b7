"""A choice among candidates in words: the table of a refusal, why a card was taken, figures with their units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.metrics import ERRORS, LOSS
from modelgpt_cli.model_generator.measured_limits import LIMITED

if TYPE_CHECKING:
    from modelgpt_cli.model_generator.candidates import Attempt

_UNITS = {
    "size": (("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("bytes", 1)),
    "memory": (("GB", 10**9), ("MB", 10**6), ("kB", 10**3), ("bytes", 1)),
    "parameters": (("B", 10**9), ("M", 10**6), ("k", 10**3), ("", 1)),
    "flops": (("GFLOPs", 10**9), ("MFLOPs", 10**6), ("kFLOPs", 10**3), ("FLOPs", 1)),
    "latency_ms": (("ms", 1),),
}
_SHOWN_REASONS = 3


def figure(key: str, value: float | None) -> str:
    """A limit's or metric's value with its unit, to four digits."""
    if value is None:
        return "unknown"
    unit, size = next(((u, s) for u, s in _UNITS.get(key, ()) if value >= s), _UNITS.get(key, (("", 1),))[-1])
    return f"{value / size:.4g} {unit}".rstrip()


def of_block(key: str) -> str:
    """A limit or metric as the requirement file has it."""
    return f"{'limits' if key in LIMITED else 'quality'}: {key}"


def limits_table(asked: Mapping[str, float], attempts: Sequence[Attempt]) -> str:
    """Each limit with what is asked, the best that was reached, and by which candidate."""
    rows = [("limit", "asked", "best reached", "by")]
    for key, value in asked.items():
        least = key not in LIMITED and key not in ERRORS
        known = [a for a in attempts if a.measured.get(key) is not None]
        best = (max if least else min)(known, key=lambda a: a.measured[key], default=None)
        bound = "at least" if least else "at most"
        reached, name = ("not measured", "-") if best is None else (_reached(best, key), best.name)
        rows.append((of_block(key), f"{bound} {figure(key, value)}", reached, name))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _reached(attempt: Attempt, key: str) -> str:
    """A candidate's figure; a computed floor is said to be one."""
    shown = figure(key, attempt.measured.get(key))
    return shown if attempt.body is not None else f"over {shown}, computed"


def missed_words(attempt: Attempt, asked: Mapping[str, float]) -> str:
    """What a candidate misses: ``limits: size (82.1 kB, asked 50 kB)``."""
    return ", ".join(
        f"{of_block(key)} ({_reached(attempt, key)}, asked {figure(key, asked[key])})" for key in attempt.missed
    )


def taken_words(taken: Attempt, tried: Sequence[Attempt], asked: Mapping[str, float]) -> str:
    """Which candidate was taken and why, in one line."""
    text = f"Card: {taken.name}"
    if taken.missed:
        return f"{text}, which comes nearest to the limits."
    before = [attempt for attempt in tried if attempt is not taken and not attempt.kept]
    if not before:
        return f"{text}: the first, and it keeps to every limit."
    reasons = [f"{a.name} misses {missed_words(a, asked)}" if not a.reason else f"{a.name} fails" for a in before]
    more = f", and {len(reasons) - _SHOWN_REASONS} more" if len(reasons) > _SHOWN_REASONS else ""
    return f"{text}, the best that keeps to every limit: {'; '.join(reasons[:_SHOWN_REASONS])}{more}.{_cost(taken)}"


def _cost(taken: Attempt) -> str:
    """What the storage costs on the user's rows."""
    metric = next((name for name in ("accuracy", "micro_f1", "r2", *LOSS.values()) if name in taken.lost), None)
    if metric is None:
        return ""
    lost: Any = taken.lost[metric]
    name = "R2" if metric == "r2" else metric
    return f" Stored so it loses {lost:.4f} of {name} on your rows." if lost > 0 else f" Stored so it loses no {name}."
