"""How good boxes are, as COCO measures them: average precision by pycocotools. Imports neither torch nor pandas.

Shapes: m true boxes, M boxes found, C classes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.detection.boxes import matched

TITLES = {
    "map50": "mAP at IoU .5",
    "map": "mAP at IoU .5 to .95",
    "map75": "mAP at IoU .75",
    "precision": "precision (of boxes shown)",
    "recall": "recall (of boxes shown)",
}
LEAST_MOST = 100
"""Boxes an image that are measured, as COCO has it; more where an image has more true ones."""


@dataclass(frozen=True)
class Found:
    """What a model finds in an image.

    Attributes
    ----------
    boxes : (M, 4)
        Left, top, right, bottom, the best first.
    scores : (M,)
    labels : int64 (M,)
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Wanted:
    """What is to be found in an image, in the same units.

    Attributes
    ----------
    boxes : (m, 4)
    labels : int64 (m,)
    crowds : (k, 4)
        What lies in these is not counted.
    crowd_labels : int64 (k,)
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowds: np.ndarray
    crowd_labels: np.ndarray


def box_scores(
    wanted: Sequence[Wanted], found: Sequence[Found], labels: Sequence[str], shown: float
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Measure boxes.

    Parameters
    ----------
    shown : float
        Boxes of a lower score don't count for precision and recall.

    Returns
    -------
    dict
        ``map50``, ``map``, ``map75``: means over the classes that are there. ``precision`` and ``recall`` at IoU .5 of
        the boxes that are shown. None without a box.
    dict
        Of each class ``map50``, ``map``, ``precision``, ``recall`` and the number of true boxes.

    Raises
    ------
    ModelGPTError
        pycocotools is not installed.
    """
    precision = _evaluated(wanted, found, len(labels))
    by_class: dict[str, dict[str, float | None]] = {}
    hits = np.zeros((len(labels), 3), np.int64)
    for one, its in zip(wanted, found, strict=True):
        hits += _counted(one, its, shown, len(labels))
    for k, label in enumerate(labels):
        right, given, there = hits[k].tolist()
        by_class[label] = {
            "map50": _mean(precision[:1, :, k]),
            "map": _mean(precision[:, :, k]),
            "precision": right / given if given else None,
            "recall": right / there if there else None,
            "rows": there,
        }
    right, given, there = hits.sum(0).tolist()
    metrics: dict[str, float | None] = {
        "map50": _mean(precision[:1]),
        "map": _mean(precision),
        "map75": _mean(precision[5:6]),
        "precision": right / given if given else None,
        "recall": right / there if there else None,
    }
    return metrics, by_class


def quick_map50(wanted: Sequence[Wanted], found: Sequence[Found], classes: int) -> float:
    """The mean average precision at IoU .5 of some images, as `box_scores` gives it, but for crowds; in little time."""
    values = []
    for label in range(classes):
        there = sum(int((one.labels == label).sum()) for one in wanted)
        if not there:
            continue
        scores, hits = [np.empty(0)], [np.empty(0, bool)]
        for one, its in zip(wanted, found, strict=True):
            rows = its.labels == label
            scores.append(its.scores[rows])
            hits.append(matched(its.boxes[rows], one.boxes[one.labels == label]))
        right = np.concatenate(hits)[np.argsort(-np.concatenate(scores), kind="stable")].cumsum()
        precision = np.maximum.accumulate((right / np.arange(1, len(right) + 1))[::-1])[::-1]
        places = np.searchsorted(right / there, np.linspace(0, 1, 101))
        values.append(float(np.append(precision, 0.0)[np.minimum(places, len(right))].mean()))
    return float(np.mean(values)) if values else 0.0


def _counted(wanted: Wanted, found: Found, shown: float, classes: int) -> np.ndarray:
    """Boxes that are right, that are shown, and that are there, of each class: int64 (C, 3)."""
    counts = np.zeros((classes, 3), np.int64)
    counts[:, 2] = np.bincount(wanted.labels, minlength=classes)
    for label in range(classes):
        rows = (found.labels == label) & (found.scores >= shown)
        right = matched(found.boxes[rows], wanted.boxes[wanted.labels == label])
        free = ~right & _in_crowd(found.boxes[rows], wanted.crowds[wanted.crowd_labels == label])
        counts[label, :2] = right.sum(), len(right) - free.sum()
    return counts


def _in_crowd(boxes: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    from modelgpt_cli.domains.image.detection.boxes import areas, shared

    if not len(crowds):
        return np.zeros(len(boxes), bool)
    found: np.ndarray = (shared(boxes, crowds) / np.maximum(areas(boxes), 1e-9)[:, None]).max(1) >= 0.5
    return found


def _evaluated(wanted: Sequence[Wanted], found: Sequence[Found], classes: int) -> np.ndarray:
    """Precision by IoU, recall and class, (10, 101, C): -1 where a class has no true box."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ModelGPTError(
            "Boxes are measured with the library pycocotools, which is not installed.",
            "",
            "Install it: pip install pycocotools",
        ) from error
    most = max([LEAST_MOST, *(len(one.labels) for one in wanted)])
    true: list[dict[str, Any]] = []
    for k, one in enumerate(wanted):
        true += _entries(k, one.boxes, one.labels, len(true), iscrowd=0)
        true += _entries(k, one.crowds, one.crowd_labels, len(true), iscrowd=1)
    given: list[dict[str, Any]] = []
    for k, its in enumerate(found):
        rows = _entries(k, its.boxes, its.labels, len(given))
        given += [row | {"score": score} for row, score in zip(rows, its.scores.tolist(), strict=True)]
    sets = []
    with contextlib.redirect_stdout(io.StringIO()):
        for rows in (true, given):
            one_set = COCO()
            one_set.dataset = {
                "images": [{"id": k} for k in range(len(wanted))],
                "categories": [{"id": k, "name": str(k)} for k in range(classes)],
                "annotations": rows,
            }
            one_set.createIndex()
            sets.append(one_set)
        measured = COCOeval(*sets, "bbox")
        measured.params.maxDets = [1, 10, most]
        measured.params.areaRng, measured.params.areaRngLbl = [[0, 1e10]], ["all"]  # the others take thrice the time
        measured.evaluate()
        measured.accumulate()
    precision: np.ndarray = measured.eval["precision"][:, :, :, 0, 2]
    return precision


def _entries(image: int, boxes: np.ndarray, labels: np.ndarray, start: int, **more: int) -> list[dict[str, Any]]:
    """Boxes as COCO has them: left, top, width, height; identities count from 1, as 0 stands for no match."""
    return [
        {
            "id": start + k + 1,
            "image_id": image,
            "category_id": label,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
        }
        | more
        for k, ((x0, y0, x1, y1), label) in enumerate(zip(boxes.tolist(), labels.tolist(), strict=True))
    ]


def _mean(values: np.ndarray) -> float | None:
    kept = values[values > -1]
    return float(kept.mean()) if kept.size else None
