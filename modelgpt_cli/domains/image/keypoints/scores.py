"""How good key points are, by the usual definitions: NME, PCK, and OKS by pycocotools. Numpy, and pycocotools for OKS.

Shapes: N images, K points.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.keypoints.poses import Pose, normaliser

NEAR = 0.1
"""A point is found where its error is below this share of the normaliser."""
TITLES = {"nme": "NME", "pck": "PCK@.1", "oks_map": "OKS-mAP (50-95)", "oks_map50": "OKS-mAP (50)"}
_COCO_SIGMAS = np.array([26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]) / 1000
_COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
_SIGMA = 0.05
"""Of points that COCO has no figure for: between those of eyes and of hips."""


def errors_of(poses: Sequence[Pose], found: np.ndarray, pair: Sequence[int]) -> np.ndarray:
    """Errors of points (N, K, 3) in shares of each image's normaliser, (N, K); NaN where there is nothing to compare.

    Parameters
    ----------
    pair : sequence of int
        See `normaliser`.
    """
    true = np.stack([pose.points for pose in poses])
    lengths = np.array([normaliser(pose, pair) for pose in poses])
    distance: np.ndarray = np.linalg.norm(found[:, :, :2] - true[:, :, :2], axis=2) / lengths[:, None]
    return np.where(true[:, :, 2] > 0, distance, np.nan)


def point_scores(
    errors: np.ndarray, names: Sequence[str]
) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
    """Measure points.

    Parameters
    ----------
    errors : float (N, K)
        See `errors_of`.

    Returns
    -------
    dict
        ``nme``, the mean over the images of the mean error of their labelled points; ``pck``, the share of all labelled
        points whose error is below `NEAR`. None without a point.
    dict
        The same for each point, and the number of images in which it is labelled.
    """
    there = ~np.isnan(errors)
    images = there.any(1)
    metrics: dict[str, float | None] = {
        "nme": float(np.mean([row[kept].mean() for row, kept in zip(errors[images], there[images], strict=True)]))
        if images.any()
        else None,
        "pck": _share_near(errors[there]),
    }
    by_point: dict[str, dict[str, float | None]] = {}
    for k, name in enumerate(names):
        own = errors[there[:, k], k]
        by_point[name] = {"nme": float(own.mean()) if len(own) else None, "pck": _share_near(own), "rows": len(own)}
    return metrics, by_point


def _share_near(errors: np.ndarray) -> float | None:
    return float((errors < NEAR).mean()) if len(errors) else None


def oks(poses: Sequence[Pose], found: np.ndarray, names: Sequence[str]) -> dict[str, float | None]:
    """Average precision by object key point similarity, as pycocotools computes it; of objects that have a box.

    An object's area is that of its box. A point's spread is COCO's, where all names are; else `_SIGMA`. An image's
    answer is as sure as its points are in the mean.

    Returns
    -------
    dict
        ``oks_map``, over thresholds of .5 to .95, and ``oks_map50``; empty where no object has a box.

    Raises
    ------
    ModelGPTError
        pycocotools is not installed.
    """
    kept = [k for k, pose in enumerate(poses) if pose.box is not None]
    if not kept:
        return {}
    coco, evaluator = _pycocotools()
    truth = coco()
    objects = []
    for k in kept:
        pose = poses[k]
        left, top, right, bottom = pose.box or (0, 0, 0, 0)
        width, height = right - left, bottom - top
        about: dict[str, Any] = {"id": k + 1, "image_id": k + 1, "category_id": 1, "iscrowd": 0, "area": width * height}
        about |= {"bbox": [left, top, width, height], "keypoints": pose.points.reshape(-1).tolist()}
        objects.append(about | {"num_keypoints": int(pose.labelled.sum())})
    truth.dataset = {
        "images": [{"id": k + 1} for k in kept],
        "annotations": objects,
        "categories": [{"id": 1, "name": "object"}],
    }
    answers = [
        {"image_id": k + 1, "category_id": 1, "keypoints": found[k].reshape(-1).tolist(),
         "score": float(found[k, :, 2].mean())}
        for k in kept
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        done = evaluator(truth, truth.loadRes(answers), "keypoints")
        folded = [name.lower().replace(" ", "_") for name in names]
        coco_names = sorted(folded) == sorted(_COCO_NAMES)
        done.params.kpt_oks_sigmas = (
            _COCO_SIGMAS[[_COCO_NAMES.index(name) for name in folded]] if coco_names else np.full(len(names), _SIGMA)
        )
        done.params.areaRng, done.params.areaRngLbl = [[0, 1e10]], ["all"]
        done.evaluate()
        done.accumulate()
    precision = done.eval["precision"][:, :, 0, 0, 0]  # by threshold and recall
    return {"oks_map": _mean_known(precision), "oks_map50": _mean_known(precision[:1])}


def _mean_known(values: np.ndarray) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _pycocotools() -> tuple[Any, Any]:
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ModelGPTError(
            "To measure key points by OKS, the library pycocotools is needed.",
            "It is not installed.",
            "Install it: pip install pycocotools",
        ) from error
    return COCO, COCOeval
