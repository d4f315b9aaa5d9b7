"""Algorithm 1 of the paper (``--update delta``) against back-propagation, on a small run of text meta-training each.

    python -m scripts.benchmarks updates --steps 160 --report docs/text-generator.md

Same seed, so the same episodes and first weights; small episodes, so that a run takes minutes. Shown are validation
losses (a share of log C: 1 knows nothing) of the running average.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from modelgpt_cli.training.meta_train import meta_train

from ..common import ROOT, data_folder, make_parser, provenance, table, write_section

SMALL = {"batch": 4, "query": 16, "max_support": 24, "free_support": 24, "warmup": 20, "average": 0.97}
KINDS = ("unseen_0", "unseen_4", "unseen_16", "glue_0", "glue_16")
RUNS: dict[str, dict[str, Any]] = {
    "back-propagation": {},
    "Algorithm 1, θ's learning rate 1e-4": {"update": "delta", "target_lr": 1e-4},
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write the table."""
    parser = make_parser("updates", __doc__, "--seed")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--data", type=Path, default=data_folder("text"))
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args(arguments)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    wordings = yaml.safe_load((ROOT / "weights" / "text" / "training.yaml").read_text(encoding="utf-8"))
    shown = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, options) in enumerate(RUNS.items()):
            config = Path(folder) / f"{number}.yaml"
            values = {**wordings, **SMALL, "validate_every": args.steps, "validation_query": 64, **options}
            config.write_text(yaml.safe_dump(values), encoding="utf-8")
            out, start = Path(folder) / str(number), time.process_time()
            meta_train("text", tasks=args.data, config=config, steps=args.steps, seed=args.seed, out=out)
            spent = time.process_time() - start
            found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
            validation = next(entry["validation"] for entry in reversed(found) if "validation" in entry)
            shown.append([name, *(f"{validation[kind]:.3f}" for kind in KINDS), f"{spent:.0f}"])
            print(*shown[-1], flush=True)
    header = ["update", "unseen, 0", "unseen, 4", "unseen, 16", "GLUE, 0", "GLUE, 16", "CPU s"]
    text = f"{provenance('modelgpt-cli', 'torch')}\n\n{args.steps} steps of 4 small episodes, seed {args.seed}.\n\n"
    write_section(args.report, "updates", text + table(header, shown))
