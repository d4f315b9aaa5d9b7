"""What the builds of all domains tell of where a model comes from."""

from __future__ import annotations

import logging
import platform
from importlib.metadata import version
from typing import Any

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.parameter_generator.hub import loaded_revisions

log = logging.getLogger("modelgpt")


def first_notes(requirement: Requirement, dataset: Dataset, check_fingerprint: bool) -> list[str]:
    """What is to be known of the data before a build: their warnings, and whether they are what was described."""
    notes = list(dataset.warnings)
    known = requirement.fingerprint
    if check_fingerprint and known and known != dataset.fingerprint:
        notes.append("The data has changed since the requirement was written.")
        log.warning(notes[-1])
    return notes


def contract(requirement: Requirement) -> dict[str, Any]:
    """What a blueprint keeps of the requirement's `limits`, `quality` and `deploy`."""
    return {block.name: block.to_mapping() for block in (requirement.limits, requirement.quality, requirement.deploy)}


def provenance(
    requirement: Requirement,
    dataset: Dataset | None,
    seed: int,
    *,
    generator: dict[str, Any] | None,
    encoder: str | None,
) -> dict[str, Any]:
    """Where a model comes from: versions, generator, encoder, seed, data, and revisions of what the hub gave."""
    packages = ("torch", "transformers", "onnx", "onnxruntime")
    source: dict[str, Any] | None = None
    if dataset is not None:
        source = {"name": dataset.name, "fingerprint": dataset.fingerprint, "rows": dataset.n_rows}
        source |= {"synthetic": dataset.n_synthetic} if dataset.n_synthetic else {}
    return {
        "modelgpt": version("modelgpt-cli"),
        "generator": {"step": generator.get("step"), "sha256": generator["sha256"]} if generator else None,
        "encoder": {"name": encoder} if encoder else None,
        "seed": seed,
        "author": requirement.author,
        "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
        "data": source,
        **({"hub": found} if (found := loaded_revisions()) else {}),
    }
