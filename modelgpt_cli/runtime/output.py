"""What `predict` writes: the answers, beside columns of the input where asked for, as CSV or as JSON lines.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import csv
import json
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.runtime.answers import FlatAnswers, LineAnswers
from modelgpt_cli.runtime.feed import Chunk, HasColumns, Source, file_titles
from modelgpt_cli.runtime.session import Model

logger = logging.getLogger("modelgpt")
JSON_SUFFIXES = (".jsonl", ".ndjson")
"""How files end that get JSON lines rather than CSV."""
DOCUMENT_SUFFIX = ".json"
"""How a file ends that gets one JSON document, of a model whose answers have such a form."""
_ALL = "all"


def keep_columns(source: Source, asked: str | Sequence[str]) -> None:
    """Have a source hand on further columns of its own.

    Parameters
    ----------
    source : Source
    asked : str or sequence of str
        Names, separated by commas where they are one str (those with a comma in them in double quotes), or ``all``.

    Raises
    ------
    UsageError
        The rows have no columns, or not one of that name.
    """
    if not isinstance(source, HasColumns):
        raise UsageError(
            f"--keep is for tables and texts, and this is a model of {file_titles()}.", hint="Leave it out."
        )
    if isinstance(asked, str):
        named = [asked] if asked in source.columns else next(csv.reader([asked], skipinitialspace=True), [])
        asked = source.columns if named == [_ALL] else [name.strip() for name in named]
    source.keep(list(dict.fromkeys(asked)))


def check_confidence(model: Model, least: float | None) -> None:
    """Make sure that a model has a confidence to ask for.

    Raises
    ------
    UsageError
        It predicts numbers, or the least is no probability.
    """
    if least is None:
        return
    if model.answers is not None:
        raise UsageError(
            f"--min-confidence is not for {model.domain.title}.", "An answer is no single label.", "Leave it out."
        )
    if model.task == "regression":
        raise UsageError("--min-confidence is for classification.", f"{model.path} predicts numbers.", "Leave it out.")
    if model.multi_label:
        raise UsageError(
            "--min-confidence is for one label a row.", f"{model.path} is multi-label.", "Use the probabilities."
        )
    if not 0 <= least <= 1:
        raise UsageError(f"--min-confidence can't be {least:g}.", "It is a probability, at least 0 and at most 1.")


def number_outputs(model: Model) -> list[str]:
    """Return the names of a regression model's numbers."""
    return ["prediction"] if model.coverage is None else ["prediction", "lower", "upper"]


def given_labels(outputs: Mapping[str, np.ndarray], labels: Sequence[str]) -> list[list[str]]:
    """Return the labels that are given to each row, of any number, the likeliest first."""
    found = []
    for given, p in zip(outputs["label"], outputs["probabilities"], strict=True):
        places = np.flatnonzero(given)
        found.append([labels[k] for k in places[np.argsort(-p[places], kind="stable")]])
    return found


def count_novel(scores: np.ndarray, threshold: float | None) -> int:
    """Count the rows, of scores (N,), that are unlike the training data; none where there is no threshold."""
    return 0 if threshold is None else int((scores > threshold).sum())


def too_unsure(probabilities: np.ndarray, least: float | None) -> np.ndarray:
    """Return which rows, (N,) bool, have no class as likely as `least`; False where it is None."""
    if least is None or not probabilities.shape[1]:
        return np.zeros(len(probabilities), bool)
    unsure: np.ndarray = probabilities.max(axis=1) < least
    return unsure


