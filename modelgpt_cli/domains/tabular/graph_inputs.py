"""The inputs of a table's graph: one for each column, named after it; two for a column of free text.

Shapes: N rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import TensorProto, ValueInfoProto, helper

from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.names import input_names
from modelgpt_cli.domains.tabular.model import PARAMETERS

DAYS = "days since 1970-01-01"
_IDS, _MASK = ".input_ids", ".attention_mask"
"""Behind a text column's name: its token ids, and their attention mask."""


def graph_inputs(columns: Sequence[Column]) -> list[tuple[str, ...]]:
    """Return the names of each column's inputs: one, or token ids and attention mask of a text."""
    names = input_names((column.name for column in columns), PARAMETERS)
    taken = {name for name, column in zip(names, columns, strict=True) if not column.is_text}
    found: list[tuple[str, ...]] = []
    for name, column in zip(names, columns, strict=True):
        if not column.is_text:
            found.append((name,))
            continue
        while {name + _IDS, name + _MASK} & taken:
            name += "_"
        taken |= {name + _IDS, name + _MASK}
        found.append((name + _IDS, name + _MASK))
    return found


def input_infos(columns: Sequence[Column], inputs: Sequence[tuple[str, ...]]) -> list[ValueInfoProto]:
    """Return the declarations of `graph_inputs`: (N, 1) float32 or string, (N, T) int64 for a text."""
    found = []
    for column, names in zip(columns, inputs, strict=True):
        kind = TensorProto.FLOAT if column.is_float else TensorProto.STRING
        for name in names:
            if column.is_text:
                found.append(helper.make_tensor_value_info(name, TensorProto.INT64, ["N", f"{names[0]} tokens"]))
            else:
                found.append(helper.make_tensor_value_info(name, kind, ["N", 1]))
    return found


def describe_inputs(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Describe the columns for the model card, as JSON values."""
    return [_entry(column, names) for column, names in zip(columns, graph_inputs(columns), strict=True)]


def _entry(column: Column, names: tuple[str, ...]) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "input": names[0], "type": column.type}
    if column.is_text:
        entry["mask"] = names[1]
    if column.description:
        entry["description"] = column.description
    if column.levels and not column.is_float:
        entry["levels"] = list(column.levels)
    if column.type == "datetime":
        entry["unit"] = DAYS
    if reading := column.reading.to_mapping():
        entry["reading"] = reading
    if column.is_float and column.bounds:
        entry["range"] = list(column.bounds)
    return entry
