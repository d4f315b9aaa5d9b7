"""Models from words alone for tasks that the generator has seen, and what the words are worth.

    python -m scripts.benchmarks requirement seen --report docs/requirement-only.md
    python -m scripts.benchmarks requirement ablation-seen --report docs/requirement-only.md
    python -m scripts.benchmarks requirement ablation-data --report docs/requirement-only.md

``seen`` builds each of the paper's ten tables through the package's own verbs from a requirement without data, with the
checkpoint in weights/tabular-paper10, tunes it for one epoch on the training rows, and scores both on the test rows of
the split that the checkpoint was trained on (60/10/30); beside them Finetune, from scratch, on the same training rows.
``ablation-seen`` gives that checkpoint true and other words. ``ablation-data`` gives them to the main checkpoint
together with labelled rows, on tables that meta-training kept for validation (50/50 splits). Each writes
docs/results/requirement-<part>.csv anew and, with --report, its section of a Markdown page.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from modelgpt_cli import build, describe, predict, tune
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.domains.tabular.fit import ONE_PASS, TableArrays, fit_table
from modelgpt_cli.domains.tabular.fixed_tasks import read_tables
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
from modelgpt_cli.domains.tabular.requirement_only import make_requirement_only_model
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

from ..common import RESULTS, ROOT, data_folder, digest, make_parser, provenance, table, write_section
from ..harness import timed
from ..metrics import class_metrics
from .bench import toy_table
from .networks import EPOCHS, Trained
from .tasks import Table, draw_rows, find_cards, read_table, side, split
from .words import DRAWN, VARIANTS, other_words

PARAPHRASES = Path(__file__).with_name("paper10_paraphrases.yaml")
METHODS = {
    "majority": "majority class",
    "finetune": f"Finetune, {EPOCHS} epochs from scratch",
    "words": "ModelGPT, from the words alone",
    "paraphrase": "ModelGPT, from a sentence it has never seen",
    "described": "ModelGPT, from what `describe --offline` says of the training rows, as ONNX",
    "tuned": "ModelGPT-F, one epoch of tuning at 1e-3",
    "tuned_slow": "ModelGPT-F, one epoch at the rate of --lr",
}
Row = dict[str, Any]


def measure_seen(args: argparse.Namespace) -> Iterator[Row]:
    """Yield rows of the first part: every table, method and seed."""
    paraphrases = yaml.safe_load(PARAPHRASES.read_text(encoding="utf-8"))
    Trained(0, args.threads).fit(toy_table("classification"))  # else its first time pays for imports
    for seen in read_tables(args.data, args.split_seed):
        y = seen.part(args.scored)[1]
        for method, seed, p, more in _answers(seen, paraphrases[seen.name], args):
            yield {"dataset": seen.name, "method": method, "seed": seed, **_scores(y, p), **more}


def _answers(seen: Any, paraphrase: str, args: argparse.Namespace) -> Iterator[tuple[str, int, np.ndarray, Row]]:
    """Yield method, seed, probabilities of the scored rows, and what else is known, such as seconds."""
    (train, y_train), (test, y_test) = seen.part("train"), seen.part(args.scored)
    names = np.array(seen.requirement.classes)

    def in_order(p: np.ndarray, classes: Any) -> np.ndarray:
        ordered = np.zeros((len(test), len(names)))
        ordered[:, np.searchsorted(names, classes)] = p
        return ordered

    def finetuned(seed: int) -> np.ndarray:
        network = Trained(seed, args.threads)
        network.fit(Table(seen.name, "classification", train, names[y_train], list(seen.requirement.columns)))
        return in_order(network.predict(test), network.classes_)

    share = np.bincount(y_train, minlength=len(names)) / len(y_train)
    yield "majority", 0, np.tile(share, (len(y_test), 1)), {"seconds": 0.0}
    for seed in range(args.seeds if "finetune" in args.methods else 0):
        p, seconds, _ = timed(lambda seed=seed: finetuned(seed))  # type: ignore[misc]
        yield "finetune", seed, p, {"seconds": seconds}
    with tempfile.TemporaryDirectory() as folder:
        path, tuned = Path(folder) / "model.safetensors", Path(folder) / "tuned.safetensors"
        data, held_out = Path(folder) / "train.csv", Path(folder) / "test.csv"
        train.assign(target=names[y_train]).to_csv(data, index=False)
        test.assign(target=names[y_test]).to_csv(held_out, index=False)
        options: Row = {"generator": str(args.generator), "members": args.members, "device": "cpu", "force": True}
        if "described" in args.methods:
            described = replace(describe(data, target="target", offline=True).requirement, data=None)
            report = build(described, output=path.with_suffix(".onnx"), **options)
            predicted = predict(report.path, held_out)
            assert predicted.probabilities is not None
            yield "described", 0, in_order(predicted.probabilities, predicted.classes), {"seconds": report.seconds}
        paraphrased = replace(seen.requirement, sentence=paraphrase)
        for method, requirement in (("paraphrase", paraphrased), ("words", seen.requirement)):
            report = build(requirement, output=path, **options)
            yield method, 0, _table(path).predict(test), {"seconds": report.seconds}
        for (method, lr), seed in product((("tuned", 1e-3), ("tuned_slow", args.lr)), range(args.seeds)):
            done = tune(path, data=data, output=tuned, lr=lr, seed=seed, device="cpu", force=True)
            yield method, seed, _table(tuned).predict(test), {"seconds": done.seconds, "kept": done.kept}


def _table(path: Path) -> TabularModel:
    """Load a built model of a table."""
    model = load_model(path)
    assert isinstance(model, TabularModel)
    return model


def measure_ablation_seen(args: argparse.Namespace) -> Iterator[Row]:
    """Yield rows of the second part: every table and variant of the words, without data."""
    generator, _ = load_generator(args.generator)
    encoder = TextEncoder()
    tables = read_tables(args.data, args.split_seed)
    preprocessors = [make_preprocessor(t.requirement.columns) for t in tables]
    words = [
        embed_words(encoder, c, t.requirement.sentence, t.requirement.classes)
        for c, t in zip(preprocessors, tables, strict=True)
    ]
    for i, seen in enumerate(tables):
        test, y = seen.part("test")
        known = seen.requirement
        blueprint = Blueprint(
            task="classification", target="target", labels=known.classes, columns=known.columns,
            requirement=known.sentence, architecture=Architecture(members=1),
        )  # fmt: skip
        for variant, repeat, texts in _variants(words, i, encoder, args.repeats):
            model = make_requirement_only_model(blueprint, preprocessors[i], generator, texts, seed=repeat)
            yield {"dataset": seen.name, "words": variant, "repeat": repeat, **_scores(y, model.predict(test))}


def measure_ablation_data(args: argparse.Namespace) -> Iterator[Row]:
    """Yield rows of the third part: every kept table, split and variant of the words, with labelled rows; one pass."""
    generator, _ = load_generator(args.generator)
    encoder = TextEncoder()
    cards = [c for c in find_cards([args.data]) if side(c) == "meta-validation" and c.task == "classification"]
    tables = [draw_rows(read_table(c), args.rows, 0) for c in cards]
    words = []
    for card, data in zip(cards, tables, strict=True):
        sentence = f"{card.values['title']}: {card.values['description']}"
        words.append(
            embed_words(encoder, make_preprocessor(data.columns, data.frame), sentence, tuple(np.unique(data.y)))
        )
    for i, data in enumerate(tables):
        preprocessor = make_preprocessor(
            data.columns, data.frame
        )  # levels of all rows, so that the words fit; nothing else is used
        x, codes = preprocessor.arrays(data.frame)
        classes, y = np.unique(data.y, return_inverse=True)
        levels = tuple(len(names) for names in preprocessor.levels)
        for variant, repeat, texts in _variants(words, i, encoder, args.repeats, always=True):
            train, test = split(data, 0.5, repeat)
            arrays = TableArrays(x[train], codes[train], y[train], len(classes), levels)
            fitted = fit_table(generator, arrays, members=1, seed=repeat, texts=texts)
            logits = fitted.logits(fitted.heads(ONE_PASS, arrays), x[test], codes[test])
            p = logits.double().softmax(1).numpy()
            yield {"dataset": data.name, "words": variant, "repeat": repeat, **_scores(y[test], p)}


def _variants(
    words: list[TaskTexts], i: int, encoder: TextEncoder, repeats: int, *, always: bool = False
) -> Iterator[tuple[str, int, TaskTexts]]:
    """Yield every variant of task i's words with the number of its repeat; each repeat has another other task."""
    others = [j for j in range(len(words)) if j != i]
    for repeat in range(repeats):
        other = words[np.random.default_rng([i, repeat]).choice(others)]
        for variant in VARIANTS:
            if always or repeat == 0 or variant in DRAWN:
                yield variant, repeat, other_words(variant, words[i], other, encoder, seed=1000 * i + repeat)


