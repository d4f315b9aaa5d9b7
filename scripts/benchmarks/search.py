"""What `tune --search` gives on rows that nobody has seen: Optuna's TPE beside settings drawn at random, equal trials.

    python -m scripts.benchmarks search --trials 15 --report docs/tuning.md
    python -m scripts.benchmarks search --kind texts --rows 192 --trials 8 --report docs/tuning.md

Tables of the meta-validation part, which the generator was not trained on, are drawn to at most so many rows and split
in two halves. A search sees one; the default, the best trial and what the search keeps are measured on the other. Of
texts and images a search sees a third of the rows, and two thirds measure; of the images, three sets are held out from
meta-training. Both ways to propose settings share what a setting was worth, as it does not depend on the way. A cell
is a task, a seed and a way; each is appended to docs/results/search.csv (search_texts.csv, search_images.csv), where a
later call goes on.
"""

from __future__ import annotations

import logging
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from modelgpt_cli import build, evaluate
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.metrics import worse_by
from modelgpt_cli.model_generator.search.bench import Bench
from modelgpt_cli.model_generator.search.search import SearchReport, decide, requirement_of, try_all, write_setting
from modelgpt_cli.model_generator.search.study import Study

from .common import RESULTS, data_folder, make_parser, names, provenance, table, write_section
from .tables.tasks import append_cells, draw_rows, find_cards, read_table, side, split

WAYS = ("tpe", "random")
UNSEEN = ("unseen_best", "unseen_kept")
TASKS = {
    "tables": "autos,glass,postoperative,servo,teaching_assistants,spectf_heart",
    "texts": "ag_news,cr,hate_offensive,sms_spam,tweet_irony",
    "images": "steel_defects,objects15,pacs,flowers5,weather4",
}
CELLS = {
    "tables": RESULTS / "search.csv",
    "texts": RESULTS / "search_texts.csv",
    "images": RESULTS / "search_images.csv",
}


@dataclass(frozen=True)
class Halves:
    """Rows that a search sees, and rows that nobody has seen.

    Attributes
    ----------
    n : int
        Rows that the search sees.
    target : str, optional
        Their column of true values.
    """

    name: str
    n: int
    seen: Path
    unseen: Path
    target: str | None


def halve_table(name: str, rows: int, seed: int, folder: Path) -> Halves:
    """Write the halves of a table."""
    card = next(
        c for c in find_cards([data_folder("tabular") / "train"]) if c.name == name and side(c) == "meta-validation"
    )
    data = draw_rows(read_table(card), rows, 0)
    halves = [data.take(part) for part in split(data, 0.5, seed)]
    files = (folder / "train.csv", folder / "test.csv")
    for half, file in zip(halves, files, strict=True):
        half.frame.assign(target=half.y).to_csv(file, index=False)
    return Halves(name, len(halves[0].y), *files, "target")


