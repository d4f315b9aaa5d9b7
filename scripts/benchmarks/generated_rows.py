"""Accuracy against the number of generated rows, beside as many real ones. The "LLM" is a simulator, not an LLM.

    python -m scripts.benchmarks generate --report docs/benchmarks.md

Per set and seed: half of a table's rows (of a text set its own test file) is the test set, whole; from the other part
`simulator.Simulator` makes what an LLM might write, `modelgpt generate` asks it, and models are built from the first n
rows. A line is written per model, and a run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from modelgpt_cli.core.metrics import class_scores
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.synthetic import SYNTHETIC
from modelgpt_cli.domains.tabular.build import TabularBuild
from modelgpt_cli.domains.tabular.options import BuildOptions as TableOptions
from modelgpt_cli.domains.text.build import TextBuild
from modelgpt_cli.domains.text.options import BuildOptions as TextOptions
from modelgpt_cli.sources.generator.generate import generate

from .common import RESULTS, data_folder, make_parser, provenance, table, write_section
from .simulator import Noise, Simulator

TABLES = ("breast_cancer", "car_evaluation", "rice")
TEXTS = ("cr", "ag_news")
SIZES = (20, 50, 100, 200)
FEW = 20
"""Real rows that generated ones are put beside."""
ARMS = {"real": "real rows", "generated": "generated rows", "both": f"{FEW} real rows and so many generated"}

WORDS = """
**No LLM wrote these rows.** A deterministic simulator (`scripts/benchmarks/simulator.py`) draws real training
rows of the class that it is asked for, jitters numbers by {jitter:g} standard deviations, drops or swaps
{words:.0%} of a text's words, says another class in {swapped:.0%} of the rows, repeats {repeated:.0%} and gets
{invalid:.0%} wrong. It shows how a build bears such errors and what the checks catch; how good an LLM's rows are,
it can't. The whole test sets are scored; meta-training saw none of these sets. Accuracy × 100 by number of rows,
means of {seeds} seeds. Beside {most} rows, {dropped} more were written and dropped in the median. Generated rows
are balanced over the classes, real ones are as they come. `car_evaluation`, whose rare classes have few different
rows, stops short of 200.
"""


@dataclass
class Task:
    """A set, split into typed rows to draw from and to test on."""

    name: str
    requirement: Requirement
    pool: pd.DataFrame
    test: pd.DataFrame


def read_task(data: Path, name: str, seed: int) -> Task:
    """Read a set; a table is split in halves, by the seed."""
    if name in TABLES:
        folder = data / "tabular" / "paper10"
        whole = load_dataset(next(folder.glob(f"{name}.csv*")), target="target", sample_rows=100_000)
        order = np.random.default_rng([seed, 43]).permutation(len(whole.sample))
        pool, test = (whole.sample.iloc[rows] for rows in np.split(order, [len(order) // 2]))
        return Task(name, _requirement(whole, folder / f"{name}.yaml", None), pool, test)
    folder = data / "text" / "train" / name
    train, judged = (
        load_dataset(folder / f"{part}.csv.gz", target="label", domain="text", sample_rows=100_000)
        for part in ("train", "test")
    )
    return Task(name, _requirement(train, folder / "card.yaml", "text"), train.sample, judged.sample)


def _requirement(dataset: Dataset, card: Path, domain: str | None) -> Requirement:
    sentence, schema = str(yaml.safe_load(card.read_text(encoding="utf-8"))["description"]), dataset.schema
    return Requirement(sentence, schema.task, schema.target, schema.classes, schema.used, domain=domain)


def generated_rows(task: Task, n: int, seed: int, folder: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Return rows by the simulator, through `modelgpt generate` and its checks; and what was dropped."""
    target = task.requirement.target or ""
    path = folder / f"{task.name}-{seed}.csv"
    with Simulator(task.pool, target, seed) as llm:
        done = generate(task.requirement, n=n, output=path, base_url=llm.url, cache=False, seed=seed, force=True)
    return pd.read_csv(path, dtype=str, keep_default_na=False), done.to_dict()


