"""The schema of a model card, which every reader of a model file holds against what the file says."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from modelgpt_cli.core.conform import misfits
from modelgpt_cli.core.schema import task_types

MOST_CLASSES = 1_000_000


class InputCard(TypedDict, total=False):
    """One input of the graph."""

    input: str
    mask: str
    levels: list[str]
    reading: dict[str, Any]
    range: list[float]


class NamedInputCard(InputCard):
    """What each has."""

    name: str
    type: str


class OptionalCard(TypedDict, total=False):
    """What a model card may hold; a domain adds entries of its own, and `Blueprint` has a check of its own."""

    labels: list[str] | None
    target_reading: dict[str, Any]
    requirement: str
    dropped: list[dict[str, Any]]
    limits: dict[str, Any]
    quality: dict[str, Any]
    deploy: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    transform: dict[str, Any] | None
    interval: dict[str, Any] | None
    multi_label: dict[str, Any] | None
    calibration: dict[str, Any] | None
    novelty: dict[str, Any] | None
    decoding: dict[str, Any] | None
    notes: list[str]
    provenance: dict[str, Any]
    export: dict[str, Any] | None
    max_tokens: Annotated[int, range(1_000_000)] | None


class ModelCard(OptionalCard):
    """What every model card holds."""

    format: int
    domain: str
    task: str
    target: str
    inputs: list[NamedInputCard]


def card_fault(card: Any) -> str | None:
    """Say what is wrong with a model card, as `json` reads it; None where nothing is.

    Examples
    --------
    >>> card_fault({"format": 1, "domain": "tabular", "task": "regression", "target": "y", "inputs": "x"})
    "its card['inputs'] is 'x', not list"
    """
    fault = next(misfits(card, ModelCard, "its card"), None)
    if fault is not None:
        return fault
    if card["task"] not in task_types():
        return f"its card['task'] is {card['task']!r}"
    labels = card.get("labels") or []
    if card["task"] == "classification" and not 1 <= len(labels) <= MOST_CLASSES:
        return f"it is a classifier of {len(labels):,} classes"
    if len(set(labels)) < len(labels):
        return "two of its labels are the same"
    names = [one["name"] for one in card["inputs"]]
    if len(set(names)) < len(names):
        return "two of its inputs are of one name"
    coverage = (card.get("interval") or {}).get("coverage")
    if card.get("interval") and not (isinstance(coverage, float) and 0 < coverage < 1):
        return f"its interval covers {coverage!r}"
    if (several := card.get("multi_label")) and not _are_thresholds(several.get("thresholds"), len(labels)):
        return f"its thresholds are not {len(labels):,} probabilities"
    novelty = card.get("novelty") or {}
    if novelty and not isinstance(novelty.get("threshold"), (int, float)):
        return f"its novelty has the threshold {novelty.get('threshold')!r}"
    return None


def _are_thresholds(values: Any, n: int) -> bool:
    """Whether there is a probability for each label."""
    return (
        isinstance(values, list)
        and len(values) == n
        and all(isinstance(v, (int, float)) and 0 <= v <= 1 for v in values)
    )
