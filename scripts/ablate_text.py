"""What words and generated factors are worth to the text generator: true, wrong and no requirements, with what they do.

    python scripts/ablate_text.py --report docs/text-generator.md
    python scripts/ablate_text.py --compare shared=SHARED.safetensors --report docs/text-generator.md

One change at a time against the build as it ships, on the tasks that meta-training never sees (their accuracy with 0, 4
and 16 examples per class) and on GLUE (its metrics, without rows and with 512). Test rows and examples are drawn as in
benchmark_text.py. A variant's backbone reads the rows once for all sizes and draws.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from benchmark_common import provenance, table, write_section
from benchmark_runs import draw_seed
from benchmark_text_data import Rows, TextTask, codes, default_data, draw_support, read_task, task_names
from benchmark_text_metrics import score
from benchmark_text_ours import generator_file, with_shared_lora, without_lora

from modelgpt_cli.domains.head import fit_head, with_bias
from modelgpt_cli.domains.tasks import label_text, make_words
from modelgpt_cli.domains.text.backbone import load_backbone
from modelgpt_cli.domains.text.cards import find_card
from modelgpt_cli.domains.text.fit import Adapted, adapt
from modelgpt_cli.domains.text.tokens import encode, prepare_tokenizer
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

PARAPHRASES = Path(__file__).with_name("glue_paraphrases.yaml")
SIZES = (4, 16)
GLUE_ROWS = 512
NONSENSE = "Seven wooden boats drift past the bakery while the mayor counts yellow umbrellas."


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes
    ----------
    sentence : callable
        From all tasks' requirements and a task's place among them to the sentence that is shown.
    names : bool
        Whether class names are shown.
    change : callable, optional
        What becomes of the generator.
    generator : str, optional
        Another checkpoint.
    other_words : bool
        Whether GLUE's requirements are those of `PARAPHRASES`.
    """

    sentence: Callable[[Sequence[str], int], str] = lambda texts, i: texts[i]
    names: bool = True
    change: Callable[[AdapterGenerator], None] | None = None
    generator: str | None = None
    other_words: bool = False


VARIANTS = {
    "**as shipped**": Variant(),
    "other words, never trained on (GLUE only)": Variant(other_words=True),
    "another task's requirement": Variant(lambda texts, i: texts[(i + 1) % len(texts)]),
    "a sentence about nothing": Variant(lambda texts, i: NONSENSE),
    "no requirement": Variant(lambda texts, i: ""),
    "no class names": Variant(names=False),
    "neither": Variant(lambda texts, i: "", names=False),
    "the shared LoRA factors alone": Variant(change=with_shared_lora),
    "no LoRA": Variant(change=without_lora),
}


class Bench:
    """The tasks of a part, and what is measured on them."""

    def __init__(self, part: str, data: Path, test_rows: int, repeats: int) -> None:
        self.part, self.repeats = part, repeats
        self.tasks = [read_task(data, part, name, test_rows=test_rows) for name in task_names(data, part)]
        self.encoder = TextEncoder()

    def measure(self, variant: Variant) -> dict[str, float]:
        """Mean score over tasks (and draws), by what was given."""
        found: dict[str, list[float]] = {}
        other = yaml.safe_load(PARAPHRASES.read_text(encoding="utf-8")) if variant.other_words else {}
        requirements = [other.get(task.name, task.requirement) for task in self.tasks]
        for i, task in enumerate(self.tasks):
            for key, value in self._task(task, variant.sentence(requirements, i), variant).items():
                found.setdefault(key, []).append(value)
        return {key: float(np.mean(values)) for key, values in found.items()}

    def _task(self, task: TextTask, sentence: str, variant: Variant) -> dict[str, float]:
        generator = load_adapter_generator(variant.generator or generator_file())[0]
        if variant.change is not None:
            variant.change(generator)
        backbone = load_backbone(find_card(None))
        tokenizer = prepare_tokenizer(backbone.tokenizer, backbone.card.max_tokens)
        names = [label_text(name) if variant.names else "" for name in task.classes]
        rows = encode(tokenizer, names) if any(names) else None
        adapted = adapt(backbone, generator, make_words(self.encoder, sentence, names, task.paired), rows)

        def embed(part: Rows) -> torch.Tensor:
            return adapted.embed(encode(tokenizer, part.texts, part.pairs), task.paired)

        test = next(iter(task.tests.values()))
        inputs = with_bias(embed(test))
        with torch.inference_mode():
            alone = adapted.prior(None, None, inputs.shape[1] - 1).weight
        result = {"0": score(task, test, _answers(inputs @ alone, task))["score"]}
        for size, draws in self._supports(task).items():
            scores = [self._fitted(adapted, task, embed(rows), rows, inputs, test, seed) for seed, rows in draws]
            result[size] = float(np.mean(scores))
        return result

    def _supports(self, task: TextTask) -> dict[str, list[tuple[int, Rows]]]:
        """The examples, by what they are called; each draw with its seed."""
        if self.part == "glue":
            rows = np.random.default_rng(0).permutation(len(task.train))[:GLUE_ROWS]
            return {f"{GLUE_ROWS} rows": [(0, task.train.take(rows))]}
        seeds = {size: [draw_seed(task.name, size, r) for r in range(self.repeats)] for size in SIZES}
        return {str(size): [(s, draw_support(task, size, s)) for s in chosen] for size, chosen in seeds.items()}

    @staticmethod
    def _fitted(
        adapted: Adapted, task: TextTask, phi: torch.Tensor, rows: Rows, inputs: torch.Tensor, test: Rows, seed: int
    ) -> float:
        if task.classes:
            labels = torch.from_numpy(codes(rows.labels, task.classes))
            target = torch.nn.functional.one_hot(labels, len(task.classes)).float()
        else:
            y = (rows.labels - rows.labels.mean()) / rows.labels.std()
            target = torch.from_numpy(y.astype(np.float32))[:, None]
        fit = fit_head(adapted, phi, target, seed=seed, scale=(0.0, 1.0))
        weight = torch.cat([fit.weight, fit.bias[None]])
        return score(task, test, _answers(inputs @ weight, task))["score"]


def _answers(logits: torch.Tensor, task: TextTask) -> np.ndarray:
    return logits.softmax(1).numpy() if task.classes else logits[:, 0].numpy().astype(np.float64)


def main() -> None:
    """Measure every variant and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--test-rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compare", metavar="NAME=FILE", action="append", default=[], help="another checkpoint")
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    variants = dict(VARIANTS) | {
        name: Variant(generator=path) for name, path in (text.split("=", 1) for text in args.compare)
    }
    benches = {part: Bench(part, args.data, args.test_rows, args.repeats) for part in ("few-shot", "glue")}
    shown = []
    for name, variant in variants.items():
        cells = [100 * value for bench in benches.values() for value in bench.measure(variant).values()]
        shown.append([name, *(f"{cell:.1f}" for cell in cells)])
        print(*shown[-1], flush=True)
    header = ["change", "unseen, 0", "4", "16", "GLUE, 0", f"{GLUE_ROWS} rows"]
    text = (
        f"{provenance('modelgpt-cli', 'torch')}\n\n{len(benches['few-shot'].tasks)} unseen tasks (examples per class, "
        f"{args.repeats} draws) and GLUE's 9; at most {args.test_rows} test rows a task; means over tasks.\n\n"
    )
    write_section(args.report, "ablation", text + table(header, shown))


if __name__ == "__main__":
    main()
