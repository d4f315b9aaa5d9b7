"""The target model: scores of the moods from which notes there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint

NOTES = ("c", "d", "es", "e", "f", "g", "a", "b")


def presence(melodies: Sequence[str]) -> np.ndarray:
    """Which notes there are, float32 (N, K)."""
    return np.array([[note in melody.split() for note in NOTES] for melody in melodies], np.float32).reshape(-1, 8)


class MelodyModel(nn.Module):
    """A linear model."""

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint, self.weight = blueprint, nn.Parameter(state["weight"])  # (K, C)

    def state(self) -> dict[str, Tensor]:
        return {"weight": self.weight.detach()}

    def predict(self, rows: pd.DataFrame, /) -> np.ndarray:
        with torch.no_grad():
            return (torch.from_numpy(presence(rows["melody"].tolist())) @ self.weight).softmax(1).numpy()

    def extras(self) -> dict[str, str]:
        return {}

    def empty_rows(self) -> pd.DataFrame:
        return pd.DataFrame({"melody": [""]})


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> Any:
    return MelodyModel(blueprint, state)
