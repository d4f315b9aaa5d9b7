"""Tables: what each part of the generator and of the fit is worth, on tables that it has never seen.

    python -m scripts.benchmarks ablation tables ../shared/data/tabular/train --report docs/tabular-generator.md
    python -m scripts.benchmarks ablation tables ../shared/data/tabular/train --compare old=OLD.safetensors --report ...

The benchmark's protocol (at most 2,000 rows, 50/50 splits) on the meta-validation tables, one change at a time against
the build as it ships. Constants are changed in the running modules, so that every variant is the shipped code.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from modelgpt_cli.domains.tabular import boosting, crossfit, fit, forest, kernel, members, mixing, stack
from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier, ModelGPTRegressor

from ..common import make_parser, provenance, table, write_section
from ..metrics import class_metrics
from .tasks import Table, draw_rows, find_cards, read_table, side, split

ROWS, SHARE = 2000, 0.5
COLUMNS = ("roc_auc", "accuracy", "log_loss", "ece", "r2", "cpu")


@dataclass(frozen=True)
class Variant:
    """One change: options of the estimator, and constants of modules."""

    options: dict[str, Any] = field(default_factory=dict)
    constants: tuple[tuple[Any, str, Any], ...] = ()

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The constants changed."""
        with ExitStack() as changes:
            for module, name, value in self.constants:
                changes.enter_context(patch.object(module, name, value))
            yield


def _best(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return weights that pick the one candidate of least log-loss, at its own temperature."""
    losses = [torch.nn.functional.cross_entropy(out * stack.stack_logits(out[None], labels), labels) for out in outputs]
    best = int(torch.stack(losses).argmin())
    weights = torch.zeros(len(outputs))
    weights[best] = stack.stack_logits(outputs[best : best + 1], labels)[0]
    return weights


VARIANTS = {
    "**as shipped**: 8 members, 4 folds, a mix of heads, kernel, forest, trees": Variant(),
    "no forest and trees": Variant({"trees": False}),
    "no kernel": Variant({"kernel": False}),
    "networks alone": Variant({"trees": False, "kernel": False}),
    "kernel of 128 points": Variant(constants=((kernel, "FOLD_POINTS", 128), (kernel, "POINTS", 256))),
    "kernel of all inputs alike": Variant(constants=((kernel, "RELEVANCE_STEPS", 0),)),
    "trees of 20 rows a leaf": Variant(
        constants=((boosting, "PARAMETERS", boosting.PARAMETERS | {"min_data_in_leaf": 20}),)
    ),
    "trees of 8 leaves alone": Variant(constants=((boosting, "TIMES", (1,)),)),
    "no forest": Variant(constants=((forest, "MOST_ROWS", 0),)),
    "every part in every mix": Variant(constants=((mixing, "LEAST_GAIN", -1e9),)),
    "1 member, leave-one-out temperature": Variant({"members": 1, "one_pass": True}),
    "4 members": Variant({"members": 4, "trees": True, "kernel": True}),
    "16 members": Variant({"members": 16, "trees": True, "kernel": True}),
    "8 folds": Variant(constants=((crossfit, "FOLDS", 8),)),
    "256 support rows a member": Variant(constants=((members, "MAX_SUPPORT", 256),)),
    "1,024 support rows a member": Variant(constants=((members, "MAX_SUPPORT", 1024),)),
    "closed-form heads alone, no logistic refinement": Variant(constants=((crossfit, "LOGISTIC", crossfit.RIDGE),)),
    "no linear candidate": Variant(
        constants=((crossfit, "LOGISTIC", tuple(c for c in crossfit.LOGISTIC if not c.floor)),)
    ),
    "the best candidate instead of a mix": Variant(constants=((crossfit, "stack_logits", _best),)),
}


def _measure(variant: Variant, data: Table, repeat: int, generator: str | None) -> dict[str, float]:
    train_rows, test_rows = split(data, SHARE, repeat)
    train, test = data.take(train_rows), data.take(test_rows)
    kind = ModelGPTClassifier if data.task == "classification" else ModelGPTRegressor
    estimator: Any = kind(random_state=repeat, generator=generator, columns=data.columns, **variant.options)
    with variant.applied(), _support():
        start = time.process_time()
        estimator.fit(train.frame, train.y)
        cpu = time.process_time() - start
    answers = estimator.model_.predict(test.frame)
    if data.task == "regression":
        error = answers[:, 0].astype(np.float64) - test.y
        return {"r2": float(1 - (error**2).mean() / test.y.var()), "cpu": cpu}
    labels = np.unique(data.y)
    p = np.zeros((len(test.y), len(labels)))
    p[:, np.searchsorted(labels, estimator.classes_)] = answers
    return class_metrics(np.searchsorted(labels, test.y), p / p.sum(axis=1, keepdims=True)) | {"cpu": cpu}


@contextmanager
def _support() -> Iterator[None]:
    """Members drawn with the module's present number of support rows; `fit_table` keeps the one it was defined with."""

    def fit_table(*args: Any, **options: Any) -> Any:
        return fit.fit_table(*args, **options, max_support=members.MAX_SUPPORT)

    with patch.object(crossfit, "fit_table", fit_table):
        yield


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every variant and write the table."""
    parser = make_parser("ablation tables", __doc__, "--compare")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    others = dict(text.split("=", 1) for text in args.compare)
    variants: dict[str, tuple[Variant, str | None]] = {name: (v, None) for name, v in VARIANTS.items()}
    for name, path in others.items():
        variants[f"{name}, 8 members"] = Variant(), path
        variants[f"{name}, 1 member"] = Variant({"members": 1, "one_pass": True}), path
    cards = [c for c in find_cards([args.folder]) if side(c) == "meta-validation"]
    tables = [draw_rows(read_table(card), ROWS, 0) for card in cards]
    results: dict[str, list[dict[str, float]]] = {}
    for name, (variant, generator) in variants.items():
        for data in tables:
            cells = [_measure(variant, data, repeat, generator) for repeat in range(args.repeats)]
            results.setdefault(name, []).append({k: float(np.mean([c[k] for c in cells])) for k in cells[0]})
        print(name, _means(results[name]), flush=True)
    shown = [[name, *_means(rows)] for name, rows in results.items()]
    n = sum(t.task == "classification" for t in tables)
    text = (
        f"{provenance('modelgpt-cli', 'torch')}\n\n{n} classification and {len(tables) - n} regression tables, "
        f"{args.repeats} splits; means over tables; CPU seconds of a fit on one thread.\n\n"
    )
    header = ["change", "ROC AUC", "accuracy", "log-loss", "ECE", "R²", "CPU s"]
    write_section(args.report, "ablation", text + table(header, shown))


def _means(rows: list[dict[str, float]]) -> list[str]:
    formats = {"r2": ".3f", "cpu": ".2f"}
    return [format(np.mean([r[c] for r in rows if c in r]), formats.get(c, ".4f")) for c in COLUMNS]
