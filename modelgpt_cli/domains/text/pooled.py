"""Rows for the multilingual backbone, read as far as its generator changes nothing; and the words embedded by it.

Shapes: n rows, k texts a row (one, or two of a pair), E embedding size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.shared.tasks import Part, Task
from modelgpt_cli.domains.text.backbone import MultilingualBackbone
from modelgpt_cli.domains.text.inputs import compared
from modelgpt_cli.domains.text.multilingual_package import DIGESTS, WEIGHTS
from modelgpt_cli.domains.text.tokens import Encoded, encode, shared_tokenizer

_TOKENS = 4096
_WORDS = 128
"""Tokens of a requirement or a name that are read."""


@dataclass
class Pooled:
    """Rows with all but the encoder's last part behind them.

    Attributes
    ----------
    sums : float32 (n, k, E)
    counts : float32 (n, k, 1)
        See `MultilingualEncoder.pool`.
    """

    sums: Tensor
    counts: Tensor

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def lengths(self) -> np.ndarray:
        """What each row costs, (n,): the same for all."""
        return np.ones(len(self))

    def take(self, rows: Sequence[int] | np.ndarray) -> Pooled:
        """Some rows, in the order asked for."""
        index = torch.as_tensor(np.asarray(rows, dtype=np.int64))
        return Pooled(self.sums[index], self.counts[index])

    def followed_by(self, other: Pooled) -> Pooled:
        """These rows, then others."""
        return Pooled(torch.cat([self.sums, other.sums]), torch.cat([self.counts, other.counts]))


@torch.inference_mode()
def pool(backbone: MultilingualBackbone, rows: Encoded, pair: bool) -> Pooled:
    """Read tokenised rows as far as the factors change nothing."""
    k = 1 + pair
    found = Pooled(torch.zeros(len(rows), k, backbone.size), torch.zeros(len(rows), k, 1))
    with progress("embed texts", len(rows)) as advance:
        for index, batch in rows.batches(_TOKENS):
            second = batch.segments * batch.mask
            for i, present in enumerate([batch.mask - second, second] if pair else [batch.mask]):
                sums, counts = backbone.encoder.pool(batch.ids, present)
                found.sums[index, i], found.counts[index, i] = sums, counts
            advance(len(index))
    return found


def embed_pooled(backbone: MultilingualBackbone, lora: Mapping[str, Tensor] | None, rows: Pooled, pair: bool) -> Tensor:
    """Head inputs of all rows, (n, P) float32."""
    embedded: Tensor = backbone(rows.sums.flatten(0, 1), rows.counts.flatten(0, 1), lora).unflatten(0, (len(rows), -1))
    return compared(embedded[:, 0], embedded[:, 1]) if pair else embedded[:, 0]


def pooled_task(backbone: MultilingualBackbone, task: Task[Encoded], place: Path | None) -> Task[Pooled]:
    """Read a task's rows; where a folder is given, once, and from there when they are asked for again."""
    found = {}
    for name, part in task.parts.items():
        text = f"{DIGESTS[WEIGHTS]} {task.pair} {[row.tolist() for row in part.rows.ids]}"
        file = None if place is None else place / f"{task.name}-{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        found[name] = Part(_kept(backbone, part.rows, task.pair, file), part.y)
    names = [pool(backbone, rows, False) for rows in task.name_rows]
    given = {field.name: getattr(task, field.name) for field in fields(task)}
    return Task(**given | {"parts": found, "name_rows": names})


def _kept(backbone: MultilingualBackbone, rows: Encoded, pair: bool, file: Path | None) -> Pooled:
    place = None if file is None else file.with_suffix(".safetensors")
    if place is not None and place.is_file():
        return Pooled(**load_file(place))
    found = pool(backbone, rows, pair)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        save_file({"sums": found.sums, "counts": found.counts}, str(place))
    return found


class MultilingualWords:
    """Requirements and names embedded by the multilingual encoder itself, which knows them in all its languages.

    As `TextEncoder`.
    """

    def __init__(self, backbone: MultilingualBackbone) -> None:
        self.backbone = backbone
        self.name, self.size = backbone.card.name, backbone.size
        self.tokenizer = shared_tokenizer(backbone.tokenizer, _WORDS)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts, float32 (len(texts), E), of a root mean square of 1."""
        if not texts:
            return np.zeros((0, self.size), dtype=np.float32)
        pooled = pool(self.backbone, encode(self.tokenizer, texts), False)
        with torch.inference_mode():
            found: np.ndarray = embed_pooled(self.backbone, None, pooled, False).numpy()
        found *= np.float32(self.size**0.5)
        return found
