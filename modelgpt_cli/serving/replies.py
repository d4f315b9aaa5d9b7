"""Scored rows as what a client reads: the rows of `predict --proba`, as JSON or CSV, with findings and warnings."""

from __future__ import annotations

import json
from typing import Any

from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.output import Layout, RowWriter
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.jobs import Scored


def json_reply(layout: Layout, scored: Scored, name: str) -> bytes:
    """Return ``{"model": ..., "predictions": [...], "findings": {...}, "warnings": [...]}``."""
    writer = RowWriter(layout, files=scored.model.feeds.FILES, as_json=True)
    rows = b"".join(writer.rows(chunk, outputs) for chunk, outputs in scored.parts)
    tail = (
        f'],"findings":{_findings(scored.findings)},"warnings":{json.dumps(scored.warnings, ensure_ascii=False)}}}'
    ).encode(errors="replace")
    return b'{"model":%s,"predictions":[' % json.dumps(name).encode() + rows[:-1].replace(b"\n", b",") + tail


def csv_reply(layout: Layout, scored: Scored) -> bytes:
    """Return what `predict --proba` writes to stdout."""
    writer = RowWriter(layout, files=scored.model.feeds.FILES)
    return writer.head() + b"".join(writer.rows(chunk, outputs) for chunk, outputs in scored.parts)


def _findings(findings: Findings) -> str:
    if findings.fits and not findings.superfluous:
        return f'{{"rows":{findings.rows},"fits":true}}'
    return json.dumps(findings.to_dict(), ensure_ascii=False)


def about(model: Model) -> dict[str, Any]:
    """Return what a page or a client has to know of a model."""
    card = model.metadata
    found: dict[str, Any] = {"domain": model.domain.title, "task": model.task, "target": model.target}
    if model.labels:
        found["labels"] = list(model.labels)
    found["requirement"] = str(card.get("requirement", ""))
    return found
