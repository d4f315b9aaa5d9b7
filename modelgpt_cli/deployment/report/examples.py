"""The rows that a model is most wrong about, as people see them: images small, texts quoted, cells by name.

Shapes: N rows, H, W pixels.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core import metrics as m
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.deployment.report.about import metric_title, number
from modelgpt_cli.runtime.answers import FileAnswers
from modelgpt_cli.runtime.evaluate import Compared, Evaluation
from modelgpt_cli.runtime.feed import Chunk, HasColumns, HasFiles, OpensBytes, Source
from modelgpt_cli.runtime.session import Model

_MOST = 10
_MOST_CELLS, _MOST_LETTERS = 8, 400
_SIDE, _DRAWN_SIDE, _QUALITY = 160, 480, 75
"""Pixels of the longer side of an image in a list, and of one with what is found in it; JPEG's quality."""
_SAMPLED, _WORST, _BEST = 24, 6, 3
"""Images that are measured one by one, and those of them that are shown."""
_CHUNK_ROWS = 16_384


def examples(model: Model, source: Source, done: Evaluation) -> dict[str, Any]:
    """Return the rows that a model is most wrong about, and those that it is least sure of and right.

    Parameters
    ----------
    source : Source
        That was measured; what the rows hold is read from it once more.
    done : Evaluation
        With `compared`.
    """
    compared = done.compared
    assert compared is not None
    worst, barely = _chosen(compared)
    shown = _contents(model, source, compared, [*worst, *barely])
    score = "" if compared.probabilities is None else "confidence"
    rows = {
        name: [_example(done, compared, i, source.name) | shown.get(i, {}) for i in chosen]
        for name, chosen in (("worst", worst), ("barely", barely))
    }
    return {**rows, "score": score}


def _chosen(compared: Compared) -> tuple[list[int], list[int]]:
    if compared.probabilities is None:
        order = np.argsort(-np.abs(compared.predicted - compared.true), kind="stable")
        return order[:_MOST].tolist(), []
    confidence = compared.probabilities.max(axis=1)
    is_right = compared.true == compared.predicted
    wrong, right = np.flatnonzero(~is_right), np.flatnonzero(is_right)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")]
    return worst[:_MOST].tolist(), right[np.argsort(confidence[right], kind="stable")][:_MOST].tolist()


def _example(done: Evaluation, compared: Compared, i: int, whole: str) -> dict[str, Any]:
    row = i if compared.rows is None else int(compared.rows[i])
    place = _inside(compared.names[i], whole) if compared.names else f"{row + 1:,}"
    found: dict[str, Any] = {"place": place}
    if compared.probabilities is None:
        true, predicted, score = number(float(compared.true[i])), number(float(compared.predicted[i])), ""
    else:
        true, predicted = done.true_labels[compared.true[i]], done.predicted_labels[compared.predicted[i]]
        score = f"{compared.probabilities[i].max():.0%}"
    return found | {"true": true, "predicted": predicted, "score": score}


def _inside(name: str, whole: str) -> str:
    """A file's name without the folder or archive that was given: a report holds no path of this machine."""
    inside = name.removeprefix(whole).lstrip("/\\") if name.startswith(whole) else ""
    return inside or "/".join(Path(name).parts[-2:])


def _contents(model: Model, source: Source, compared: Compared, chosen: Sequence[int]) -> dict[int, dict[str, Any]]:
    """What chosen rows hold: ``thumbnail``, ``quotes`` or ``cells``."""
    if compared.names and isinstance(source, HasFiles):
        return {i: {"thumbnail": thumbnail(model, source, compared.names[i])} for i in set(chosen)}
    if not isinstance(source, HasColumns) or compared.rows is None:
        return {}
    columns = [one.column for one in model.inputs if one.column in source.columns]
    wanted = {int(compared.rows[i]): i for i in chosen}
    texts = [one.column for one in model.inputs if one.type == FREE_TEXT and one.column in columns]
    found: dict[int, dict[str, Any]] = {}
    for row, cells in _cells(source, columns[:_MOST_CELLS] if not texts else [*texts, *columns], list(wanted)):
        if len(texts) == len(columns):
            found[wanted[row]] = {"quotes": [_short(cells[name]) for name in texts]}
        else:
            pairs = [(name, _short(cell, 80)) for name, cell in cells.items()]
            found[wanted[row]] = {"cells": pairs[:_MOST_CELLS], "more": max(0, len(model.inputs) - _MOST_CELLS)}
    return found


