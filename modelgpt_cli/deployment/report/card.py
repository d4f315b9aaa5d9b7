"""A model card as the Hugging Face hub shows it: Markdown under YAML front matter, from what the report is made of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.deployment.licences import check_licence, components
from modelgpt_cli.deployment.report.about import about
from modelgpt_cli.runtime.session import Model

_UNKNOWN = "unknown"
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")
_MOST_INPUTS = 30


def card_text(model: Model, measured: Mapping[str, Any] | None = None, licence: str | None = None) -> str:
    """Return a README.md.

    Parameters
    ----------
    measured : mapping, optional
        From `measured`: its metrics come first, and into the model index.
    licence : str, optional
        The model's own, as an SPDX identifier.

    Raises
    ------
    UsageError
        It is none.
    """
    import yaml

    facts = about(model)
    head = front_matter(model, measured, check_licence(licence))
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---",
        f"# {_plain(facts['title'])}",
        _plain(facts["requirement"]),
        _list((name, value) for name, value in (*facts["facts"], *facts["limits"])),
        *(_measures(measured) if measured else ()),
        *_built(facts),
        "## Inputs",
        _table(("input", "type", "seen at build"), facts["inputs"][:_MOST_INPUTS]),
        *([f"and {more:,} more"] if (more := len(model.metadata["inputs"]) - _MOST_INPUTS) > 0 else []),
        "## Use",
        _usage(model),
        *(["## Notes", "\n".join(f"- {_plain(note)}" for note in facts["notes"])] if facts["notes"] else []),
        "## What is inside",
        _table(
            ("component", "licence", ""),
            [(one.name + (f" {one.version}" if len(one.version) < 20 and one.version else ""), one.licence, one.note)
             for one in components(model)],
        ),
        "## Where it comes from",
        _list(facts["provenance"]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def front_matter(model: Model, measured: Mapping[str, Any] | None, licence: str | None) -> dict[str, Any]:
    """Return the hub's metadata of a model: licence, library, pipeline, tags, and measured metrics as a model index."""
    pipeline = model.domain.pipelines.get(model.task)
    bases = [one.base_model for one in components(model) if one.base_model]
    found: dict[str, Any] = {
        "license": licence.lower() if licence else _UNKNOWN,
        "library_name": "onnx",
        **({"pipeline_tag": pipeline} if pipeline else {}),
        "tags": ["modelgpt", "onnx", "onnxruntime", model.task],
        **({"base_model": bases} if bases else {}),
    }
    if measured is None or not measured["values"]:
        return found
    task = pipeline or model.task
    result = {
        "task": {"type": task},
        "dataset": {"name": measured["name"], "type": measured["name"]},
        "metrics": [
            {"type": name, "name": measured["titles"][name], "value": round(float(value), 6)}
            for name, value in measured["values"].items()
        ],
    }
    return found | {"model-index": [{"name": str(about(model)["title"]), "results": [result]}]}


def _measures(measured: Mapping[str, Any]) -> list[str]:
    rows = measured["metrics"]
    between = any(low != "–" for _, _, low, _ in rows)
    head: tuple[str, ...] = ("metric", "value", "from", "to") if between else ("metric", "value")
    words = f"{measured['rows']:,} {measured['unit']}" + ("; 95 % intervals by bootstrap." if between else ".")
    return [f"## Measured on {_plain(measured['name'])}", words, _table(head, [row[: len(head)] for row in rows])]


def _built(facts: Mapping[str, Any]) -> list[str]:
    built = facts["built"]
    if not built["rows"]:
        return []
    how = f"Held out {facts['validated']}." if facts["validated"] else "On held-out rows of the data."
    return [
        "## Measured at build",
        how,
        _table(("", *built["heads"]), [(name, *cells) for name, cells in built["rows"]]),
    ]


def _usage(model: Model) -> str:
    words = "modelgpt predict model.onnx new.csv -o predictions.csv"
    if model.feeds.FILES:
        words = "modelgpt predict model.onnx images/ -o predictions.csv"
    elif any(one.type == FREE_TEXT for one in model.inputs) and len(model.inputs) == 1:
        words = 'modelgpt predict model.onnx "a text of several words"'
    return (
        f"```bash\npip install modelgpt-cli\n{words}\n```\n\nonnxruntime runs `model.onnx` by itself, in any language."
    )


def _list(pairs: Iterable[tuple[str, Any]]) -> str:
    return "\n".join(f"- **{_plain(name)}**: {_plain(value)}" for name, value in pairs)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(value: Any) -> str:
    """A text that Markdown takes for nothing else, on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(value).split()))
