"""A `model.onnx`, loaded: columns in, arrays out, with numpy and onnxruntime alone. Last on the way of the data.

Shapes: N rows, C classes.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime as ort

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image.files import by_size
from modelgpt_cli.domains.shared.tokens import load_tokenizer, padded, token_ids
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS, TextRows

if TYPE_CHECKING:
    from tokenizers import Tokenizer

logger = logging.getLogger("modelgpt")
FORMAT = 1
TOKENIZER = "modelgpt_tokenizer"
"""Metadata entry of models that read text: the tokenizer's JSON."""
IMAGE = "image"
"""Image domain: the graph's input, and the column that holds the images."""
_CELLS_PER_RUN = 400_000
_IMAGES_PER_RUN = 8
_TEXTS_PER_RUN = 32
EXTENSIONS = "ai.onnx.contrib"
"""The operators of onnxruntime-extensions, which turn raw texts into token ids inside the graph."""


@dataclass(frozen=True)
class Input:
    """One input of the graph: the column it takes, its name there, its type."""

    column: str
    name: str
    type: str
    format: str = ""
    """Datetime: how its cells are written; guessed from the cells where empty."""
    mask: str = ""
    """Text: the input that takes the attention mask; `name` takes the token ids."""

    @property
    def is_float(self) -> bool:
        """Whether it takes float32 (numbers, days since 1970-01-01) rather than strings."""
        return self.type in ("numeric", "datetime")


