"""Kill commands at random moments: what was to be written must be absent, as before, or whole.

    python scripts/kill_test.py --kills 40 --seed 0

Each run writes over an old file (every second one) or to a new name, is sent SIGKILL, SIGTERM or SIGINT at a moment
drawn between its start and its usual end, and is looked at: exit code, what was said, the output, what is left beside
it and in the folder of temporary files. `docs/reliability.md` has what was measured.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz import make_models

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
PATIENCE = 60
OLD = b"old"


@dataclass
class Tally:
    """What was found."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(signal, state of the output) → runs."""
    left: Counter[str] = field(default_factory=Counter)
    """Signal → temporary files left beside the output, or in the folder of temporary files."""
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds from a signal that can be handled to the end."""


def commands(models: Path) -> dict[str, list[str]]:
    """Return command lines without their output, which is FILE."""
    data = str(models / "iris.csv")
    return {
        "build.onnx": ["build", "--req", str(models / "req.txt"), "--members", "4", "--force", "-o"],
        "build.safetensors": ["build", "--req", str(models / "req.txt"), "--members", "2", "--force", "-o"],
        "export.onnx": ["export", str(models / "model.safetensors"), "--force", "-o"],
        "predict.csv": ["predict", str(models / "model.onnx"), str(models / "big.csv"), "--force", "-o"],
        "describe.txt": ["describe", data, "--offline", "--force", "-o"],
    }


def is_whole(path: Path, whole: dict[str, bytes]) -> bool:
    """Whether an output is what the command writes when nothing disturbs it."""
    if path.suffix in (".onnx", ".safetensors"):
        from modelgpt_cli import inspect

        return bool(inspect(path)["inputs"])
    # A requirement says where its data are as seen from its folder, which is another in each run.
    lines, expected = (
        [line for line in content.splitlines() if not line.startswith(b"data: ")]
        for content in (path.read_bytes(), whole[path.name])
    )
    return lines == expected


def run(name: str, words: list[str], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command that writes `name` into a folder."""
    code = "import sys; from modelgpt_cli.__main__ import entry; entry()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words, name],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder / "tmp")},
    )


def kill(name: str, words: list[str], usual: float, number: int, rng: random.Random, whole: dict[str, bytes]) -> Tally:
    """Run a command once and kill it; say what was found."""
    tally = Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "tmp").mkdir()
        if number % 2:
            (folder / name).write_bytes(OLD)
        sent = SIGNALS[number % len(SIGNALS)]
        process = run(name, words, folder)
        time.sleep(rng.uniform(0, usual * 1.05))
        process.send_signal(sent)
        start = time.monotonic()
        _, err = process.communicate(timeout=PATIENCE)
        if sent != signal.SIGKILL:
            tally.slowest = time.monotonic() - start
        output = folder / name
        state = "absent" if not output.exists() else "as before" if output.read_bytes() == OLD else "new"
        where = f"run {number}, {name}, {sent.name}, exit {process.returncode}"
        if state == "new" and not is_whole(output, whole):
            tally.faults.append(f"{where}: the output is damaged")
        if (state == "absent") and number % 2:
            tally.faults.append(f"{where}: the old output is gone")
        # Before Python has read the program, a signal ends it in its own way.
        if b"Traceback" in err and b"modelgpt_cli/" in err:
            tally.faults.append(f"{where}: {err.decode(errors='replace')[-500:]}")
        left = [*folder.glob(".*"), *(folder / "tmp").glob("*")]
        tally.left[sent.name] += len(left)
        tally.outcomes[sent.name, state] += 1
    return tally


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    total = Tally()
    with tempfile.TemporaryDirectory() as place:
        models = make_models(Path(place))
        header, *rows = (models / "iris.csv").read_text().splitlines()
        (models / "big.csv").write_text("\n".join([header, *rows * 1000]) + "\n")
        usual, whole = {}, {}
        for name, words in commands(models).items():
            (models / "tmp").mkdir(exist_ok=True)
            start = time.monotonic()
            if run(name, words, models).wait() != 0:
                raise SystemExit(f"{name} fails even if left alone.")
            usual[name], whole[name] = time.monotonic() - start, (models / name).read_bytes()
        for number in range(args.kills):
            name, words = rng.choice(list(commands(models).items()))
            found = kill(name, words, usual[name], number, rng, whole)
            total.outcomes += found.outcomes
            total.left += found.left
            total.faults += found.faults
            total.slowest = max(total.slowest, found.slowest)
    states = ("absent", "as before", "new")
    print("| signal | absent | as before | new and whole | temporary files left |\n|---|---|---|---|---|")
    for sent in SIGNALS:
        counts = " | ".join(str(total.outcomes[sent.name, state]) for state in states)
        print(f"| {sent.name} | {counts} | {total.left[sent.name]} |")
    print(f"{args.kills} kills, {len(total.faults)} faults; longest to the end {total.slowest:.1f} s")
    print("\n".join(total.faults))
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