class Layout:
    """The columns of the answers, and how they are filled.

    Parameters
    ----------
    model : Model
    proba : bool
        Whether the probability of each class is wanted.
    topk : int
        How many of the likeliest classes, where each row is a file.
    least : float, optional
        The label of a row whose likeliest class is less likely than this is left empty.

    Attributes
    ----------
    names : list of str
        For regression prediction and bounds; for any number of labels these, joined by ";", and the probability of
        each; else the label, with its probability and the next best ones where each row is a file, and where `proba`
        the probability of each class. Then the novelty, where the model has it.
        Of a task that a domain alone has: `Answers.NAMES`.
    several : LineAnswers or None
        What turns a row's answers into any number of lines of a CSV, where they are so many.
    unsure : int
        Labels that were left empty so far.
    novel : int
        Rows so far that are unlike the training data, of a model with a novelty.
    """

    def __init__(self, model: Model, proba: bool, topk: int, least: float | None = None) -> None:
        # Labels are quoted once, not once a row.
        self._cells = {label: quoted(label) for label in ("", *model.labels)}
        self._labels = model.labels
        self._proba = proba and model.task != "regression"
        self._topk = topk if model.feeds.FILES and not model.multi_label else 0
        self._least = least
        self._several = model.multi_label
        self._threshold = model.novelty
        self.unsure = self.novel = 0
        extra = [] if model.novelty is None else ["novelty"]
        self._own: Sequence[str] = ()
        self._flat: FlatAnswers | None = None
        self.several: LineAnswers | None = None
        if model.answers is not None:
            self.several = model.answers if isinstance(model.answers, LineAnswers) else None
            self._own = model.answers.NAMES
            self.names = [*self._own]
            if isinstance(model.answers, FlatAnswers):
                self._flat, self._model = model.answers, model
            if proba:
                logger.warning("--proba has no meaning for %s: an answer is no single label.", model.domain.title)
            return
        if model.task == "regression":
            self._numbers = number_outputs(model)
            self.names = self._numbers + extra
            if proba:
                logger.warning("--proba has no meaning for a regression; no column is added.")
            return
        if model.multi_label:
            self._proba = True
            self.names = ["prediction", *(f"probability_{label}" for label in model.labels), *extra]
            return
        self.names = ["label", "probability"] if self._topk else ["label"]
        for k in range(2, self._topk + 1):
            self.names += [f"label_{k}", f"probability_{k}"]
        if proba:
            self.names += [f"probability_{label}" for label in model.labels]
        self.names += extra

    @property
    def csv_names(self) -> list[str]:
        """`names` in a CSV, where a task of its own may have other columns; see `FlatAnswers`."""
        return self.names if self._flat is None else self._flat.csv_columns(self._model)

    def lines(self, outputs: Mapping[str, np.ndarray]) -> list[str]:
        """Format the answers of one chunk as CSV; numbers have float32's digits."""
        lines = self._answer_lines(outputs)
        if self._threshold is None:
            return lines
        return [f"{line},{score:.7g}" for line, score in zip(lines, self._novelty(outputs), strict=True)]

    def _novelty(self, outputs: Mapping[str, np.ndarray]) -> list[float]:
        """The novelty of each row of a chunk; those above the threshold are counted."""
        self.novel += count_novel(outputs["novelty"], self._threshold)
        found: list[float] = outputs["novelty"].tolist()
        return found

    def _answer_lines(self, outputs: Mapping[str, np.ndarray]) -> list[str]:
        if self._flat is not None:
            rows = self._flat.csv_cells(self._model, outputs)
            return [",".join(f"{number:.7g}" for number in row) for row in rows]
        if self._own:
            texts = ([quoted(json.dumps(cell, ensure_ascii=False)) for cell in outputs[name]] for name in self._own)
            return [",".join(row) for row in zip(*texts, strict=True)]
        if "prediction" in outputs:
            # As str, a float32 takes the fewest digits that give it back exactly.
            columns = [outputs[name].reshape(-1).astype(str).tolist() for name in self._numbers]
            return columns[0] if len(columns) == 1 else [",".join(row) for row in zip(*columns, strict=True)]
        probabilities = outputs["probabilities"]
        if self._several:
            lines = [quoted(";".join(given)) for given in self._given(outputs)]
        elif self._topk:
            lines = [
                ",".join(f"{self._cells[label]},{p:.7g}" for label, p in ranked) for ranked in self._ranked(outputs)
            ]
        else:
            lines = [self._cells.get(label, label) for label in self._first(outputs)]
        if not self._proba:
            return lines
        row = ",%.7g" * probabilities.shape[1]
        return [line + row % tuple(p) for line, p in zip(lines, probabilities.tolist(), strict=True)]

    def values(self, outputs: Mapping[str, np.ndarray]) -> list[list[Any]]:
        """Return the answers of one chunk, a list a row, as JSON has them: null for a label that is left empty."""
        rows = self._answers(outputs)
        if self._threshold is not None:
            for row, score in zip(rows, self._novelty(outputs), strict=True):
                row.append(_digits(score))
        return rows

    def _answers(self, outputs: Mapping[str, np.ndarray]) -> list[list[Any]]:
        if self._own:
            return [list(row) for row in zip(*(outputs[name].tolist() for name in self._own), strict=True)]
        if "prediction" in outputs:
            columns = [[_digits(p) for p in outputs[name].reshape(-1)] for name in self._numbers]
            return [list(row) for row in zip(*columns, strict=True)]
        rows: list[list[Any]]
        if self._several:
            rows = [[given] for given in self._given(outputs)]
        elif self._topk:
            rows = [
                [cell for label, p in ranked for cell in (label or None, _digits(p))]
                for ranked in self._ranked(outputs)
            ]
        else:
            rows = [[label or None] for label in self._first(outputs)]
        if self._proba:
            for row, p in zip(rows, outputs["probabilities"], strict=True):
                row += [_digits(one) for one in p]
        return rows

    def _given(self, outputs: Mapping[str, np.ndarray]) -> list[list[str]]:
        """The labels of each row, the likeliest first."""
        return given_labels(outputs, self._labels)

    def _first(self, outputs: Mapping[str, np.ndarray]) -> list[str]:
        """The label of each row, "" where it is too unsure."""
        labels = [str(label) for label in outputs["label"].tolist()]
        if self._least is None:
            return labels
        unsure = too_unsure(outputs["probabilities"], self._least)
        self.unsure += int(unsure.sum())
        return ["" if doubt else label for label, doubt in zip(labels, unsure.tolist(), strict=True)]

    def _ranked(self, outputs: Mapping[str, np.ndarray]) -> Iterator[list[tuple[str, float]]]:
        """The likeliest classes of each row with their probabilities; the first is "" where it is too unsure."""
        probabilities = outputs["probabilities"]
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._topk]
        unsure = too_unsure(probabilities, self._least)
        self.unsure += int(unsure.sum())
        for ranked, p, doubt in zip(best.tolist(), probabilities.tolist(), unsure.tolist(), strict=True):
            pairs = [(self._labels[k], p[k]) for k in ranked]
            yield [("", pairs[0][1]), *pairs[1:]] if doubt else pairs


