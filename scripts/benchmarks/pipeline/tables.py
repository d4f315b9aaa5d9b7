"""Tables, the whole way in wall-clock and memory: CSV to verified ONNX, prediction, long tables, stages of a build.

    python -m scripts.benchmarks pipeline tables --data ../shared/data/tabular/paper10 \\
        --out docs/results/pipeline.json --report docs/benchmarks.md

Everything runs through the installed `modelgpt` command in fresh processes, so imports count. Of repeated runs the
median counts. CPU seconds (user and system, all threads) stand beside wall-clock, since they mean something on a busy
machine too.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..common import make_parser, provenance, write_section
from .processes import REPEATS, Measurement, Run, median, modelgpt, report, run

BLOCK = 100_000
ADULT_COPIES = 10
IRIS_REPEATS = 5
STAGES = Path(__file__).with_name("stages.py")
TITLES = {
    "tables": "The whole way: iris and Adult",
    "stages": "Generator and head, after imports",
    "large": "The whole way: a large CSV",
    "parquet": "The whole way: a large Parquet file",
}


def stage(*args: str | Path) -> Run:
    """Run a part of `stages.py` in a process of its own."""
    return run(sys.executable, STAGES, *args)


def describe_and_build(table_path: Path, model: Path) -> tuple[Run, Run]:
    """Go from a table to a verified ONNX file in two commands."""
    requirement = model.with_suffix(".txt")
    described = modelgpt("describe", table_path, "--target", "target", "--offline", "-o", requirement, "--force")
    return described, modelgpt("build", "--req", requirement, "-o", model, "--force")


def to_onnx(table_path: Path, model: Path) -> Run:
    """Describe and build, as one."""
    described, built = describe_and_build(table_path, model)
    seconds, cpu_seconds = described.seconds + built.seconds, described.cpu_seconds + built.cpu_seconds
    return Run(seconds, max(described.peak_mb, built.peak_mb), cpu_seconds)


def plain_csv(folder: Path, name: str, work: Path) -> Path:
    """Copy a shared table into the work folder, unpacked."""
    target = work / f"{name}.csv"
    packed = folder / f"{name}.csv.gz"
    if not packed.exists():
        return Path(shutil.copy(folder / f"{name}.csv", target))
    with gzip.open(packed) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
    return target


def repeat_rows(source: Path, destination: Path, copies: int, rows: int | None = None) -> int:
    """Write the header once and the first `rows` rows `copies` times; return the number of rows written."""
    header, *body = source.read_text(encoding="utf-8").splitlines(keepends=True)
    body = body[:rows]
    with destination.open("w", encoding="utf-8") as file:
        file.write(header)
        for _ in range(copies):
            file.writelines(body)
    return copies * len(body)


def large_csv(path: Path, rows: int, seed: int) -> None:
    """Write a table of 8 numbers, 2 categories and a noisy binary target, block by block."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    weights = rng.normal(size=8)
    cities, plans = np.array(["Leeds", "York", "Bath", "Ely", "Ripon"]), np.array(["basic", "plus", "none"])
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        numbers = rng.normal(size=(n, 8)).round(4)
        plan = rng.integers(3, size=n)
        score = numbers @ weights + plan - 1 + rng.normal(size=n)
        frame = pd.DataFrame(numbers, columns=[f"measure {i}" for i in range(1, 9)])
        frame["city"], frame["plan"] = cities[rng.integers(5, size=n)], plans[plan]
        frame["target"] = np.where(score > 0, "leaves", "stays")
        frame.to_csv(path, index=False, mode="w" if start == 0 else "a", header=start == 0)


def measure_tables(data: Path, work: Path) -> list[Measurement]:
    """Iris and Adult from CSV to ONNX, then prediction on Adult."""
    iris_csv = plain_csv(data, "iris", work)
    pairs = [describe_and_build(iris_csv, work / "iris.onnx") for _ in range(IRIS_REPEATS)]
    describing, building = (median(runs) for runs in zip(*pairs, strict=True))
    adult_csv = plain_csv(data, "adult", work)
    adult = to_onnx(adult_csv, work / "adult.onnx")

    one, many = work / "one_row.csv", work / "adult_many.csv"
    repeat_rows(adult_csv, one, copies=1, rows=1)
    n_rows = repeat_rows(adult_csv, many, copies=ADULT_COPIES)

    def predict(rows: Path) -> float:
        command = ("predict", work / "adult.onnx", rows, "-o", work / "predictions.csv", "--force")
        return statistics.median(modelgpt(*command).seconds for _ in range(REPEATS))

    start = predict(one)
    rate = n_rows / (predict(many) - start)
    both = describing[0] + building[0], describing[1] + building[1]
    whole = "CSV to verified ONNX (describe + build)"
    return [
        Measurement("iris, CSV to verified ONNX (build)", building[0], "s", 4, "under", building[1]),
        Measurement(f"iris, {whole}", both[0], "s", 6, "under", both[1]),
        Measurement(f"Adult, {whole}", adult.seconds, "s", 20, "under", adult.cpu_seconds),
        Measurement("predict, one Adult row, whole command", start, "s", 1, "under"),
        Measurement(f"predict, {n_rows:,} Adult rows, after loading", rate, "rows/s", 100_000, "at least"),
    ]


