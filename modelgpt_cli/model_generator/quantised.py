"""What storing a model in fewer bits costs it, on the user's own labelled rows. Between `export` and `candidates`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.core.label_metrics import label_scores
from modelgpt_cli.core.metrics import ERRORS, LOSS, class_scores, regression_scores, worse_by
from modelgpt_cli.data.label_cells import multi_hot
from modelgpt_cli.model_generator.measure import Rows, measured
from modelgpt_cli.runtime.session import Model


class Comparison:
    """A model's scores on some labelled rows, to hold those of its smaller files against.

    The rows are those that the model was made of: what it scores on them says little, how it changes says what the
    storage costs.

    Parameters
    ----------
    rows : DataFrame or list of uint8 (H, W, 3), optional
        Typed rows, or images.
    truth : ndarray (N,), optional
        The target of each, as the dataset has it. Without it nothing can be compared.
    """

    def __init__(self, model: TargetModel, rows: Rows, truth: np.ndarray | None) -> None:
        self._model, self._measured = model, measured(model.blueprint.domain)
        self._rows, self._truth = _drawn(rows, truth, self._measured.COMPARED)
        self._before: dict[str, float] | None = None

    def lost(self, path: Path) -> dict[str, float]:
        """By how much each metric of a file is worse than the model's (below 0: better); {} if there are no rows."""
        if self._truth is None or self._rows is None or not len(self._truth):
            return {}
        if self._before is None:
            self._before = self._scores(self._model.predict(self._rows))
        answers = Model(path).run(self._measured.columns(self._model, self._rows))
        after = self._scores(answers["probabilities" if "probabilities" in answers else "prediction"])
        return {key: worse_by(key, old, after[key]) for key, old in self._before.items()}

    def _scores(self, answers: np.ndarray) -> dict[str, float]:
        blueprint = self._model.blueprint
        assert self._truth is not None
        if blueprint.task == "regression":
            return regression_scores(answers[:, 0].astype(np.float64), self._truth.astype(np.float64))
        if blueprint.multi_label:
            given = answers >= np.array(blueprint.multi_label["thresholds"], dtype=np.float32)
            return label_scores(multi_hot(self._truth, blueprint.labels) > 0, given, answers)
        place = {label: k for k, label in enumerate(blueprint.labels)}
        return class_scores(answers, np.array([place[str(label)] for label in self._truth]))


def loss_of(task: str, lost: Mapping[str, float]) -> float:
    """The one number by which losses are ordered, 0 where nothing is lost or known."""
    return max(0.0, lost.get(LOSS.get(task, ""), 0.0))


def held_back(metrics: Mapping[str, float], lost: Mapping[str, float]) -> dict[str, float]:
    """Cross-validated metrics, less what the storage costs; what it seems to gain doesn't count."""
    return {key: value + max(0.0, lost.get(key, 0.0)) * (1 if key in ERRORS else -1) for key, value in metrics.items()}


def _drawn(rows: Rows, truth: np.ndarray | None, most: int) -> tuple[Rows, np.ndarray | None]:
    """So many rows at most, drawn evenly."""
    if rows is None or truth is None:
        return None, None
    index = np.unique(np.linspace(0, len(truth) - 1, min(most, len(truth))).astype(int))
    if isinstance(rows, pd.DataFrame):
        return rows.iloc[index], truth[index]
    images: Sequence[np.ndarray] = [rows[i] for i in index]
    return images, truth[index]
