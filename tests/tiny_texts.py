"""A tiny encoder, generator and set of text tasks, made on the spot: the text domain without its real weights.

The encoder is a BERT of 2 layers with random weights and a vocabulary of a few words: texts of different words differ
under it, and that is enough to learn from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor

from modelgpt_cli.domains.text.architectures import find_card
from modelgpt_cli.domains.text.backbone import Backbone, load_backbone
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.target import make_text_generator
from modelgpt_cli.model_generator.build import BuildReport
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import save_generator

SIZE = 32
POSITIONS = 160
"""The longest text that the tiny encoder reads, in tokens."""
TOPICS = {
    "sport": ("goal", "team", "match", "ball", "coach", "score"),
    "food": ("soup", "bread", "cook", "salt", "plate", "taste"),
    "money": ("bank", "price", "loan", "tax", "share", "cash"),
    "water": ("river", "rain", "lake", "wave", "boat", "flood"),
}
FILLERS = ("the", "a", "and", "with", "very", "today", "again", "some", "they", "was")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_tokenizer() -> Tokenizer:
    """A WordPiece tokenizer of the topics' words, and of single characters for all others."""
    words = [*TOPICS, *(word for words in TOPICS.values() for word in words), *FILLERS]
    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,!?-"
    vocabulary = [*SPECIAL, *words, *letters, *(f"##{letter}" for letter in letters)]
    unique = {token: i for i, token in enumerate(dict.fromkeys(vocabulary))}
    tokenizer = Tokenizer(WordPiece(unique, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", unique["[CLS]"]), ("[SEP]", unique["[SEP]"])],
    )
    return tokenizer


def tiny_backbone(folder: Path, *, seed: int = 0, tokenizer: bool = True, **config: Any) -> Path:
    """Write a BERT of 2 layers as ``save_pretrained`` does, with random weights of `seed`."""
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    made = tiny_tokenizer()
    settings = {
        "vocab_size": made.get_vocab_size(),
        "hidden_size": SIZE,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "initializer_range": 0.1,
    } | config
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(BertConfig(**settings), add_pooling_layer=False)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight *= 5  # words are to count more than their places
    model.save_pretrained(folder)
    if tokenizer:
        names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
        PreTrainedTokenizerFast(tokenizer_object=made, **names).save_pretrained(folder)
    return folder


def loaded(folder: Path) -> Backbone:
    """A backbone with places for LoRA factors, read from its folder."""
    return load_backbone(find_card(str(folder)))


def tiny_generator(
    backbone: Backbone, *, embedding: int = SIZE, shaken: float = 0.0, **config: Any
) -> AdapterGenerator:
    """A fresh generator for a backbone; with `shaken`, all its weights are moved at random, as if it had learnt."""
    sizes = {"backbone": backbone.card.name, "size": backbone.size, "width": 16, "blocks": 1, "embedding": embedding}
    sizes["feedback"] = True
    with torch.random.fork_rng():
        torch.manual_seed(1)
        generator = make_text_generator(AdapterConfig(**(sizes | config)), backbone).eval()
        with torch.no_grad():
            for parameter in generator.parameters():
                parameter += shaken * torch.randn_like(parameter)
    return generator


def write_generator(path: Path, backbone: Path, **options: Any) -> Path:
    """The checkpoint of a `tiny_generator` for the backbone in a folder."""
    save_generator(path, tiny_generator(loaded(backbone), **options), {"step": 0}, domain="text")
    return path


def random_lora(backbone: Backbone, *, scale: float = 0.3, seed: int = 0) -> dict[str, Tensor]:
    """Factors that change the backbone's states for all to see."""
    rng = torch.Generator().manual_seed(seed)
    rank = backbone.card.rank
    lora = {}
    for layer, (inputs, outputs) in backbone.adapted.items():
        lora[f"{layer}.lora_A"] = torch.randn(rank, inputs, generator=rng) * scale
        lora[f"{layer}.lora_B"] = torch.randn(outputs, rank, generator=rng) * scale
    return lora


def sayings(topics: Sequence[str], n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Texts, no two alike, each with words of its topic, and their topics in turn."""
    rng = np.random.default_rng(seed)
    labels = [topics[i % len(topics)] for i in range(n)]
    texts = []
    for i, label in enumerate(labels):
        words = [*rng.choice(TOPICS[label], 3), *rng.choice(FILLERS, 4)]
        texts.append(" ".join([*rng.permutation(words), str(i)]))
    return texts, labels


def topics_frame(n: int = 60, topics: Sequence[str] = ("sport", "food", "money"), seed: int = 0) -> pd.DataFrame:
    """Columns ``text`` and ``label``: what a text is about."""
    texts, labels = sayings(topics, n, seed)
    return pd.DataFrame({"text": texts, "label": labels})


def pairs_frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Columns ``sentence1``, ``sentence2``, ``label``: whether both are about the same."""
    rng = np.random.default_rng([seed, 1])
    names = list(TOPICS)
    rows = []
    for i in range(n):
        first = names[rng.integers(len(names))]
        second = first if i % 2 else names[(names.index(first) + rng.integers(1, len(names))) % len(names)]
        one, two = (sayings([name], 1, seed=1000 * seed + 2 * i + k)[0][0] for k, name in enumerate((first, second)))
        rows.append((f"{one} {i}", f"{two} {i}", "same" if i % 2 else "other"))
    return pd.DataFrame(rows, columns=["sentence1", "sentence2", "label"])


def stars_frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Columns ``text`` and ``stars``: a number that the topic decides, with noise."""
    texts, labels = sayings(["sport", "food"], n, seed)
    noise = np.random.default_rng([seed, 2]).normal(0, 0.3, n)
    return pd.DataFrame({"text": texts, "stars": [10.0 + 5 * (label == "food") for label in labels] + noise})


def write_task(
    folder: Path, frame: pd.DataFrame, *, labels: Sequence[str] = (), title: str = "Topics", test: str = "test"
) -> Path:
    """A text task as meta-training reads it: ``card.yaml``, and two thirds and one third of the rows."""
    folder.mkdir(parents=True)
    rows = frame.rename(columns={"text": "sentence1", "stars": "label"})
    cut = len(rows) * 2 // 3
    rows[:cut].to_csv(folder / "train.csv.gz", index=False)
    rows[cut:].to_csv(folder / f"{test}.csv.gz", index=False)
    card: Mapping[str, Any] = {"title": title, "description": f"{title}, in a few words.", "labels": list(labels)}
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return folder


def write_tasks(folder: Path) -> Path:
    """Five tasks: topics (3 and 4 classes), pairs, a regression, and the first again under a name of GLUE."""
    write_task(folder / "topics", topics_frame(90), labels=("sport", "food", "money"))
    write_task(folder / "waters", topics_frame(120, tuple(TOPICS), seed=1), labels=tuple(TOPICS), title="Waters")
    write_task(folder / "alike", pairs_frame(90), labels=("same", "other"), title="Alike", test="dev")
    write_task(folder / "stars", stars_frame(90), title="Stars")
    write_task(folder / "sst2", topics_frame(60, ("sport", "water"), seed=2), labels=("sport", "water"), test="dev")
    return folder


def write_world(folder: Path) -> Path:
    """Write the tiny encoder (``tiny``) and two generators for it, ``fresh.safetensors`` and ``learnt.safetensors``."""
    tiny_backbone(folder / "tiny")
    write_generator(folder / "fresh.safetensors", folder / "tiny")
    write_generator(folder / "learnt.safetensors", folder / "tiny", shaken=0.05)
    return folder


@dataclass
class Built:
    """A model read back from its file, and what was said of it."""

    model: TextModel
    report: BuildReport

    def probabilities(self, *texts: str) -> np.ndarray:
        return self.model.predict(pd.DataFrame({"text": texts}))

    def labels(self, *texts: str) -> list[str]:
        return [self.model.blueprint.labels[k] for k in self.probabilities(*texts).argmax(1)]


Make = Callable[..., Built]
"""`build_tiny` with its two folders given."""


def build_tiny(
    world: Path,
    folder: Path,
    data: pd.DataFrame | Path | None,
    below: str = "",
    sentence: str = "Say what a text is about.",
    **options: Any,
) -> Built:
    """Build ``model.safetensors`` in a folder with the encoder and the fresh generator of a `write_world`.

    Parameters
    ----------
    data : frame, path or None
        None: from words alone.
    below : str
        What the requirement says below its ``---``.
    **options
        Of `build`, to add or to change.
    """
    from modelgpt_cli import build
    from modelgpt_cli.artifacts.model_file import load_model

    (folder / "req.txt").write_text(f"{sentence}\n" + (f"---\n{below}\n" if below else ""), encoding="utf-8")
    if isinstance(data, pd.DataFrame):
        data.to_csv(folder / "data.csv", index=False)
        data = folder / "data.csv"
    tiny, output = str(world / "tiny"), folder / "model.safetensors"
    common = {"generator": str(world / "fresh.safetensors"), "encoder": tiny, "backbone": tiny, "device": "cpu"}
    report = build(folder / "req.txt", data=data, output=output, force=True, **(common | options))
    model = load_model(output)
    assert isinstance(model, TextModel)
    return Built(model, report)
