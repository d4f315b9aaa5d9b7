"""Move a meta-training run's best checkpoint to ``weights/<domain>`` and write its card.

python scripts/release_checkpoint.py runs/tabular --hardware "2 CPU cores" --note "..."
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 25_000_000


def _rounded(values: dict[str, Any]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if isinstance(value, float)}


def _write(source: Path, target: Path, *, half: bool) -> None:
    """Copy a checkpoint, its weights rounded to float16 where asked for; reading brings them back to float32."""
    if not half:
        shutil.copyfile(source, target)
        return
    with safe_open(str(source), "pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name).half() for name in file.keys()}  # noqa: SIM118
    save_file(state, str(target), metadata=metadata)


def main() -> None:
    """Copy the checkpoint and write ``card.yaml`` beside it; the hand-written ``README.md`` of the folder is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="the run directory of `modelgpt meta-train`")
    parser.add_argument("--domain", default="tabular")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--tasks", default="", help="what was given as --tasks, in words")
    parser.add_argument("--command", required=True, help="the command that made it")
    parser.add_argument("--half", action="store_true", help="store the weights as float16: half the bytes")
    args = parser.parse_args()

    source = args.run / "generator.safetensors"
    if source.stat().st_size > MAX_BYTES * (2 if args.half else 1):
        raise SystemExit(f"{source} is larger than {MAX_BYTES:,} bytes{' in float16' if args.half else ''}")
    log = [json.loads(line) for line in (args.run / "log.jsonl").read_text().splitlines()]
    with safe_open(str(source), "pt") as file:
        header = json.loads(file.metadata()["modelgpt"])
        parameters = sum(file.get_tensor(name).numel() for name in file.keys())  # noqa: SIM118
    config = yaml.safe_load((args.run / "config.yaml").read_text())
    for name in ("tasks", "vectors"):  # paths of the machine that trained
        config.pop(name, None)
    for name in ("init", "backbone_weights"):
        if config.get(name):
            config[name] = "sha256 " + hashlib.sha256(Path(config[name]).read_bytes()).hexdigest()
    for words in ("sentences", "wordings", "concepts"):  # they are in the training.yaml beside the card
        config.pop(words, None)
    target = ROOT / "weights" / args.domain
    target.mkdir(parents=True, exist_ok=True)
    released = target / "generator.safetensors"
    _write(source, released, half=args.half)
    card = {
        "sha256": hashlib.sha256(released.read_bytes()).hexdigest(),
        "stored_as": "float16" if args.half else "float32",
        "domain": header["domain"],
        "generator": header["generator"],
        "parameters": parameters,
        "step": header["step"],
        "tasks_seen": header["step"] * config["batch"],
        "hours": round(max(entry["seconds"] for entry in log) / 3600, 2),
        "hardware": args.hardware,
        "seed": header["seed"],
        "validation": header["validation"],
        "learning_curve": [{"step": e["step"], **_rounded(e["validation"])} for e in log if "validation" in e],
        "tasks": args.tasks or "the synthetic prior alone",
        "command": args.command,
        "config": config,
        "date": datetime.date.today().isoformat(),
    }
    (target / "card.yaml").write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding="utf-8")
    print(target / "card.yaml")


if __name__ == "__main__":
    main()
