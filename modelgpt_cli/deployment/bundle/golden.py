"""Golden rows: a few inputs with the answers that a model gave to them, by which a copy of it is checked elsewhere.

They come from data that are given, or are made up from the model's inputs. Shapes: N rows, H, W pixels.
"""

from __future__ import annotations

import datetime
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.core.schema import FREE_TEXT
from modelgpt_cli.deployment.probe import stored
from modelgpt_cli.deployment.report.examples import Kept, Sampled
from modelgpt_cli.runtime.feed import HasColumns, OpensBytes, Source, open_source
from modelgpt_cli.runtime.output import Layout, RowWriter
from modelgpt_cli.runtime.session import Input, Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

FILE, FOLDER = "golden.json", "golden/"
MADE_UP = "made up from the model's inputs"
_FORMAT = 1
_SIDE = 192
"""Pixels of an image's longer side, at most: each becomes a PNG of some 50 kB."""
_MOST_SEEN = 256
_CHUNK_ROWS = 16_384
_TOLERANCE = {"absolute": 1e-3, "relative": 1e-3}
"""Of probabilities and numbers: machines, threads and versions of onnxruntime differ in the last digits of float32."""
_INT8 = 0.03
"""Absolute, of weights in 8 bits, whose sums processors without VNNI cut off."""
_BARELY = 0.01
"""What has a score so near the least that is shown, another machine may show or not."""
_PIXELS = 0.6
"""Of numbers beyond 1 in answers about images' own pixels, which are rounded to tenths or whole ones."""


@dataclass(frozen=True)
class Golden:
    """Inputs with expected answers.

    Attributes
    ----------
    source : str
        Where the inputs come from: a file's name, or `MADE_UP`.
    rows : list
        Mappings of column to cell, or names of files.
    expected : list of dict
        Of each row the answers, as `predict` writes them as JSON.
    files : mapping of str to bytes
        The files that `rows` name.
    tolerance : mapping of str to float
    """

    source: str
    rows: list[Any]
    expected: list[dict[str, Any]]
    files: Mapping[str, bytes]
    tolerance: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return what `FILE` holds."""
        return {
            "format": _FORMAT,
            "source": self.source,
            "tolerance": dict(self.tolerance),
            "rows": self.rows,
            "expected": self.expected,
        }


def make_golden(model: Model, data: Data | None, most: int, name: str = "", target: str | None = None) -> Golden:
    """Take rows, or make some up, and let the model answer.

    Parameters
    ----------
    data : optional
        Labelled rows; without, the rows are made up.
    most : int
        How many rows.
    name : str
        What the data are called.
    target : str, optional
        The column of true values; it is not taken along.
    """
    tolerance = dict(_TOLERANCE)
    if stored(model) == "int8":
        tolerance["absolute"] = _INT8
    if model.answers is not None and model.feeds.FILES:
        tolerance["pixels"] = _PIXELS
    shown = (model.metadata.get("decoding") or {}).get("shown")
    if isinstance(shown, (int, float)):
        tolerance["shown"] = float(shown)
    with quiet("modelgpt"):
        if data is None:
            given = _made_up(model, most)
        else:
            given = _taken(model, open_source(model, data, labelled=True, target=target), most)
    if model.feeds.FILES:
        files = {f"{FOLDER}{k}.png": _png(pixels) for k, pixels in enumerate(given)}
        rows: list[Any] = list(files)
    else:
        files, rows = {}, given
    return Golden(name or MADE_UP, rows, answers(model, rows, files), files, tolerance)


def answers(model: Model, rows: Sequence[Any], files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Let a model answer rows in memory; the answers are those that `predict` writes as JSON.

    Raises
    ------
    ModelGPTError
        It can't.
    """
    if not rows:
        return []
    if model.feeds.FILES:
        if not isinstance(model.feeds, OpensBytes):
            raise ModelGPTError(f"Golden rows are not for {model.domain.title} yet.", "", "Leave them out: --rows 0.")
        source = model.feeds.open_bytes(model, [(name, files[name]) for name in rows])
    else:
        source = open_source(model, list(rows))
    proba = model.answers is None and model.task != "regression"
    writer = RowWriter(Layout(model, proba, 1), files=model.feeds.FILES, as_json=True)
    with quiet("modelgpt"):
        lines = b"".join(writer.rows(chunk, model.run(chunk.columns)) for chunk in source.chunks(_CHUNK_ROWS))
    return [json.loads(line) for line in lines.decode().splitlines()]


