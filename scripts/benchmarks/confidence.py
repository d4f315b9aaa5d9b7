"""What a model's confidence is worth: calibration of unseen rows, and whether its novelty tells rows of other data.

    python -m scripts.benchmarks confidence images --report docs/benchmarks.md
    python -m scripts.benchmarks confidence texts --report docs/benchmarks.md

Of each shared set some rows a class are learnt from, as `build` does it. Calibration is that of further rows, before
and after the temperature; novelty is that of further rows against rows of all other sets, beside other scores of the
same features. Shapes: n rows, P head inputs, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from modelgpt_cli.core.metrics import calibration_error, log_loss
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.shared.backbone_build import one_hot
from modelgpt_cli.domains.shared.head import HeadSource, fit_head
from modelgpt_cli.domains.shared.novelty import fit_novelty
from modelgpt_cli.domains.shared.scaling import Scaling

from .common import RESULTS, data_folder, make_parser, names, numbers, provenance, table, write_section

SETS = {
    "images": "flowers5,objects15,omniglot_scripts,pacs,sign_digits,steel_defects,trashnet,weather4",
    "texts": "ag_news,citation_intent,hate_offensive,mag_fields,sms_spam,subj,trec,tweet_emotion",
}
MOST, UNSEEN, OTHERS = 60, 30, 30
"""Rows of each class that are read, of each class that are judged by, and of each other set."""


@dataclass
class Rows:
    """A set: head inputs (n, P) as the head is solved on, classes (n,), and what the head is generated from.

    `scaling` is that of usual features, where there is one; `features` are those that others are compared with.
    """

    features: Tensor
    labels: np.ndarray
    source: HeadSource
    scaling: Scaling | None

    def inputs(self, features: Tensor) -> Tensor:
        """Return head inputs of features."""
        return features if self.scaling is None else self.scaling.inputs(features)


def read(kind: str, name: str, folder: Path) -> Rows:
    """Read some rows of each class of a shared set, as a build sees them."""
    dataset = load_dataset(folder / (f"{name}.zip" if kind == "images" else f"train/{name}"))
    classes, target = dataset.schema.classes, dataset.schema.target
    frame = dataset.sample.sample(frac=1, random_state=0).groupby(target).head(MOST).reset_index(drop=True)
    wanted = Requirement(f"Tell apart {kind} of {name}.", classes=classes)
    if kind == "images":
        from modelgpt_cli.domains.image.build import ImageBuild
        from modelgpt_cli.domains.image.options import BuildOptions
        from modelgpt_cli.domains.image.rows import read_labelled

        images = ImageBuild(wanted, BuildOptions())
        found = read_labelled(dataset, frame, images.view)
        adapted = images._adapt(classes, False)
        y = one_hot(found.cells, classes).argmax(1).numpy()
        return Rows(adapted.features(found.rows), y, adapted, adapted.scaling)
    from modelgpt_cli.domains.text.build import TextBuild
    from modelgpt_cli.domains.text.options import BuildOptions as TextOptions
    from modelgpt_cli.domains.text.tokens import encode

    texts = TextBuild(wanted, TextOptions())
    rows = encode(texts.tokenizer, frame[dataset.schema.used[0].name].fillna("").tolist())
    made = texts._adapt(False, classes, False)
    y = one_hot(frame[target].to_numpy(), classes).argmax(1).numpy()
    return Rows(made.embed(rows, False), y, made, None)


def measure(own: Rows, others: Sequence[Rows], per_class: int, seed: int) -> dict[str, float]:
    """Learn from so many rows a class, and judge by others."""
    rng = np.random.default_rng(seed)
    n_classes = int(own.labels.max()) + 1
    seen, unseen = [], []
    for k in range(n_classes):
        rows = rng.permutation(np.flatnonzero(own.labels == k))
        seen += rows[:per_class].tolist()
        unseen += rows[per_class : per_class + UNSEEN].tolist()
    phi, target = own.inputs(own.features[seen]), torch.eye(n_classes)[own.labels[seen]]
    fit = fit_head(own.source, phi, target, seed=seed, scale=(0.0, 1.0))
    assert fit.folds is not None, "there are rows enough to hold some out"
    judged, y = own.inputs(own.features[unseen]), own.labels[unseen]
    logits = judged @ fit.weight + fit.bias
    found = {"temperature": fit.calibration.get("temperature", 1.0)}
    for when, factor in (("before", found["temperature"]), ("after", 1.0)):
        p = (logits * factor).softmax(1).numpy()
        found[f"log_loss_{when}"] = log_loss(y, p) or 0.0
        found[f"calibration_error_{when}"] = calibration_error(p.argmax(1) == y, p.max(1))
    novelty, told = fit_novelty(phi, target, fit.folds, classes=True)
    foreign = torch.cat([o.features[rng.permutation(len(o.features))[:OTHERS]] for o in others])
    both = torch.cat([judged, own.inputs(foreign)])
    answers = both @ fit.weight + fit.bias
    scores = {
        "novelty": novelty(both),
        "mahalanobis": _mahalanobis(phi, target, both),
        "energy": -answers.logsumexp(1),
        "likeliest": -answers.softmax(1).amax(1),
    }
    strange = np.arange(len(both)) >= len(judged)
    found |= {f"auc_{name}": float(roc_auc_score(strange, score.numpy())) for name, score in scores.items()}
    above = scores["novelty"].numpy() > told["threshold"]
    return found | {"above_same": float(above[~strange].mean()), "above_other": float(above[strange].mean())}


def _mahalanobis(phi: Tensor, target: Tensor, rows: Tensor) -> Tensor:
    """Distance to the nearest class mean, under a shared diagonal covariance."""
    means = (target.T @ phi) / target.sum(0)[:, None]
    variance = (phi - target @ means).square().mean(0)
    spread = variance + 0.1 * variance.mean()
    return torch.stack([((rows - mean).square() / spread).sum(1) for mean in means]).amin(0)


def report(kind: str, lines: list[dict[str, Any]]) -> str:
    """Lay out the section for docs/benchmarks.md."""
    sizes = sorted({line["per_class"] for line in lines})

    def mean(key: str, size: int) -> str:
        return f"{np.mean([line[key] for line in lines if line['per_class'] == size]):.3f}"

    rows = []
    for key, words in (
        ("calibration_error_before", "calibration error without the temperature"),
        ("calibration_error_after", "calibration error"),
        ("log_loss_before", "log loss without the temperature"),
        ("log_loss_after", "log loss"),
        ("auc_novelty", "**novelty**: ROC AUC"),
        ("auc_mahalanobis", "Mahalanobis distance (diagonal): ROC AUC"),
        ("auc_energy", "energy of the logits: ROC AUC"),
        ("auc_likeliest", "likeliest class: ROC AUC"),
        ("above_same", "share of unseen rows of the set above the threshold"),
        ("above_other", "share of rows of other sets above it"),
    ):
        rows.append([words, *(mean(key, size) for size in sizes)])
    sets = ", ".join(dict.fromkeys(line["set"] for line in lines))
    draws = len({line["seed"] for line in lines})
    words = f"Means over {sets}; {draws} draws each. By rows of each class that were learnt from:"
    title = f"## {kind.capitalize()}: confidence"
    return "\n\n".join([title, provenance("torch"), words, table(["", *map(str, sizes)], rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, report."""
    parser = make_parser("confidence", __doc__, "--threads", "--report")
    parser.add_argument("kind", choices=tuple(SETS))
    parser.add_argument("--sets", type=names, help="names of shared sets, with commas")
    parser.add_argument("--sizes", type=numbers, default=[4, 8, 16, 30], help="rows of each class (default 4,8,16,30)")
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--data", type=Path, help="folder of the sets")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    folder = args.data or data_folder("image" if args.kind == "images" else "text")
    sets = {name: read(args.kind, name, folder) for name in args.sets or names(SETS[args.kind])}
    lines = []
    for name, own in sets.items():
        others = [other for key, other in sets.items() if key != name]
        for size in args.sizes:
            for seed in args.seeds:
                found = measure(own, others, size, seed)
                lines.append(
                    {"set": name, "per_class": size, "seed": seed} | {k: round(v, 5) for k, v in found.items()}
                )
    out = args.out or RESULTS / "confidence" / f"{args.kind}.jsonl"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    text = report(args.kind, lines)
    print(text)
    if args.report:
        write_section(args.report, f"confidence {args.kind}", text)
