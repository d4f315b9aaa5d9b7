"""A `model.onnx`, loaded: columns in, arrays out, with numpy and onnxruntime alone. Last on the way of the data.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import copy
import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from modelgpt_cli.core.card_schema import card_fault
from modelgpt_cli.core.domain import Domain, domain_names, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import bundled_model, check_model_file, sha256
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.progress import Advance
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import Column
from modelgpt_cli.runtime.answers import Answers
from modelgpt_cli.runtime.feed import Counting, Feed, Feeds

logger = logging.getLogger("modelgpt")
FORMAT = 2
CARD = "modelgpt"
"""Metadata entry with the model card, as JSON."""
TOKENIZER = "modelgpt_tokenizer"
"""Metadata entry with a tokenizer, as JSON, of models that read text."""
EXTENSIONS = "ai.onnx.contrib"
"""The operators of onnxruntime-extensions, which turn raw texts into token ids inside the graph."""
_EMPTY_TYPES: dict[str, Any] = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(double)": np.float64}


@dataclass(frozen=True)
class Input:
    """One input of the graph: the column it takes, its name there, its type."""

    column: str
    name: str
    type: str
    mask: str = ""
    """Free text in a table: the input that takes the attention mask; `name` takes the token ids."""
    levels: tuple[str, ...] = ()
    """The categories that the model knows, as it spells them."""
    reading: ReadingRule = PLAIN
    """How the cells of its column are written."""
    low: float | None = None
    """Numbers and dates: the smallest value of the rows that it was built from."""
    high: float | None = None
    """Numbers and dates: the largest value."""

    @property
    def is_float(self) -> bool:
        """Whether it takes float32 (numbers, days since 1970-01-01) rather than strings."""
        return self.type in ("numeric", "datetime")

    @property
    def as_column(self) -> Column:
        """What the column of its cells is, so that they are read as they were at build."""
        return Column(self.column, self.type, levels=self.levels, reading=self.reading, low=self.low, high=self.high)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph.

    Attributes
    ----------
    name : str
    type : str
        As ONNX names it: "float", "double", "int64", "uint8", "string" and so on.
    shape : tuple of int, str or None
        A side that differs from run to run has a name, or none.
    """

    name: str
    type: str
    shape: tuple[int | str | None, ...]


