"""The multilingual encoder (Universal Sentence Encoder, multilingual, version 3; Yang et al. 2019) as a torch module.

A table of pieces, three branches of convolutions over two, three and five neighbouring pieces, and a deep averaging
network on the sum over the pieces. The table is kept as it comes, in 8-bit integers.
Shapes: N rows, T tokens, V pieces, E embedding size, B numbers of a branch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.domains.text.sentence_encoder import SentenceEncoder

KIND = "use-multilingual"
SIZE = 512
"""E"""
BRANCH = 256
"""B"""
WINDOWS = ((2, 0), (3, 1), (5, 2))
"""Of each branch: pieces that a convolution sees, and how many of them lie before its place."""
SCALES = 17
"""Pieces take turns in so many scales of the table."""
INNER = 320
EPS = 1e-12


@dataclass(frozen=True)
class MultilingualConfig:
    """What a blueprint keeps of it; as transformers' configurations are read."""

    vocab_size: int
    eps: float
    model_type: str = KIND
    hidden_size: int = SIZE

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"model_type": self.model_type, "vocab_size": self.vocab_size, "eps": self.eps, "hidden_size": SIZE}


class MultilingualEncoder(SentenceEncoder):
    """Token ids to embeddings of length 1; trained as any network, but for the table.

    Parameters
    ----------
    config : MultilingualConfig
    """

    config: MultilingualConfig
    table: Tensor
    scale: Tensor
    low: Tensor

    def __init__(self, config: MultilingualConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.zeros(config.vocab_size, SIZE, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(SCALES, 1))
        self.register_buffer("low", torch.zeros(SCALES, 1))
        self.enter = nn.Linear(SIZE, BRANCH * len(WINDOWS))
        self.enter_norm = nn.LayerNorm(BRANCH * len(WINDOWS), eps=config.eps)
        self.branches = nn.ModuleList([Branch(*window) for window in WINDOWS])
        width = SIZE + BRANCH * len(WINDOWS)
        self.norm = nn.LayerNorm(width, eps=config.eps)
        self.project = nn.Linear(width, SIZE)
        self.average = DeepAverage()

    def forward(self, ids: Tensor, present: Tensor) -> Tensor:
        """Embeddings (N, E); 0 where no token is present.

        Parameters
        ----------
        ids : int64 (N, T)
        present : (N, T)
            1 for the tokens that count, which follow one another; the others are as if they weren't there.
        """
        found: Tensor = self.average(*self.pool(ids, present))
        return found

    def pool(self, ids: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` is given, up to the sum over a text's pieces by the root of their number.

        Returns
        -------
        sum : (N, E)
        count : (N, 1)
            Pieces of each text.
        """
        present = present.float()[..., None]  # (N, T, 1)
        turn = ids % SCALES
        x = self.table[ids].float() * self.scale[turn] + self.low[turn]
        entered = (self.enter_norm(self.enter(x)) * present).split(BRANCH, 2)
        found = (branch(part, present) for branch, part in zip(self.branches, entered, strict=True))
        features = self.norm(torch.cat([x, *found], 2))
        count = present.sum(1)
        return self.project((features * present).sum(1) / count.clamp(min=1)) * count.sqrt(), count


class DeepAverage(nn.Module):
    """The deep averaging network that follows the sum; what a generator adapts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIZE, INNER, bias=False)
        self.second = nn.Linear(INNER, INNER, bias=False)
        self.second_skip = nn.Linear(SIZE, INNER, bias=False)
        self.third = nn.Linear(INNER, SIZE, bias=False)
        self.last = nn.Linear(SIZE, SIZE, bias=False)
        self.last_skip = nn.Linear(INNER, SIZE, bias=False)

    def forward(self, x: Tensor, count: Tensor) -> Tensor:
        """Embeddings (N, E) of length 1 from what `MultilingualEncoder.pool` returns; 0 where there are no pieces."""
        y = F.relu(self.second_skip(x) + self.second(F.relu(self.first(x))))
        z = torch.tanh(self.last_skip(y) + self.last(F.relu(self.third(y))))
        length = z.square().sum(1, keepdim=True).clamp(min=EPS).sqrt()
        return z / length * (count > 0)


class Branch(nn.Module):
    """Two convolutions over neighbouring pieces, each added to what it is given."""

    def __init__(self, window: int, before: int) -> None:
        super().__init__()
        self.window, self.before = window, before
        self.one = nn.Linear(window * BRANCH, BRANCH)
        self.two = nn.Linear(window * BRANCH, BRANCH)

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """From (N, T, B) to the same; 0 where there is no token."""
        for layer in (self.one, self.two):
            x = (x + F.relu(layer(self._neighbours(x)))) * present
        return x

    def _neighbours(self, x: Tensor) -> Tensor:
        """Each place's window side by side, (N, T, window · B)."""
        T = x.shape[1]
        wide = F.pad(x, (0, 0, self.before, self.window - 1 - self.before))
        return torch.cat([wide[:, i : i + T] for i in range(self.window)], 2)


def from_package(weights: Mapping[str, Any]) -> MultilingualEncoder:
    """Build the encoder from the arrays that its package holds.

    Parameters
    ----------
    weights : mapping of str to ndarray
        By the package's names.
    """
    parts = [torch.from_numpy(weights[f"q{i + 1}"]) for i in range(SCALES)]
    table = torch.stack(parts, 1).flatten(0, 1)  # piece i is row i // SCALES of part i % SCALES
    model = MultilingualEncoder(MultilingualConfig(len(table), float(weights["eps"])))
    state: dict[str, Tensor] = {"table": table}

    def put(name: str, key: str, *, turned: bool = False) -> None:
        value = torch.from_numpy(weights[key])
        state[name] = (value.T if turned else value).contiguous()

    state["scale"], state["low"] = (torch.from_numpy(weights[key])[:, None] for key in ("scale", "lo"))
    for i, (n, _) in enumerate(WINDOWS):
        for name, key in (("one", "1_"), ("two", "2_")):
            put(f"branches.{i}.{name}.weight", f"w{key}{n}", turned=True)
            put(f"branches.{i}.{name}.bias", f"b{key}{n}")
    entering = {"enter.weight": "proj", "enter.bias": "proj_b", "enter_norm.weight": "ln_g", "enter_norm.bias": "ln_b"}
    for name, key in entering.items():
        joined = torch.cat([torch.from_numpy(weights[f"{key}{n}"]) for n, _ in WINDOWS], -1)
        state[name] = (joined.T if joined.ndim == 2 else joined).contiguous()
    put("norm.weight", "ln_g")
    put("norm.bias", "ln_b")
    put("project.weight", "cnn_W", turned=True)
    put("project.bias", "cnn_b")
    layers = {"first": "d0", "second": "d1", "second_skip": "p1", "third": "d2", "last": "d3", "last_skip": "p3"}
    for name, key in layers.items():
        put(f"average.{name}.weight", key, turned=True)
    model.load_state_dict(state)
    return model.eval()
