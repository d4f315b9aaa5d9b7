"""Move the small network's weights to ``weights/image`` and write their card.

python scripts/release_trunk.py runs/trunk --hardware "1 CPU core of 2" --command "..."
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import shutil
from pathlib import Path

import yaml
from safetensors.torch import load_file

from modelgpt_cli.domains.image.architectures import CARDS, DEFAULT_CARD
from modelgpt_cli.domains.image.trunks import load_trunk, make_trunk, trunk_hash

ROOT = Path(__file__).resolve().parent.parent
MAX_BYTES = 10_000_000


def main() -> None:
    """Copy the weights and write ``<card>.yaml`` beside them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the --out of train_image_trunk.py")
    parser.add_argument("--hardware", required=True)
    parser.add_argument("--command", required=True, help="the command that made them")
    args = parser.parse_args()
    source = args.run / f"{DEFAULT_CARD}.safetensors"
    if source.stat().st_size > MAX_BYTES:
        raise SystemExit(f"{source} is larger than {MAX_BYTES:,} bytes")
    trunk = make_trunk(CARDS[DEFAULT_CARD].network)
    load_trunk(trunk, load_file(source))
    log = [json.loads(line) for line in (args.run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    target = ROOT / "weights" / "image"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target / source.name)
    last = [line for line in log if "epochs" in line][-1]
    card = {
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "trunk": trunk_hash(trunk),
        "card": CARDS[DEFAULT_CARD].to_dict(),
        "parameters": sum(p.numel() for p in trunk.parameters()),
        "epochs": last["epochs"],
        "hours": round(max(line["seconds"] for line in log) / 3600, 2),
        "hardware": args.hardware,
        "losses": {name: last[name] for name in ("features", "imagenet", "labels")},
        "linear_probes_of_held_out_sets": [{"step": e["step"], **e["probe"]} for e in log if "probe" in e],
        "command": args.command,
        "date": datetime.date.today().isoformat(),
    }
    path = target / f"{DEFAULT_CARD}.yaml"
    path.write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
