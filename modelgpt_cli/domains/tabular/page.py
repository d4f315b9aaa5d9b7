"""A table's model on a page: a field for each column. Follows `deployment.page.Page`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelgpt_cli.deployment.page import Field, FieldKind
from modelgpt_cli.runtime.session import Model

ANSWER = None


def fields(model: Model) -> list[Field]:
    """Return a field for each input; its bounds and levels are those of the rows that the model was built from."""
    described = {entry["name"]: str(entry.get("description", "")) for entry in model.metadata["inputs"]}
    found = []
    for one in model.inputs:
        kinds: dict[str, FieldKind] = {"numeric": "number", "datetime": "date"}
        kind: FieldKind = "tokens" if one.mask else kinds.get(one.type, "choice")
        found.append(
            Field(one.column, kind, one.name, one.mask, "", described[one.column], one.levels, one.low, one.high)
        )
    return found


def answer(model: Model) -> Mapping[str, Any]:
    """Return nothing more."""
    return {}
