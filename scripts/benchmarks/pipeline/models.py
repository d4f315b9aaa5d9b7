"""Texts and images, the whole way in wall-clock: examples to verified ONNX, rows a second, what fewer bits cost.

    python -m scripts.benchmarks pipeline texts --report docs/benchmarks.md
    python -m scripts.benchmarks pipeline texts --card static-256 --report docs/benchmarks.md
    python -m scripts.benchmarks pipeline images --report docs/benchmarks.md
    python -m scripts.benchmarks pipeline images --backbone efficientnet_lite0-224 --report docs/benchmarks.md
    python -m scripts.benchmarks pipeline images --backbone mobilenet_v2_tf --backbone-weights FILE --report PAGE

Builds, of 64 texts or 200 images, run through the installed `modelgpt` command in fresh processes, so imports count; of
repeated runs the median stands. Speeds are of the model after loading (`predict`'s own clock), on SST-2's dev sentences
or from JPEG files of 128 pixels, decoding included. The accuracies of fp32 and of fewer bits are those of `modelgpt
evaluate` on rows that the build was not given, of tasks that meta-training never saw; the int8 of images is calibrated
on those that the build was given.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from modelgpt_cli.domains.image.architectures import DEFAULT_CARD
from modelgpt_cli.domains.text.architectures import GENERATORS

from ..common import data_folder, make_parser, names, provenance, table, write_section
from ..harness import draw_seed
from .processes import REPEATS, Measurement, median, modelgpt, report

EXAMPLES = 64
TEXTS = ("ag_news", "amazon_dvd", "cr", "sms_spam", "tweet_sentiment", "yahoo_answers")
BUILD_TEXTS, SPEED_TEXTS = "cr", "sst2"
IMAGES, MOST_TEST = 200, 400
SPEED_IMAGES = "pacs"
TEXT_SPEEDS = {"minilm-l6": 280.0, "static-256": 10_000.0}
"""Sentences a second that are asked for, by card."""
IMAGE_SPEEDS = {DEFAULT_CARD: 60.0, f"{DEFAULT_CARD}-224": 35.0}
"""Images a second that are asked for, by card."""


@dataclass(frozen=True)
class Files:
    """A task as a user would have it: rows to learn from and to be judged by, and the requirement."""

    examples: Path
    test: Path
    requirement: Path


@dataclass(frozen=True)
class Domain:
    """What is measured of a domain.

    Attributes
    ----------
    write : callable
        From a task and a folder to its files.
    rows, unit : str
        What a build is given, and what a speed counts.
    kinds : tuple of str
        Precisions, fp32 first.
    calibrated : bool
        Whether int8 needs examples.
    seconds, speed : float, optional
        Targets: of a build on two cores, and of its model with two threads.
    build_task, speed_task, tasks : str
        What seconds, speeds and accuracies are measured on.
    from_words : bool
        Whether a build from the requirement alone is measured, too.
    options : list of str
        Of `modelgpt build`.
    """

    write: Callable[[str, Path], Files]
    rows: str
    unit: str
    kinds: tuple[str, ...]
    calibrated: bool
    seconds: float | None
    speed: float | None
    build_task: str
    speed_task: str
    tasks: Sequence[str]
    from_words: bool
    options: Sequence[str] = ()

    def build(self, files: Files, output: Path, examples: bool = True, repeats: int = 1) -> tuple[float, float]:
        """Build, several times where asked for; return the medians of wall-clock and CPU seconds."""
        data = ("--data", files.examples) if examples else ()
        line = ("build", "--req", files.requirement, "--force", "-q", "-o", output, *data, *self.options)
        return median([modelgpt(*line) for _ in range(repeats)])

    def models(self, name: str, folder: Path) -> tuple[Files, dict[str, Path]]:
        """Write a task's files, build, and export in each precision."""
        files = self.write(name, folder)
        models = {kind: folder / f"{name}-{kind}.onnx" for kind in self.kinds}
        built = models[self.kinds[0]]
        self.build(files, built)
        for kind in self.kinds[1:]:
            data = ("--data", files.examples) if self.calibrated and kind == "int8" else ()
            modelgpt("export", built, "--quantize", kind, *data, "-q", "-o", models[kind])
        return files, models

    def build_seconds(self, folder: Path) -> list[Measurement]:
        """Measure builds from examples and, where it can be, from the requirement alone."""
        files, found = self.write(self.build_task, folder), []
        for words, examples in ((self.rows, True), *([("requirement only", False)] if self.from_words else [])):
            seconds, cpu = self.build(files, folder / "seconds.onnx", examples, REPEATS)
            found.append(Measurement(f"build, {words}, to verified ONNX", seconds, "s", self.seconds, "under", cpu))
        return found

    def speeds(self, models: dict[str, Path], rows: Path) -> list[Measurement]:
        """Measure rows a second in each precision, two threads and one, and sizes."""
        from modelgpt_cli.runtime.predict import predict

        found = []
        for kind, path in models.items():
            for threads in (2, 1):
                runs = [predict(path, rows, threads=threads) for _ in range(REPEATS)]
                rate = statistics.median(run.rows / run.seconds for run in runs)
                target = self.speed if (kind, threads) == ("fp32", 2) else None
                found.append(Measurement(f"{kind}, {threads} threads", rate, self.unit, target, "at least"))
            found.append(Measurement(f"{kind}, size", path.stat().st_size / 1e6, "MB", None, "under"))
        return found

    def measure(self, folder: Path) -> tuple[list[Measurement], dict[str, list[float]]]:
        """Measure everything: seconds, speeds and sizes; and accuracy × 100 by task and precision."""
        found = self.build_seconds(folder)
        scores = {}
        for name in dict.fromkeys([self.speed_task, *self.tasks]):
            files, models = self.models(name, folder)
            if name == self.speed_task:
                found += self.speeds(models, files.test)
            if name in self.tasks:
                said = [json.loads(modelgpt("evaluate", path, files.test, "--json").output) for path in models.values()]
                scores[name] = [100 * one["metrics"]["accuracy"] for one in said]
        return found, scores


