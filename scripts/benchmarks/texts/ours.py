"""ModelGPT on texts: what `modelgpt build` does, less reading files and writing ONNX.

Timed is all of it: loading backbone and generator, embedding the words, adapting, embedding the examples, solving the
head, cross-validation and baselines.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.text.build import TextBuild
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.options import BuildOptions
from modelgpt_cli.domains.text.tune import TextTuning
from modelgpt_cli.parameter_generator import checkpoint
from modelgpt_cli.training.tune import TuneSettings

from ..harness import Fitted
from .tasks import Rows, TextTask

GENERATOR = os.environ.get("MODELGPT_TEXT_GENERATOR")
"""Another checkpoint than the shipped one."""
TEXT, PAIR, LABEL = "text", "pair", "label"
_inputs: dict[tuple[Any, ...], torch.Tensor] = {}
"""Head inputs of test rows by the words that adapted the encoder: it is the same one for all sizes and draws."""


def answers(model: TextModel, words: tuple[Any, ...] | None, rows: Rows) -> np.ndarray:
    """Return a built model's probabilities (n, C), or numbers (n,).

    Parameters
    ----------
    words : tuple, optional
        What the encoder was adapted by; None for one that was tuned since.
    """
    classes = model.blueprint.labels
    if words is None:
        found = model.predict(_frame(rows))
        return found if classes else found[:, 0]
    key = (*words, model.blueprint.architecture.word_layer, len(rows), rows.texts[0], rows.texts[-1])
    with torch.inference_mode():
        encoded = model.encode(_frame(rows))
        if key not in _inputs:
            _inputs[key] = model.inputs(encoded)
        scores = model.scores_of_inputs(_inputs[key], encoded)
    if classes:
        return scores.softmax(1).numpy()
    mean, std = model.constants["target"]
    answers: np.ndarray = (scores[:, 0] * std + mean).numpy()
    return answers


def generator_file() -> Path:
    """Return the checkpoint that is measured."""
    return checkpoint.generator_file(GENERATOR, "text")


def ours(
    *,
    support: bool = True,
    tune: int = 0,
    all_rows: bool = False,
    rows: int | None = None,
    lexical: bool = True,
    backbone: str | None = None,
) -> Any:
    """Return a `Fit` by ModelGPT.

    Parameters
    ----------
    support : bool
        Whether the examples are used at the build, or the requirement alone.
    tune : int
        Epochs of tuning after it, on the same rows.
    backbone : str, optional
        Another card than the usual one, with the generator that is shipped for it.
    **build
        More of `BuildOptions`: ``all_rows``, ``rows``, ``lexical``.
    """

    def fit(task: TextTask, given: Rows, seed: int) -> Fitted:
        columns = [Column(TEXT, "text", role="text")]
        columns += [Column(PAIR, "text", role="pair")] if given.pairs is not None else []
        kind = "classification" if task.classes else "regression"
        schema = Schema(tuple(columns), LABEL, kind, task.classes, domain="text")
        numbers: dict[str, Any] = {} if task.classes else {"target_mean": 0.0, "target_std": 1.0}
        wanted = Requirement(task.requirement, schema.task, LABEL, task.classes, schema.columns, **numbers)
        options = BuildOptions(
            seed=seed,
            generator=str(generator_file()) if backbone is None else None,
            backbone=backbone,
            all_rows=all_rows,
            rows=rows,
            lexical=lexical,
        )
        build = TextBuild(wanted, options)
        if support and len(given):
            model = build.from_data(_dataset(given, schema), check_fingerprint=False)[0]
        else:
            model = build.from_words()[0]
        made = model.blueprint.provenance
        digest = (made["generator"] or {}).get("sha256", "")[:12]  # none for an encoder without one
        facts: dict[str, Any] = {"dtype": "fp32", "generator": digest, **made.get("head", {})}
        if tune:
            y = task.codes(given.labels) if task.classes else given.labels.astype(np.float32)
            known = model.blueprint.metrics.get("model")
            texts = model.encode(_frame(given))
            facts |= {"kept": TextTuning(model).run(texts, y, TuneSettings(tune, seed=seed), known=known).kept}
        words = None if tune else (backbone, task.requirement, task.classes)
        return Fitted(lambda some: answers(model, words, some), facts)

    return fit


def _frame(rows: Rows) -> pd.DataFrame:
    columns = {TEXT: rows.texts} | ({PAIR: rows.pairs} if rows.pairs is not None else {})
    frame: pd.DataFrame = pd.DataFrame(columns, dtype=object)
    return frame


def _dataset(rows: Rows, schema: Schema) -> Dataset:
    frame = _frame(rows).assign(**{LABEL: rows.labels.astype(object) if schema.classes else rows.labels})
    return Dataset(
        name="benchmark", path=None, schema=schema, n_rows=len(frame), class_counts={}, sample=frame, warnings=[],
        fingerprint="",
    )  # fmt: skip
