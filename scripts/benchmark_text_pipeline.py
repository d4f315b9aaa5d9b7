"""Texts, the whole way in wall-clock: 64 examples to verified ONNX, sentences a second, what 8 bits cost.

    python scripts/benchmark_text_pipeline.py --report docs/benchmarks.md

Builds run through the installed `modelgpt` command in fresh processes, so imports count; of repeated runs the median
stands. Speeds are of the model after loading (`predict`'s own clock), on SST-2's dev sentences. The accuracies of fp32
and int8 are those of `modelgpt evaluate` on whole test files of tasks that meta-training never saw.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

import pandas as pd
from benchmark_common import provenance, table, write_section
from benchmark_pipeline import Measurement, modelgpt
from benchmark_runs import draw_seed
from benchmark_text_data import default_data, draw_support, read_task

REPEATS = 3
BUILD_TASK, SPEED_TASK = "cr", "sst2"
ACCURACY_TASKS = ("ag_news", "amazon_dvd", "cr", "sms_spam", "tweet_sentiment", "yahoo_answers")
EXAMPLES = 64


def write_task(data: Path, part: str, name: str, folder: Path, examples: int) -> tuple[Path, Path, Path]:
    """Examples, test file and requirement of a task."""
    task = read_task(data, part, name)
    per_class = max(1, examples // len(task.classes))
    support = draw_support(task, per_class, draw_seed(name, per_class, 0))
    test = next(iter(task.tests.values()))
    files = []
    for kind, rows in (("examples", support), ("test", test)):
        files.append(folder / f"{name}-{kind}.csv")
        pd.DataFrame({"text": rows.texts, "label": rows.labels}).to_csv(files[-1], index=False)
    requirement = folder / f"{name}.txt"
    classes = json.dumps(list(task.classes))
    requirement.write_text(f"{task.requirement}\n---\ntarget: label\nclasses: {classes}\n", encoding="utf-8")
    return files[0], files[1], requirement


def build_seconds(data: Path, folder: Path) -> list[Measurement]:
    """Wall-clock of builds from 64 examples, and of the requirement alone."""
    examples, _, requirement = write_task(data, "few-shot", BUILD_TASK, folder, EXAMPLES)
    shared = ("--req", requirement, "--force", "-q", "-o", folder / "model.onnx")
    found = []
    for name, extra in (("64 examples", ("--data", examples)), ("requirement only", ())):
        runs = [modelgpt("build", *shared, *extra) for _ in range(REPEATS)]
        seconds = statistics.median(run.seconds for run in runs)
        cpu = statistics.median(run.cpu_seconds for run in runs)
        found.append(Measurement(f"build, {name}, to verified ONNX", seconds, "s", 8.0, "under", cpu))
    return found


def speeds(data: Path, folder: Path) -> list[Measurement]:
    """Sentences a second of fp32 and int8, two threads and one."""
    from modelgpt_cli.runtime.predict import predict

    examples, sentences, requirement = write_task(data, "glue", SPEED_TASK, folder, EXAMPLES)
    model, small = folder / "speed.onnx", folder / "speed-int8.onnx"
    modelgpt("build", "--req", requirement, "--data", examples, "-q", "-o", model)
    modelgpt("export", model, "--quantize", "int8", "-q", "-o", small)
    found = []
    for path, kind in ((model, "fp32"), (small, "int8")):
        for threads in (2, 1):
            runs = [predict(path, sentences, threads=threads) for _ in range(REPEATS)]
            rate = statistics.median(run.rows / run.seconds for run in runs)
            target = 200.0 if (kind, threads) == ("fp32", 2) else None
            found.append(Measurement(f"{kind}, {threads} threads", rate, "sentences/s", target, "at least"))
        found.append(Measurement(f"{kind}, size", path.stat().st_size / 1e6, "MB", None, "under"))
    return found


def accuracies(data: Path, folder: Path) -> list[list[str]]:
    """Accuracy of fp32 and int8 on unseen tasks, built from 64 examples."""
    rows = []
    for name in ACCURACY_TASKS:
        examples, test, requirement = write_task(data, "few-shot", name, folder, EXAMPLES)
        model, small = folder / f"{name}.onnx", folder / f"{name}-int8.onnx"
        modelgpt("build", "--req", requirement, "--data", examples, "-q", "-o", model)
        modelgpt("export", model, "--quantize", "int8", "-q", "-o", small)
        scores = [json.loads(modelgpt("evaluate", path, test, "--json").output) for path in (model, small)]
        full, less = (100 * score["metrics"]["accuracy"] for score in scores)
        rows.append([name, f"{full:.1f}", f"{less:.1f}", f"{less - full:+.1f}"])
    mean = [sum(float(row[i]) for row in rows) / len(rows) for i in (1, 2)]
    return [*rows, ["mean", f"{mean[0]:.1f}", f"{mean[1]:.1f}", f"{mean[1] - mean[0]:+.1f}"]]


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = [*build_seconds(args.data, folder), *speeds(args.data, folder)]
        scores = accuracies(args.data, folder)
    shown = [
        [m.name, f"{m.value:,.1f} {m.unit}", "" if m.cpu_seconds is None else f"{m.cpu_seconds:.1f}", _verdict(m)]
        for m in found
    ]
    packages = ("modelgpt-cli", "torch", "onnxruntime", "tokenizers")
    text = (
        f"## Texts: the whole way\n\n{provenance(*packages)}\n\n"
        f"{table(['what', 'median of 3', 'CPU s', 'target'], shown)}\n\n"
        f"Accuracy of models from {EXAMPLES} examples on whole test files, fp32 and int8:\n\n"
        f"{table(['task', 'fp32', 'int8', 'difference'], scores)}\n"
    )
    write_section(args.report, "text pipeline", text)


def _verdict(m: Measurement) -> str:
    if m.target is None:
        return ""
    return f"{m.better} {m.target:g}: {'met' if m.met else '**missed**'}"


if __name__ == "__main__":
    main()
