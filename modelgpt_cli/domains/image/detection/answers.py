"""From a graph's boxes to answers: JSON, lines of a CSV, drawn images, and measures. Follows `runtime.answers.Answers`.

Imports no torch. Shapes: N images, M boxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.core.progress import Advance
from modelgpt_cli.domains.image.annotations.objects import MarkedImage
from modelgpt_cli.domains.image.annotations.results import Document, coco_document
from modelgpt_cli.domains.image.detection.feed import BOXES, IMAGE, LABELS, SCORES, BoxImages
from modelgpt_cli.domains.image.detection.places import Truth
from modelgpt_cli.domains.image.detection.scores import TITLES, Found, Wanted, box_scores
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.scoring import scored

if TYPE_CHECKING:
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Source
    from modelgpt_cli.runtime.session import Model

OUTPUTS = (BOXES, SCORES, LABELS)
NAMES = (BOXES,)
CELLS = ("label", "score", "left", "top", "right", "bottom")
"""Columns of a CSV, which has a line for each box."""
FOUND = "found"
"""All boxes of an image, those too that are not shown: `scores.Found`."""


def check(model: Model) -> str:
    """Say what a card's `decoding` lacks; "" where it has all."""
    shown = (model.metadata.get("decoding") or {}).get("shown")
    if not model.labels:
        return "It names no class."
    return "" if isinstance(shown, (int, float)) else "It doesn't say from which score on boxes are shown."


def run(model: Model, columns: Mapping[str, Any], advance: Advance | None) -> dict[str, np.ndarray]:
    """Find boxes: of each image those that are shown, as JSON has them, and all as `scores.Found`."""
    n = len(columns.get(IMAGE, ()))
    boxes, found = np.empty(n, dtype=object), np.empty(n, dtype=object)
    shown = float(model.metadata["decoding"]["shown"])
    for rows, inputs in model.feed.batches(columns):
        its = Found(*model.execute(inputs)[:3])
        found[rows[0]] = its
        boxes[rows[0]] = [
            {
                "label": model.labels[label],
                "score": round(score, 4),
                "box": [round(edge, 1) for edge in box],
            }
            for box, score, label in zip(its.boxes.tolist(), its.scores.tolist(), its.labels.tolist(), strict=True)
            if score >= shown
        ]
        if advance is not None:
            advance(1)
    return {BOXES: boxes, FOUND: found}


def cells(answer: Mapping[str, Any]) -> list[list[Any]]:
    """The lines of a CSV that an image's answer is, one a box; see `runtime.answers.LineAnswers`."""
    return [[one["label"], one["score"], *one["box"]] for one in answer[BOXES]]


def evaluate(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true boxes with a model's; see `scores.box_scores`."""
    from modelgpt_cli.runtime.evaluate import Evaluation

    wanted: list[Wanted] = []
    found: list[Found] = []
    skipped = 0
    for chunk, outputs in scored(model, source, chunk_rows, "evaluate"):
        assert chunk.truth is not None, "the true values were asked for"
        wanted += [wanted_of(image) for image in chunk.truth]
        found += outputs[FOUND].tolist()
        skipped += chunk.rows - len(chunk.truth)
    source.report()
    model.report()
    if not any(len(one.labels) for one in wanted):
        raise ModelGPTError(f"{source.name} has no box to compare with.", "Nothing is marked in its images.")
    metrics, classes = box_scores(wanted, found, model.labels, float(model.metadata["decoding"]["shown"]))
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=len(wanted),
        skipped=skipped,
        metrics=metrics,
        classes=classes,
        unit=model.domain.rows,
        titles=TITLES,
        counted="boxes",
    )


def wanted_of(image: MarkedImage) -> Wanted:
    """What is to be found in an image, in pixels."""
    truth = Truth.of(image.objects)
    return Wanted(truth.boxes, truth.labels, truth.crowds, truth.crowd_labels)


class BoxWriter:
    """Draws each image with its boxes into a folder, as PNG.

    Files are called as the images; of two of one name the second keeps its ending, or gets its folder's name.
    """

    def __init__(self, model: Model, folder: Path, *, force: bool) -> None:
        self._model, self._folder, self._force = model, folder, force
        self._taken: set[PurePath] = set()

    def write(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> None:
        """Write the files of a chunk; an image that can't be read has none.

        Raises
        ------
        UsageError
            A file is there already, and none may be replaced.
        """
        from modelgpt_cli.domains.image.detection.draw import drawn_png

        readable = np.ones(chunk.rows, bool) if chunk.readable is None else chunk.readable
        names = [name for name, there in zip(chunk.names, readable.tolist(), strict=True) if there]
        for name, image, boxes in zip(names, chunk.columns[IMAGE], outputs[BOXES], strict=True):
            path = self._folder / self._file(PurePath(name))
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, force=self._force) as temporary:
                temporary.write_bytes(drawn_png(image, boxes, self._model.labels))

    def _file(self, name: PurePath) -> PurePath:
        """What an image's file is called: as it, else with its ending, its folder, and at last a number."""
        folder = name.parent.name
        choices = [name.stem, name.name, f"{folder}-{name.name}"]
        choices += [f"{folder}-{name.name}-{k}" for k in range(2, len(self._taken) + 3)]
        found = next(file for stem in choices if (file := PurePath(f"{stem}.png")) not in self._taken)
        self._taken.add(found)
        return found


def open_folder(model: Model, folder: Path, *, drawn: bool, force: bool) -> BoxWriter:
    """Return what draws a run's images into a folder; see `runtime.answers.FileAnswers`.

    Raises
    ------
    UsageError
        They are not to be drawn: boxes are written as lines of one file.
    """
    if not drawn:
        raise UsageError(
            f"Boxes are written into one file, and {folder} names a folder.", "", "Name a .jsonl, .csv or .json."
        )
    return BoxWriter(model, folder, force=force)


def open_document(model: Model, source: Source, data: Any) -> Document:
    """Return what writes boxes as COCO has them; see `runtime.answers.DocumentAnswers`.

    Results, which are measured, have all that are found; annotations, which are looked at, those that are shown.
    """
    shown = float(model.metadata["decoding"]["shown"])

    def entries(answer: Mapping[str, Any], results: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        its: Found = answer[FOUND]
        for box, score, label in zip(its.boxes.tolist(), its.scores.tolist(), its.labels.tolist(), strict=True):
            if results or score >= shown:
                left, top, width, height = box[0], box[1], box[2] - box[0], box[3] - box[1]
                edges = [round(edge, 3) for edge in (left, top, width, height)]
                found: dict[str, Any] = {"bbox": edges, "score": round(score, 6)}
                yield model.labels[label], found if results else found | {"area": round(width * height, 1)}

    names = [file.name for file in cast(BoxImages, source).files]
    return coco_document(names, data, [{"name": label} for label in model.labels], entries)
