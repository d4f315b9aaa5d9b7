"""Images, the whole way in wall-clock: 200 of them to verified ONNX, images a second, what 16 and 8 bits cost.

    python scripts/benchmark_image_pipeline.py --report docs/benchmarks.md
    python scripts/benchmark_image_pipeline.py --backbone mobilenet_v2_tf --backbone-weights FILE --report PAGE

Builds run through the installed `modelgpt` command in fresh processes, so imports count; of repeated runs the median
stands. Speeds are of the model after loading (`predict`'s own clock), from JPEG files of 128 pixels, decoding included.
The accuracies of fp32, fp16 and int8 are those of `modelgpt evaluate` on images that the build was not given, of
sets that meta-training never sees; int8 is calibrated on the images that the build was given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from benchmark_common import provenance, table, write_section
from benchmark_image import add_image_arguments, read_image_arguments
from benchmark_image_data import Sets, silence
from benchmark_pipeline import Measurement, modelgpt
from benchmark_runs import names as names_of

from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.source import source_of
from modelgpt_cli.domains.image.tasks import hash_seed, split_rows

REPEATS = 3
IMAGES, MOST_TEST = 200, 400
SPEED_SET = "pacs"
KINDS = ("fp32", "fp16", "int8")
MOST_SECONDS, LEAST_SPEED = 15.0, 100.0
"""Targets: of a build on two cores, and images a second of its model."""


@dataclass(frozen=True)
class Folders:
    """A set as a user would have it: images to learn from and to be judged by, and the requirement."""

    examples: Path
    test: Path
    requirement: Path


def write_set(data: Path, name: str, folder: Path, images: int = IMAGES, most_test: int = MOST_TEST) -> Folders:
    """Write some of a set's images, class by class alike, into folders; domains are mixed."""
    card = yaml.safe_load((data / f"{name}.yaml").read_text(encoding="utf-8"))
    archive = data / f"{name}.zip"
    dataset = load_dataset(archive if archive.exists() else data / name, domain="image")
    classes = list(dataset.schema.classes)
    places, labels = (dataset.sample[column].to_numpy(dtype=str) for column in ("image", "label"))
    y = np.array([classes.index(label) for label in labels])
    found = Folders(folder / f"{name}-examples", folder / f"{name}-test", folder / f"{name}.txt")
    rng = np.random.default_rng(0)
    parts = zip((found.examples, found.test), split_rows(y, hash_seed(name)), (images, most_test), strict=True)
    for target, rows, most in parts:
        for i in evenly(y, rng.permutation(rows), most):
            path = target / labels[i] / places[i].replace("/", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source_of(dataset).open(places[i]))
    words = {"domain": "image", "target": "label", "classes": classes}
    found.requirement.write_text(f"{card['description']}\n---\n{yaml.safe_dump(words)}", encoding="utf-8")
    return found


