"""The shipped table of the static encoder, and the tokenizer that its pieces are of."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from tokenizers import Tokenizer

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256
from modelgpt_cli.domains.text.static import StaticConfig, StaticEncoder
from modelgpt_cli.parameter_generator.default_encoder import default_folder

FOLDER = ("weights", "text-static")
DIGEST = "24a7de6c48c4f870e988ae469357cdfbb77d6ad03114acb20253675f282d7b3b"
"""SHA-256 of the table's file."""


def read_static() -> StaticEncoder:
    """Read the encoder.

    Raises
    ------
    ModelGPTError
        The table did not come with this installation, or is not the expected one.
    """
    path: Path = asset(*FOLDER, "encoder.safetensors")
    if sha256(path) != DIGEST:
        raise ModelGPTError(
            "The static encoder's table is not the expected one.",
            f"{path.name} differs from what this version was made with.",
            "Reinstall it: pip install --force-reinstall modelgpt-cli",
        )
    state = load_file(path)
    encoder = StaticEncoder(StaticConfig(len(state["table"]), hidden_size=state["table"].shape[1]))
    encoder.load_state_dict(state)
    return encoder.eval()


def read_tokenizer() -> Tokenizer:
    """Read the usual encoder's tokenizer, whose pieces the table has vectors of."""
    return Tokenizer.from_file(str(default_folder() / "tokenizer.json"))