def score(task: Task, rows: pd.DataFrame, seed: int, folder: Path) -> dict[str, float]:
    """Build on rows, and score on the whole test set."""
    path = folder / "rows.csv"
    rows.to_csv(path, index=False)
    wanted = task.requirement
    # Few rows may lack a class; a model of the others is what a user would get.
    present = tuple(c for c in wanted.classes if c in set(rows[wanted.target]))
    wanted = replace(wanted, classes=wanted.classes if wanted.domain == "text" else present)
    dataset = load_dataset(
        path, target=wanted.target, task=wanted.task, columns=wanted.columns, classes=wanted.classes,
        domain=wanted.domain,
    )  # fmt: skip
    builder: Any
    if wanted.domain == "text":
        builder = TextBuild(wanted, TextOptions(seed=seed, device="cpu"))
    else:
        builder = TabularBuild(wanted, TableOptions(seed=seed, device="cpu"))
    model: Any = builder.from_data(dataset, check_fingerprint=False)[0]
    found = np.full((len(task.test), len(task.requirement.classes)), 1e-6)
    places = [task.requirement.classes.index(label) for label in model.blueprint.labels]
    found[:, places] = _answers(model, task, wanted)
    truth = np.array([task.requirement.classes.index(label) for label in task.test[wanted.target]])
    return class_scores(found, truth)


_inputs: dict[str, Any] = {}
"""Head inputs of a text set's test rows: the words that adapt the encoder are the same for all its models."""


@torch.no_grad()
def _answers(model: Any, task: Task, wanted: Requirement) -> np.ndarray:
    if wanted.domain != "text":
        return np.asarray(model.predict(task.test))
    rows = model.encode(task.test)
    if task.name not in _inputs:
        _inputs[task.name] = model.inputs(rows).clone()
    scores = model.scores_of_inputs(_inputs[task.name], rows)
    return np.asarray(scores.softmax(1).numpy())


def run(args: argparse.Namespace) -> None:
    """Measure what is missing."""
    known = _load(args.out)
    have = {(line["set"], line["seed"], line["arm"], line["n"]) for line in known}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(args.seeds):
            for one in (*TABLES, *TEXTS):
                wanted = [(arm, n) for arm in ARMS for n in SIZES if (one, seed, arm, n) not in have]
                if wanted:
                    _measure(args, one, seed, wanted, Path(name))


def _measure(args: argparse.Namespace, name: str, seed: int, cells: list[tuple[str, int]], folder: Path) -> None:
    task = read_task(args.data, name, seed)
    synthetic, written = generated_rows(task, max(SIZES), seed, folder)
    columns = [*(c.name for c in task.requirement.columns), task.requirement.target]
    real = task.pool[columns].sample(max(SIZES), random_state=seed).assign(**{SYNTHETIC: "false"})
    for arm, n in cells:
        rows = {"real": real[:n], "generated": synthetic[:n], "both": pd.concat([real[:FEW], synthetic[:n]])}[arm]
        start = time.process_time()
        line: dict[str, Any] = {"set": name, "seed": seed, "arm": arm, "n": n, "test_rows": len(task.test)}
        line |= {key: round(value, 5) for key, value in score(task, rows, seed, folder).items()}
        line |= {"cpu_seconds": round(time.process_time() - start, 2)}
        if arm == "generated":
            line |= {"requests": written["requests"], "dropped": sum(written["dropped"].values())}
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print(line, flush=True)


def _load(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def report(results: Path) -> str:
    """Lay out the section for docs/benchmarks.md."""
    frame = pd.DataFrame(_load(results))
    means = frame.groupby(["set", "arm", "n"])["accuracy"].mean()
    sizes = sorted(frame["n"].unique())
    header = ["set (test rows)", "", *map(str, sizes)]
    rows = []
    sets = [name for name in (*TABLES, *TEXTS) if name in set(frame["set"])]
    tests = frame.groupby("set")["test_rows"].first()
    for name in [*sets, "mean"]:
        for arm, words in ARMS.items():
            found = [means[name, arm, n] if name != "mean" else means.loc[sets, arm, n].mean() for n in sizes]
            label = f"{name} ({tests[name]:,})" if name != "mean" else "**mean**"
            rows.append([label if arm == "real" else "", words, *(f"{100 * x:.1f}" for x in found)])
    dropped = frame.dropna(subset=["dropped"]).groupby(["set", "seed"])["dropped"].first().median()
    noise = Noise()
    values = {**vars(noise), "seeds": frame["seed"].nunique(), "most": max(sizes), "dropped": round(float(dropped))}
    words = WORDS.strip().format(**values)
    return "\n\n".join(["## Generated rows: a simulation", provenance("torch"), words, table(header, rows)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, report."""
    parser = make_parser("generate", __doc__, "--report")
    parser.add_argument("--data", type=Path, default=data_folder(""))
    parser.add_argument("--out", type=Path, default=RESULTS / "generate" / "accuracy.jsonl")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only-report", action="store_true", help="Measure nothing.")
    args = parser.parse_args(arguments)
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    if not args.only_report:
        run(args)
    if args.report:
        write_section(args.report, "generate-simulation", report(args.out))
