"""From a graph's points to answers: by name, as files, and measures. Follows `runtime.answers.Answers`.

Imports no torch. Shapes: N images, K points.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.core.progress import Advance
from modelgpt_cli.domains.image.annotations.marks import THING
from modelgpt_cli.domains.image.annotations.results import Document, coco_document
from modelgpt_cli.domains.image.keypoints.feed import IMAGE, SubjectImages
from modelgpt_cli.domains.image.keypoints.poses import Pose, normaliser_words
from modelgpt_cli.domains.image.keypoints.scores import TITLES, errors_of, oks, point_scores
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.scoring import scored

if TYPE_CHECKING:
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Source
    from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
KEYPOINTS, POINTS = "keypoints", "points"
OUTPUTS = (KEYPOINTS,)
NAMES = (POINTS,)


def check(model: Model) -> str:
    """Say what a card's `decoding` lacks; "" where it has all."""
    about = (model.metadata.get("decoding") or {}).get("points") or {}
    n = len(model.labels)
    if not n:
        return "It names no points."
    pairs = [*(about.get("edges") or ()), *([about["normaliser"]] if about.get("normaliser") else ())]
    if not all(_is_pair(pair, n) for pair in pairs):
        return "Its edges and its normaliser are not pairs of its points."
    return ""


def _is_pair(pair: Any, n: int) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(k, int) and 0 <= k < n for k in pair)


def run(model: Model, columns: Mapping[str, Any], advance: Advance | None) -> dict[str, np.ndarray]:
    """Find the points of images: of each name → [x, y, score], and `KEYPOINTS`, float32 (K, 3)."""
    n = len(columns.get(IMAGE, ()))
    named, plain = np.empty(n, dtype=object), np.empty(n, dtype=object)
    for rows, inputs in model.feed.batches(columns):
        for row, points in zip(rows.tolist(), model.execute(inputs)[0], strict=True):
            cells = (_rounded(point) for point in points.tolist())
            plain[row], named[row] = points, dict(zip(model.labels, cells, strict=True))
        if advance is not None:
            advance(len(rows))
    return {POINTS: named, KEYPOINTS: plain}


def _rounded(point: Sequence[float]) -> list[float]:
    x, y, score = point
    return [round(x, 2), round(y, 2), round(score, 4)]


def csv_columns(model: Model) -> list[str]:
    """Return the columns of a CSV: x, y and score of each point."""
    return [f"{name}_{part}" for name in model.labels for part in ("x", "y", "score")]


def csv_cells(model: Model, outputs: Mapping[str, np.ndarray]) -> list[list[float]]:
    """Return the numbers of each image in a CSV, in the order of `csv_columns`."""
    return [[number for name in model.labels for number in points[name]] for points in outputs[POINTS]]


def evaluate(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true points with a model's; see `scores`."""
    from modelgpt_cli.runtime.evaluate import Evaluation

    pair = tuple(model.metadata["decoding"]["points"].get("normaliser") or ())
    poses: list[Pose] = []
    found: list[np.ndarray] = []
    skipped = 0
    for chunk, outputs in scored(model, source, chunk_rows, "evaluate"):
        assert chunk.truth is not None, "the true values were asked for"
        poses += list(chunk.truth)
        found += list(outputs[KEYPOINTS])
        skipped += chunk.rows - len(chunk.truth)
    source.report()
    model.report()
    answers = np.stack(found)
    errors = errors_of(poses, answers, pair)
    bare = int(np.isnan(errors).all(1).sum())
    words = normaliser_words(model.labels, pair)
    if bare == len(errors):
        raise ModelGPTError(f"{source.name} has no image whose errors can be measured.", f"No image has {words}.")
    if bare:
        logger.warning("%s of %s images don't have %s: left out.", f"{bare:,}", f"{len(errors):,}", words)
    logger.info("Errors are divided by %s.", words)
    metrics, points = point_scores(errors, model.labels)
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=len(poses) - bare,
        skipped=skipped + bare,
        metrics=metrics | oks(poses, answers, model.labels),
        classes=points,
        unit=model.domain.rows,
        titles=TITLES,
        counted="images",
        errors=("nme",),
    )


class PointWriter:
    """Writes the points of each image as a JSON file, or the image with them drawn over it, into a folder.

    Files are called as the images; of two of one name the second keeps its ending, or gets its folder's name.
    """

    def __init__(self, model: Model, folder: Path, *, drawn: bool, force: bool) -> None:
        self._model, self._folder, self._drawn, self._force = model, folder, drawn, force
        self._edges = model.metadata["decoding"]["points"].get("edges") or ()
        self._taken: set[PurePath] = set()

    def write(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> None:
        """Write the files of a chunk; an image that can't be read has none.

        Raises
        ------
        UsageError
            A file is there already, and none may be replaced.
        """
        from modelgpt_cli.domains.image.keypoints.draw import drawn_png

        readable = np.ones(chunk.rows, bool) if chunk.readable is None else chunk.readable
        names = [name for name, there in zip(chunk.names, readable.tolist(), strict=True) if there]
        each = zip(names, chunk.columns[IMAGE], outputs[KEYPOINTS], outputs[POINTS], strict=True)
        for name, image, points, named in each:
            if self._drawn:
                content = drawn_png(image, points, self._model.labels, self._edges)
            else:
                content = (json.dumps(named, ensure_ascii=False) + "\n").encode()
            path = self._folder / self._file(PurePath(name))
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, force=self._force) as temporary:
                temporary.write_bytes(content)

    def _file(self, name: PurePath) -> PurePath:
        """What an image's file is called: as it, else with its ending, its folder, and at last a number."""
        folder, ending = name.parent.name, "png" if self._drawn else "json"
        choices = [name.stem, name.name, f"{folder}-{name.name}"]
        choices += [f"{folder}-{name.name}-{k}" for k in range(2, len(self._taken) + 3)]
        found = next(file for stem in choices if (file := PurePath(f"{stem}.{ending}")) not in self._taken)
        self._taken.add(found)
        return found


def open_folder(model: Model, folder: Path, *, drawn: bool, force: bool) -> PointWriter:
    """Return what writes a run's points into a folder; see `runtime.answers.FileAnswers`."""
    return PointWriter(model, folder, drawn=drawn, force=force)


def open_document(model: Model, source: Source, data: Any) -> Document:
    """Return what writes points as COCO has them; see `runtime.answers.DocumentAnswers`.

    Of a result the third number of each point is its score, of an annotation COCO's 2 for visible.
    """

    def entries(answer: Mapping[str, Any], results: bool) -> Iterator[tuple[None, dict[str, Any]]]:
        points: np.ndarray = answer[KEYPOINTS]
        score = round(float(points[:, 2].mean()), 6)
        third = points[:, 2:] if results else np.full((len(points), 1), 2)
        cells = np.hstack([points[:, :2], third]).reshape(-1).tolist()
        found: dict[str, Any] = {"keypoints": [round(cell, 3) for cell in cells], "score": score}
        if not results:
            start, end = points[:, :2].min(0), points[:, :2].max(0)
            box = [round(edge, 3) for edge in (*start.tolist(), *(end - start).tolist())]
            found |= {"num_keypoints": len(points), "bbox": box, "area": round(box[2] * box[3], 1)}
        yield None, found

    edges = model.metadata["decoding"]["points"].get("edges") or ()
    skeleton = [[a + 1, b + 1] for a, b in edges]
    category = {"name": THING, "keypoints": list(model.labels), "skeleton": skeleton}
    return coco_document([file.name for file in cast(SubjectImages, source).files], data, [category], entries)