def measure_large(rows: int, work: Path, seed: int) -> list[Measurement]:
    """Peak memory and time of describe and build on a generated CSV."""
    path = work / "large.csv"
    print(f"writing {rows:,} rows", file=sys.stderr, flush=True)
    writer = multiprocessing.get_context("spawn").Process(target=large_csv, args=(path, rows, seed))
    writer.start()
    writer.join()
    if writer.exitcode != 0:
        raise SystemExit("could not write the large CSV")
    size = path.stat().st_size / 1e6
    built = to_onnx(path, work / "large.onnx")
    name = f"{rows:,}-row CSV ({size:,.0f} MB)"
    print(f"{name}: {built.seconds:.0f} s", file=sys.stderr, flush=True)
    return [Measurement(f"{name}, peak memory of describe and build", built.peak_mb, "MB", 2000, "under")]


def measure_stages(seed: int) -> list[Measurement]:
    """The generator's pass and the head, after imports."""
    found = json.loads(stage("passes", "--seed", str(seed)).output)
    targets = {"one pass": 0.3, "8 members": 1.0, "8 members, cross-fitted": None}
    times = []
    for name, target in targets.items():
        what = f"{name}, 1,000 rows x 20 columns"
        times.append(Measurement(what, found[name]["seconds"], "s", target, "under", found[name]["cpu_seconds"]))
    what, cpu = "default build, 1,000 rows x 20 columns", found["default build"]["cpu_seconds"]
    times.append(Measurement(what, cpu, "CPU s", 1.5, "under", cpu))  # on several threads; the work is what counts
    sizes = json.loads(stage("sizes", "--seed", str(seed)).output)
    most = {"20": ("20 numeric features", 1.5), "100": ("100 numeric features", 5.0)}
    most |= {"mixed": ("1,000 rows x 20 columns, all parts", 2.0)}
    return times + [
        Measurement(f"ONNX model, fp32, 8 members, {what}", sizes[name] / 1e6, "MB", mb, "under")
        for name, (what, mb) in most.items()
    ]


def measure_parquet(rows: int, work: Path, seed: int) -> list[Measurement]:
    """Speed and peak memory of a build from a generated Parquet file."""
    path = work / "large.parquet"
    stage("write", "--path", path, "--rows", str(rows), "--seed", str(seed))
    name = f"{rows:,}-row Parquet file ({path.stat().st_size / 1e6:,.0f} MB, 20 columns)"
    found = json.loads(stage("accumulate", "--path", path, "--seed", str(seed)).output)
    requirement = work / "large_parquet.txt"
    requirement.write_text("Tell who leaves.\n---\ntask: classification\ntarget: target\n", encoding="utf-8")
    built = modelgpt("build", "--req", requirement, "--data", path, "-o", work / "parquet.onnx", "--force")
    rate, cpu = found["rows_per_second"], found["cpu_seconds"]
    summed = f"{found['head_rows']:,} of them summed for 8 heads"
    return [
        Measurement(f"{name}, read and accumulated ({summed})", rate, "rows/s", 500_000, "at least", cpu),
        Measurement(f"{name}, whole build", built.seconds, "s", None, "under", built.cpu_seconds),
        Measurement(f"{name}, peak memory of the build", built.peak_mb, "MB", 2000, "under"),
    ]


def write_json(path: Path, measured: dict[str, list[Measurement]], origin: str) -> None:
    """Write the measured parts; a part that was not measured this time stays as it is in the file."""
    parts = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, lines in measured.items():
        parts[name] = {"origin": origin, "measurements": [{**asdict(m), "met": m.met} for m in lines]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("pipeline tables", __doc__, "--seed", "--report")
    parser.add_argument("--data", type=Path, required=True, help="folder with iris.csv and adult.csv.gz")
    parser.add_argument("--rows", type=int, default=5_000_000, help="rows of the large CSV (default: 5,000,000)")
    parser.add_argument("--parquet-rows", type=int, default=10_000_000, help="of the Parquet file (10,000,000)")
    parser.add_argument("--only", choices=list(TITLES), help="measure one part")
    parser.add_argument("--work", type=Path, help="folder for what is written on the way (default: a temporary one)")
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    args = parse_arguments(arguments)
    parts: dict[str, Callable[[Path], list[Measurement]]] = {
        "tables": lambda work: measure_tables(args.data, work),
        "stages": lambda work: measure_stages(args.seed),
        "large": lambda work: measure_large(args.rows, work, args.seed),
        "parquet": lambda work: measure_parquet(args.parquet_rows, work, args.seed),
    }
    measured: dict[str, list[Measurement]] = {}
    with tempfile.TemporaryDirectory(prefix="modelgpt-benchmark-") as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for name, part in parts.items():
            if args.only in (None, name):
                measured[name] = part(work)
    print(report([m for lines in measured.values() for m in lines]))
    origin = provenance("modelgpt-cli", "torch", "onnxruntime", "pandas", "pyarrow")
    if args.out:
        write_json(args.out, measured, origin)
    if args.report:
        for name, lines in measured.items():
            write_section(args.report, f"pipeline {name}", f"## {TITLES[name]}\n\n{origin}\n\n{report(lines)}")
    return 0