def _cells(source: Any, columns: Sequence[str], rows: Sequence[int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield raw cells of some rows of a table, counted from 0; what comes after the last of them is not read."""
    source.keep(tuple(dict.fromkeys(columns)))
    start, last = 0, max(rows, default=-1)
    for chunk in source.chunks(_CHUNK_ROWS) if rows else ():
        for row in sorted(rows):
            if start <= row < start + chunk.rows:
                yield row, {name: cells[row - start] for name, cells in chunk.kept.items()}
        start += chunk.rows
        if start > last:
            break


def _short(cell: Any, most: int = _MOST_LETTERS) -> str:
    text = "" if cell is None or cell != cell else " ".join(str(cell).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def thumbnail(model: Model, source: HasFiles, name: str) -> str:
    """Return one of a source's images, small, as a data URI; "" where it can't be read."""
    if not isinstance(model.feeds, OpensBytes):
        return ""
    try:
        with quiet("modelgpt"):
            opened = model.feeds.open_bytes(model, [(name, source.open_file(name))])
            chunk = next(iter(opened.chunks(1)))
        pixels = next(iter(chunk.columns.values()))
    except (ModelGPTError, OSError, ValueError, StopIteration):
        return ""
    return data_uri(pixels[0], _SIDE) if len(pixels) else ""


def data_uri(pixels: np.ndarray, side: int) -> str:
    """Return an image, uint8 (H, W, 3), as a small JPEG in a data URI."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((side, side))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"


# Tasks of their own -------------------------------------------------------------------------------------------------


@dataclass
class Kept:
    """One row with its true value, and what a model has answered.

    Attributes
    ----------
    chunk : Chunk
        Of the one row, which could be read.
    place : int
        Where the row stands among those that could be read.
    within : int
        The same, among those of the chunk that it came in.
    outputs : dict of str to ndarray (1,)
    """

    chunk: Chunk
    place: int
    within: int
    outputs: dict[str, np.ndarray] = field(default_factory=dict)


class Sampled:
    """A source that keeps some rows of what goes through it, spread evenly. Follows `runtime.feed.Source`."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._step = 1
        self._kept: list[Kept] = []
        self._now: list[Kept] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    @property
    def kept(self) -> list[Kept]:
        """The rows, two dozen at most."""
        return self._kept[:: max(1, -(-len(self._kept) // _SAMPLED))]

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the source's chunks."""
        seen = 0
        for chunk in self._source.chunks(rows):
            readable = np.ones(chunk.rows, bool) if chunk.readable is None else chunk.readable
            places = np.flatnonzero(readable).tolist()
            self._now = [
                Kept(_one(chunk, k, row), seen + k, k) for k, row in enumerate(places) if (seen + k) % self._step == 0
            ]
            self._kept += self._now
            while len(self._kept) >= 2 * _SAMPLED:  # which rows stay doesn't depend on the chunks
                self._step *= 2
                self._kept = [one for one in self._kept if one.place % self._step == 0]
            seen += len(places)
            yield chunk

    def answered(self, outputs: Mapping[str, np.ndarray]) -> None:
        """Take the answers to the chunk that was yielded last."""
        for one in self._now:
            one.outputs = {name: cells[one.within : one.within + 1] for name, cells in outputs.items()}


class Recorded:
    """A model whose answers a `Sampled` source takes; otherwise it is the model."""

    def __init__(self, model: Model, sampled: Sampled) -> None:
        self._model, self._sampled = model, sampled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def run(self, columns: Mapping[str, Any], **options: Any) -> dict[str, np.ndarray]:
        """Score rows."""
        outputs = self._model.run(columns, **options)
        self._sampled.answered(outputs)
        return outputs


class _Row:
    """A row as a source, and as a model that answers it as it did before."""

    def __init__(self, behind: Any, kept: Kept) -> None:
        self._behind, self._kept = behind, kept
        self.total = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._behind, name)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Yield the row."""
        yield self._kept.chunk

    def run(self, columns: Mapping[str, Any], **_: Any) -> dict[str, np.ndarray]:
        """Return the answers."""
        return self._kept.outputs

    def report(self) -> None:
        """All has been told of."""


def _one(chunk: Chunk, k: int, row: int) -> Chunk:
    """One row of a chunk: the k-th that could be read."""
    truth = None if chunk.truth is None else chunk.truth[k : k + 1]
    columns = {name: cells[k : k + 1] for name, cells in chunk.columns.items()}
    return Chunk(1, columns, truth=truth, names=[chunk.names[row]] if chunk.names else ())


def own_examples(model: Model, sampled: Sampled, done: Evaluation) -> dict[str, Any]:
    """Return some rows of a task that a domain alone has, measured one by one: the worst, then the best.

    Parameters
    ----------
    sampled : Sampled
        That was measured, with a `Recorded` model.
    """
    metric = next(iter(done.metrics))
    least_first = metric not in done.errors and not (metric in m.METRICS and m.METRICS[metric].is_error)
    scores: list[tuple[float, Kept]] = []
    assert model.answers is not None
    with quiet("modelgpt"):
        for kept in sampled.kept:
            again: Any = _Row(model, kept)
            source: Any = _Row(sampled, kept)
            try:
                value = model.answers.evaluate(again, source, 1).metrics.get(metric)
            except ModelGPTError:  # there is nothing to compare with in this row
                continue
            if value is not None and np.isfinite(value):
                scores.append((value, kept))
    scores.sort(key=lambda pair: pair[0] if least_first else -pair[0])
    if len(scores) > _WORST + _BEST:
        scores = scores[:_WORST] + scores[-_BEST:]
    return {
        "metric": done.titles.get(metric) or metric_title(metric),
        "rows": [_shown(model, kept, sampled.name) | {"score": number(float(value))} for value, kept in scores],
        "measured": len(sampled.kept),
    }


def _shown(model: Model, kept: Kept, whole: str) -> dict[str, Any]:
    """A row with what the model finds in it: drawn, or in words."""
    chunk = kept.chunk
    place = _inside(str(chunk.names[0]), whole) if chunk.names else ""
    if isinstance(model.answers, FileAnswers) and model.feeds.FILES:
        return {"place": place, "thumbnail": _drawn(model, chunk, kept.outputs)}
    assert model.answers is not None
    given = {name: kept.outputs[name][0] for name in model.answers.NAMES}
    text = " / ".join(str(cells[0]) for cells in chunk.columns.values())
    found = "; ".join(_words(one, text) for one in given.values())
    return {"place": place, "quotes": [_short(text)], "found": found}


def _drawn(model: Model, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> str:
    from PIL import Image

    assert isinstance(model.answers, FileAnswers)
    with tempfile.TemporaryDirectory() as folder:
        model.answers.open_folder(model, Path(folder), drawn=True, force=True).write(chunk, outputs)
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        if not files:
            return ""
        with Image.open(files[0]) as image:
            return data_uri(np.asarray(image.convert("RGB")), _DRAWN_SIDE)


def _words(value: Any, text: str) -> str:
    """What was found in a text, as words."""
    if isinstance(value, list) and all(
        isinstance(one, Mapping) and {"label", "start", "end"} <= one.keys() for one in value
    ):
        return ", ".join(f"{one['label']}: {text[one['start'] : one['end']]}" for one in value) or "nothing"
    return json.dumps(value, ensure_ascii=False)[:_MOST_LETTERS]
