"""Meta-training's speed: tasks drawn and trained on per second, and how long a step waits for its tasks.

    python -m scripts.benchmarks meta-train --out docs/results/meta_train.json --report docs/meta-training.md

It measures on CUDA where there is a GPU, else on the CPU, and with `--processes 2` also through `accelerate launch`.
Steps are counted after some that only warm up: the workers' start, a compilation, CUDA's. With `OMP_NUM_THREADS=1` the
figures are those of one core.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.domains.tabular.forward import uses_bf16
from modelgpt_cli.domains.tabular.task_source import TaskSource
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig, read_config
from modelgpt_cli.training.batches import drawn_ahead
from modelgpt_cli.training.processes import Processes

from .common import make_parser, provenance, table, write_section


@dataclass(frozen=True)
class Speed:
    """One line of the report; what a line doesn't measure is None."""

    what: str
    workers: int
    tasks_per_second: float
    step_ms: float | None = None
    waited: float | None = None
    cpu_ms: float | None = None
    """CPU time of the measuring process in a step; unlike the rest it says much the same on a busy machine."""


def drawing(config: MetaTrainConfig, workers: int, steps: int) -> Speed:
    """Measure tasks drawn per second when nobody trains: what the workers can give at most."""
    batches = drawn_ahead(TaskSource(config), workers, "cpu")
    for _ in range(max(4 * workers, 2)):  # what was drawn ahead while the workers started
        next(batches)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(steps):
        next(batches)
    seconds, cpu_ms = time.perf_counter() - start, 1000 * (time.process_time() - cpu) / steps
    rate = config.batch * steps / seconds
    return Speed("drawing alone", workers, rate, 1000 * seconds / steps, None, None if workers else cpu_ms)


def training(config: MetaTrainConfig, device: str, what: str, steps: int, warmup: int) -> Speed:
    """Measure tasks trained on per second by one process, and its share of waiting for them."""
    run = TabularTraining(config, Path(), Processes(device), [])
    batches = run.batches()
    for _ in range(warmup):
        run.update(next(batches))
    waited, start, cpu = 0.0, time.perf_counter(), time.process_time()
    for _ in range(steps):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        run.update(batch)  # it returns numbers, so that what was sent to the GPU is done
    seconds = time.perf_counter() - start
    cpu_ms = 1000 * (time.process_time() - cpu) / steps
    rate, waits = config.batch * steps / seconds, waited / seconds
    return Speed(what, config.workers, rate, 1000 * seconds / steps, waits, cpu_ms)


def launched(config: MetaTrainConfig, device: str, processes: int, steps: int) -> Speed:
    """Measure the same through `accelerate launch`; the start of the workers counts here."""
    beside = Path(sys.executable).with_name("accelerate")
    with tempfile.TemporaryDirectory(prefix="modelgpt-benchmark-") as folder:
        settings = Path(folder) / "config.yaml"
        lines = config.to_dict() | {"steps": steps, "validation_batches": 1, "validate_every": 10**6}
        settings.write_text(json.dumps(lines), encoding="utf-8")  # JSON is YAML
        command = [str(beside if beside.exists() else "accelerate"), "launch", "--num_processes", str(processes)]
        command += ["--multi_gpu"] if processes > 1 else []
        command += ["-m", "modelgpt_cli.cli", "meta-train", "--config", str(settings), "--json"]
        command += ["--device", device, "--out", str(Path(folder) / "run")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} left with {done.returncode}:\n{done.stderr}")
    report = json.loads(done.stdout)
    what = f"training, {processes} processes"
    step_ms = 1000 * config.batch / report["tasks_per_second"]
    return Speed(what, config.workers, report["tasks_per_second"], step_ms, report["waited"])


def measure(args: argparse.Namespace) -> tuple[str, list[Speed]]:
    """Measure everything that was asked for; return the device, too."""
    device = pick_device(args.device)
    sizes = {"width": args.width, "blocks": args.blocks}
    config = read_config(args.config, steps=args.warmup + args.steps, seed=args.seed, **sizes)
    speeds = []

    def add(speed: Speed) -> None:
        speeds.append(speed)
        print(f"{speed.what}, {speed.workers} workers: {speed.tasks_per_second:.0f} tasks/s", file=sys.stderr)

    for workers in (0, *args.workers):
        add(drawing(config, workers, args.steps))
    variants = [("float32", False)]
    variants += [("bf16", False)] if uses_bf16("auto", device) else []
    variants += [(variants[-1][0], True)] if args.compile else []
    for precision, compiled in variants:
        what = f"training, {precision}{', compiled' if compiled else ''}"
        for workers in args.workers:
            chosen = replace(config, precision=precision, compile=compiled, workers=workers)
            add(training(chosen, device, what, args.steps, args.warmup))
    if args.processes > 1:
        add(launched(replace(config, workers=max(args.workers[0], 1)), device, args.processes, args.steps))
    return device, speeds


def report(speeds: list[Speed]) -> str:
    """Lay the measurements out as Markdown."""

    def shown(value: float | None, spec: str, unit: str = "") -> str:
        return "–" if value is None else f"{value:{spec}}{unit}"

    rows = []
    for s in speeds:
        times = shown(s.step_ms, ",.0f", " ms"), shown(s.waited, ".0%"), shown(s.cpu_ms, ",.0f", " ms")
        rows.append([s.what, str(s.workers), f"{s.tasks_per_second:,.0f}", *times])
    return table(["what", "workers", "tasks/s", "a step", "of it waiting for tasks", "CPU time of a step"], rows)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("meta-train", __doc__, "--seed", "--report")
    parser.add_argument("--config", type=Path, help="YAML of MetaTrainConfig's fields (default: the defaults)")
    parser.add_argument("--width", type=int, help="token width of the generator (default: the config's)")
    parser.add_argument("--blocks", type=int, help="its rounds of exchange (default: the config's)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--steps", type=int, default=60, help="steps that are measured (default: 60)")
    parser.add_argument("--warmup", type=int, default=10, help="steps before them (default: 10)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of workers (default: 1 2)")
    parser.add_argument("--compile", action="store_true", help="also measure torch.compile")
    parser.add_argument("--processes", type=int, default=1, help="also measure so many processes")
    parser.add_argument("--out", type=Path, help="JSON file for the measurements")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    args = parse_arguments(arguments)
    load = os.getloadavg()[0]
    device, speeds = measure(args)
    text = report(speeds)
    print(text)
    origin = provenance("modelgpt-cli", "torch", "accelerate")
    threads = f"{torch.get_num_threads()} thread(s)"
    origin += f"\nDevice: {device}, {threads}; load of the machine before the start: {load:.1f}; seed {args.seed}."
    key = "cuda" if device.startswith("cuda") else device
    if args.out:
        parts = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
        parts[key] = {"origin": origin, "measurements": [asdict(s) for s in speeds]}
        args.out.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
    if args.report:
        write_section(args.report, f"speed on {key}", f"### On {key.upper()}\n\n{origin}\n\n{text}")
    return 0