def read_golden(content: bytes, files: Mapping[str, bytes]) -> Golden:
    """Return golden rows from a bundle.

    Raises
    ------
    ValueError
        They can't be read, in words.
    """
    try:
        found = json.loads(content)
        golden = Golden(str(found["source"]), found["rows"], found["expected"], files, found["tolerance"])
        fits = found["format"] == _FORMAT and len(golden.rows) == len(golden.expected)
        fits = fits and all(isinstance(value, (int, float)) for value in golden.tolerance.values())
        fits = fits and all(isinstance(row, dict) or (isinstance(row, str) and row in files) for row in golden.rows)
        fits = fits and all(isinstance(one, dict) for one in golden.expected)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{FILE} can't be read") from error
    if not fits:
        raise ValueError(f"{FILE} can't be read: its rows and answers don't fit")
    return golden


def differences(golden: Golden, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each row whose answers differ from those that are expected."""
    lines = []
    for k, (expected, given) in enumerate(zip(golden.expected, found, strict=True)):
        label = expected.get("label")
        if label is not None and label != given.get("label") and _is_close_call(expected, golden.tolerance):
            expected, given = dict(expected) | {"label": None}, dict(given) | {"label": None}
        if isinstance(expected.get("prediction"), list) and "prediction" in given:
            # Of any number of labels: each follows from its probability, which may lie at the label's threshold.
            expected, given = dict(expected) | {"prediction": None}, dict(given) | {"prediction": None}
        word = _difference(expected, given, golden.tolerance, "")
        if word:
            lines.append(f"golden row {k + 1} of {len(found)}: {word}")
    return lines


def _is_close_call(expected: Mapping[str, Any], tolerance: Mapping[str, float]) -> bool:
    """Whether two classes are so alike in probability that another machine may prefer the other one."""
    best = sorted(value for name, value in expected.items() if name.startswith("probability_"))[-2:]
    return len(best) == 2 and best[1] - best[0] <= 2 * tolerance.get("absolute", 0)


def _difference(expected: Any, found: Any, tolerance: Mapping[str, float], name: str) -> str:
    """Say where two answers differ; "" where they don't."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        if expected.keys() != found.keys():
            return f"{name or 'the answer'} has {', '.join(found) or 'nothing'}, not {', '.join(expected) or 'nothing'}"
        pairs = [(expected[key], found[key], f"{name}.{key}" if name else str(key)) for key in expected]
    elif isinstance(expected, list) and isinstance(found, list):
        if all(isinstance(one, Mapping) and "score" in one for one in (*expected, *found)):
            return _scored_difference(expected, found, tolerance, name)
        if len(expected) != len(found):
            return f"{name} has {len(found)} entries, not {len(expected)}"
        pairs = [(one, other, f"{name}[{k}]") for k, (one, other) in enumerate(zip(expected, found, strict=True))]
    elif _is_number(expected) and _is_number(found):
        return "" if _is_near(expected, found, tolerance) else f"{name} is {found:.6g}, not {expected:.6g}"
    else:
        return "" if expected == found else f"{name} is {found!r}, not {expected!r}"
    return next((word for pair in pairs if (word := _difference(pair[0], pair[1], tolerance, pair[2]))), "")


def _scored_difference(
    expected: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]], tolerance: Mapping[str, float], name: str
) -> str:
    """Say what was found in one place and not in the other; what barely has a score that is shown may be missing."""
    left = list(found)
    missed = []
    for one in expected:
        same = next((k for k, other in enumerate(left) if not _difference(one, other, tolerance, name)), None)
        if same is None:
            missed.append(one)
        else:
            left.pop(same)
    least = tolerance.get("shown", -math.inf) + _BARELY
    for words, ones in (("is missing", missed), ("is not expected", left)):
        for one in ones:
            if not float(one["score"]) < least:
                return f"{name}: {json.dumps(one, ensure_ascii=False)} {words}"
    return ""


