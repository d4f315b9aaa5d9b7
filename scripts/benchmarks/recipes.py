"""Compare recipes of the table generator's meta-training at equal CPU time; see docs/tabular-generator.md.

    python -m scripts.benchmarks recipes --tasks TABLES --minutes 1.5 --arms adamw muon

Each arm trains from the same seed for the same CPU time and is judged on the same tasks; a line of results each goes to
docs/results/recipe/arms.jsonl, and what is there already isn't run again. CPU seconds are those of a quiet machine: a
fixed piece of work is timed beside every step, and seconds count as much less as it took longer than usual.
"""

from __future__ import annotations

import argparse
import datetime
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.loss import query_losses
from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out, load_real_tasks
from modelgpt_cli.domains.tabular.task_source import VALIDATION_STREAM, TaskSource, draw_real_batch
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.generator import Generator
from modelgpt_cli.training.processes import Processes

from .common import ROOT, provenance, table, write_section

RESULTS = ROOT / "docs" / "results" / "recipe" / "arms.jsonl"
EMBEDDING = 384
REFERENCE_SECONDS = 0.0024
"""What the reference work takes on the quiet machine, an AMD EPYC (Zen 3) core."""

SMALL: dict[str, Any] = {
    "width": 64, "blocks": 2, "feedback": 1, "max_support": 256, "max_features": 16, "query": 64, "batch": 8,
    "lr": 5e-4, "warmup": 50, "decay_from": 0.55, "min_support": 32, "average": 0.99,
}  # fmt: skip
"""A small generator on small tasks, from scratch: a thousand steps in the time in which the shipped one takes 150."""
FILLED = {"batch": 4, "step_rows": 1600, "accumulate": 2, "part": 8}
MUON = {"optimizer": "muon"}
RULES = {
    "prior": {
        "weights": {
            "network": 0.3,
            "forest": 0.22,
            "additive": 0.1,
            "clusters": 0.08,
            "categories": 0.18,
            "rules": 0.12,
        },
        "p_rare": 0.15,
        "p_duplicates": 0.1,
    }
}
WORDS = {
    "adamw": "AdamW 5e-4, 8 tasks a step: as the shipped generator was trained",
    "filled": "+ two filled batches a step (`step_rows`, `part`, `accumulate`)",
    "filled-2e-3": "+ learning rate 2e-3",
    "muon-2e-3": "filled, Muon on matrices, learning rate 2e-3",
    "muon-4e-3": "… learning rate 4e-3",
    "spare": "muon-2e-3 with 16 spare tokens",
    "rms": "muon-2e-3 with RMSNorm",
    "rules": "muon-2e-3, a prior with rule tasks, rare levels, repeated rows",
    "regression": "muon-2e-3, a third of the tasks regression",
}
ARMS: dict[str, dict[str, Any]] = {
    "adamw": SMALL,
    "filled": SMALL | FILLED,
    "filled-2e-3": SMALL | FILLED | {"lr": 2e-3},
    "muon-2e-3": SMALL | FILLED | MUON | {"lr": 2e-3},
    "muon-4e-3": SMALL | FILLED | MUON | {"lr": 4e-3},
    "rms": SMALL | FILLED | MUON | {"lr": 2e-3, "norm": "rms"},
    "spare": SMALL | FILLED | MUON | {"lr": 2e-3, "spare": 16},
    "rules": SMALL | FILLED | MUON | RULES | {"lr": 2e-3},
    "regression": SMALL | FILLED | MUON | {"lr": 2e-3, "regression": 1 / 3},
}


