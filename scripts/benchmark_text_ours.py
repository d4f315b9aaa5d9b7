"""ModelGPT as a method of `benchmark_text.py`: what `modelgpt build` does, less reading files and writing ONNX.

Timed is all of it: loading backbone and generator, embedding the words, adapting, embedding the examples, solving the
head, cross-validation and baselines.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.text.build import TextBuild
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.options import BuildOptions
from modelgpt_cli.domains.text.tune import TextTuning

GENERATOR = os.environ.get("MODELGPT_TEXT_GENERATOR")
"""Another checkpoint than the shipped one."""
TEXT, PAIR, LABEL = "text", "pair", "label"


_inputs: dict[tuple[Any, ...], torch.Tensor] = {}
"""Head inputs of test rows by the words that adapted the encoder: it is the same one for all sizes and draws."""


@dataclass
class Built:
    """A built model.

    Attributes
    ----------
    words : tuple, optional
        What the encoder was adapted by; None for one that was tuned since.
    """

    model: TextModel
    words: tuple[Any, ...] | None
    facts: dict[str, Any] = field(default_factory=dict)

    @torch.inference_mode()
    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Probabilities (n, C), or numbers (n,)."""
        classes = self.model.blueprint.labels
        if self.words is None:
            answers = self.model.predict(_frame(texts, pairs))
            return answers if classes else answers[:, 0]
        key = (*self.words, len(texts), texts[0], texts[-1])
        if key not in _inputs:
            _inputs[key] = self.model.inputs(self.model.encode(_frame(texts, pairs)))
        scores = _inputs[key] @ self.model.head_weight + self.model.head_bias
        if classes:
            return scores.softmax(1).numpy()
        mean, std = self.model.constants["target"]
        return (scores[:, 0] * std + mean).numpy()


def generator_file() -> Path:
    """The checkpoint that is measured."""
    path = Path(GENERATOR) if GENERATOR else asset("weights", "text", "generator.safetensors")
    return path / "generator.safetensors" if path.is_dir() else path


def ours(
    *,
    support: bool = True,
    tune: int = 0,
    all_rows: bool = False,
    rows: int | None = None,
) -> Any:
    """A `Fit` by ModelGPT.

    Parameters
    ----------
    support : bool
        Whether the examples are used at the build, or the requirement alone.
    tune : int
        Epochs of tuning after it, on the same rows.
    all_rows : bool
        Solve the head on every row.
    rows : int, optional
        Solve it on so many at most.
    """

    def fit(
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> Built:
        schema = _schema(pairs is not None, tuple(classes))
        wanted = Requirement(
            sentence=requirement,
            task=schema.task,
            target=LABEL,
            classes=tuple(classes),
            columns=schema.columns,
            target_mean=0.0 if not classes else None,
            target_std=1.0 if not classes else None,
        )
        options = BuildOptions(seed=seed, device="cpu", generator=str(generator_file()), all_rows=all_rows, rows=rows)
        build = TextBuild(wanted, options)
        if support and len(texts):
            model = build.from_data(_dataset(texts, pairs, labels, schema), check_fingerprint=False)[0]
        else:
            model = build.from_words()[0]
        made = model.blueprint.provenance
        facts: dict[str, Any] = {"dtype": "fp32", "generator": made["generator"]["sha256"][:12], **made.get("head", {})}
        if tune:
            y = _codes(labels, classes) if classes else labels.astype(np.float32)
            _, _, kept = TextTuning(model).run(
                model.encode(_frame(texts, pairs)),
                y,
                epochs=tune,
                seed=seed,
                known=model.blueprint.metrics.get("model"),
            )
            facts |= {"kept": kept}
        return Built(model, None if tune else (requirement, tuple(classes)), facts)

    return fit


def _codes(labels: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    place = {name: k for k, name in enumerate(classes)}
    return np.array([place[str(label)] for label in labels], dtype=np.int64)


def _frame(texts: Sequence[str], pairs: Sequence[str] | None) -> pd.DataFrame:
    columns = {TEXT: list(texts)} | ({PAIR: list(pairs)} if pairs is not None else {})
    return pd.DataFrame(columns, dtype=object)


def _schema(pair: bool, classes: tuple[str, ...]) -> Schema:
    columns = [Column(TEXT, "text", role="text")] + ([Column(PAIR, "text", role="pair")] if pair else [])
    return Schema(tuple(columns), LABEL, "classification" if classes else "regression", classes, domain="text")


def _dataset(texts: Sequence[str], pairs: Sequence[str] | None, labels: np.ndarray, schema: Schema) -> Dataset:
    frame = _frame(texts, pairs).assign(**{LABEL: labels if not schema.classes else labels.astype(object)})
    return Dataset(
        name="benchmark",
        path=None,
        schema=schema,
        n_rows=len(frame),
        class_counts={},
        sample=frame,
        warnings=[],
        fingerprint="",
    )
