"""`inspect`: a model file's card, read from its metadata without loading torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import check_model_file
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.runtime.session import Model, is_safetensors, parse_metadata


def inspect(model: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the card of a ``model.onnx`` or ``model.safetensors``.

    Parameters
    ----------
    model : path-like
        The file.

    Returns
    -------
    dict
        The ``modelgpt`` metadata, with ``file`` (``path``, ``kind``, ``size_bytes``; for safetensors ``parameters``).

    Raises
    ------
    ModelGPTError
        The file is absent, damaged, foreign, or of another format version.

    Examples
    --------
    With the model of the example of `build`:

    >>> from modelgpt_cli import inspect
    >>> card = inspect("iris.onnx")
    >>> card["labels"]
    ['setosa', 'versicolor', 'virginica']
    >>> card["inputs"][0]["name"], card["inputs"][0]["type"]
    ('sepal length (cm)', 'numeric')
    """
    path = Path(model)
    check_model_file(path)
    about: dict[str, Any] = {"path": str(path), "kind": "onnx", "size_bytes": path.stat().st_size}
    if is_safetensors(path):
        card, parameters = _safetensors_card(path)
        about |= {"kind": "safetensors", "parameters": parameters}
    else:
        card = Model(path).metadata
    return {"file": about, **card}


def _safetensors_card(path: Path) -> tuple[dict[str, Any], int]:
    """Read the header of a safetensors file: its ``modelgpt`` entry, and how many numbers the tensors hold."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length)
    try:
        header = parse_json(text)
        text_of_card = header.pop("__metadata__", {}).get("modelgpt")
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        parameters = sum(_count(tensor["shape"]) for tensor in header.values())
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelGPTError(f"{path} is damaged.", "Its header can't be read.", "Build the model again.") from error
    if path.stat().st_size != 8 + length + end:
        raise ModelGPTError(f"{path} is damaged.", "Its end is missing.", "Build the model again.")
    return parse_metadata(text_of_card, path), parameters


def _count(shape: list[int]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
