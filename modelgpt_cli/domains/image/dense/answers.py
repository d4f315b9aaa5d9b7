"""From a graph's masks to answers: shares of the classes, files, and measures. Follows `runtime.answers.Answers`.

Imports no torch. Shapes: N images, H, W pixels, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.core.progress import Advance
from modelgpt_cli.domains.image.annotations.results import Document, coco_document
from modelgpt_cli.domains.image.annotations.rle import packed_mask
from modelgpt_cli.domains.image.dense.drawn import GROUND
from modelgpt_cli.domains.image.dense.feed import IMAGE, SceneImages
from modelgpt_cli.domains.image.dense.masks import MOST_CLASSES
from modelgpt_cli.domains.image.dense.scores import TITLES, count_pairs, mask_scores
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.scoring import scored

if TYPE_CHECKING:
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.feed import Source
    from modelgpt_cli.runtime.session import Model

MASK, SHARES = "mask", "shares"
OUTPUTS = (MASK,)
NAMES = (SHARES,)


def check(model: Model) -> str:
    """Say what a card's `decoding` lacks; "" where it has all."""
    coding = (model.metadata.get("decoding") or {}).get("coding") or {}
    if not 1 < len(model.labels) <= MOST_CLASSES:
        return f"It has {len(model.labels):,} classes."
    values = coding.get("values")
    if not isinstance(values, list) or len(values) != len(model.labels) or "ignored" not in coding:
        return "It doesn't say what the values of masks stand for."
    return ""


def run(model: Model, columns: Mapping[str, Any], advance: Advance | None) -> dict[str, np.ndarray]:
    """Segment images: of each the mask, uint8 (H, W), and class → share of the pixels."""
    n = len(columns.get(IMAGE, ()))
    masks, shares = np.empty(n, dtype=object), np.empty(n, dtype=object)
    for rows, inputs in model.feed.batches(columns):
        for row, mask in zip(rows.tolist(), model.execute(inputs)[0], strict=True):
            counts = np.bincount(mask.reshape(-1), minlength=len(model.labels)) / mask.size
            masks[row] = mask
            shares[row] = {label: round(float(counts[k]), 4) for k, label in enumerate(model.labels) if counts[k]}
        if advance is not None:
            advance(len(rows))
    return {SHARES: shares, MASK: masks}


def evaluate(model: Model, source: Source, chunk_rows: int) -> Evaluation:
    """Compare true masks with a model's; see `scores.mask_scores`."""
    from modelgpt_cli.runtime.evaluate import Evaluation

    counts = np.zeros((len(model.labels), len(model.labels)), np.int64)
    images = skipped = 0
    for chunk, outputs in scored(model, source, chunk_rows, "evaluate"):
        assert chunk.truth is not None, "the true values were asked for"
        for true, found in zip(chunk.truth, outputs[MASK], strict=True):
            counts += count_pairs(true, found, len(model.labels))
        images += len(chunk.truth)
        skipped += chunk.rows - len(chunk.truth)
    source.report()
    model.report()
    if not counts.any():
        raise ModelGPTError(f"{source.name} has no pixel to compare with.", "Nothing is labelled in its masks.")
    metrics, classes = mask_scores(counts, model.labels)
    return Evaluation(
        task=model.task,
        target=source.target,
        rows=images,
        skipped=skipped,
        metrics=metrics,
        classes=classes,
        unit=model.domain.rows,
        titles=TITLES,
        counted="pixels",
    )


class MaskWriter:
    """Writes a PNG of each image's mask, or of the image with its mask drawn over it, into a folder.

    Files are called as the images; of two of one name the second keeps its ending, or gets its folder's name.
    """

    def __init__(self, model: Model, folder: Path, *, drawn: bool, force: bool) -> None:
        self._model, self._folder, self._drawn, self._force = model, folder, drawn, force
        self._taken: set[PurePath] = set()

    def write(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> None:
        """Write the files of a chunk; an image that can't be read has none.

        Raises
        ------
        UsageError
            A file is there already, and none may be replaced.
        """
        from modelgpt_cli.domains.image.dense.draw import drawn_png, mask_png

        readable = np.ones(chunk.rows, bool) if chunk.readable is None else chunk.readable
        names = [name for name, there in zip(chunk.names, readable.tolist(), strict=True) if there]
        for name, image, mask in zip(names, chunk.columns[IMAGE], outputs[MASK], strict=True):
            labels = self._model.labels
            content = drawn_png(image, mask, labels) if self._drawn else mask_png(mask, labels)
            path = self._folder / self._file(PurePath(name))
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, force=self._force) as temporary:
                temporary.write_bytes(content)

    def _file(self, name: PurePath) -> PurePath:
        """What an image's file is called: as it, else with its ending, its folder, and at last a number."""
        folder = name.parent.name
        choices = [name.stem, name.name, f"{folder}-{name.name}"]
        choices += [f"{folder}-{name.name}-{k}" for k in range(2, len(self._taken) + 3)]
        found = next(file for stem in choices if (file := PurePath(f"{stem}.png")) not in self._taken)
        self._taken.add(found)
        return found


def open_folder(model: Model, folder: Path, *, drawn: bool, force: bool) -> MaskWriter:
    """Return what writes a run's masks into a folder; see `runtime.answers.FileAnswers`."""
    return MaskWriter(model, folder, drawn=drawn, force=force)


def open_document(model: Model, source: Source, data: Any) -> Document:
    """Return what writes masks as COCO has them; see `runtime.answers.DocumentAnswers`.

    An entry is all that is of a class in an image. The background is none; masks have no scores: they are 1.
    """

    def entries(answer: Mapping[str, Any], results: bool) -> Iterator[tuple[str, dict[str, Any]]]:
        mask: np.ndarray = answer[MASK]
        for k in np.unique(mask).tolist():
            inside = mask == k
            if model.labels[k].lower() in GROUND:
                continue
            found: dict[str, Any] = {"segmentation": packed_mask(inside), "score": 1.0}
            if not results:
                rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
                start = [int(columns[0]), int(rows[0])]
                box = [*start, int(columns[-1]) + 1 - start[0], int(rows[-1]) + 1 - start[1]]
                found |= {"bbox": box, "area": int(inside.sum())}
            yield model.labels[k], found

    categories = [{"name": label} for label in model.labels if label.lower() not in GROUND]
    return coco_document([file.name for file in cast(SceneImages, source).files], data, categories, entries)