class RowWriter:
    """Turns chunks and their answers into the bytes of a file, kept columns and files' names first.

    A kept column that is called like an answer is written as ``input_<name>``.

    Parameters
    ----------
    layout : Layout
    files : bool
        Whether each row is a file, whose name comes first.
    kept : sequence of str
        Further columns of the input, in their order.
    as_json : bool
        Whether to write JSON lines rather than CSV.
    """

    def __init__(self, layout: Layout, *, files: bool, kept: Sequence[str] = (), as_json: bool = False) -> None:
        self._layout = layout
        self._kept = list(kept)
        self._json = as_json
        self._before = ["file"] * files + [f"input_{name}" if name in layout.names else name for name in kept]
        renamed = [name for name in kept if name in layout.names]
        if renamed:
            logger.info("The input's '%s' is written as 'input_%s': an answer is called so.", renamed[0], renamed[0])

    def head(self) -> bytes:
        """Return what comes before the first row."""
        if self._json:
            return b""
        several = self._layout.several
        names = self._layout.csv_names if several is None else several.CELLS
        return (",".join(quoted(name) for name in [*self._before, *names]) + "\n").encode()

    def rows(self, chunk: Chunk, outputs: Mapping[str, np.ndarray]) -> bytes:
        """Return the lines of a chunk."""
        before = [list(chunk.names)] if chunk.names else []
        before += [list(chunk.kept[name]) for name in self._kept]
        if self._json:
            lines = self._json_lines(chunk, before, outputs)
        elif self._layout.several is not None:
            lines = self._several_lines(self._layout.several, chunk, before, outputs)
        else:
            lines = self._csv_lines(chunk, before, outputs)
        return "\n".join([*lines, ""]).encode(errors="surrogateescape")

    def tail(self) -> bytes:
        """Return what comes behind the last row: nothing."""
        return b""

    def _csv_lines(
        self, chunk: Chunk, before: Sequence[Sequence[Any]], outputs: Mapping[str, np.ndarray]
    ) -> Iterable[str]:
        lines = self._layout.lines(outputs)
        if not before:
            return lines
        empty = "," * (len(self._layout.csv_names) - 1)
        heads = ([quoted(_text(cell)) if cell is not None else "" for cell in row] for row in zip(*before, strict=True))
        return [",".join([*head, line]) for head, line in zip(heads, _spread(lines, chunk, empty), strict=True)]

    def _several_lines(
        self,
        several: LineAnswers,
        chunk: Chunk,
        before: Sequence[Sequence[Any]],
        outputs: Mapping[str, np.ndarray],
    ) -> Iterator[str]:
        """Any number of lines a row, each behind the row's own cells; of a row without any there is none."""
        names = self._layout.names
        answers = _spread(self._layout.values(outputs), chunk, None)
        heads: Iterable[tuple[Any, ...]] = zip(*before, strict=True) if before else ((),) * chunk.rows
        for head, answer in zip(heads, answers, strict=True):
            cells = [] if answer is None else several.cells(dict(zip(names, answer, strict=True)))
            for line in cells:
                yield ",".join(quoted(_text(cell)) if cell is not None else "" for cell in (*head, *line))

    def _json_lines(
        self, chunk: Chunk, before: Sequence[Sequence[Any]], outputs: Mapping[str, np.ndarray]
    ) -> Iterable[str]:
        names = [*self._before, *self._layout.names]
        answers = _spread(self._layout.values(outputs), chunk, [None] * len(self._layout.names))
        heads: Iterable[tuple[Any, ...]] = zip(*before, strict=True) if before else ((),) * chunk.rows
        for head, answer in zip(heads, answers, strict=True):
            cells = dict(zip(names, [*map(_json_value, head), *answer], strict=True))
            yield json.dumps(cells, ensure_ascii=False, allow_nan=False)


def _spread(answers: Sequence[Any], chunk: Chunk, empty: Any) -> Iterator[Any]:
    """Answers of the rows that could be read as those of all."""
    given = iter(answers)
    readable = [True] * chunk.rows if chunk.readable is None else chunk.readable.tolist()
    return (next(given) if there else empty for there in readable)


def _text(cell: Any) -> str:
    from modelgpt_cli.data.cells import cell_text

    return cell if type(cell) is str else cell_text(cell) or ""


def _json_value(cell: Any) -> Any:
    """A cell of the input as JSON has it: text, numbers and yes or no as they are, all others as text."""
    if hasattr(cell, "item"):
        cell = cell.item()
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell if cell is None or isinstance(cell, (str, bool, int)) else _text(cell)


def _digits(value: Any) -> float | None:
    """A float32 as the number of fewest digits that gives it back exactly; None where it is no number."""
    return float(str(np.float32(value))) if np.isfinite(value) else None


def quoted(cell: str) -> str:
    """Quote a CSV cell where it needs it; a lone empty cell would read back as a blank line."""
    if cell and not any(c in cell for c in ',"\r\n') and cell == cell.strip():
        return cell
    return '"' + cell.replace('"', '""') + '"'
