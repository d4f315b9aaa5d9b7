"""The model card: what a model file says about itself, as JSON; the same in every file format."""

from __future__ import annotations

import math
from typing import Any

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.domain import find_domain

FORMAT = 2
KEY = "modelgpt"
"""The metadata entry of a file that holds its model card."""


def model_card(blueprint: Blueprint) -> dict[str, Any]:
    """Describe a model for the people and programs that meet its file.

    Parameters
    ----------
    blueprint : Blueprint

    Returns
    -------
    dict
        Plain JSON values: schema, labels, requirement, limits, quality, metrics, provenance, what the model's domain
        adds, and the blueprint itself, from which the model is rebuilt.
    """
    of_domain: dict[str, Any] = find_domain(blueprint.domain).part("onnx").card_entries(blueprint)
    card = {
        "format": FORMAT,
        "domain": blueprint.domain,
        "task": blueprint.task,
        "target": blueprint.target,
        "labels": list(blueprint.labels),
        "target_reading": blueprint.target_reading.to_mapping(),
        "requirement": blueprint.requirement,
        "inputs": of_domain["inputs"],
        "dropped": [{"name": c.name, "type": c.type, "note": c.note} for c in blueprint.columns if not c.used],
        "limits": blueprint.limits,
        "quality": blueprint.quality,
        "deploy": blueprint.deploy,
        "metrics": blueprint.metrics,
        **({"validated": blueprint.validated} if blueprint.validated else {}),
        **({"nearest": blueprint.nearest} if blueprint.nearest else {}),
        **({"transform": blueprint.transform} if blueprint.transform else {}),
        "interval": blueprint.interval or None,
        **({"multi_label": blueprint.multi_label} if blueprint.multi_label else {}),
        **({"calibration": blueprint.calibration} if blueprint.calibration else {}),
        **({"novelty": blueprint.novelty} if blueprint.novelty else {}),
        **({"decoding": blueprint.decoding} if blueprint.decoding else {}),
        "notes": blueprint.notes,
        "provenance": blueprint.provenance,
        "blueprint": blueprint.to_dict(),
    }
    found: dict[str, Any] = plain(card | of_domain)
    return found


def plain(value: Any) -> Any:
    """Return a value as JSON knows it: numpy's numbers as Python's, and null for NaN and infinity."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
