"""The text encoder E: sentences and names to embeddings (Equation 1). Frozen; the default needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.core.paths import expand
from modelgpt_cli.parameter_generator.default_encoder import DEFAULT_ENCODER, check_default, default_folder
from modelgpt_cli.parameter_generator.hub import pin
from modelgpt_cli.parameter_generator.minilm import MiniLM

EMBEDDING = 384
MAX_TOKENS = 256


class TextEncoder:
    """A frozen sentence encoder: mean over token states, scaled to unit root mean square.

    Parameters
    ----------
    source : str or None
        None for the packaged all-MiniLM-L6-v2; else a local folder or a hub name that transformers can load.
    device : str
        Torch device.

    Raises
    ------
    UnreachableError
        If the hub is out of reach, or has no such model.
    UsageError
        If `source` is the path of a folder that isn't there.
    """

    def __init__(self, source: str | None = None, device: str = "cpu") -> None:
        self.name = source or DEFAULT_ENCODER
        self.device = device
        self._states: Callable[[list[str]], tuple[Tensor, Tensor]]
        if source is None:
            folder = default_folder()
            check_default(folder)
            model = MiniLM(folder, MAX_TOKENS).eval().to(device)
            self._states, self.size = model, model.size
        else:
            self._states, self.size = _load_with_transformers(source, device)

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], batch: int = 64) -> np.ndarray:
        """Embed texts, float32 (len(texts), E)."""
        if not texts:
            return np.zeros((0, self.size), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # short with short: little padding
        result = np.zeros((len(texts), self.size), dtype=np.float32)
        for start in range(0, len(order), batch):
            index = order[start : start + batch]
            states, attention = self._states([texts[i] for i in index])  # (b, t, E), (b, t)
            mask = attention[..., None].to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1)
            scaled = mean / mean.norm(dim=1, keepdim=True) * self.size**0.5
            result[index] = scaled.cpu().numpy()
        return result


def _on_hub(name: str) -> tuple[str, str | None]:
    """A hub name with its revision; as it is where the hub can't be asked, which transformers then says."""
    try:
        return name, pin(name)
    except Exception:  # each version of the hub's client has its own kind for no connection
        return name, None


def _load_with_transformers(source: str, device: str) -> tuple[Callable[[list[str]], tuple[Tensor, Tensor]], int]:
    """Any encoder that transformers can load, as a function to token states and mask, and its embedding size."""
    if source.startswith((".", "/", "~")) and not expand(source).is_dir():
        raise UsageError(f"There is no folder {source}.", hint="Give --encoder a model folder, or a name on the hub.")
    from transformers import AutoModel, AutoTokenizer, logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()  # of weights that are left out on purpose
    try:
        place, revision = (source, None) if expand(source).is_dir() else _on_hub(source)
        pinned: dict[str, Any] = {"revision": revision} if revision else {}
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False, **pinned)
        model = AutoModel.from_pretrained(place, trust_remote_code=False, **pinned).eval().to(device)
    except (OSError, ValueError) as error:
        raise UnreachableError(
            f"The text encoder {source!r} can't be loaded.",
            " ".join(str(error).split()),
            "Give --encoder a local model folder or a hub name, or leave it out for the packaged encoder.",
        ) from error

    longest = min(MAX_TOKENS, getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS)

    def states(texts: list[str]) -> tuple[Tensor, Tensor]:
        tokens = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(device)
        return model(**tokens).last_hidden_state, tokens["attention_mask"]

    return states, model.config.hidden_size
