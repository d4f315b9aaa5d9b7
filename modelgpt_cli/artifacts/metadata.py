"""More to say in the metadata of a ``model.onnx`` that is written already: what was measured on it. After `export`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

KEY = "modelgpt"


def with_entries(raw: bytes, entries: Mapping[str, Any]) -> bytes:
    """A model file's bytes with more entries in its card; those of the same name are replaced."""
    proto = onnx.load_model_from_string(raw)
    held = next(entry for entry in proto.metadata_props if entry.key == KEY)
    held.value = json.dumps(json.loads(held.value) | dict(entries), allow_nan=False)
    return proto.SerializeToString(deterministic=True)
