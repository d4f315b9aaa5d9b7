"""What ``/openapi.json`` says of bodies and answers, which the application reads and writes itself."""

from __future__ import annotations

from typing import Any

_ROW = {"type": "object", "additionalProperties": True, "description": "column → cell"}
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {
                "oneOf": [
                    _ROW,
                    {"type": "array", "items": {"oneOf": [_ROW, {"type": "string"}]}},
                    {"type": "object", "properties": {"rows": {"type": "array", "items": _ROW}}, "required": ["rows"]},
                    {"type": "string", "description": "of models of single texts"},
                ]
            }
        },
        "text/csv": {"schema": {"type": "string"}},
        "text/plain": {"schema": {"type": "string", "description": "of models of single texts: one a line"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
        },
    },
}
_ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("error", "cause", "hint")},
    "required": ["error"],
}
_ERRORS: dict[str, Any] = {
    status: {"description": words, "content": {"application/json": {"schema": _ERROR}}}
    for status, words in (
        ("400", "The body can't be read"),
        ("413", "The body is too large"),
        ("415", "The body is of another kind"),
        ("422", "The rows are not the model's"),
        ("503", "No room; ask again after Retry-After seconds"),
        ("504", "No answer in time"),
    )
}
_ANSWER = {
    "type": "object",
    "properties": {
        "model": {"type": "string"},
        "predictions": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
        "findings": {"type": "object", "additionalProperties": True},
        "warnings": {"type": "array", "items": {"type": "string"}},
    },
}
_NAME = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
_QUERY = [
    {
        "name": "strict", "in": "query", "schema": {"type": "boolean", "default": False},
        "description": "Refuse rows that hold what the model was not made for.",
    },
    {
        "name": "topk", "in": "query", "schema": {"type": "integer", "minimum": 1, "default": 1},
        "description": "Where rows are files: how many of the likeliest classes to name.",
    },
]  # fmt: skip
_OK = {"description": "Answers", "content": {"application/json": {"schema": _ANSWER}, "text/csv": {}}}

PREDICT: dict[str, Any] = {"requestBody": _BODY, "parameters": _QUERY, "responses": {"200": _OK, **_ERRORS}}
MODEL_PREDICT: dict[str, Any] = {**PREDICT, "parameters": [_NAME, *_QUERY]}

_TENSOR = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"type": "string"},
        "data": {"type": "array", "items": {}},
    },
    "required": ["name", "shape", "datatype"],
}
INFER: dict[str, Any] = {
    "parameters": [_NAME],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {"id": {"type": "string"}, "inputs": {"type": "array", "items": _TENSOR}},
                    "required": ["inputs"],
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "Tensors",
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"outputs": {"type": "array", "items": _TENSOR}}}
                }
            },
        },
        **_ERRORS,
    },
}