class Model:
    """A model file, ready to run.

    Parameters
    ----------
    path : path-like
        The ``model.onnx``.
    threads : int, optional
        CPU threads; all cores by default.

    Attributes
    ----------
    texts_read, texts_cut : int
        Text domain: rows scored so far, and how many of them were longer than the model's window.

    Raises
    ------
    ModelGPTError
        No such file, not an ONNX file, not one that modelgpt has made, or a library that it needs is absent.
    """

    def __init__(self, path: str | os.PathLike[str], *, threads: int | None = None) -> None:
        self.path = Path(path)
        self._session = _open(self.path, threads)
        self.metadata: dict[str, Any] = parse_metadata(
            self._session.get_modelmeta().custom_metadata_map.get("modelgpt"), self.path
        )
        try:
            self.task: str = self.metadata["task"]
            self.target: str = self.metadata["target"]
            self.reads_texts = self.metadata.get("domain") == "text"
            self.reads_images = self.metadata.get("domain") == "image"
            self.max_tokens: int = self.metadata.get("max_tokens") or 0
            self._in_graph = self.metadata.get("tokenizer") == "graph"
            self.labels: tuple[str, ...] = tuple(str(label) for label in self.metadata.get("labels") or ())
            interval = self.metadata.get("interval") or {}
            self.coverage: float | None = interval["coverage"] if interval else None
            self.inputs = tuple(
                Input(i["name"], i.get("input", i["name"]), i["type"], i.get("format", ""), i.get("mask", ""))
                for i in self.metadata["inputs"]
            )
        except (KeyError, TypeError) as error:
            raise damaged(self.path, f"Its card lacks {error}.") from error
        self.texts_read = self.texts_cut = 0
        self._check_graph()
        self._tokenizer: Tokenizer | None = None
        if any(i.mask for i in self.inputs) or (self.reads_texts and not self._in_graph):
            self._tokenizer = load_tokenizer(self._session.get_modelmeta().custom_metadata_map.get(TOKENIZER))

    def run(self, columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Score rows.

        Parameters
        ----------
        columns : mapping of str to array-like, (N,) or (N, 1)
            By column name. Numbers (datetimes as days since 1970-01-01, NaN = missing) or strings (``""`` or None =
            missing). A column that is absent counts as missing, further ones are ignored. Image domain: ``image``,
            uint8 (H, W, 3) each, or (N, H, W, 3).

        Returns
        -------
        dict of str to ndarray
            ``label`` (N,) and ``probabilities`` (N, C) float32; or ``prediction`` (N, 1) float32 and, where the model
            has an interval, ``lower`` and ``upper`` (N, 1) float32.

        Raises
        ------
        UsageError
            The columns differ in length, none of the model's columns is there, or a number is none.
        """
        if self.reads_images:
            return self._run_images(columns.get(IMAGE, ()))
        arrays = {i.name: _column(columns[i.column], i) for i in self.inputs if i.column in columns}
        lengths = {len(array) for array in arrays.values()}
        if len(lengths) != 1:
            problem = "The columns differ in length." if lengths else "None of the model's columns is there."
            raise UsageError(problem, f"The model takes: {', '.join(i.column for i in self.inputs)}.")
        n_rows = lengths.pop()
        for i in self.inputs:
            if i.name not in arrays:
                fill = np.full((n_rows, 1), np.nan, np.float32) if i.is_float else np.full((n_rows, 1), "", object)
                arrays[i.name] = fill
        if self.reads_texts:
            return self._run_texts([arrays[i.name][:, 0] for i in self.inputs])
        if self._tokenizer is not None:
            return self._run_with_text(arrays, n_rows, self._tokenizer)
        # The graph holds several numbers per cell at once: a bounded number of cells a run bounds the memory, and one
        # that stays in the processor's cache is faster too.
        step = max(256, _CELLS_PER_RUN // len(self.inputs))
        parts = [
            self._session.run(None, {name: array[start : start + step] for name, array in arrays.items()})
            for start in range(0, max(n_rows, 1), step)
        ]
        return {
            output.name: np.concatenate([part[k] for part in parts]) if len(parts) > 1 else parts[0][k]
            for k, output in enumerate(self._session.get_outputs())
        }

    def _run_images(self, images: Any) -> dict[str, np.ndarray]:
        """Score images, those of one size together."""
        if not len(images):  # no images at all
            return {name: cells[:0] for name, cells in self._run_images([np.zeros((1, 1, 3), np.uint8)]).items()}
        order, parts = [], []
        for rows, batch in by_size(images):
            for start in range(0, len(rows), _IMAGES_PER_RUN):
                order += rows[start : start + _IMAGES_PER_RUN]
                parts.append(self._session.run(None, {IMAGE: batch[start : start + _IMAGES_PER_RUN]}))
        return self._joined(parts, np.argsort(order))

    def _joined(self, parts: list[list[np.ndarray]], places: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of several runs in the order of the rows, by name."""
        return {
            output.name: np.concatenate([part[k] for part in parts])[places]
            for k, output in enumerate(self._session.get_outputs())
        }

    def _run_with_text(self, arrays: dict[str, np.ndarray], n_rows: int, tokenizer: Tokenizer) -> dict[str, np.ndarray]:
        """Score rows, those with texts of like length together: the encoder's work grows with the longest."""
        texts = {i.name: token_ids(tokenizer, arrays.pop(i.name)[:, 0].tolist()) for i in self.inputs if i.mask}
        masks = {i.name: i.mask for i in self.inputs}
        length = np.zeros(n_rows, dtype=np.int64)
        for ids in texts.values():
            length += [len(row) for row in ids]
        order = np.argsort(length, kind="stable")
        parts = []
        for start in range(0, max(n_rows, 1), _TEXTS_PER_RUN):
            rows = order[start : start + _TEXTS_PER_RUN]
            feed = {name: array[rows] for name, array in arrays.items()}
            for name, ids in texts.items():
                feed[name], feed[masks[name]] = padded([ids[row] for row in rows])
            parts.append(self._session.run(None, feed))
        return self._joined(parts, np.argsort(order))

    def _run_texts(self, texts: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Score texts, or pairs of texts (N,) each; those of like length together."""
        order, parts = [], []
        for rows, feed in self._text_batches(texts):
            order.append(rows)
            parts.append(self._session.run(None, feed))
        if not parts:  # no rows at all
            return {name: cells[:0] for name, cells in self._run_texts([np.array([""], object)] * len(texts)).items()}
        return self._joined(parts, np.argsort(np.concatenate(order)))

    def _text_batches(self, texts: list[np.ndarray]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        """Row numbers and the graph's inputs, batch by batch."""
        if self._tokenizer is not None:
            tokenised = TextRows(self._tokenizer, *(column.tolist() for column in texts))
            self.texts_read += len(tokenised)
            self.texts_cut += tokenised.cut
            yield from tokenised.batches()
            return
        order = np.argsort([sum(map(len, row)) for row in zip(*texts, strict=True)], kind="stable")
        for start in range(0, len(order), _TEXTS_PER_RUN):
            rows = order[start : start + _TEXTS_PER_RUN]
            # The operators take a NUL character for a text's end; tokenizers pass over it.
            cells = (np.array([text.replace("\0", "") for text in column[rows]], object) for column in texts)
            yield rows, {i.name: column for i, column in zip(self.inputs, cells, strict=True)}

    def report(self) -> None:
        """Warn of texts that were longer than the window, once all rows are scored."""
        if self.texts_cut:
            logger.warning(
                "%s of %s %s are longer than the model's window (%d tokens) and were cut.",
                f"{self.texts_cut:,}",
                f"{self.texts_read:,}",
                "texts" if len(self.inputs) == 1 else "pairs of texts",
                self.max_tokens,
            )

    def _graph_inputs(self) -> dict[str, str]:
        """The graph's inputs and their types, as the card has it."""
        if self.reads_images:
            return {IMAGE: "tensor(uint8)"}
        if self.reads_texts and not self._in_graph:
            names = [IDS, MASK, *([SEGMENTS] if len(self.inputs) == 2 else [])]
            return dict.fromkeys(names, "tensor(int64)")
        expected: dict[str, str] = {}
        for i in self.inputs:
            kind = "tensor(float)" if i.is_float else "tensor(int64)" if i.mask else "tensor(string)"
            expected |= {name: kind for name in (i.name, i.mask) if name}
        return expected

    def _check_graph(self) -> None:
        """Hold the graph against its card, so that a mismatch is one clear error and not a riddle at the first run."""
        graph = {i.name: i.type for i in self._session.get_inputs()}
        expected = self._graph_inputs()
        if not self.inputs or graph != expected or (self.reads_texts and len(self.inputs) > 2):
            raise damaged(self.path, "Its inputs are not those that its card names.")
        wanted = {"label", "probabilities"} if self.task == "classification" else {"prediction"}
        if self.coverage is not None:
            wanted |= {"lower", "upper"}
        if not wanted <= {output.name for output in self._session.get_outputs()}:
            raise damaged(self.path, f"It has no output {' and '.join(sorted(wanted))}.")


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
        metadata = json.loads(text)
        version = metadata["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, "The 'modelgpt' entry in its metadata can't be read.") from error
    if version != FORMAT:
        raise ModelGPTError(
            f"{path} has format {version}; this modelgpt reads format {FORMAT}.",
            "Another version of modelgpt has written it.",
            "Upgrade, or build the model again: pip install --upgrade modelgpt-cli",
        )
    assert isinstance(metadata, dict)
    return metadata


def check_file(path: Path) -> None:
    """Make sure that `path` is a file with something in it."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "A model file is needed.")
    if not path.exists():
        raise ModelGPTError(f"No such file: {path}.", "", "Build one: modelgpt build --req req.txt -o model.onnx")
    if path.stat().st_size == 0:
        raise ModelGPTError(f"{path} is empty.", "", "Build the model again.")


def is_safetensors(path: Path) -> bool:
    """Whether the file starts as safetensors files do: the header's length, then a JSON object."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 100_000_000


def _open(path: Path, threads: int | None) -> ort.InferenceSession:
    check_file(path)
    if is_safetensors(path):
        raise UsageError(
            f"{path} is a safetensors file; a model.onnx is needed.",
            "",
            f"Export it first: modelgpt export {path} -o {path.with_suffix('.onnx')}",
        )
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        try:
            return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common base but Exception
            if EXTENSIONS not in str(error):
                raise
            register_extensions(options)
            return ort.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
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


def _column(values: Any, i: Input) -> np.ndarray:
    """Bring one column into the graph's form: (N, 1), float32 or object of str."""
    if i.is_float:
        try:
            with np.errstate(over="ignore"):
                return np.asarray(values, dtype=np.float32).reshape(-1, 1)
        except (TypeError, ValueError) as error:
            raise UsageError(f"Column '{i.column}' must hold numbers.", str(error)) from error
    # As an array of fixed width, a list of strings takes the longest one's room for each.
    array = np.array(values, dtype=object) if isinstance(values, (list, tuple)) else np.asarray(values)
    if array.dtype.kind == "U":
        return array.astype(object).reshape(-1, 1)
    cells = array.reshape(-1).tolist()
    # None and NaN (which differs from itself) are how frames say that a cell is missing.
    return np.array(["" if c is None or c != c else c if type(c) is str else str(c) for c in cells], object)[:, None]


def damaged(path: Path, cause: str) -> ModelGPTError:
    """Make the error for a model file that contradicts itself or breaks off."""
    return ModelGPTError(f"{path} is damaged.", cause, "Build or export the model again.")
