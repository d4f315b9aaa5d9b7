"""Add to the model card of a ``model.onnx`` that is written already: what was measured on it. After the export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import onnx

from modelgpt_cli.artifacts.model_card import KEY
from modelgpt_cli.core.json_text import parse_json


def with_entries(raw: bytes, entries: Mapping[str, Any]) -> bytes:
    """Return a model file's bytes with more entries in its model card; those of the same name are replaced."""
    proto = onnx.load_model_from_string(raw)
    model_card = next(entry for entry in proto.metadata_props if entry.key == KEY)
    model_card.value = json.dumps(parse_json(model_card.value) | dict(entries), allow_nan=False)
    written: bytes = proto.SerializeToString(deterministic=True)
    return written