class Model:
    """A model file, ready to run.

    Parameters
    ----------
    path : path-like
        The ``model.onnx``, or a bundle that holds it.
    threads : int, optional
        CPU threads; all cores by default.

    Attributes
    ----------
    path : Path
    metadata : dict
        The model card.
    extras : dict of str to str
        The file's further metadata entries.
    domain : Domain
    task : str
        One of `core.schema.task_types`.
    answers : Answers or None
        What reads the outputs, of a task that a domain alone has.
    feed : Feed
    target : str
    labels : tuple of str
    multi_label : bool
        Whether a row has any number of `labels`.
    separator : str
        Then: what stands between them in the data that the model was built from.
    novelty : float or None
        The novelty that next to no row of the training data's kind has more of; None where the model gives none.
    coverage : float or None
        The share of true values that the prediction interval was made to hold; None where there is none.
    inputs : tuple of Input
    target_reading : ReadingRule
        How cells of the target are written.

    Raises
    ------
    ModelGPTError
        No such file, not an ONNX file, not one that modelgpt has made, or a library that it needs is absent.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int | None = None) -> None:
        self.path = Path(path)
        self._session = _open(self.path, threads)
        self.extras: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        self.metadata: dict[str, Any] = parse_metadata(self.extras.pop(CARD, None), self.path)
        try:
            self.domain: Domain = _domain(self.metadata["domain"], self.path)
            self.task: str = self.metadata["task"]
            self.target: str = self.metadata["target"]
            self.labels: tuple[str, ...] = tuple(str(label) for label in self.metadata.get("labels") or ())
            interval = self.metadata.get("interval") or {}
            self.coverage: float | None = interval["coverage"] if interval else None
            several = self.metadata.get("multi_label") or {}
            self.multi_label = bool(several)
            self.separator: str = several.get("separator", ";")
            novelty = self.metadata.get("novelty") or {}
            self.novelty: float | None = novelty["threshold"] if novelty else None
            self.inputs = tuple(
                Input(
                    i["name"],
                    i.get("input", i["name"]),
                    i["type"],
                    i.get("mask", ""),
                    tuple(i.get("levels", ())),
                    ReadingRule.from_mapping(i.get("reading", {})),
                    *(i.get("range") or (None, None)),
                )
                for i in self.metadata["inputs"]
            )
            self.target_reading = ReadingRule.from_mapping(self.metadata.get("target_reading", {}))
        except (KeyError, TypeError, UsageError) as error:
            raise damaged(self.path, f"Its card lacks {error}.") from error
        self.feeds: Feeds = self.domain.part("feed")
        self.feed: Feed = self.feeds.make_feed(self)
        self.answers: Answers | None = self.domain.part("answers") if self.domain.task else None
        self._bad_answers = 0
        self._check_graph()

    def run(self, columns: Mapping[str, Any], *, advance: Advance | None = None) -> dict[str, np.ndarray]:
        """Score rows.

        Parameters
        ----------
        columns : mapping of str to array-like, (N,) or (N, 1)
            By column name. Numbers (datetimes as days since 1970-01-01, NaN = missing) or strings (``""`` or None =
            missing). A column that is absent counts as missing, further ones are ignored. Images are uint8 (H, W, 3)
            each, or (N, H, W, 3).
        advance : callable, optional
            Called with the number of rows of each batch that is scored; see `core.progress`.

        Returns
        -------
        dict of str to ndarray
            ``label`` (N,) and ``probabilities`` (N, C) float32, where a row has any number of labels ``label`` (N, C)
            int64, 1 for those given; or ``prediction`` (N, 1) and, where the model has an
            interval, ``lower`` and ``upper`` (N, 1): float32, or float64 where the target lies too far from zero. Of
            texts and images also ``novelty`` (N,) float32, where the model was built from data. Of a task that a domain
            alone has: its answers, (N,) object each; see `Answers`.

        Raises
        ------
        UsageError
            The columns differ in length, none of the model's columns is there, or a number is none.
        """
        if self.answers is not None:
            return self.answers.run(self, columns, advance)
        rows, parts = [], []
        for numbers, inputs in self.feed.batches(columns):
            rows.append(numbers)
            parts.append(self.execute(inputs))
            if advance is not None:
                advance(len(numbers))
        found = self._joined(parts, rows)
        self._bad_answers += _bad_rows(found)
        return found

    @property
    def size_bytes(self) -> int:
        """The size of the model.onnx; of a bundle, of that in it."""
        content = bundled_model(self.path)
        return self.path.stat().st_size if content is None else len(content)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the model.onnx; of a bundle, of that in it."""
        content = bundled_model(self.path)
        return sha256(self.path) if content is None else hashlib.sha256(content).hexdigest()

    @property
    def signature(self) -> tuple[list[Tensor], list[Tensor]]:
        """The inputs and the outputs of the graph, in its order."""
        sides = self._session.get_inputs(), self._session.get_outputs()
        found = [[Tensor(one.name, one.type[7:-1], tuple(one.shape)) for one in side] for side in sides]
        return found[0], found[1]

    @property
    def graph_outputs(self) -> dict[str, str]:
        """What the graph gives, by name, with its types as onnxruntime writes them."""
        return {output.name: output.type for output in self._session.get_outputs()}

    def fresh(self) -> Model:
        """Return the same loaded model with counts of its own, so that `report` tells of one request's rows alone."""
        other = copy.copy(self)
        other._bad_answers = 0
        if isinstance(self.feed, Counting):
            other.feed = self.feed.fresh()
        return other

    def execute(self, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Run the graph; where it can't, its card says something else than the graph does."""
        try:
            found: list[np.ndarray] = self._session.run(None, inputs)
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            raise damaged(self.path, f"onnxruntime can't run it: {' '.join(str(error).split())[:300]}") from error
        return found

    def report(self) -> None:
        """Warn of what the model could not read in full, and of answers that are no numbers, after all rows."""
        self.feed.report()
        if self._bad_answers:
            logger.warning(
                "%s %s have answers that are no finite numbers: the model or its input is broken.",
                f"{self._bad_answers:,}",
                self.domain.rows,
            )

    def _joined(self, parts: list[list[np.ndarray]], rows: list[np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of several runs in the order of the rows, by name."""
        outputs = self._session.get_outputs()
        if not parts:  # no rows at all
            shapes = ((0, *(side if isinstance(side, int) else 0 for side in output.shape[1:])) for output in outputs)
            return {o.name: np.empty(s, _EMPTY_TYPES.get(o.type, object)) for o, s in zip(outputs, shapes, strict=True)}
        order = np.concatenate(rows)
        places = None if (order[:-1] < order[1:]).all() else np.argsort(order)
        found = {}
        for k, output in enumerate(outputs):
            cells = np.concatenate([part[k] for part in parts]) if len(parts) > 1 else parts[0][k]
            found[output.name] = cells if places is None else cells[places]
        return found

    def _check_graph(self) -> None:
        """Hold the graph against its card, so that a mismatch is one clear error and not a riddle at the first run."""
        graph = {i.name: i.type for i in self._session.get_inputs()}
        if not graph or graph != dict(self.feed.graph_inputs):
            raise damaged(self.path, "Its inputs are not those that its card names.")
        wanted = {"label", "probabilities"} if self.task == "classification" else {"prediction"}
        if self.answers is not None:
            wanted = set(self.answers.OUTPUTS)
            if self.task != self.domain.task:
                raise damaged(self.path, f"Its task is {self.task}, and its domain's is {self.domain.task}.")
            if fault := self.answers.check(self):
                raise damaged(self.path, fault)
        if self.coverage is not None:
            wanted |= {"lower", "upper"}
        if self.novelty is not None:
            wanted |= {"novelty"}
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        if not wanted <= set(shapes):
            raise damaged(self.path, f"It has no output {' and '.join(sorted(wanted))}.")
        width = shapes["probabilities"][-1] if self.task == "classification" and shapes["probabilities"] else None
        if isinstance(width, int) and width != len(self.labels):
            raise damaged(self.path, f"Its card names {len(self.labels):,} classes, and its graph has {width:,}.")


def _bad_rows(outputs: Mapping[str, np.ndarray]) -> int:
    """Count the rows with an answer that is NaN or infinite."""
    numbers = [cells for cells in outputs.values() if cells.dtype.kind == "f" and cells.size]
    if all(np.isfinite(cells).all() for cells in numbers):
        return 0
    bad = [~np.isfinite(cells).reshape(len(cells), -1).all(axis=1) for cells in numbers]
    return int(np.logical_or.reduce(bad).sum())


def parse_metadata(text: str | None, path: Path) -> dict[str, Any]:
    """Parse the ``modelgpt`` entry of a model file.

    Raises
    ------
    ModelGPTError
        There is none, it is damaged, or a later modelgpt has written it.
    """
    if text is None:
        raise ModelGPTError(
            f"{path} was not made by modelgpt.",
            "It is a valid file, but has no 'modelgpt' entry in its metadata.",
            "Build one: modelgpt build --req req.txt -o model.onnx",
        )
    try:
        metadata = parse_json(text)
        version = metadata["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "The 'modelgpt' entry in its metadata can't be read.") from error
    if version != FORMAT:
        raise ModelGPTError(
            f"{path} has format {version}; this modelgpt reads format {FORMAT}.",
            "Another version of modelgpt has written it.",
            "Upgrade, or build the model again: pip install --upgrade modelgpt-cli",
        )
    if (fault := card_fault(metadata)) is not None:
        raise damaged(path, f"{fault[0].upper()}{fault[1:]}.")
    card: dict[str, Any] = metadata
    return card


def _domain(name: str, path: Path) -> Domain:
    if name not in domain_names():
        raise ModelGPTError(
            f"{path} is a model of the domain {name!r}, which this modelgpt doesn't know.",
            f"It knows {', '.join(domain_names())}.",
            "Upgrade: pip install --upgrade modelgpt-cli",
        )
    return find_domain(name)


def is_safetensors(path: Path) -> bool:
    """Whether the file starts as safetensors files do: the header's length, then a JSON object."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 100_000_000


def _open(path: Path, threads: int | None) -> ort.InferenceSession:
    check_model_file(path)
    if is_safetensors(path):
        raise UsageError(
            f"{path} is a safetensors file; a model.onnx is needed.",
            "",
            f"Export it first: modelgpt export {path} -o {path.with_suffix('.onnx')}",
        )
    source = bundled_model(path) or os.fspath(path)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        try:
            return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            if EXTENSIONS not in str(error):
                raise
            register_extensions(options)
            return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except ModelGPTError:
        raise
    except Exception as error:
        detail = " ".join(str(error).split())
        raise ModelGPTError(
            f"{path} is not a model that onnxruntime can load.", detail[:300], "Build or export the model again."
        ) from error


def register_extensions(options: ort.SessionOptions) -> None:
    """Let a session use the operators of onnxruntime-extensions.

    Raises
    ------
    ModelGPTError
        The library is not installed.
    """
    try:
        from onnxruntime_extensions import get_library_path
    except ImportError as error:
        raise ModelGPTError(
            "This model's tokenizer is in its graph, for which the library onnxruntime-extensions is needed.",
            "",
            'Install it: pip install "modelgpt-cli[tokenizer]"',
        ) from error
    options.register_custom_ops_library(get_library_path())


def damaged(path: Path, cause: str) -> ModelGPTError:
    """Make the error for a model file that contradicts itself or breaks off."""
    return ModelGPTError(f"{path} is damaged.", cause, "Build or export the model again.")
