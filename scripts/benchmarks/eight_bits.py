"""A model's file in 8 bits beside it, for benchmarks that measure both."""

from __future__ import annotations

from pathlib import Path

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.domain import find_domain


def in_eight_bits(model: Path, images: Path) -> Path:
    """Write a model in 8 bits, its ranges measured on the images that it was built from; return the file."""
    loaded = load_model(model)
    small = model.with_name(f"{model.stem}-int8.onnx")
    rows = find_domain(loaded.blueprint.domain).part("onnx").calibration_rows(loaded, images)
    write_model(loaded, small, quantize="int8", rows=rows)
    return small
