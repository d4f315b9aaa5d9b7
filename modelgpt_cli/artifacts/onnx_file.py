"""``model.onnx``: the deployable, one file that onnxruntime runs by itself. A backend; the graphs are the domains'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelgpt_cli.artifacts.backends import Contents, Settings
from modelgpt_cli.artifacts.lowering import check_opset, lowered
from modelgpt_cli.artifacts.metadata import with_entries
from modelgpt_cli.artifacts.onnx_state import read_onnx_state
from modelgpt_cli.artifacts.target_model import TargetModel
from modelgpt_cli.artifacts.verify import Verifier
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.domain import find_domain

if TYPE_CHECKING:
    import onnx

    from modelgpt_cli.data.in_memory import Data


class OnnxWriter(Protocol):
    """A domain's part ``onnx``. Its models and rows are the domain's own."""

    def to_onnx(
        self, model: Any, *, opset: int, quantize: str, rows: Any, options: Mapping[str, Any]
    ) -> onnx.ModelProto:
        """Write a model as an ONNX graph, with preprocessing and postprocessing inside.

        Parameters
        ----------
        model : TargetModel
        opset : int
            Operator set, 13 to 20.
        quantize : {"none", "fp16", "int8"}
        rows : optional
            Rows of the real data, on which ranges may be measured.
        options : mapping
            Options of the domain that differ from their defaults.

        Raises
        ------
        UsageError
            The model can't be written so.
        """
        ...

    def default_opset(self, model: Any) -> int:
        """Return the operator set of a model's graph where none is asked for."""
        ...

    def calibration_rows(self, model: Any, data: Data) -> Any:
        """Read rows to measure ranges on when a model is quantised; None where the domain needs none."""
        ...

    def card_entries(self, blueprint: Blueprint) -> dict[str, Any]:
        """Return the model card's entries that differ by domain, as JSON values; ``inputs`` is among them."""
        ...

    def read_state(self, blueprint: Blueprint, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return a model's state from all tensors of its graph.

        Raises
        ------
        KeyError
            A tensor is missing.
        """
        ...


def complete(model: TargetModel, settings: Settings) -> Settings:
    """Fill in the operator set; see `Backend`."""
    opset = settings.opset
    if settings.runtime is not None:
        opset = check_opset(settings.runtime, opset, _writer(model).default_opset(model))
    return replace(settings, opset=_writer(model).default_opset(model) if opset is None else opset)


def write(model: TargetModel, settings: Settings, rows: Any = None) -> bytes:
    """Write a model's graph; see `Backend`."""
    assert settings.opset is not None
    proto = _writer(model).to_onnx(
        model, opset=settings.opset, quantize=settings.quantize, rows=rows, options=settings.options
    )
    if settings.runtime is not None:
        proto = lowered(proto, settings.runtime)
    raw: bytes = proto.SerializeToString(deterministic=True)
    return with_entries(raw, settings.entries) if settings.entries else raw


def verify(model: TargetModel, raw: bytes, settings: Settings, rows: Any = None) -> float:
    """Hold a graph against its model in onnxruntime; see `Backend`."""
    verifier: Verifier = find_domain(model.blueprint.domain).part("verify")
    return verifier.verify(model, raw, rows, quantize=settings.quantize, options=settings.options)


def read(path: Path) -> Contents:
    """Read an fp32 graph's model back; see `Backend`."""
    return read_onnx_state(path)


def _writer(model: TargetModel) -> OnnxWriter:
    writer: OnnxWriter = find_domain(model.blueprint.domain).part("onnx")
    return writer
