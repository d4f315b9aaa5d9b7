"""A bundle's bill of materials: CycloneDX 1.6, with the model card that it has for machine learning."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from modelgpt_cli.core.version import __version__
from modelgpt_cli.deployment.licences import UNKNOWN, Component
from modelgpt_cli.deployment.report.about import about
from modelgpt_cli.runtime.session import Model

FILE = "sbom.cdx.json"
_SPEC = "1.6"
_MOST_METRICS = 50


def sbom(model: Model, parts: Sequence[Component], licence: str | None, measured: Mapping[str, Any] | None) -> Any:
    """Return the bill of materials, as JSON values. Its serial number comes from the model, so that it is reproducible.

    Parameters
    ----------
    parts : sequence of Component
        What is inside.
    licence : str, optional
        The model's own.
    measured : mapping, optional
        Metrics on rows of the user's.
    """
    digest = model.sha256
    facts = about(model)
    main = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": facts["title"],
        "version": digest[:12],
        "description": facts["requirement"],
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": _licences(licence),
        "modelCard": _card(model, parts, measured),
    }
    components = [_component(part, f"part-{k}") for k, part in enumerate(parts)]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{_SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": _SPEC,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'sha256:{digest}')}",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "modelgpt-cli", "version": __version__}]},
            "component": main,
        },
        "components": components,
        "dependencies": [
            {"ref": "model", "dependsOn": [one["bom-ref"] for one in components]},
            *({"ref": one["bom-ref"]} for one in components),
        ],
    }


def _component(part: Component, ref: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": part.kind, "bom-ref": ref, "name": part.name}
    if part.version:
        found["version"] = part.version
    if part.author:
        found["authors"] = [{"name": part.author}]
    if part.note:
        found["description"] = part.note
    found["licenses"] = _licences(None if part.licence == UNKNOWN else part.licence)
    if part.package:
        found["purl"] = f"pkg:pypi/{part.package}" + (f"@{part.version}" if part.package == part.name else "")
    if part.url:
        found["externalReferences"] = [{"type": "website", "url": part.url}]
    return found


def _licences(licence: str | None) -> list[dict[str, Any]]:
    if licence is None:
        return [{"license": {"name": UNKNOWN}}]
    return [{"expression": licence}]


def _card(model: Model, parts: Sequence[Component], measured: Mapping[str, Any] | None) -> dict[str, Any]:
    blueprint = (model.metadata.get("blueprint") or {}).get("architecture") or {}
    parameters: dict[str, Any] = {"task": f"{model.task} of {model.domain.title}"}
    if blueprint.get("card"):
        parameters["modelArchitecture"] = str(blueprint["card"])
    data = [f"part-{k}" for k, part in enumerate(parts) if part.kind == "data"]
    if data:
        parameters["datasets"] = [{"ref": ref} for ref in data]
    parameters["inputs"] = [{"format": f"{one.column}: {one.type}"} for one in model.inputs]
    parameters["outputs"] = [{"format": name} for name in model.graph_outputs]
    found: dict[str, Any] = {"modelParameters": parameters}
    built = (model.metadata.get("metrics") or {}).get("model") or {}
    metrics = [(name, value, "held out at build") for name, value in built.items()]
    metrics += [(name, value, measured["name"]) for name, value in measured["values"].items()] if measured else []
    shown = [
        {"type": name, "value": f"{value:.6g}", "slice": rows} for name, value, rows in metrics if value is not None
    ]
    if shown:
        found["quantitativeAnalysis"] = {"performanceMetrics": shown[:_MOST_METRICS]}
    notes = [str(note) for note in model.metadata.get("notes") or ()]
    if notes:
        found["considerations"] = {"technicalLimitations": notes}
    return found