def _scores(y: np.ndarray, p: np.ndarray) -> Row:
    p = np.clip(p.astype(np.float64), 1e-12, None)
    scores = class_metrics(y, p / p.sum(1, keepdims=True))
    return {k: scores[k] for k in ("accuracy", "roc_auc", "log_loss")} | {"test_rows": len(y)}


def summarise_seen(rows: pd.DataFrame) -> str:
    """Return means over the tables, then accuracy table by table, as Markdown."""
    by_set = rows.groupby(["method", "dataset"]).mean(numeric_only=True)
    spread = rows.groupby(["method", "seed"])["accuracy"].mean().groupby("method").agg(np.ptp)
    seconds = by_set["seconds"].groupby("method").sum()
    summary = []
    methods = [m for m in METHODS if m in set(rows["method"])]
    for m, label in ((m, METHODS[m]) for m in methods):
        mean = _means(by_set, m)
        took = f"{seconds[m]:.1f}" if m != "majority" else "–"
        ranged = f"{spread[m]:.4f}" if rows[rows["method"] == m]["seed"].nunique() > 1 else "–"
        summary.append([label, f"{mean['accuracy']:.4f}", ranged, f"{mean['log_loss']:.3f}", took])
    accuracy = by_set["accuracy"].unstack("method")[methods]
    sizes = rows.groupby("dataset")["test_rows"].first().sort_values()
    each = [[d, str(sizes[d]), *(f"{accuracy.loc[d, m]:.3f}" for m in methods)] for d in sizes.index]
    head = ["method", "mean accuracy", "range over seeds", "mean log-loss", "seconds, all ten"]
    parts = [
        table(head, summary),
        "Accuracy, table by table (mean over seeds):",
        table(["table", "rows", *methods], each),
    ]
    return "\n\n".join(parts)