class Clock:
    """CPU seconds of this process, as a quiet machine would have taken them."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.a = torch.randn(384, 384, generator=generator)
        self.b = torch.randn(1_000_000, generator=generator)
        self.seconds = self.raw = 0.0
        self.slow = self._slowness()

    def _slowness(self) -> float:
        """Time of the reference work over its time on a quiet machine."""
        start = time.process_time()
        _ = self.a @ self.a
        torch.tanh(self.b[:200_000])
        self.b.add_(0.0)
        return (time.process_time() - start) / REFERENCE_SECONDS

    def start(self) -> None:
        """Begin a stretch of time that counts."""
        self.begun = time.process_time()

    def stop(self) -> None:
        """End it."""
        spent = time.process_time() - self.begun
        before, self.slow = self.slow, self._slowness()
        self.seconds += spent / max((before + self.slow) / 2, 0.5)
        self.raw += spent


class NoWords:
    """Embeds everything as nothing: the arms are compared without words, which take a minute to embed."""

    size = EMBEDDING

    def __call__(self, texts: list[str]) -> np.ndarray:
        """Zeros (texts, E)."""
        return np.zeros((len(texts), self.size), np.float32)


class Judge:
    """Fixed validation tasks: synthetic ones, those with rules, and the held-out real tables."""

    def __init__(self, config: MetaTrainConfig, real: list[RealTask]) -> None:
        plain = replace(
            config, prior={}, regression=0.2, batch=8, step_rows=0, accumulate=1, seed=0, text_dropout=1.0, init=None
        )
        self.batches = {"synthetic": self._draw(plain, 16)}
        rules = RULES["prior"] | {"weights": {"rules": 1.0}}
        self.batches["rules"] = self._draw(replace(plain, prior=rules), 6)
        rng = np.random.default_rng([0, VALIDATION_STREAM])
        kept = [t for t in real if held_out(t, config.holdout)]
        self.batches["real"] = [draw_real_batch(t, rng, plain, 3, True) for t in kept]

    @staticmethod
    def _draw(config: MetaTrainConfig, count: int) -> list[TaskBatch]:
        source = TaskSource(config)
        return [source.draw(i, VALIDATION_STREAM) for i in range(count)]

    @torch.no_grad()
    def __call__(self, generator: Generator) -> dict[str, float]:
        """Mean query losses."""
        generator.eval()
        result: dict[str, float] = {}
        for name, batches in self.batches.items():
            losses = [query_losses(generator(b.inputs), b)[0].mean() for b in batches]
            result[name] = round(float(torch.stack(losses).mean()), 4)
            sums = [float(x) for x, b in zip(losses, batches, strict=True) if b.inputs.regression]
            result[f"{name}_regression"] = round(float(np.mean(sums)), 4) if sums else float("nan")
        return result


def run_arm(name: str, minutes: float, seed: int, real: list[RealTask]) -> dict[str, Any]:
    """Train one arm and judge it, with and without averaged weights."""
    words = {"text_dropout": 1.0, "text_only": 0.0, "exclude_families": ("heart",)}
    config = MetaTrainConfig(**(ARMS[name] | words), minutes=minutes, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        run = TabularTraining(config, Path(folder), Processes(), real)
        source = TaskSource(config, run.train_tasks)
        clock, losses = Clock(), []
        while run.seconds < 60 * minutes:
            clock.start()
            first = run.step * config.accumulate
            batch = [source.draw(first + i) for i in range(config.accumulate)]
            losses.append(run.update(batch)[0]["loss"])
            run.step += 1
            run.tasks += run.count(batch)
            clock.stop()
            run.seconds = clock.seconds
    judge = Judge(config, real)
    late = losses[-max(1, len(losses) // 5) :]
    assert run.averaged is not None
    return {
        "arm": name,
        "minutes": minutes,
        "seed": seed,
        "steps": run.step,
        "tasks": run.tasks,
        "tasks_per_second": round(run.tasks / run.seconds, 1),
        "raw_cpu_seconds": round(clock.raw, 1),
        "train_loss": round(float(np.mean(late)), 4),
        "last": judge(run.generator),
        "average": judge(run.average),
        "date": datetime.date.today().isoformat(),
    }


def shown(results: list[dict[str, Any]]) -> str:
    """The results as a Markdown table, of the averaged weights and of the last ones."""
    rows = []
    for r in results:
        kinds = ("synthetic", "synthetic_regression", "rules", "real")
        losses = [f"{r['average'][k]:.3f} / {r['last'][k]:.3f}" for k in kinds]
        rows.append([WORDS[r["arm"]], str(r["steps"]), f"{r['tasks']:,}", f"{r['tasks_per_second']:.0f}", *losses])
    header = ["arm", "steps", "tasks", "tasks/s", "synthetic", "of it regression", "rule tasks", "held-out real"]
    return table(header, rows)


def main(arguments: list[str]) -> None:
    """Run the arms that have no result yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", required=True, help="folder of tables with cards")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=[*ARMS])
    parser.add_argument("--minutes", type=float, default=1.5, help="CPU time of an arm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", type=Path, nargs="*", default=[], help="only judge these checkpoints, at full size")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--report", type=Path, help="Markdown file whose section `recipe` is to be written")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    real = [t for t in load_real_tasks(args.tasks, NoWords()) if t.family != "heart"]  # type: ignore[arg-type]
    if args.judge:
        judge = Judge(MetaTrainConfig(minutes=1.0, min_support=32), real)
        for path in args.judge:
            print(json.dumps({"checkpoint": path.name, **judge(load_generator(path)[0])}), flush=True)
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in args.out.read_text().splitlines()] if args.out.exists() else []
    for name in args.arms:
        if any((r["arm"], r["minutes"], r["seed"]) == (name, args.minutes, args.seed) for r in done):
            continue
        result = run_arm(name, args.minutes, args.seed, real)
        print(json.dumps(result), flush=True)
        with args.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")
        done.append(result)
    if args.report:
        text = f"{provenance('modelgpt-cli', 'torch')}\n\nSeed {args.seed}, {args.minutes:g} CPU minutes an arm.\n\n"
        write_section(args.report, "recipe", text + shown(done))
