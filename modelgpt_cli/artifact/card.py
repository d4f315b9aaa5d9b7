"""The card: what a model file says about itself, as JSON; the same in ``model.onnx`` and ``model.safetensors``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from modelgpt_cli.data.schema import Column
from modelgpt_cli.domains.tabular.model import CONSTANTS, PARAMETERS
from modelgpt_cli.model_generator.blueprint import Blueprint

FORMAT = 1
OUTPUTS = ("label", "probabilities", "prediction", "lower", "upper")
DAYS = "days since 1970-01-01"
IDS, MASK = ".input_ids", ".attention_mask"
ENCODER = "encoder."
"""What the names of the text encoder's tensors begin with."""


def model_card(blueprint: Blueprint) -> dict[str, Any]:
    """Describe a model for the people and programs that meet its file.

    Parameters
    ----------
    blueprint : Blueprint

    Returns
    -------
    dict
        Plain JSON values: schema, labels, requirement, limits, metrics, provenance, and the blueprint itself, from
        which the model is rebuilt.
    """
    names = graph_inputs(blueprint.used)
    card = {
        "format": FORMAT,
        "domain": blueprint.domain,
        "task": blueprint.task,
        "target": blueprint.target,
        "labels": list(blueprint.labels),
        "requirement": blueprint.requirement,
        "inputs": [_input(column, name) for column, name in zip(blueprint.used, names, strict=True)],
        "dropped": [{"name": c.name, "type": c.type, "note": c.note} for c in blueprint.columns if not c.used],
        "limits": blueprint.limits,
        "metrics": blueprint.metrics,
        "interval": blueprint.interval or None,
        "notes": blueprint.notes,
        "provenance": blueprint.provenance,
        "blueprint": blueprint.to_dict(),
    }
    plain: dict[str, Any] = _plain(card)
    return plain


def input_names(columns: Iterable[str]) -> list[str]:
    """Name the graph's inputs: as the columns, but with ``_`` appended where the graph needs that name itself."""
    names = list(columns)
    taken = {name for name in names if not _reserved(name)}
    for i, name in enumerate(names):
        if not _reserved(name):
            continue
        free = name + "_"
        while free in taken:
            free += "_"
        taken.add(free)
        names[i] = free
    return names


def graph_inputs(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """The graph's inputs of each column: one, or token ids and attention mask of a text."""
    names = input_names(column.name for column in columns)
    taken = {name for name, column in zip(names, columns, strict=True) if not column.is_text}
    found: list[tuple[str, ...]] = []
    for name, column in zip(names, columns, strict=True):
        if not column.is_text:
            found.append((name,))
            continue
        while {name + IDS, name + MASK} & taken:
            name += "_"
        taken |= {name + IDS, name + MASK}
        found.append((name + IDS, name + MASK))
    return found


def _reserved(name: str) -> bool:
    """Whether an input can't have this name: it is an output's, a tensor's of the state, or empty."""
    return not name or name in OUTPUTS or name in PARAMETERS or name.startswith((CONSTANTS, ENCODER))


def _input(column: Column, names: tuple[str, ...]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "input": names[0], "type": column.type}
    if column.is_text:
        entry["mask"] = names[1]
    if column.description:
        entry["description"] = column.description
    if column.levels and not column.is_float:
        entry["levels"] = list(column.levels)
    if column.type == "datetime":
        entry["unit"] = DAYS
        if column.format:
            entry["format"] = column.format
    return entry


def _plain(value: Any) -> Any:
    """Values as JSON knows them: numpy's numbers as Python's, and null for those that are none (NaN, infinity)."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
