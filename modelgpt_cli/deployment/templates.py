"""Files of exported folders that are made from templates: what a place's runtime is told, and what people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError


def render(template: Path, into: Path, **values: Any) -> None:
    """Fill in a template of Jinja2's and write the result.

    Raises
    ------
    ModelGPTError
        Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ModelGPTError(
            "A folder for this place needs Jinja2, which is not installed.", "", "Install it: pip install jinja2"
        ) from error
    environment = Environment(
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined, autoescape=False
    )
    into.parent.mkdir(parents=True, exist_ok=True)
    into.write_text(environment.from_string(template.read_text(encoding="utf-8")).render(**values), encoding="utf-8")