def evenly(y: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """At most so many of some rows, as many of each class as can be."""
    turn = np.zeros(len(rows), dtype=np.int64)
    for label in np.unique(y[rows]):
        mine = y[rows] == label
        turn[mine] = np.arange(mine.sum())
    return rows[np.argsort(turn, kind="stable")[:most]]


def build_line(args: argparse.Namespace) -> list[str]:
    """The options of `modelgpt build` that say which backbone and generator."""
    given = {"--backbone": args.backbone, "--backbone-weights": args.backbone_weights, "--generator": args.generator}
    return [text for flag, value in given.items() if value for text in (flag, str(value))]


def build_seconds(folders: Folders, folder: Path, line: Sequence[str], target: float | None) -> list[Measurement]:
    """Wall-clock of builds from 200 images."""
    model = folder / "model.onnx"
    options = ("--req", folders.requirement, "--data", folders.examples, "--force", "-q", "-o", model)
    runs = [modelgpt("build", *options, *line) for _ in range(REPEATS)]
    seconds, cpu = (
        statistics.median(values) for values in zip(*((r.seconds, r.cpu_seconds) for r in runs), strict=True)
    )
    return [Measurement(f"build, {IMAGES} images, to verified ONNX", seconds, "s", target, "under", cpu)]


def quantised(folders: Folders, folder: Path, name: str, line: Sequence[str]) -> dict[str, Path]:
    """A built model in each precision."""
    models = {kind: folder / f"{name}-{kind}.onnx" for kind in KINDS}
    built = models["fp32"]
    modelgpt("build", "--req", folders.requirement, "--data", folders.examples, "--force", "-q", "-o", built, *line)
    modelgpt("export", built, "--quantize", "fp16", "-q", "-o", models["fp16"])
    modelgpt("export", built, "--quantize", "int8", "--data", folders.examples, "-q", "-o", models["int8"])
    return models


def speeds(models: dict[str, Path], images: Path, target: float | None) -> list[Measurement]:
    """Images a second in each precision, two threads and one, and sizes."""
    from modelgpt_cli.runtime.predict import predict

    found = []
    for kind, path in models.items():
        for threads in (2, 1):
            runs = [predict(path, images, threads=threads) for _ in range(REPEATS)]
            rate = statistics.median(run.rows / run.seconds for run in runs)
            wanted = target if (kind, threads) == ("fp32", 2) else None
            found.append(Measurement(f"{kind}, {threads} threads", rate, "images/s", wanted, "at least"))
        found.append(Measurement(f"{kind}, size", path.stat().st_size / 1e6, "MB", None, "under"))
    return found


def accuracies(models: dict[str, Path], test: Path) -> list[float]:
    """Accuracy × 100 in each precision."""
    scores = [json.loads(modelgpt("evaluate", path, test, "--json").output) for path in models.values()]
    return [100 * score["metrics"]["accuracy"] for score in scores]


def report(found: Sequence[Measurement], scores: dict[str, list[float]], card: str) -> str:
    """The section."""
    shown = [
        [m.name, f"{m.value:,.1f} {m.unit}", "" if m.cpu_seconds is None else f"{m.cpu_seconds:.1f}", _verdict(m)]
        for m in found
    ]
    means = [float(np.mean(column)) for column in zip(*scores.values(), strict=True)]
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in (scores | {"mean": means}).items()]
    packages = ("modelgpt-cli", "torch", "onnxruntime", "pillow")
    return (
        f"## Images: the whole way, {card}\n\n{provenance(*packages)}\n\n"
        f"{table(['what', f'median of {REPEATS}', 'CPU s', 'target'], shown)}\n\n"
        f"Accuracy × 100 of models from {IMAGES} images on at most {MOST_TEST} others:\n\n"
        f"{table(['set', *KINDS], rows)}\n"
    )


def _verdict(m: Measurement) -> str:
    if m.target is None:
        return ""
    return f"{m.better} {m.target:g}: {'met' if m.met else '**missed**'}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_image_arguments(parser)
    parser.add_argument("--sets", type=names_of, metavar="A,B", help="default: all that meta-training never sees")
    parser.add_argument("--report", type=Path, required=True)
    args = parser.parse_args(arguments)
    read_image_arguments(parser, args)
    silence()
    names = Sets(args.data, args.weights.view).names("few-shot")
    if unknown := set(args.sets or ()) - set(names):
        parser.error(f"no such set: {', '.join(sorted(unknown))}. There are: {', '.join(names)}")
    names = args.sets or names
    shipped = args.weights.card.source == "shipped"  # the targets are the default card's
    line = build_line(args)
    found: list[Measurement] = []
    scores: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in sorted(names, key=lambda name: name != SPEED_SET):
            folders = write_set(args.data, name, folder)
            if not found:
                found += build_seconds(folders, folder, line, MOST_SECONDS if shipped else None)
            models = quantised(folders, folder, name, line)
            if len(found) == 1:
                found += speeds(models, folders.test, LEAST_SPEED if shipped else None)
            scores[name] = accuracies(models, folders.test)
    write_section(args.report, f"image pipeline {args.backbone}", report(found, scores, args.backbone))


if __name__ == "__main__":
    main()