def write_texts(data: Path, name: str, folder: Path) -> Files:
    """Write examples, test file and requirement of a task."""
    from ..texts.tasks import GLUE, draw_support, read_task

    task = read_task(data, "glue" if name in GLUE else "few-shot", name)
    per_class = max(1, EXAMPLES // len(task.classes))
    support = draw_support(task, per_class, draw_seed(name, per_class, 0))
    files = Files(folder / f"{name}-examples.csv", folder / f"{name}-test.csv", folder / f"{name}.txt")
    for path, rows in ((files.examples, support), (files.test, task.test)):
        pd.DataFrame({"text": rows.texts, "label": rows.labels}).to_csv(path, index=False)
    words = f"target: label\nclasses: {json.dumps(list(task.classes))}\n"
    files.requirement.write_text(f"{task.requirement}\n---\n{words}", encoding="utf-8")
    return files


def write_images(data: Path, name: str, folder: Path, images: int = IMAGES, most_test: int = MOST_TEST) -> Files:
    """Write some of a set's images, class by class alike, into folders; domains are mixed."""
    from modelgpt_cli.data.dataset import load_dataset
    from modelgpt_cli.domains.image.tasks import hash_seed, split_rows

    card = yaml.safe_load((data / f"{name}.yaml").read_text(encoding="utf-8"))
    archive = data / f"{name}.zip"
    dataset = load_dataset(archive if archive.exists() else data / name, domain="image")
    source: Any = dataset.source
    classes = list(dataset.schema.classes)
    paths, labels = (dataset.sample[column].to_numpy(dtype=str) for column in ("image", "label"))
    y = np.array([classes.index(label) for label in labels])
    files = Files(folder / f"{name}-examples", folder / f"{name}-test", folder / f"{name}.txt")
    rng = np.random.default_rng(0)
    parts = zip((files.examples, files.test), split_rows(y, hash_seed(name)), (images, most_test), strict=True)
    for target, rows, most in parts:
        for i in evenly(y, rng.permutation(rows), most):
            path = target / labels[i] / paths[i].replace("/", "-")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(source.open(paths[i]))
    words = {"domain": "image", "target": "label", "classes": classes}
    files.requirement.write_text(f"{card['description']}\n---\n{yaml.safe_dump(words)}", encoding="utf-8")
    return files


def evenly(y: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Return at most so many of some rows, as many of each class as can be."""
    turn = np.zeros(len(rows), dtype=np.int64)
    for label in np.unique(y[rows]):
        mine = y[rows] == label
        turn[mine] = np.arange(mine.sum())
    return rows[np.argsort(turn, kind="stable")[:most]]


def texts_domain(args: argparse.Namespace) -> Domain:
    """Return what is measured of texts."""
    return Domain(
        lambda name, folder: write_texts(args.data, name, folder), f"{EXAMPLES} examples", "sentences/s",
        ("fp32", "int8"), False, 7.0, TEXT_SPEEDS.get(args.card), BUILD_TEXTS, SPEED_TEXTS, TEXTS,
        args.card in GENERATORS, ("--card", args.card),
    )  # fmt: skip


def images_domain(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Domain:
    """Return what is measured of images; there are targets for the shipped network at two sizes."""
    from ..images.bench import read_image_arguments
    from ..images.tasks import Sets, silence

    read_image_arguments(parser, args)
    silence()
    known = Sets(args.data, args.weights.view).names("few-shot")
    if unknown := set(args.sets or ()) - set(known):
        parser.error(f"no such set: {', '.join(sorted(unknown))}. There are: {', '.join(known)}")
    sets = sorted(args.sets or known, key=lambda name: name != SPEED_IMAGES)
    given = {"--backbone": args.backbone, "--backbone-weights": args.backbone_weights, "--generator": args.generator}
    options = [text for flag, value in given.items() if value for text in (flag, str(value))]
    return Domain(
        lambda name, folder: write_images(args.data, name, folder), f"{IMAGES} images", "images/s",
        ("fp32", "fp16", "int8"), True, 15.0 if args.backbone == DEFAULT_CARD else None,
        IMAGE_SPEEDS.get(args.backbone), sets[0], sets[0], sets, False, options,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the section."""
    kind, *arguments = sys.argv[2:] if arguments is None else arguments
    parser = make_parser(f"pipeline {kind}", __doc__)
    parser.add_argument("--report", type=Path, required=True)
    if kind == "images":
        from ..images.bench import add_image_arguments

        add_image_arguments(parser)
        parser.add_argument("--sets", type=names, metavar="A,B", help="default: all that meta-training never sees")
    else:
        parser.add_argument("--data", type=Path, default=data_folder("text"))
        parser.add_argument("--card", default="minilm-l6", help="of the shelf (default minilm-l6)")
    args = parser.parse_args(arguments)
    domain = images_domain(parser, args) if kind == "images" else texts_domain(args)
    with tempfile.TemporaryDirectory() as folder:
        found, scores = domain.measure(Path(folder))
    means = [float(np.mean(column)) for column in zip(*scores.values(), strict=True)]
    rows = [[name, *(f"{value:.1f}" for value in values)] for name, values in (scores | {"mean": means}).items()]
    title = f"Images: the whole way, {args.backbone}" if kind == "images" else f"Texts: the whole way, {args.card}"
    origin = provenance("modelgpt-cli", "torch", "onnxruntime", "pillow" if kind == "images" else "tokenizers")
    judged = f"at most {MOST_TEST} others" if kind == "images" else "whole test files"
    section = f"image pipeline {args.backbone}" if kind == "images" else f"text pipeline {args.card}"
    text = (
        f"## {title}\n\n{origin}\n\n{report(found)}\n\n"
        f"Accuracy × 100 of models from {domain.rows} on {judged}:\n\n{table(['task', *domain.kinds], rows)}"
    )
    write_section(args.report, section, text)
