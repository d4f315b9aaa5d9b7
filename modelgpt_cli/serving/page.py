"""The page at ``/``: the models, what they take, and a request to copy. Its frame is ``page.html``."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import quote

from modelgpt_cli.runtime.session import Input, Model
from modelgpt_cli.runtime.texts import only_text
from modelgpt_cli.serving.model_pages import ModelPages
from modelgpt_cli.serving.models import Models, Served

_SHOWN = 12


def render_page(models: Models, address: str, pages: ModelPages | None = None) -> str:
    """Return the page, of models that are asked at an address.

    Each model has the page of `export --for web` in it, where `pages` has one.
    """
    frame = Template(files("modelgpt_cli.serving").joinpath("page.html").read_text(encoding="utf-8"))
    alone = len(models) == 1
    return frame.substitute(models="\n".join(_section(served, address, alone, pages) for served in models))


def _section(served: Served, address: str, alone: bool, pages: ModelPages | None) -> str:
    model = served.model
    lines = ["<section>", f"<h2>{escape(served.name)}</h2>"]
    if words := str(model.metadata.get("requirement", "")):
        lines.append(f"<p>{escape(words)}</p>")
    if served.note:
        lines.append(f"<p><strong>{escape(served.note)}</strong></p>")
    lines.append(f"<p>{escape(model.domain.title.capitalize())}, {escape(model.task)}{_labels(model)}</p>")
    if reads := model.feeds.reads(model.metadata):
        lines.append(f"<p>Takes {escape(reads)}.</p>")
    if not model.feeds.FILES:
        rows = "".join(_row(one) for one in model.inputs)
        lines.append(f"<table><tr><th>Column<th>Type<th>Values</tr>{rows}</table>")
    path = f"{address}/predict" if alone else f"{address}/models/{served.name}/predict"
    lines.append(f"<pre>{escape(example(model, path))}</pre>")
    if pages is not None and pages.files(served):
        lines.append(_frame(served.name, alone))
    lines.append("</section>")
    return "\n".join(lines)


def _frame(name: str, shown: bool) -> str:
    """What shows a model's own page; of several models, once it is opened."""
    address = f"models/{escape(quote(name))}/page/"
    frame = f'<iframe src="{address}" title="{escape(name)}" loading="lazy"></iframe>'
    link = f'<a href="{address}">a page of its own</a>'
    opened = " open" if shown else ""
    return f"<details{opened}><summary>Try it here</summary><p>Runs in this browser; {link}.</p>{frame}</details>"


def _labels(model: Model) -> str:
    shown = ", ".join(model.labels[:_SHOWN]) + (", …" if len(model.labels) > _SHOWN else "")
    return f": {escape(shown)}" if shown else ""


def _row(one: Input) -> str:
    values = ", ".join(one.levels[:_SHOWN]) + (", …" if len(one.levels) > _SHOWN else "")
    if one.low is not None and one.high is not None and one.type == "numeric":
        values = f"{one.low:g} to {one.high:g}"
    return f"<tr><td>{escape(one.column)}<td>{escape(one.type)}<td>{escape(values)}</tr>"


def example(model: Model, path: str) -> str:
    """Return a command that asks a model at an address."""
    if model.feeds.FILES:
        return f"curl {path} -H 'Content-Type: application/octet-stream' --data-binary @FILE"
    if only_text(model) is not None:
        return f"curl {path} -H 'Content-Type: text/plain' -d 'what a lovely film'"
    row = json.dumps({one.column: _value(one) for one in model.inputs[:_SHOWN]}, ensure_ascii=False)
    quoted = row.replace("'", "'\\''")
    return f"curl {path} -H 'Content-Type: application/json' -d '{quoted}'"


def _value(one: Input) -> Any:
    if one.levels:
        return one.levels[0]
    if one.type == "numeric" and one.low is not None and one.high is not None:
        return float(f"{(one.low + one.high) / 2:.4g}")
    return 1.0 if one.type == "numeric" else "2026-01-31" if one.type == "datetime" else "some words"