def _is_near(expected: float, found: float, tolerance: Mapping[str, float]) -> bool:
    allowed = tolerance.get("absolute", 0.0) + tolerance.get("relative", 0.0) * abs(expected)
    if abs(expected) > 1:
        allowed = max(allowed, tolerance.get("pixels", 0.0))
    return math.isfinite(found) and abs(expected - found) <= allowed


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


# Rows of data -------------------------------------------------------------------------------------------------------


def _taken(model: Model, source: Source, most: int) -> list[Any]:
    """Rows of data, spread evenly over the first thousands: cells by column, or images, uint8 (H, W, 3)."""
    if model.feeds.FILES:
        sampled, seen = Sampled(source), 0
        for chunk in sampled.chunks(_CHUNK_ROWS):
            seen += chunk.rows
            if seen >= _MOST_SEEN:
                break
        kept: list[Kept] = _spread(sampled.kept, most)
        return [next(iter(one.chunk.columns.values()))[0] for one in kept]
    names = [one.column for one in model.inputs]
    if isinstance(source, HasColumns):
        names = [name for name in names if name in source.columns]
        source.keep(names)
    first = next(iter(source.chunks(_CHUNK_ROWS)), None)
    if first is None:
        raise ModelGPTError(f"{source.name} holds no row.")
    cells = first.kept or first.columns  # of texts that are marked, the texts alone
    places = _spread(range(first.rows), most)
    return [{name: _cell(cells[name][k]) for name in names} for k in places]


def _spread(things: Sequence[Any], most: int) -> list[Any]:
    if not most or not things:
        return []
    return [
        things[k] for k in dict.fromkeys(np.linspace(0, len(things) - 1, min(most, len(things))).astype(int).tolist())
    ]


def _cell(cell: Any) -> Any:
    """A raw cell as JSON has it."""
    from modelgpt_cli.data.cells import cell_text

    if hasattr(cell, "item"):
        cell = cell.item()
    if cell is None or isinstance(cell, (str, bool, int)):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None
    return cell_text(cell)


# Rows that are made up ----------------------------------------------------------------------------------------------


def _made_up(model: Model, most: int) -> list[Any]:
    if model.feeds.FILES:
        return [_pattern(k) for k in range(min(most, 4))]
    return [{one.column: _value(model, one, k, j) for j, one in enumerate(model.inputs)} for k in range(most)]


def _value(model: Model, one: Input, k: int, j: int) -> Any:
    """A cell of row k in column j: within what was seen at build; every fourth row lacks every second one."""
    if k % 4 == 3 and j % 2:
        return None
    if one.type == FREE_TEXT:
        words = str(model.metadata.get("requirement", "")).split()
        label = model.labels[k % len(model.labels)] if model.labels else model.target
        return " ".join([label, *words[k % 3 : k % 3 + 12]])
    if one.levels:
        return one.levels[(k + j) % len(one.levels)]
    if not one.is_float:
        return "?"
    low, high = (0.0, 1.0) if one.low is None or one.high is None else (one.low, one.high)
    number = low + (high - low) * ((0.618 * (k + 1) + 0.382 * j) % 1.0)
    if one.type == "datetime":
        return _day(number, str(one.reading.format))
    return float(f"{number:.5g}")


def _day(days: float, form: str) -> str:
    """A date as its column writes it; as ISO 8601 has it where that is not known."""
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=round(days))
    return date.strftime(form) if "%" in form else date.isoformat()


def _pattern(k: int) -> np.ndarray:
    """An image of soft colours and stripes, uint8 (H, W, 3); of whole numbers alone, and so the same everywhere."""
    y, x = np.mgrid[0:96, 0:128]
    stripes = 60 * (((x + (k + 1) * y) // (8 + 4 * k)) % 2)
    layers = [x * 255 // 127, y * 255 // 95, (x + y) * (k + 2) % 256]
    return np.stack([np.clip(layers[(c + k) % 3] * 3 // 4 + stripes, 0, 255) for c in range(3)], -1).astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    image.save(content, "PNG", optimize=True)
    return content.getvalue()
