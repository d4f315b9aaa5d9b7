"""What the benchmarks of segmentation, detection and key points have alike: files in 8 bits, and models tuned."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from modelgpt_cli import tune


def add_tuned(parser: argparse.ArgumentParser) -> None:
    """Add ``--tuned EPOCHS``."""
    parser.add_argument("--tuned", type=int, default=0, metavar="EPOCHS", help="tune each model too, so many epochs")


def kinds(args: argparse.Namespace) -> list[str]:
    """What a size's rows are called: of the build, in 8 bits, and tuned."""
    return ["", *([", int8"] if args.int8 else []), *([f", ours_tuned, {args.tuned} epochs"] if args.tuned else [])]


def section(name: str, epochs: int) -> str:
    """The section of a page that a table goes to: that of tuned models is another."""
    return f"{name}-tuned" if epochs else name


def tuned(model: Path, train: Path, epochs: int, figure: str, seed: int = 0) -> tuple[Path, float, float]:
    """Tune a model: its file, the figure that is said of it, and CPU seconds."""
    start = time.process_time()
    done = tune(model, data=train, output=model.with_suffix(".tuned.onnx"), epochs=epochs, seed=seed, device="cpu")
    said = (done.after if done.kept == "after" else done.before)[figure]
    return done.path, said, time.process_time() - start
