"""Make the table of the static text encoder from the shipped encoder, and its card.

    python scripts/make_static_encoder.py ../shared/data/text --out weights/text-static

Each piece gets the mean of its states in some 31,000 texts (of the tasks that meta-training may see), drawn towards its
state alone where it is rare; of these the first 256 directions of the texts' embeddings (PCA), times a weight that
falls with the piece's frequency (Arora et al. 2017), in 8-bit integers. Takes a quarter of an hour of one core.
Shapes: V pieces, N texts, E state size, D numbers kept.
"""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from modelgpt_cli.core.files import sha256
from modelgpt_cli.domains.text.static import SIZE
from modelgpt_cli.domains.text.tasks import held_out
from modelgpt_cli.parameter_generator.default_encoder import default_folder
from modelgpt_cli.parameter_generator.minilm import MiniLM
from modelgpt_cli.parameter_generator.shipped_encoder import rounded

TEXTS, LETTERS, WINDOW = 800, 400, 128
"""Of each column of a task; of each text."""
HELD_OUT = 0.25
"""Share of the tasks that are not read, as in meta-training (`TextTrainConfig.holdout`)."""
RARE = 20
"""Texts' worth of pull towards a piece's state alone."""
FREQUENT = 1e-3
"""A piece of this frequency weighs half of a rare one."""


def read_texts(folder: Path) -> list[str]:
    """Return distinct texts of the tasks that meta-training may see, short ones first."""
    rng, found = np.random.default_rng(0), set()
    for card in sorted(folder.rglob("card.yaml")):
        if held_out(card.parent.name, HELD_OUT):
            continue
        frame = pd.read_csv(card.parent / "train.csv.gz", dtype=str, keep_default_na=False)
        for name in [name for name in ("sentence1", "sentence2") if name in frame]:
            texts = frame[name].drop_duplicates().tolist()
            rng.shuffle(texts)
            found |= {text[:LETTERS] for text in texts[:TEXTS]}
    return sorted(found, key=len)


def piece_ids(model: MiniLM, *names: str) -> list[int]:
    """Return the ids of pieces that the tokenizer has."""
    vocabulary = model.tokenizer.get_vocab()
    return [vocabulary[name] for name in names]


@torch.inference_mode()
def states_alone(model: MiniLM) -> np.ndarray:
    """Return the mean state of each piece on its own, between the two that stand around a text, float32 (V, E)."""
    begin, end = piece_ids(model, "[CLS]", "[SEP]")
    parts = []
    for ids in torch.arange(len(model.words.weight)).split(512):
        row = torch.stack([torch.full_like(ids, begin), ids, torch.full_like(ids, end)], 1)
        x = model.words(row) + model.positions.weight[:3] + model.types.weight[0]
        parts.append(model.layers(model.norm(x)).mean(1))
    return torch.cat(parts).numpy()


@torch.inference_mode()
def states_in_texts(model: MiniLM, texts: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return sums of the pieces' states (V, E), how often each stands in a text (V,), and embeddings (N, E)."""
    V = len(model.words.weight)
    sums, counts, embeddings = np.zeros((V, model.size), np.float32), np.zeros(V), []
    for start in range(0, len(texts), 64):
        batch = texts[start : start + 64]
        states, mask = model(batch)
        total = (states * mask[..., None]).sum(1)
        length = total.norm(dim=1)
        embeddings.append((total / length[:, None]).numpy())
        ids = [np.array(e.ids)[np.array(e.attention_mask) == 1] for e in model.tokenizer.encode_batch(batch)]
        for row, (pieces, norm) in enumerate(zip(ids, length, strict=True)):
            np.add.at(sums, pieces, states[row, : len(pieces)].numpy() * (len(pieces) / float(norm)))
            counts += np.bincount(pieces, minlength=V)
    return sums, counts, np.concatenate(embeddings)


def make_table(alone: np.ndarray, sums: np.ndarray, counts: np.ndarray, embeddings: np.ndarray) -> np.ndarray:
    """Return the vectors of the pieces, float32 (V, D)."""
    basis = np.linalg.eigh(embeddings.T @ embeddings)[1][:, ::-1][:, :SIZE]
    single = alone @ basis
    single /= np.maximum(np.linalg.norm(single, axis=1, keepdims=True), 1e-9)
    mean = (sums @ basis + RARE * single) / (counts + RARE)[:, None]
    found: np.ndarray = mean * (FREQUENT / (FREQUENT + counts / counts.sum()))[:, None]
    return found


def save_table(table: np.ndarray, silent: list[int], path: Path) -> None:
    """Write the table in 8-bit integers; of `silent` pieces nothing is heard."""
    integers, scale = rounded(table)
    scale[silent] = 0
    save_file({"table": torch.from_numpy(integers), "scale": torch.from_numpy(scale)}, path)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("texts", type=Path, help="folder of text tasks with cards")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = MiniLM(default_folder(), WINDOW).eval()
    texts = read_texts(args.texts)
    table = make_table(states_alone(model), *states_in_texts(model, texts))
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "encoder.safetensors"
    save_table(table, piece_ids(model, "[CLS]", "[SEP]", "[PAD]"), path)
    print(
        f"{path}: {path.stat().st_size:,} bytes, sha256 {sha256(path)}, {len(texts):,} texts, {datetime.date.today()}"
    )


if __name__ == "__main__":
    main()