def third_of_texts(name: str, rows: int, seed: int, folder: Path) -> Halves:
    """Write a third of some texts, and the rest."""
    frame = pd.read_csv(data_folder("text") / "train" / name / "train.csv.gz", dtype=str, keep_default_na=False)
    order = np.random.default_rng([seed, 3]).permutation(len(frame))[:rows]
    files = (folder / "train.csv", folder / "test.csv")
    for part, file in zip((order[: rows // 3], order[rows // 3 :]), files, strict=True):
        frame.iloc[part].to_csv(file, index=False)
    return Halves(name, rows // 3, *files, "label")


def third_of_images(name: str, rows: int, seed: int, folder: Path) -> Halves:
    """Unpack a third of some images, as many of each class, and the rest; of several domains as if they were one."""
    parts = (folder / "train", folder / "test")
    with zipfile.ZipFile(data_folder("image") / f"{name}.zip") as archive:
        classes: dict[str, list[str]] = {}
        for one in sorted(archive.namelist()):
            if not one.endswith("/"):
                classes.setdefault(one.split("/")[-2], []).append(one)
        each = rows // len(classes)
        for k, places in enumerate(classes.values()):
            drawn = np.random.default_rng([seed, 3, k]).permutation(len(places))[:each]
            for i, place in enumerate(drawn):
                *domain, label, file = places[place].split("/")
                target = parts[i >= each // 3] / label / "-".join([*domain, file])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(archive.read(places[place]))
    return Halves(name, each // 3 * len(classes), *parts, None)


HALVE: dict[str, Callable[[str, int, int, Path], Halves]] = {
    "tables": halve_table, "texts": third_of_texts, "images": third_of_images
}  # fmt: skip


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


def measure(kind: str, name: str, rows: int, trials: int, seed: int, ways: Sequence[str]) -> list[dict[str, Any]]:
    """Search on some rows of a task in some ways, and measure on the others."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        halves = HALVE[kind](name, rows, seed, folder)
        default = folder / "default.onnx"
        build(halves.seen, target=halves.target, output=default, offline=True, keep_requirement=False, seed=seed)
        blueprint = load_model(default).blueprint
        bench = _Remembering(requirement_of(blueprint), str(halves.seen), {}, "cpu")
        metric, known = bench.metric, {"{}": float(evaluate(default, halves.unseen)[bench.metric] or 0.0)}

        def unseen(changed: dict[str, Any]) -> float:
            key = str(changed)
            if key not in known:
                model = folder / f"{len(known)}.onnx"
                write_setting(bench, bench.space.complete(changed), model, seed)
                known[key] = float(evaluate(model, halves.unseen)[metric] or 0.0)
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
                    "table": name, "task": blueprint.task, "n": halves.n, "seed": seed, "way": way,
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
    parser.add_argument("--kind", choices=tuple(TASKS), default="tables")
    parser.add_argument("--tables", "--tasks", type=names, metavar="A,B", help="default: " + "; ".join(TASKS.values()))
    parser.add_argument("--rows", type=int, default=600, help="rows drawn of a task, seen and unseen (default 600)")
    parser.add_argument("--trials", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument(
        "--out", type=Path, help="default: docs/results/search.csv, search_texts.csv, search_images.csv"
    )
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    logging.getLogger("modelgpt").setLevel(logging.ERROR)
    out = args.out or CELLS[args.kind]
    for seed in range(args.seeds):
        for name in args.tables or names(TASKS[args.kind]):
            done = pd.read_csv(out) if out.exists() else pd.DataFrame(columns=["table", "seed", "trials"])
            if ((done["table"] == name) & (done["seed"] == seed)).any():
                continue
            cells = measure(args.kind, name, args.rows, args.trials, seed, WAYS)
            append_cells(out, cells)
            print(*cells, sep="\n", flush=True)
    if args.report:
        section = "search" if args.kind == "tables" else f"search-{args.kind}"
        text = f"{provenance('modelgpt-cli', 'optuna', 'torch')}\n\n{summarise(pd.read_csv(out))}"
        write_section(args.report, section, text)


def summarise(cells: pd.DataFrame) -> str:
    """Lay out each table and way, and the means of what was gained."""
    rows = []
    known: list[dict[Any, Any]] = cells.to_dict("records")
    for row in known:
        own = _better_by(row["metric"], row["default_trial"], row["best_trial"])
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
        "task (rows searched on)", "metric", "proposer", "best trial's gain", "gain on fresh divisions ± SE", "kept",
        "default, unseen rows", "best, unseen: gain", "kept, unseen: gain", "CPU s",
    ]  # fmt: skip
    return table(header, rows)


def _better_by(metric: str, before: float, after: float) -> float:
    """The same as `worse_by` the other way round, and never -0."""
    return 0.0 - worse_by(metric, before, after)


def _gain(row: dict[Any, Any], name: str) -> float:
    """By how much a figure on unseen rows is better than the default's."""
    return _better_by(row["metric"], row["unseen_default"], row[name])
