"""How many models a second `modelgpt build --batch` makes: tables of 200 rows drawn from the shared ones.

    python -m scripts.benchmarks batch --requests 400 --members 1 --jobs 2

A request has a sentence, a CSV file and its target. A line of JSON is added to the results. Seconds of wall-clock are
given with the workers' start, and from the first finished model to the last; CPU seconds are the workers'.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli import build_batch

from .common import RESULTS, command, data_folder, machine, make_parser, versions
from .tables.tasks import Card, find_cards

SENTENCE = "Predict the target of a row from its other columns."


def write_requests(cards: list[Card], n: int, rows: int, folder: Path) -> Path:
    """Draw tables, in turn from each that has rows enough, as CSV files; return the file of requests."""
    requests: list[dict[str, str]] = []
    for i, card in enumerate(cards):
        raw = pd.read_csv(card.path.with_name(card.values["file"]), dtype=str, keep_default_na=False)
        raw = raw[raw["target"] != ""]
        for draw in range(i, n, len(cards)):
            drawn = raw.iloc[np.sort(np.random.default_rng([draw, 11]).choice(len(raw), rows, replace=False))]
            path = folder / f"{draw:05d}-{card.name}.csv"
            drawn.to_csv(path, index=False)
            requests.append({"id": path.stem, "requirement": SENTENCE, "data": path.name, "target": "target"})
    path = folder / "requests.jsonl"
    path.write_text("".join(json.dumps(request) + "\n" for request in sorted(requests, key=lambda r: r["id"])))
    return path


def measure(requests: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Build the batch; return what it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = build_batch(requests, output=requests.parent / "models", **options)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = sorted(path.stat().st_mtime for path in report.path.glob("*.onnx"))
    entries = [json.loads(line) for line in report.manifest.read_text(encoding="utf-8").splitlines()]
    each = [entry["seconds"] for entry in entries if entry["status"] == "built"]
    return {
        "built": report.built,
        "failed": {entry["id"]: entry["error"]["problem"] for entry in entries if entry["status"] == "failed"},
        "wall_s": round(report.seconds, 2),
        "wall_first_to_last_s": round(done[-1] - done[0], 2),
        "cpu_s": round(sum(getattr(after, t) - getattr(before, t) for t in ("ru_utime", "ru_stime")), 2),
        "peak_mb_a_worker": round(after.ru_maxrss / 1000),
        "models_per_s": round(report.built / report.seconds, 2),
        "models_per_s_after_start": round((report.built - 1) / (done[-1] - done[0]), 2),
        "s_a_model_median": round(float(np.median(each)), 4),
        "s_a_model_p95": round(float(np.quantile(each, 0.95)), 4),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, add a line to the results."""
    parser = make_parser("batch", __doc__)
    parser.add_argument("--data", type=Path, default=data_folder("tabular"))
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--one-pass", action="store_true", help="without cross-validation")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS / "batch.jsonl")
    args = parser.parse_args(arguments)
    folders = sorted(path for path in args.data.glob("*") if path.is_dir())
    if not folders:
        sys.exit(f"No shared tables in {args.data}: name their folder with --data.")
    cards = [card for card in find_cards(folders) if int(card.values.get("n_rows", 0)) >= args.rows]
    options: dict[str, Any] = {"members": args.members, "one_pass": args.one_pass, "jobs": args.jobs}
    with tempfile.TemporaryDirectory() as folder:
        found = measure(write_requests(cards, args.requests, args.rows, Path(folder)), options)
    how = {"date": date.today().isoformat(), "command": command(), "machine": machine()}
    how |= {"versions": versions("torch", "onnxruntime", "numpy", "pandas")}
    setting = {"requests": args.requests, "tables": min(len(cards), args.requests), "rows": args.rows}
    line = json.dumps(how | setting | options | found)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    print(line)
