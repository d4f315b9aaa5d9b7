"""Write a compact state of a meta-training run for tables, and its card.

python scripts/compact_state.py runs/tabular --out weights/tabular-training

`modelgpt meta-train --state weights/tabular-training/state.safetensors --minutes M --out DIR` goes on from it.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import torch

from modelgpt_cli.core.files import sha256
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import read_config
from modelgpt_cli.training.compact import save_compact
from modelgpt_cli.training.processes import Processes

MAX_BYTES = 25_000_000


def card(run: TabularTraining, state: Path, curve: list[dict[str, Any]], notes: list[str]) -> str:
    """The state's README."""
    lines = [
        "# State of the table generator's training",
        "",
        "`state.safetensors` is where the generator's meta-training stands: no released checkpoint, but what a later",
        "run goes on from ([docs/meta-training.md](../../docs/meta-training.md)). It doesn't travel in the wheel.",
        "",
        "```bash",
        f"modelgpt meta-train --state {state} --tasks TABLES --minutes 480 --out runs/more",
        "python scripts/compact_state.py runs/more --out weights/tabular-training",
        "```",
        "",
        "The learning rate is constant after the warm-up. To end the training, go on once more with `decay_from: 0` in",
        "a `--config` file: it falls to zero over `--minutes`. Then release that run's `generator.safetensors`.",
        "",
        f"- **Written** {datetime.date.today().isoformat()}, sha256 `{sha256(state)}`, {state.stat().st_size:,} bytes.",
        f"- **Done so far**: {run.step:,} steps, {run.tasks:,} tasks, {run.seconds / 3600:.2f} hours.",
        *(f"- {note}" for note in notes),
        "- **Validation** (mean query loss of the averaged weights; `real`: held-out real tables):",
        "",
        "| step | tasks | synthetic | real | words alone |",
        "| --- | --- | --- | --- | --- |",
    ]
    for entry in curve:
        v = entry["validation"]
        numbers = " | ".join(f"{v[k]:.4f}" if k in v else "–" for k in ("synthetic", "real", "words_alone"))
        lines.append(f"| {entry['step']:,} | {entry.get('tasks', 0):,} | {numbers} |")
    kept = {k: v for k, v in run.config.to_dict().items() if k not in ("tasks", "init")}
    lines += ["", "## Settings", "", "```json", json.dumps(kept, indent=1), "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Write ``state.safetensors`` and its ``README.md``; the curve of earlier states is kept in ``curve.jsonl``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the run directory of `modelgpt meta-train`")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--note", nargs="*", default=[], help="further lines of the card")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = read_config(args.run / "config.yaml")
    run = TabularTraining(config, args.run, Processes(), [])
    run.restore()
    known = {"step": run.step, "seconds": run.seconds, "tasks": run.tasks}
    args.out.mkdir(parents=True, exist_ok=True)
    state = args.out / "state.safetensors"
    save_compact(state, run.generator, run.optimizer, run.averaged, known, config.to_dict())
    if state.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{state} is larger than {MAX_BYTES:,} bytes")
    log = [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()]
    file = args.out / "curve.jsonl"
    old = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    new = [e for e in log if "validation" in e]
    first = min((e["step"] for e in new), default=run.step + 1)
    curve = [e for e in old if e["step"] < first] + new
    file.write_text("".join(json.dumps(e) + "\n" for e in curve))
    (args.out / "README.md").write_text(card(run, state, curve, args.note))
    print(state)


if __name__ == "__main__":
    main()