def summarise_ablation(rows: pd.DataFrame) -> str:
    """Return means over the tables for each variant of the words, then accuracy table by table, as Markdown."""
    by_set = rows.groupby(["words", "dataset"]).mean(numeric_only=True)
    accuracy = by_set["accuracy"].unstack("words")[list(VARIANTS)]
    summary = []
    for variant, meaning in VARIANTS.items():
        mean, gain = _means(by_set, variant), accuracy[variant] - accuracy["true"]
        error = gain.std() / len(gain) ** 0.5
        compared = ["–", "–"]
        if variant != "true":
            compared = [f"{gain.mean():+.4f} ± {error:.4f}", f"{int((gain < 0).sum())} / {int((gain > 0).sum())}"]
        numbers = [f"{mean['accuracy']:.4f}", f"{mean['roc_auc']:.4f}", f"{mean['log_loss']:.4f}"]
        summary.append([f"**{variant}**: {meaning}", *numbers, *compared])
    each = [[d, *(f"{accuracy.loc[d, v]:.3f}" for v in VARIANTS)] for d in accuracy.index]
    head = ["words", "accuracy", "ROC AUC", "log-loss", "accuracy − true's, ± standard error", "tables worse / better"]
    return "\n\n".join([table(head, summary), "Test accuracy, table by table:", table(["table", *VARIANTS], each)])


def _means(by_set: pd.DataFrame, first: str) -> dict[str, float]:
    """Return means over the tables of one method or variant, which is the first level of the index."""
    return {str(k): float(v) for k, v in by_set.loc[[first]].mean().items()}


PARTS = {
    "seen": (measure_seen, summarise_seen),
    "ablation-seen": (measure_ablation_seen, summarise_ablation),
    "ablation-data": (measure_ablation_data, summarise_ablation),
}


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the data and the checkpoint follow from the part where they are not given."""
    parser = make_parser("requirement", __doc__, "--threads", "--report")
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--data", type=Path, help="folder of tables with cards")
    parser.add_argument("--generator", type=Path, help="the checkpoint's folder, or a file")
    parser.add_argument("--split-seed", type=int, default=0, help="of the 60/10/30 split of the checkpoint's training")
    parser.add_argument("--seeds", type=int, default=3, help="of tuning and of Finetune")
    parser.add_argument("--lr", type=float, default=1e-4, help="another rate of tuning, chosen on the validation rows")
    parser.add_argument("--scored", choices=["validation", "test"], default="test", help="which rows of seen tables")
    parser.add_argument(
        "--methods", nargs="*", default=["finetune", "described"], help="what else to measure, of these two"
    )
    parser.add_argument("--repeats", type=int, default=3, help="draws of other words; with data: splits")
    parser.add_argument("--rows", type=int, default=2000, help="rows of a table at most, with data")
    parser.add_argument("--members", type=int, help="networks merged into a model; default: the package's")
    parser.add_argument("--out", type=Path, help="CSV; docs/results/requirement-<part>.csv where not given")
    args = parser.parse_args(arguments)
    with_data = args.part == "ablation-data"
    args.data = args.data or data_folder("tabular") / ("train" if with_data else "paper10")
    args.generator = args.generator or ROOT / "weights" / ("tabular" if with_data else "tabular-paper10")
    if args.generator.is_dir():
        args.generator /= "generator.safetensors"
    args.out = args.out or RESULTS / f"requirement-{args.part}.csv"
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one part, write its CSV, print (and write) its summary."""
    args = parse_arguments(arguments)
    torch.set_num_threads(args.threads)
    measure, summarise = PARTS[args.part]
    rows = []
    for row in measure(args):
        rows.append(row)
        print("  ".join(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row.values()), file=sys.stderr)
    frame = pd.DataFrame(rows)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    frame.to_csv(args.out, index=False, float_format="%.6g", lineterminator="\n")
    summary = summarise(frame)
    print(summary)
    if args.report:
        origin = f"{provenance('torch', 'numpy')} Generator {digest(args.generator, 12)}."
        write_section(args.report, f"requirement {args.part}", f"Made by:\n\n{origin}\n\n{summary}")
    return 0
