"""What a program must know of a model to use it, as JSON: ``schema.json`` of every exported folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelgpt_cli.deployment.page import Page, usual_answer
from modelgpt_cli.runtime.session import TOKENIZER, Model, Tensor

FILE = "schema.json"
_SHOWN_NOTES = 12


def schema(model: Model) -> dict[str, Any]:
    """Say what a model reads and gives, and what its card tells people.

    Returns
    -------
    dict
        ``fields``: what a user gives, with kinds, bounds and levels; see `deployment.page.Field`. There are none where
        the domain has no page, or the graph tokenises texts itself. ``inputs`` and ``outputs``: the graph's tensors.
        ``answer``, ``labels``, ``card`` and the like.
    """
    page: Page | None = model.domain.part("page") if model.domain.has("page") else None
    card = model.metadata
    raw = card.get("tokenizer") == "graph"  # whose graph takes the texts themselves
    inputs, outputs = model.signature
    answer: dict[str, Any] = {}
    if page is not None:
        answer = {"kind": page.ANSWER or usual_answer(model), **page.answer(model)}
    return {
        "title": _title(model),
        "task": model.task,
        "target": model.target,
        "requirement": card["requirement"],
        "fields": [] if page is None or raw else [field.to_dict() for field in page.fields(model)],
        "inputs": [tensor(one) for one in inputs],
        "outputs": [tensor(one) for one in outputs],
        "answer": answer,
        "labels": list(model.labels),
        "coverage": model.coverage,
        "novelty": model.novelty,
        "tokenizer": "tokenizer.json" if TOKENIZER in model.extras else None,
        "card": {
            "metrics": card.get("metrics") or {},
            "validated": card.get("validated", ""),
            "notes": list(card.get("notes") or [])[:_SHOWN_NOTES],
            "limits": card.get("limits") or {},
            "size_bytes": model.size_bytes,
            "sha256": model.sha256,
            "made_with": (card.get("provenance") or {}).get("versions") or {},
        },
    }


def tensor(one: Tensor) -> dict[str, Any]:
    """Describe a tensor as JSON; a side that differs from run to run is its name, or null."""
    return {"name": one.name, "type": one.type, "shape": list(one.shape)}


def common_files(model: Model, made: dict[str, Any]) -> dict[str, str]:
    """Return ``schema.json``, ``labels.json`` and, of models that read text, ``tokenizer.json``, by name."""
    found = {"labels.json": as_json(list(model.labels)), FILE: as_json(made)}
    return found | ({"tokenizer.json": model.extras[TOKENIZER]} if TOKENIZER in model.extras else {})


def write_common(model: Model, folder: Path, made: dict[str, Any]) -> None:
    """Write `common_files`."""
    for name, text in common_files(model, made).items():
        (folder / name).write_text(text, encoding="utf-8")


def as_json(value: Any) -> str:
    """Write a value as JSON for people to read, too."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _title(model: Model) -> str:
    name = ((model.metadata.get("provenance") or {}).get("data") or {}).get("name") or model.path.stem
    return f"{model.target} · {name}" if model.domain.task == "" else str(name)
