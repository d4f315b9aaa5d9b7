"""The card: what a model file says about itself, as JSON; the same in ``model.onnx`` and ``model.safetensors``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import ROLES, Column
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.tabular.model import CONSTANTS, PARAMETERS

FORMAT = 1
OUTPUTS = ("label", "probabilities", "prediction", "lower", "upper")
DAYS = "days since 1970-01-01"
IDS, MASK = ".input_ids", ".attention_mask"
ENCODER = "encoder."
"""What the names of the tensors of tables' text encoder begin with."""
BACKBONE = "backbone."
"""Texts and images: what the names of the encoder's, or the trunk's, tensors begin with."""
HEAD = ("head.weight", "head.bias")
"""Texts and images: the head's tensors."""
HEAD_INPUTS = "head.inputs"
"""Texts and images: the inner value that the head reads, (N, P); the verification looks at it."""


def model_card(blueprint: Blueprint) -> dict[str, Any]:
    """Describe a model for the people and programs that meet its file.

    Parameters
    ----------
    blueprint : Blueprint

    Returns
    -------
    dict
        Plain JSON values: schema, labels, requirement, limits, quality, metrics, provenance, and the blueprint itself,
        from which the model is rebuilt.
    """
    text, image = (blueprint.domain == domain for domain in ("text", "image"))
    card = {
        "format": FORMAT,
        "domain": blueprint.domain,
        "task": blueprint.task,
        "target": blueprint.target,
        "labels": list(blueprint.labels),
        "requirement": blueprint.requirement,
        "inputs": _texts(blueprint.used) if text else _images() if image else _columns(blueprint.used),
        "dropped": [{"name": c.name, "type": c.type, "note": c.note} for c in blueprint.columns if not c.used],
        "limits": blueprint.limits,
        "quality": blueprint.quality,
        "deploy": blueprint.deploy,
        "metrics": blueprint.metrics,
        "interval": blueprint.interval or None,
        "notes": blueprint.notes,
        "provenance": blueprint.provenance,
        "blueprint": blueprint.to_dict(),
    }
    if text:
        card |= {
            "tokenizer": "metadata",
            "max_tokens": blueprint.architecture.max_tokens,
            "backbone": _backbone(blueprint),
        }
    if image:
        seen = dict(blueprint.architecture.encoder)
        card |= {"backbone": {"card": blueprint.architecture.card, "type": seen.pop("network")}, "image": seen}
    found: dict[str, Any] = plain(card)
    return found


def text_columns(columns: Iterable[Column]) -> list[Column]:
    """Text domain: the text, then the second one of a pair."""
    return sorted(columns, key=lambda column: ROLES.index(column.role or ROLES[0]))


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
    taken = (*OUTPUTS, *PARAMETERS, *HEAD, HEAD_INPUTS)
    return not name or name in taken or name.startswith((CONSTANTS, ENCODER, BACKBONE))


def _texts(columns: Iterable[Column]) -> list[dict[str, Any]]:
    """Text domain: what is read, in the order of the pair."""
    kept = text_columns(columns)
    notes = ({"description": column.description} if column.description else {} for column in kept)
    roles = ROLES[: len(kept)]
    return [{"name": c.name, "type": "text", "role": r} | note for c, r, note in zip(kept, roles, notes, strict=True)]


def _images() -> list[dict[str, Any]]:
    """Image domain: what is read."""
    return [{"name": IMAGE, "type": "image", "role": "image"}]


def _backbone(blueprint: Blueprint) -> dict[str, Any]:
    """Which encoder a text model is built on, for people."""
    config = blueprint.architecture.encoder
    sizes = {"layers": ("num_hidden_layers", "n_layers"), "size": ("hidden_size", "dim")}
    found = {name: next((config[key] for key in keys if key in config), None) for name, keys in sizes.items()}
    known = {name: value for name, value in found.items() if value is not None}
    return {"card": blueprint.architecture.card, "type": config.get("model_type"), **known}


def _columns(columns: Sequence[Column]) -> list[dict[str, Any]]:
    return [_input(column, names) for column, names in zip(columns, graph_inputs(columns), strict=True)]


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


def plain(value: Any) -> Any:
    """Values as JSON knows them: numpy's numbers as Python's, and null for those that are none (NaN, infinity)."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
