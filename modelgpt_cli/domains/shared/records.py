"""What is on record of generators, beside their weights. What the domains' cards are filled from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.yaml_text import parse_yaml


@lru_cache
def record(domain: str, name: str) -> dict[str, Any]:
    """Return a YAML file beside a domain's weights; {} where there is none."""
    try:
        path = asset("weights", domain, name)
    except ModelGPTError:  # nothing is on record
        return {}
    found = parse_yaml(path.read_text(encoding="utf-8"))
    return found if isinstance(found, dict) else {}


def validation(domain: str) -> dict[str, float]:
    """Return what a generator's card says of unseen tasks: the mean score, by labelled rows a class."""
    found = record(domain, "card.yaml").get("validation", {})
    rows = [key.removeprefix("unseen_") for key in found if key.startswith("unseen_")]
    return mean_scores(found.get("scores", {}), rows)


def mean_scores(scores: Mapping[str, Sequence[float]], rows: Sequence[str]) -> dict[str, float]:
    """Return the mean over tasks, by labelled rows a class, of a mapping of task to scores in that order."""
    found = list(scores.values())
    return {f"score, {n} a class": sum(own[i] for own in found) / len(found) for i, n in enumerate(rows) if found}
