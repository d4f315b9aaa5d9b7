"""How good masks are, by the usual definitions: intersection over union, and shares of pixels. Numpy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelgpt_cli.domains.image.dense.masks import IGNORE

TITLES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "class_accuracy": "pixel accuracy (mean of the classes)",
}


def count_pairs(true: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Count pixels by true and found class, int64 (C, C); those that nobody has labelled are left out.

    Parameters
    ----------
    true, found : uint8, of one shape
    """
    kept = true != IGNORE
    pairs = true[kept].astype(np.int64) * classes + found[kept]
    counts: np.ndarray = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return counts


def mask_scores(
    counts: np.ndarray, labels: Sequence[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Measure masks.

    Parameters
    ----------
    counts : int64 (C, C)
        Pixels of all images, by true and found class.

    Returns
    -------
    dict
        ``miou``, the mean IoU of the classes that are among the true or the found ones; ``pixel_accuracy``;
        ``class_accuracy``, the mean recall of the classes that are among the true ones. None without a pixel.
    dict
        IoU, recall, precision and number of true pixels of each class; None where that is 0 over 0.
    """
    right = counts.diagonal().astype(np.float64)
    true, found = counts.sum(1).astype(np.float64), counts.sum(0).astype(np.float64)
    union = true + found - right

    def shares(part: np.ndarray, whole: np.ndarray) -> list[float | None]:
        return [float(a / b) if b else None for a, b in zip(part, whole, strict=True)]

    iou, recall, precision = shares(right, union), shares(right, true), shares(right, found)
    total = counts.sum()
    metrics: dict[str, float | None] = {
        "miou": _mean(iou),
        "pixel_accuracy": float(right.sum() / total) if total else None,
        "class_accuracy": _mean(recall),
    }
    by_class: dict[str, dict[str, float | None]] = {
        label: {"iou": iou[k], "recall": recall[k], "precision": precision[k], "rows": int(true[k])}
        for k, label in enumerate(labels)
    }
    return metrics, by_class


def _mean(values: Sequence[float | None]) -> float | None:
    kept = [value for value in values if value is not None]
    return sum(kept) / len(kept) if kept else None
