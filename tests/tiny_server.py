"""A server's application in this process, and models for it that take milliseconds to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from tiny_models import tiny_model

from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.app import make_app
from modelgpt_cli.serving.models import Models, name_models
from modelgpt_cli.serving.server import set_up_log

GOOD = {"size": 2.0, "colour": "red", "day": "2026-01-31"}
"""A row that `fruit_model` was made for."""


def fruit_model(path: Path, labels: tuple[str, ...] = ("apple", "pear"), weight: float = 1.0) -> Path:
    """A table's model: a number, a category and a date."""
    columns = {"size": "numeric", "colour": "categorical", "day": "datetime"}
    inputs = [
        {"name": "size", "input": "size", "type": "numeric", "range": [0, 10]},
        {"name": "colour", "input": "colour", "type": "categorical", "levels": ["red", "green"]},
        {"name": "day", "input": "day", "type": "datetime"},
    ]
    weights = {"size": [weight, -weight], "colour": [0.0, 2.0], "day": [0.0001, 0.0]}
    return tiny_model(path, columns, labels=labels, weight=weights, bias=(0.0, 0.5), levels={"colour": ["red"]},
                      metadata={"inputs": inputs})  # fmt: skip


@contextmanager
def client(*models: str | Path, **options: Any) -> Iterator[TestClient]:
    """A client of a server that runs."""
    chosen = ServeOptions(**{"batch_ms": 0.0, **options})
    set_up_log(chosen)
    with TestClient(make_app(Models.load(name_models(models)), chosen)) as found:  # type: ignore[arg-type]
        yield found
