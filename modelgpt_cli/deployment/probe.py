"""Rows to verify another format of a model on, and the comparison. Between a place's writer and its folder.

Shapes: N rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import VerificationError
from modelgpt_cli.deployment.page import Field, Page
from modelgpt_cli.model_generator.measure import measured
from modelgpt_cli.runtime.feed import open_source
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

Feed = dict[str, np.ndarray]
"""What a graph takes, or gives, by name."""
_FOLLOWS, _NOISE = 0.05, 2e-5
"""Of a model whose answers hardly differ from row to row, differences are held against that, too: it would hide any."""
INTEGERS = 0.05
"""Of models in 8-bit integers; one step of a rounded value moved answers by up to 0.04 in networks that were tried."""
ROWS, IMAGES, MOST_ROWS = 48, 4, 256
"""Rows that are made up, images among them, and of the user's."""
_SIDES = ((240, 320), (96, 64), (64, 150), (333, 257))
"""Of the images that are made up: H, W."""
_TEXTS = (
    "The parcel came a week late, but the people at the counter were kind and gave me the money back.",
    "Good.",
    "",
    'How do I change the address of order 1234-56? It says "not found" (twice!) — since 3:15 p.m.',
    "Der Film war nicht schlecht, das Buch aber besser. " * 12,
)


@dataclass(frozen=True)
class Verified:
    """How far the answers of another format were from the model's."""

    rows: int
    max_difference: float
    """Largest difference of a probability; of numbers, as a share of how far the model's own answers lie apart."""

    def __str__(self) -> str:
        rows = f"{self.rows} row{'s' if self.rows > 1 else ''}"
        return f"Verified on {rows}: answers differ from model.onnx's by at most {self.max_difference:.2g}."


def probe_feeds(model: Model, data: Data | None = None) -> list[Feed]:
    """Return inputs of a model's graph, batch by batch: rows that are made up, and the first of a user's.

    What is made up: numbers within the bounds of each column and beyond, known and unknown levels, missing cells; texts
    of several lengths; images of several sizes.
    """
    feeds = [inputs for _, inputs in model.feed.batches(_made_up(model))]
    if data is not None:
        left = MOST_ROWS
        for chunk in open_source(model, data).chunks(MOST_ROWS):
            columns = {name: cells[:left] for name, cells in chunk.columns.items()}
            feeds += [inputs for _, inputs in model.feed.batches(columns)]
            left -= chunk.rows
            if left <= 0:
                break
    return feeds


def answers(model: Model, feeds: Iterable[Feed]) -> list[Feed]:
    """Run the model itself; return its outputs by name, batch by batch."""
    names = [one.name for one in model.signature[1]]
    return [dict(zip(names, model.execute(inputs), strict=True)) for inputs in feeds]


def allowed(model: Model, exact: float) -> float:
    """Return the largest difference that passes: `exact`, but more of 8-bit integers, which round slight ones up."""
    return max(exact, INTEGERS) if stored(model) == "int8" else exact


def stored(model: Model) -> str:
    """Return how a model's weights are stored: "none", "fp16" or "int8"."""
    return str((model.metadata.get("export") or {}).get("quantize", "none"))


def compare(expected: Sequence[Feed], got: Sequence[Mapping[str, Any]], tolerance: float) -> Verified:
    """Hold the answers of another format against the model's.

    Parameters
    ----------
    expected : sequence of mapping of str to ndarray
        The model's own, batch by batch.
    got : sequence of mapping of str to array-like
        The other's, in the same order; outputs that it lacks are passed over.
    tolerance : float
        The largest difference that passes.

    Raises
    ------
    VerificationError
        One is above, answers have another shape, or labels differ where the likeliest class is clear.
    """
    largest, rows = 0.0, 0
    apart = {name: _spread([batch[name] for batch in expected]) for name in got[0]}
    for own, others in zip(expected, got, strict=True):
        rows += len(next(iter(own.values())))
        for name, found in others.items():
            largest = max(largest, _difference(name, own, np.asarray(found), apart[name], tolerance))
    if largest > tolerance:
        raise _failed(f"Answers differ from model.onnx's by {largest:.2g}; {tolerance:.2g} is allowed.")
    return Verified(rows, largest)


