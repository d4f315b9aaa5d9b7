"""What the benchmarks of segmentation, detection and key points have alike: files in 8 bits, and models tuned."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from modelgpt_cli import predict, tune
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.model_generator.build import BuildReport


def add_tuned(parser: argparse.ArgumentParser) -> None:
    """Add ``--tuned EPOCHS``."""
    parser.add_argument("--tuned", type=int, default=0, metavar="EPOCHS", help="tune each model too, so many epochs")


def kinds(args: argparse.Namespace) -> list[str]:
    """What a size's rows are called: of the build, in 8 bits, tuned, and of rivals."""
    tuned = [f", ours_tuned, {args.tuned} epochs"] if args.tuned else []
    return ["", *([", int8"] if args.int8 else []), *tuned, *(f", {method}" for method in args.methods)]


def section(name: str, args: argparse.Namespace) -> str:
    """The section of a page that a table goes to: those of tuned models and of rivals are others."""
    if args.methods:
        return "-".join([name, "rivals", *(f"{method.times:g}x" for method in args.methods)])
    return f"{name}-tuned" if args.tuned else name


def tuned(model: Path, train: Path, epochs: int, figure: str, seed: int = 0) -> tuple[Path, float, float]:
    """Tune a model: its file, the figure that is said of it, and CPU seconds."""
    start = time.process_time()
    done = tune(model, data=train, output=model.with_suffix(".tuned.onnx"), epochs=epochs, seed=seed, device="cpu")
    said = (done.after if done.kept == "after" else done.before)[figure]
    return done.path, said, time.process_time() - start


def in_eight_bits(model: Path, images: Path) -> Path:
    """Write a model in 8 bits, its ranges measured on the images that it was built from; return the file."""
    loaded = load_model(model)
    small = model.with_name(f"{model.stem}-int8.onnx")
    rows = find_domain(loaded.blueprint.domain).part("onnx").calibration_rows(loaded, images)
    write_model(loaded, small, quantize="int8", rows=rows)
    return small


def measured_kinds(
    make: Callable[[], BuildReport],
    figures: Callable[[Path, BuildReport, float, float], tuple[float, ...]],
    model: Path,
    train: Path,
    figure: str,
    args: argparse.Namespace,
    seed: int = 0,
    rivals: Callable[[float], list[tuple[float, ...]]] | None = None,
) -> list[tuple[float, ...]]:
    """Build a model; return figures of its file, in 8 bits, tuned, and of rivals, as `args` ask for; see `kinds`.

    Parameters
    ----------
    figures : callable
        From a file, the build's report, the figure that is said of the model, and CPU seconds (of a smaller file with
        what it takes to write).
    rivals : callable, optional
        From the CPU seconds of the build, the figures of what it is compared with.
    """
    start = time.process_time()
    report = make()
    seconds = time.process_time() - start
    said = report.metrics["model"][figure] if report.metrics else float("nan")
    found = [figures(model, report, said, seconds)]
    if args.int8:
        start = time.process_time()
        small = in_eight_bits(model, train)
        found.append(figures(small, report, said, seconds + time.process_time() - start))
    if args.tuned:
        file, after, took = tuned(model, train, args.tuned, figure, seed)
        found.append(figures(file, report, after, took))
    return found + (rivals(seconds) if rivals is not None else [])


def images_a_second(model: Path, images: Sequence[Path], threads: int) -> float:
    """How many images a model answers in a CPU second, once it is warm."""
    predict(model, images[:2], threads=threads)
    start = time.process_time()
    predict(model, images, threads=threads)
    return len(images) / (time.process_time() - start)
