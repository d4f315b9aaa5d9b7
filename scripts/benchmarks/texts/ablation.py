"""Texts: what words and generated factors are worth to the generator; true, wrong and no requirements, and LoRA.

    python -m scripts.benchmarks ablation texts --report docs/text-generator.md
    python -m scripts.benchmarks ablation texts --compare shared=SHARED.safetensors --report docs/text-generator.md

One change at a time against the build as it ships, on the tasks that meta-training never sees (their accuracy with 0, 4
and 16 examples per class) and on GLUE (its metrics, without rows and with 512). Test rows and examples are drawn as in
the benchmark of texts. A variant's backbone reads the rows once for all sizes and draws.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import yaml

from modelgpt_cli.domains.shared.tasks import label_text, make_words
from modelgpt_cli.domains.text.architectures import find_card
from modelgpt_cli.domains.text.backbone import load_backbone
from modelgpt_cli.domains.text.fit import adapt
from modelgpt_cli.domains.text.tokens import encode, prepare_tokenizer
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

from ..ablation import SHIPPED, SIZES, VARIANTS, Variant, compared, mean_scores, report, task_scores
from ..common import data_folder, make_parser
from ..harness import draw_seed
from .ours import generator_file
from .tasks import Rows, TextTask, draw_support, read_task, task_names

PARAPHRASES = Path(__file__).with_name("glue_paraphrases.yaml")
GLUE_ROWS = 512
OTHER_WORDS = {"other words, never trained on (GLUE only)": Variant(other_words=True)}


class TextBench:
    """The tasks of a part, and what is measured on them."""

    def __init__(self, part: str, data: Path, test_rows: int, repeats: int) -> None:
        self.part, self.repeats = part, repeats
        self.tasks = [read_task(data, part, name, test_rows=test_rows) for name in task_names(data, part)]
        self.encoder = TextEncoder()

    def measure(self, variant: Variant) -> dict[str, float]:
        """Return the mean score over tasks (and draws), by what was given."""
        other = yaml.safe_load(PARAPHRASES.read_text(encoding="utf-8")) if variant.other_words else {}
        requirements = [other.get(task.name, task.requirement) for task in self.tasks]
        return mean_scores(requirements, variant, lambda i, sentence: self._task(self.tasks[i], sentence, variant))

    def _task(self, task: TextTask, sentence: str, variant: Variant) -> dict[str, float]:
        generator = variant.load(generator_file(), "text")
        backbone = load_backbone(find_card(None))
        tokenizer = prepare_tokenizer(backbone.tokenizer, backbone.card.max_tokens)
        names = [label_text(name) if variant.names else "" for name in task.classes]
        rows = encode(tokenizer, names) if any(names) else None
        adapted = adapt(backbone, generator, make_words(self.encoder, sentence, names, task.paired), rows)

        def embed(part: Rows) -> torch.Tensor:
            return adapted.embed(encode(tokenizer, part.texts, part.pairs), task.paired)

        draws = {
            name: [(seed, embed(rows), _target(task, rows)) for seed, rows in some]
            for name, some in self._supports(task).items()
        }
        return task_scores(
            adapted, embed(task.test), draws, lambda logits: task.score(task.test, _answers(logits, task))["score"]
        )

    def _supports(self, task: TextTask) -> dict[str, list[tuple[int, Rows]]]:
        """Return the examples, by what they are called; each draw with its seed."""
        if self.part == "glue":
            rows = np.random.default_rng(0).permutation(len(task.train))[:GLUE_ROWS]
            return {f"{GLUE_ROWS} rows": [(0, task.train.take(rows))]}
        seeds = {size: [draw_seed(task.name, size, r) for r in range(self.repeats)] for size in SIZES}
        return {str(size): [(s, draw_support(task, size, s)) for s in chosen] for size, chosen in seeds.items()}


def _target(task: TextTask, rows: Rows) -> torch.Tensor:
    """One-hot, or standardised, (n, C)."""
    if task.classes:
        labels = torch.from_numpy(task.codes(rows.labels))
        return torch.nn.functional.one_hot(labels, len(task.classes)).float()
    y = (rows.labels - rows.labels.mean()) / rows.labels.std()
    return torch.from_numpy(y.astype(np.float32))[:, None]


def _answers(logits: torch.Tensor, task: TextTask) -> np.ndarray:
    return logits.softmax(1).numpy() if task.classes else logits[:, 0].numpy().astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every variant and write the table."""
    parser = make_parser("ablation texts", __doc__, "--compare")
    parser.add_argument("--data", type=Path, default=data_folder("text"))
    parser.add_argument("--test-rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    variants = SHIPPED | OTHER_WORDS | VARIANTS | compared(args.compare)
    benches = [TextBench(part, args.data, args.test_rows, args.repeats) for part in ("few-shot", "glue")]
    header = ["unseen, 0", *map(str, SIZES), "GLUE, 0", f"{GLUE_ROWS} rows"]
    words = (
        f"{len(benches[0].tasks)} unseen tasks (examples per class, {args.repeats} draws) and GLUE's 9; at most "
        f"{args.test_rows} test rows a task; means over tasks."
    )
    report(args.report, benches, variants, header, words)
