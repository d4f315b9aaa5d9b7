"""Train the generator of marked texts: the columns of a head for kinds of spans, on the states of a frozen encoder.

    python scripts/train_span_generator.py ../shared/data/text/train --out weights/marked

Texts are drawn from ``weights/marked/training.yaml``, and real ones, whose labels play no part, are marked by rules;
see `span_texts`. The head is a softmax over the tags of all kinds, trained by cross-entropy on words. Fillers of the
benchmark's test texts take no part, nor do the test rows of any set. A quarter of an hour of one CPU core.
Shapes: n words, P head inputs, L tags.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
import yaml
from benchmarks.common import ROOT
from benchmarks.texts.span_sets import templates as benchmark_sets
from safetensors.torch import save_file
from span_texts import UNKNOWN, Marked, Rules, Templates
from torch import Tensor

from modelgpt_cli.core.files import atomic_write, sha256
from modelgpt_cli.domains.shared.names import HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.domains.text.spans.architectures import text_card
from modelgpt_cli.domains.text.spans.build import head_inputs, scaling, shared_words_encoder, window_states
from modelgpt_cli.domains.text.spans.kinds import NAMES
from modelgpt_cli.domains.text.spans.marks import Faults, Span
from modelgpt_cli.domains.text.spans.model import MEAN, SCALE
from modelgpt_cli.domains.text.spans.tags import tags_of, whole_words
from modelgpt_cli.domains.text.spans.words import Text, make_windows, read_texts
from modelgpt_cli.parameter_generator.checkpoint import FORMAT
from modelgpt_cli.parameter_generator.shared import shared_encoder

CONFIG = ROOT / "weights" / "marked" / "training.yaml"
REAL = {
    "ag_news": 1500, "reuters_r8": 150, "newsgroups20": 200, "yahoo_answers": 250, "clinc150": 400, "banking77": 200,
    "sms_spam": 400, "tweet_sentiment": 300, "trec": 200, "snips": 400, "amazon_review": 150, "cr": 150,
}  # fmt: skip
"""Texts of each set, of its training rows."""
LONGEST = 500
"""Characters of a real text."""
DRAWN = 9000
EPOCHS, BATCH, LR, WEIGHT_DECAY, WARM_UP = 20, 4096, 1e-2, 0.05, 30
REAL_WEIGHT = 0.5
"""What a real word counts, beside one of a text that was drawn: their marks are rules' guesses."""


def unknown_tags(text: Text, marked: Marked, kinds: Sequence[str]) -> np.ndarray:
    """Tags of a text's words, int64 (W,): -1 where nothing is known."""
    known = [Span(start, end, kind) for start, end, kind in marked.marks if kind != UNKNOWN]
    tags = tags_of(whole_words(known, text.words, Faults()), len(text.words), kinds)
    for start, end, kind in marked.marks:
        if kind == UNKNOWN:
            tags[[i for i, (a, b) in enumerate(text.words) if a < end and start < b]] = -1
    return tags


def make_corpus(known: dict[str, Any], sets: Path, seed: int) -> list[Marked]:
    """Draw texts, and mark real ones."""
    rng = np.random.default_rng([seed, 71])
    fillers = [filler for one in benchmark_sets().values() for filler in one["fillers"].values()]
    held = {str(text).lower() for filler in fillers for text in filler.get("test", [])}
    drawn = Templates(known, held)
    real: list[str] = []
    for name, count in REAL.items():
        rows = pd.read_csv(sets / name / "train.csv.gz")["sentence1"].sample(count, random_state=seed)
        real += [str(text)[:LONGEST] for text in rows]
    lookup = [kind for kind, one in known["kinds"].items() if one.get("lookup") and kind != "nationality"]
    rules = Rules(drawn, real, lookup)
    corpus: list[Marked] = drawn.draw(DRAWN, rng) + [rules.mark(text) for text in real]
    return corpus


def train(inputs: Tensor, tags: Tensor, weights: Tensor, n_tags: int, seed: int) -> tuple[Tensor, Tensor, float]:
    """Fit the head: weight (P, L), bias (L,), and the last epoch's mean loss.

    Parameters
    ----------
    inputs : float16 (n, P)
    tags : int64 (n,)
    weights : float32 (n,)
        What each word counts.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = torch.zeros(inputs.shape[1], n_tags, requires_grad=True)
    bias = torch.zeros(n_tags, requires_grad=True)
    groups = [{"params": [weight], "weight_decay": WEIGHT_DECAY}, {"params": [bias], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.98))
    parts = len(tags) // BATCH
    step, losses = 0, [0.0]
    for epoch in range(EPOCHS):
        losses = []
        for rows in torch.randperm(len(tags), generator=generator)[: parts * BATCH].split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = (
                    LR * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / (EPOCHS * parts)))
                )
            lost = F.cross_entropy(inputs[rows].float() @ weight + bias, tags[rows], reduction="none")
            loss = (lost * weights[rows]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            step += 1
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)
    return weight.detach(), bias.detach(), float(np.mean(losses))


def main() -> None:
    """Train, and write checkpoint and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path, help="folder of text sets, as ../shared/data/text/train")
    parser.add_argument("--out", type=Path, required=True, help="folder for generator.safetensors and card.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    start = time.process_time()
    known = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    kinds = list(known["kinds"])
    corpus = make_corpus(known, args.sets, args.seed)
    card = text_card()
    encoder, tokenizer, layers = shared_words_encoder(card)
    texts = read_texts(tokenizer, [one.text for one in corpus])
    windows = make_windows(texts, tokenizer, card.max_tokens)
    states = window_states(encoder, layers, windows)
    mean, scale = scaling(states)
    inputs = torch.cat([one.half() for one in head_inputs(states, windows, texts, mean, scale)])
    tags = torch.from_numpy(np.concatenate([unknown_tags(*pair, kinds) for pair in zip(texts, corpus, strict=True)]))
    counts = np.repeat([1.0 if one.drawn else REAL_WEIGHT for one in corpus], [len(text.words) for text in texts])
    used = torch.where(tags >= 0)[0]
    print(f"{len(corpus):,} texts, {len(used):,} of {len(tags):,} words are known", flush=True)
    weight, bias, loss = train(
        inputs[used], tags[used], torch.from_numpy(counts).float()[used], 1 + 2 * len(kinds), args.seed
    )
    names = [(name.casefold(), k) for k, kind in enumerate(kinds) for name in known["kinds"][kind]["names"]]
    vectors = F.normalize(torch.from_numpy(shared_encoder(None)([name for name, _ in names])), dim=1)
    tensors = {HEAD_WEIGHT: weight, HEAD_BIAS: bias, MEAN: mean, SCALE: scale, NAMES: vectors}
    about = {
        "trained_on": {"drawn": DRAWN, "real": REAL, "words": len(used)},
        "loss": round(loss, 4),
        "seed": args.seed,
        "date": date.today().isoformat(),
        "cpu_seconds": round(time.process_time() - start),
    }
    generator = {"kinds": kinds, "names": names, "layers": list(layers), "backbone": card.name}
    header = {"format": FORMAT, "domain": DOMAIN.name, "generator": generator, **about}
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "generator.safetensors"
    with atomic_write(path, force=True) as temporary:
        stored = {name: value.half().contiguous() for name, value in tensors.items()}
        save_file(stored, str(temporary), metadata={"modelgpt": json.dumps(header)})
    written = {"sha256": sha256(path), "stored_as": "float16", "domain": DOMAIN.name, "backbone": card.name} | about
    (args.out / "card.yaml").write_text(yaml.safe_dump(written, sort_keys=False), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
