"""The quality a requirement may ask for: metrics that the build cross-validates, and what they must reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from modelgpt_cli.core.block import Block
from modelgpt_cli.core.domain import task_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.units import measure, share

CLASSIFICATION = ("accuracy", "balanced_accuracy", "f1", "roc_auc", "log_loss")
REGRESSION = ("r2", "mae", "rmse")
OWN_TASKS = ("miou", "pixel_accuracy", "map50", "map", "nme", "pck")
"""Those of `core.metrics.BUILT`, and of tasks that one domain alone has (`Domain.metrics`); in the order of files."""
IN_UNITS = ("log_loss", "mae", "rmse")
"""Metrics that are no shares."""


def _share(key: str) -> Callable[[object], float]:
    return lambda value: share(f"quality: {key}", value)


def _error(key: str) -> Callable[[object], float]:
    return lambda value: measure(f"quality: {key}", value, {"": 1}, "0.5")


@dataclass(frozen=True)
class Quality(Block):
    """What the model must reach on rows that it has not seen: at least, or of an error (`core.metrics.ERRORS`) at most.

    Raises
    ------
    UsageError
        If a value makes no sense, or metrics of classification and regression stand side by side; names the metric.
    """

    name: ClassVar[str] = "quality"
    readers: ClassVar[Mapping[str, Callable[[object], Any]]] = {
        key: _error(key) if key in IN_UNITS else _share(key) for key in (*CLASSIFICATION, *REGRESSION, *OWN_TASKS)
    }

    accuracy: float | None = None
    """Share of rows predicted right. Also "90%", as the other shares."""
    balanced_accuracy: float | None = None
    """Mean over the classes of the share of their rows predicted right."""
    f1: float | None = None
    """Mean of the classes' F1 (macro)."""
    roc_auc: float | None = None
    """Area under the ROC curve, one-vs-one where there are more than two classes, one-vs-rest above 30."""
    log_loss: float | None = None
    """Mean negative natural logarithm of the true class's probability."""
    r2: float | None = None
    """Share of the target's variance that is explained."""
    mae: float | None = None
    """Mean absolute error, in the target's unit."""
    rmse: float | None = None
    """Root of the mean squared error, in the target's unit."""
    miou: float | None = None
    """Masks: mean IoU of the classes."""
    pixel_accuracy: float | None = None
    """Masks: share of pixels given the right class."""
    map50: float | None = None
    """Boxes: mean average precision at IoU .5."""
    map: float | None = None
    """Boxes: mean average precision from IoU .5 to .95."""
    nme: float | None = None
    """Key points, at most: mean error by the normaliser."""
    pck: float | None = None
    """Key points: share of those nearer than a tenth of the normaliser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = self.to_mapping()
        of_classes, of_numbers = ([key for key in keys if key in asked] for keys in (CLASSIFICATION, REGRESSION))
        if of_classes and of_numbers:
            raise UsageError(
                f"quality: {of_classes[0]} is for classification, and {of_numbers[0]} for regression.",
                hint="Keep those of one task.",
            )

    def check_task(self, task: str | None) -> None:
        """Make sure that the metrics are those of the task.

        Raises
        ------
        UsageError
            One is the other task's.
        """
        if task is None:
            return
        own = task_domain(task)
        known = own.metrics if own is not None else REGRESSION if task == "regression" else CLASSIFICATION
        for key in self.to_mapping():
            if key not in known:
                what = f"a {task}" if own is None else own.title
                those = f"Its metrics are {', '.join(known)}." if known else "It has none that can be asked for."
                raise UsageError(f"quality: {key} can't be measured on {what}.", those)
