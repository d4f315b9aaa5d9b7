"""The graph: which notes there are in, the mood out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from melody.model import NOTES, MelodyModel
from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.model_card import model_card
from modelgpt_cli.artifacts.onnx_state import graph_metadata
from modelgpt_cli.artifacts.outputs import OUTPUTS, answer_outputs, write_answers
from modelgpt_cli.core.blueprint import Blueprint


def to_onnx(model: MelodyModel, *, opset: int, quantize: str, rows: Any, options: Mapping[str, Any]) -> onnx.ModelProto:
    state = {"weight": model.state()["weight"].numpy()}
    g = GraphWriter(state, ["notes", *OUTPUTS], opset=opset)
    write_answers(g, model.blueprint, g.op("MatMul", "notes", g.tensor("weight")), "")
    metadata = graph_metadata(g, model_card(model.blueprint), state, opset=opset, quantize=quantize)
    notes = helper.make_tensor_value_info("notes", TensorProto.FLOAT, ["N", len(NOTES)])
    return g.model([notes], answer_outputs(model.blueprint), metadata)


def default_opset(model: MelodyModel) -> int:
    return 17


def calibration_rows(model: MelodyModel, data: str | Path) -> None:
    return None


def card_entries(blueprint: Blueprint) -> dict[str, Any]:
    return {"inputs": [{"name": "melody", "input": "notes", "type": "notes"}]}


def read_state(blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {"weight": tensors["weight"]}
