"""What the builds of all domains share: how they are asked, and what they tell of where a model comes from."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
import pandas as pd

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.model_generator.costs import Sizes

log = logging.getLogger("modelgpt")


@dataclass(frozen=True)
class BuildOptions:
    """How a model is to be built; see `pipeline.build` for each.

    Attributes
    ----------
    device : str
        A torch device, resolved.
    members : int, optional
        Tables only, as `one_pass`, `coverage`, `all_rows` and `words`.
    backbone, rows
        Texts and images.
    max_tokens
        Texts only.
    backbone_weights
        Images only.
    """

    device: str = "cpu"
    seed: int = 0
    generator: str | None = None
    encoder: str | None = None
    members: int | None = None
    one_pass: bool = False
    coverage: float | None = None
    all_rows: bool = False
    words: bool = False
    backbone: str | None = None
    max_tokens: int | None = None
    rows: int | None = None
    backbone_weights: str | None = None


class Builder(Protocol):
    """What builds for one domain.

    Attributes
    ----------
    shown : DataFrame or list of uint8 (H, W, 3), optional
        Rows of the user's, or images, that the exported graph is verified, timed and calibrated on: known once
        `from_data` is through.
    truth : ndarray (N,), optional
        What the target is of those rows or images, as the dataset has it.
    """

    shown: pd.DataFrame | list[np.ndarray] | None
    truth: np.ndarray | None

    def from_words(self) -> tuple[Any, dict[str, dict[str, float]], int]:
        """The model, its metrics and the number of rows that they were found on, from the requirement alone."""

    def from_data(self, dataset: Dataset, *, check_fingerprint: bool) -> tuple[Any, dict[str, dict[str, float]], int]:
        """The same from labelled rows."""

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """What the task decides of a model's shapes."""


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
    """Where a model comes from: versions, generator, encoder, seed, data."""
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
    }