def _difference(name: str, own: Feed, found: np.ndarray, apart: _Spread, tolerance: float) -> float:
    """The largest difference of one output; of labels 0, as what they come from is compared itself."""
    wanted = own[name]
    if found.shape != wanted.shape:
        raise _failed(f"Its {name} has the shape {list(found.shape)}, and model.onnx's {list(wanted.shape)}.")
    if not wanted.size:
        return 0.0
    if wanted.dtype.kind != "f":
        if "probabilities" in own and wanted.ndim == 1:
            return 0.0
        share = float(np.mean(wanted.astype(str) != found.astype(str)))
        return share
    here, there = np.isnan(wanted), np.isnan(found)
    if (here != there).any():
        raise _failed(f"Its {name} has missing numbers where model.onnx has none.")
    gap = float(np.abs(wanted.astype(np.float64) - found)[~here].max(initial=0.0))
    if tolerance < INTEGERS and gap > _FOLLOWS * apart.moved + _NOISE:
        raise _failed(
            f"Its {name} doesn't follow model.onnx's: rows differ by {apart.moved:.2g}, and both by {gap:.2g}."
        )
    return gap / apart.scale


@dataclass(frozen=True)
class _Spread:
    """How far apart the rows' own answers are: what differences are a share of, and what they must be well below."""

    scale: float = 1.0
    moved: float = 0.0


def _spread(values: Sequence[np.ndarray]) -> _Spread:
    if values[0].dtype.kind != "f" or not sum(one.size for one in values):
        return _Spread()
    rows = np.concatenate([one.reshape(-1, one.shape[-1]) if one.ndim > 1 else one[:, None] for one in values])
    rows = rows.astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    if not len(rows):
        return _Spread()
    moved = float(np.ptp(rows, axis=0).max())
    if rows.min() >= 0 and rows.max() <= 1:
        return _Spread(1.0, moved)
    return _Spread(max(float(np.ptp(rows)), float(np.abs(rows).max()) * 1e-3, 1e-9), moved)


def _made_up(model: Model) -> dict[str, Any]:
    """Columns as `Model.run` takes them."""
    if model.domain.has("page") and model.metadata.get("tokenizer") != "graph":
        page: Page = model.domain.part("page")
        fields = page.fields(model)
        rng = np.random.default_rng(0)
        n = IMAGES if any(field.kind == "pixels" for field in fields) else ROWS
        if any(field.kind == "tokens" for field in fields):
            n = len(_TEXTS)
        return {field.name: _cells(field, n, rng, k) for k, field in enumerate(fields)}
    return measured(model.domain.name).batch(model, 2, None)


def _cells(field: Field, n: int, rng: np.random.Generator, k: int) -> Any:
    """Cells of one field."""
    if field.kind == "pixels":
        return [_image(rng, *_SIDES[i % len(_SIDES)]) for i in range(n)]
    if field.kind == "tokens":
        return np.array([_TEXTS[(i + k) % len(_TEXTS)] for i in range(n)], dtype=object)
    if field.kind == "choice":
        levels = [*field.levels[:20], "", "a level that no row has"]
        return rng.choice(np.array(levels, dtype=object), n)
    low, high = (field.low, field.high) if field.low is not None and field.high is not None else (-3.0, 3.0)
    cells = rng.uniform(low - (high - low) / 4, high + (high - low) / 4, n).astype(np.float32)
    cells[rng.random(n) < 0.1] = np.nan
    return cells


def _image(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Large and small structures, uint8 (H, W, 3)."""
    coarse = rng.uniform(0, 255, (height // 32 + 1, width // 32 + 1, 3)).repeat(32, 0).repeat(32, 1)
    fine = rng.normal(0, 20, (height, width, 3))
    return np.clip(coarse[:height, :width] + fine, 0, 255).astype(np.uint8)


def _failed(cause: str) -> VerificationError:
    return VerificationError(
        "The exported model failed its verification; nothing was written.",
        cause,
        "Please report it with the model's card (modelgpt inspect --json).",
    )
