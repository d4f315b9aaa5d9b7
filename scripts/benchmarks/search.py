"""What `tune --search` gives on rows that nobody has seen: Optuna's TPE beside settings drawn at random, equal trials.

    python -m scripts.benchmarks search --trials 15 --report docs/tuning.md

Tables of the meta-validation part, which the generator was not trained on, are drawn to at most so many rows and split
in two halves. A search sees one; the default, the best trial and what the search keeps are measured on the other. Both
ways to propose settings share what a setting was worth, as it does not depend on the way. A cell is a table, a seed and
a way; each is appended to docs/results/search.csv, where a later call goes on.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from modelgpt_cli import build, evaluate
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.metrics import worse_by
from modelgpt_cli.model_generator.search.bench import Bench
from modelgpt_cli.model_generator.search.search import SearchReport, decide, requirement_of, try_all, write_setting
from modelgpt_cli.model_generator.search.study import Study

from .common import RESULTS, data_folder, make_parser, names, provenance, table, write_section
from .tables.tasks import Card, append_cells, draw_rows, find_cards, read_table, side, split

WAYS = ("tpe", "random")
UNSEEN = ("unseen_best", "unseen_kept")
TABLES = "autos,glass,postoperative,servo,teaching_assistants,spectf_heart"
CELLS = RESULTS / "search.csv"


class _Remembering(Bench):
    """A bench that knows what it has measured to the end."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.known: dict[str, tuple[float, float]] = {}

    def measure(self, setting: Any, seed: int, go_on: Any) -> float:
        key = f"{sorted(setting.items())} {seed}"
        if key not in self.known:
            start = time.process_time()
            score = super().measure(setting, seed, go_on)
            self.known[key] = score, time.process_time() - start
        self.cpu += self.known[key][1]
        return self.known[key][0]

    cpu = 0.0
    """Seconds, of what was remembered too."""


def measure(card: Card, rows: int, trials: int, seed: int, ways: Sequence[str]) -> list[dict[str, Any]]:
    """Search on one half of a table in some ways, and measure on the other."""
    data = draw_rows(read_table(card), rows, 0)
    halves = [data.take(part) for part in split(data, 0.5, seed)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [folder / "train.csv", folder / "test.csv"]
        for half, file in zip(halves, files, strict=True):
            half.frame.assign(target=half.y).to_csv(file, index=False)
        default = folder / "default.onnx"
        build(files[0], target="target", output=default, offline=True, keep_requirement=False, seed=seed)
        bench = _Remembering(requirement_of(load_model(default).blueprint), str(files[0]), {}, "cpu")
        metric, known = bench.metric, {"{}": float(evaluate(default, files[1])[bench.metric] or 0.0)}

        def unseen(changed: dict[str, Any]) -> float:
            key = str(changed)
            if key not in known:
                model = folder / f"{len(known)}.onnx"
                write_setting(bench, bench.space.complete(changed), model, seed)
                known[key] = float(evaluate(model, files[1])[metric] or 0.0)
            return known[key]

        cells = []
        for way in ways:
            bench.cpu = 0.0
            study = Study(bench.space, None, {}, bench.is_error, seed, way == "random")
            report = SearchReport(default, metric)
            report.stopped = try_all(study, bench, None, trials, None, seed, None)
            decide(report, study, bench, seed)
            cells.append(
                {
                    "table": card.name, "task": data.task, "n": len(halves[0].y), "seed": seed, "way": way,
                    "trials": len(report.trials), "done": sum(t.state == "done" for t in report.trials),
                    "metric": metric, "default_trial": report.trials[0].score, "best_trial": study.best.score,
                    "gain_checked": report.gain, "noise": report.noise, "kept": report.kept,
                    "unseen_default": unseen({}), "unseen_best": unseen(report.best),
                    "unseen_kept": unseen(report.best if report.kept == "best" else {}),
                    "cpu": bench.cpu, "best": str(report.best),
                }
            )  # fmt: skip
    return cells


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and write the section."""
    parser = make_parser("search", __doc__, "--report")
    parser.add_argument("--tables", type=names, default=names(TABLES), metavar="A,B", help=f"default: {TABLES}")
    parser.add_argument("--rows", type=int, default=600, help="rows drawn of a table, both halves (default 600)")
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=CELLS)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    cards = {c.name: c for c in find_cards([data_folder("tabular") / "train"]) if side(c) == "meta-validation"}
    missing = [name for name in args.tables if name not in cards]
    if missing:
        parser.error(f"no table of the meta-validation part: {', '.join(missing)}; there are {', '.join(cards)}")
    for seed in range(args.seeds):
        for name in args.tables:
            done = pd.read_csv(args.out) if args.out.exists() else pd.DataFrame(columns=["table", "seed", "trials"])
            if ((done["table"] == name) & (done["seed"] == seed)).any():
                continue
            cells = measure(cards[name], args.rows, args.trials, seed, WAYS)
            append_cells(args.out, cells)
            print(*cells, sep="\n", flush=True)
    if args.report:
        packages = ("modelgpt-cli", "optuna", "torch")
        write_section(args.report, "search", f"{provenance(*packages)}\n\n{summarise(pd.read_csv(args.out))}")


def summarise(cells: pd.DataFrame) -> str:
    """Lay out each table and way, and the means of what was gained."""
    rows = []
    known: list[dict[Any, Any]] = cells.to_dict("records")
    for row in known:
        own = -worse_by(row["metric"], row["default_trial"], row["best_trial"])
        figures = [f"{own:+.4f}", f"{row['gain_checked']:+.4f} ± {row['noise']:.4f}", str(row["kept"])]
        figures += [
            f"{row['unseen_default']:.4f}",
            *(f"{_gain(row, name):+.4f}" for name in UNSEEN),
            f"{row['cpu']:.0f}",
        ]
        rows.append([f"{row['table']} ({row['n']})", str(row["metric"]).replace("_", " "), str(row["way"]), *figures])
    for way in WAYS:
        part = [row for row in known if row["way"] == way]
        kept = sum(row["kept"] == "best" for row in part)
        means = [f"{sum(_gain(row, name) for row in part) / len(part):+.4f}" for name in UNSEEN]
        cpu = f"{sum(row['cpu'] for row in part) / len(part):.0f}"
        rows.append(["mean", "", way, "", "", f"best {kept} of {len(part)}", "", *means, cpu])
    header = [
        "table (rows searched on)", "metric", "proposer", "best trial's gain", "gain on fresh divisions ± SE", "kept",
        "default, unseen rows", "best, unseen: gain", "kept, unseen: gain", "CPU s",
    ]  # fmt: skip
    return table(header, rows)


def _gain(row: dict[Any, Any], name: str) -> float:
    """By how much a figure on unseen rows is better than the default's."""
    return -worse_by(row["metric"], row["unseen_default"], row[name])
