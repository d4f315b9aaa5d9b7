"""The graph held against the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from melody.model import MelodyModel, presence
from modelgpt_cli.artifacts.verify import check_difference, difference, graph_session


def verify(model: MelodyModel, raw: bytes, rows: Any, *, quantize: str, options: Mapping[str, Any]) -> float:
    frame = model.empty_rows() if rows is None else rows
    outputs = graph_session(raw).run(None, {"notes": presence(frame["melody"].tolist())})
    worst = float(np.max(difference(model.blueprint, model.predict(frame), outputs)))
    check_difference(worst)
    return worst
