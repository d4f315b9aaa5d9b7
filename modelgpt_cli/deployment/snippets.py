"""A graph's inputs with example values, for snippets in other languages that are made for one model."""

from __future__ import annotations

import json
from dataclasses import dataclass

from modelgpt_cli.deployment.page import Page
from modelgpt_cli.runtime.session import Model


@dataclass(frozen=True)
class Example:
    """One input of a graph, with a value.

    Attributes
    ----------
    name : str
        As a string literal of C-like languages and Python.
    kind : str
        "number", "level", "integers" or "pixels".
    value : str
        As a literal; "" of pixels.
    note : str
        What it is, for people.
    """

    name: str
    kind: str
    value: str
    note: str


def example_inputs(model: Model) -> list[Example]:
    """Return an example of each of a graph's inputs: middles of bounds, first levels, a few token ids."""
    fields = {}
    if model.domain.has("page"):
        page: Page = model.domain.part("page")
        fields = {field.input: field for field in page.fields(model)}
    found = []
    for one in model.signature[0]:
        field = fields.get(one.name)
        note = "" if field is None or field.name == one.name else field.name
        if one.type == "string":
            level = field.levels[0] if field is not None and field.levels else "a level"
            found.append(Example(_literal(one.name), "level", _literal(level), note))
        elif one.type == "uint8":
            found.append(Example(_literal(one.name), "pixels", "", "RGB, row by row, upright"))
        elif one.type == "int64":
            ids = "101, 2204, 102" if field is not None else "1, 1, 1"
            found.append(
                Example(
                    _literal(one.name), "integers", ids, "token ids" if field is not None else "1 for each of these"
                )
            )
        else:
            low, high = (
                (0.0, 1.0) if field is None or field.low is None or field.high is None else (field.low, field.high)
            )
            days = "days since 1970-01-01" if field is not None and field.kind == "date" else ""
            found.append(Example(_literal(one.name), "number", f"{(low + high) / 2:.6g}", days or note))
    return found


def _literal(text: str) -> str:
    """A string between double quotes, as Python, Swift and (but for dollars) Kotlin write it."""
    return json.dumps(text, ensure_ascii=False)
