"""Columns of free text that a build uses, and the rows of a table that has some. Between `data` and `preprocessing`."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.tabular.members import draw_support
from modelgpt_cli.domains.tabular.preprocessing import level_codes
from modelgpt_cli.domains.tabular.read import MAX_TEXT_COLUMNS
from modelgpt_cli.domains.tabular.text_columns import TEXT_ROWS
from modelgpt_cli.parameter_generator.default_encoder import BYTES, PARAMETERS
from modelgpt_cli.parameter_generator.shipped_encoder import shipped_encoder

log = logging.getLogger("modelgpt")
TEXT_WORDS = 30
"""Of a text cell while a latency is measured."""
ROOM = 1.05
"""A limit must leave some room for the network itself."""


def text_columns_allowed(limits: Limits, mode: str) -> str:
    """Return why no column of free text may be used; "" where some may."""
    if mode == "drop":
        return "as asked for"
    if limits.size is not None and limits.size < ROOM * BYTES:
        return f"the text encoder takes {BYTES / 1e6:.0f} MB, the limit is {limits.size / 1e6:.3g} MB"
    if limits.parameters is not None and limits.parameters < ROOM * PARAMETERS:
        return f"the text encoder has {PARAMETERS / 1e6:.1f}M parameters, the limit is {limits.parameters:,}"
    return ""


def prepare_text(dataset: Dataset, reason: str, limits: Limits, seed: int) -> Dataset:
    """Say what becomes of the columns of free text; a long table that has some is cut to `TEXT_ROWS` rows.

    Parameters
    ----------
    reason : str
        Why none may be used; "" where some may.
    limits : Limits
        Of the latency: where the text encoder alone takes longer, the columns are left out.
    seed : int
        For the rows.
    """
    texts = sum(c.is_text and c.used for c in dataset.schema.columns)
    if texts and not reason and limits.latency_ms is not None:
        needed = _encoder_ms(limits.batch_size) * texts
        if needed > limits.latency_ms:
            reason = f"the text encoder takes {needed:.0f} ms, the limit is {limits.latency_ms:g} ms"
    columns = dataset.schema.columns
    if texts and reason:
        columns = tuple(replace(c, components=0, note="free text") if c.is_text else c for c in columns)
        dataset = replace(dataset, schema=replace(dataset.schema, columns=columns))
    if not dataset.schema.used:
        raise ModelGPTError(
            f"{dataset.name} has nothing but free text to predict {dataset.schema.target!r} from.",
            f"It can't be used: {reason}.",
            "Loosen the limit, or give a table with more columns.",
        )
    used = [c.name for c in columns if c.is_text and c.used]
    dropped = [c.name for c in columns if c.is_text and not c.used]
    notes = []
    if used:
        notes.append(
            f"Free text in {_listed(used)} is embedded: the model carries the text encoder ({BYTES / 1e6:.0f} MB), and "
            "to predict takes the library tokenizers and some 10 ms a row. Without: --text-columns drop."
        )
    if dropped:
        notes.append(
            f"Free text in {_listed(dropped)} is left out: "
            + (reason or f"at most {MAX_TEXT_COLUMNS} columns of it are used")
            + "."
        )
    if used and len(dataset.sample) > TEXT_ROWS:
        notes.append(f"Learned from {TEXT_ROWS:,} of {dataset.n_rows:,} rows, drawn at random, because of the text.")
        dataset = _cut(dataset, seed)
    for note in notes:
        log.info(note)
    return replace(dataset, warnings=[*dataset.warnings, *notes]) if notes else dataset


def _cut(dataset: Dataset, seed: int) -> Dataset:
    """`TEXT_ROWS` rows of the sample, a few of each class at least; without its table the dataset is these alone."""
    schema = dataset.schema
    target = dataset.sample[schema.target]
    y = level_codes(target, schema.classes) if schema.classes else target.to_numpy()
    rows = np.sort(draw_support(y, len(schema.classes), TEXT_ROWS, np.random.default_rng([seed, 17])))
    return replace(dataset, sample=dataset.sample.iloc[rows].reset_index(drop=True), _table=None)


def _encoder_ms(batch_size: int) -> float:
    """Milliseconds that the text encoder takes for a batch, the best of three."""
    encoder, times = shipped_encoder(), []
    for i in range(4):  # the first warms up
        start = time.perf_counter()
        encoder.embed([f"{i} " + "word " * TEXT_WORDS] * batch_size)
        times.append((time.perf_counter() - start) * 1000)
    return min(times[1:])


def _listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
