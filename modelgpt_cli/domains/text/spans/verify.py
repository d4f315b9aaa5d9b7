"""The proof before a file of marked texts appears: empty, odd and long texts, and the user's own.

Shapes: N windows, W words, P head inputs, L tags, n words of all windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from onnx import TensorProto

from modelgpt_cli.artifacts.verify import (
    BATCHES,
    check_difference,
    check_gap,
    failed,
    graph_session,
    relative_gap,
    with_inner_values,
)
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.spans.model import SpanModel, tensors
from modelgpt_cli.domains.text.spans.onnx import INPUTS
from modelgpt_cli.domains.text.spans.words import make_windows, read_texts
from modelgpt_cli.domains.text.verify import TOLERANCES
from modelgpt_cli.runtime.session import TOKENIZER

_GIVEN = 8
_TEXTS = (
    "a",
    "Two words, 1 comma!",
    "Ünïcode – naïve café, 漢字 かな",
    "☕🙂👨‍👩‍👧 ok",
    "bell\x07 zero\u200bwidth \ufeffmark",
    "[SEP] [MASK] </s> <s>",
    "x" * 300,
    "INV-4711 over $1,250.00 by 3/4/2024",
)
_LONG = "a longer text, word by word, "


def verify(
    model: SpanModel,
    raw: bytes,
    rows: pd.DataFrame | None = None,
    *,
    quantize: str = "none",
    options: Mapping[str, Any] | None = None,
) -> float:
    """Hold an exported model against the original; see `artifacts.verify.Verifier`.

    Returns
    -------
    float
        The largest difference of the probability of a word's tag.
    """
    session = graph_session(
        raw if quantize == "none" else with_inner_values(raw, {INPUTS: (TensorProto.FLOAT, ("N", "W", "P"))})
    )
    texts = [*_TEXTS, _LONG * (model.blueprint.architecture.max_tokens // 4)]
    if rows is not None and len(rows):
        texts = model.texts(rows.iloc[:_GIVEN]) + texts
    # The tokenizer that the file carries, as whoever gets it reads it.
    entries = {entry.key: entry.value for entry in onnx.load_model_from_string(raw).metadata_props}
    tokenizer = load_tokenizer(entries.get(TOKENIZER))
    windows = make_windows(read_texts(tokenizer, texts), tokenizer, model.blueprint.architecture.max_tokens)
    worst = 0.0
    alone: list[np.ndarray] | None = None
    for size in BATCHES:
        expected, got, seen, exact = [], [], [], []
        for start in range(0, len(windows.ids), size):
            places = list(range(start, min(start + size, len(windows.ids))))
            inputs = windows.feed(places)
            found = session.run(None, inputs)
            with torch.inference_mode():
                own = model.head_inputs(*tensors(inputs))
                given = own if quantize == "none" else torch.from_numpy(found[1])
                scores = model.scores(given).exp().numpy()
            for i, place in enumerate(places):
                n = windows.words[place][1] - windows.words[place][0]
                expected.append(scores[i, :n])
                got.append(np.exp(found[0][i, :n].astype(np.float64)))
                exact.append(own[i, :n].numpy())
                seen.append(given[i, :n].numpy())
        answers = np.concatenate(got)
        if not np.isfinite(answers).all() or answers.shape != (wanted := np.concatenate(expected)).shape:
            raise failed("It gives scores that are no numbers, or not one for each word and tag.")
        difference = float(np.abs(answers - wanted).max())
        check_difference(difference)
        worst = max(worst, difference)
        if quantize != "none":
            check_gap(relative_gap(np.concatenate(exact), np.concatenate(seen)), *TOLERANCES[quantize])
            alone = seen if alone is None else alone
            apart = float(relative_gap(np.concatenate(alone), np.concatenate(seen)).mean())
            if apart > 0.03:
                raise failed(f"What its head sees depends on the batch: by {apart:.2g} of its length.")
    return worst
