"""Segmentation: mIoU by the number of labelled images, at the masks' own resolution; CPU seconds and images a second.

    python -m scripts.benchmarks dense --sizes 10,40 --report docs/segmentation.md

The set is street_scenes.zip (CamVid, 11 classes) in the shared data: images are drawn from its train part, all of its
test part is measured unless --test says fewer.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from modelgpt_cli import build, evaluate
from modelgpt_cli.domains.image.dense.architectures import SIZES, card_name
from modelgpt_cli.runtime.evaluate import Evaluation

from ..common import data_folder, make_parser, numbers, provenance, table, write_section
from ..marked import add_tuned, images_a_second, kinds, measured_kinds, section
from ..rivals import add_methods, rivals_of
from .rival import Lraspp

SET = "street_scenes"


def extract(archive: Path, part: str, kept: Sequence[int] | None, folder: Path) -> Path:
    """Unpack some of the pairs of a part, in the order of their names, and the list of classes; all for None."""
    with zipfile.ZipFile(archive) as opened:
        images = sorted(name for name in opened.namelist() if name.startswith(f"{part}/images/") and name[-1] != "/")
        for k in range(len(images)) if kept is None else kept:
            mask = images[k].replace("/images/", "/masks/").rsplit(".", 1)[0] + ".png"
            for name in (images[k], mask):
                opened.extract(name, folder)
        opened.extract("classes.txt", folder)
    return folder


def n_pairs(archive: Path, part: str) -> int:
    """Count the images of a part."""
    with zipfile.ZipFile(archive) as opened:
        return sum(name.startswith(f"{part}/images/") and name[-1] != "/" for name in opened.namelist())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("dense", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--sizes", type=numbers, default=[10, 40], help="labelled images (default 10,40)")
    parser.add_argument("--pixels", type=numbers, default=[SIZES[0]], help="of the longer side (default: the card's)")
    parser.add_argument("--draws", type=int, default=1, help="draws of the labelled images (default 1)")
    parser.add_argument("--test", type=int, help="the first N test images (default: all)")
    parser.add_argument("--int8", action="store_true", help="measure each model's file in 8 bits, too")
    add_tuned(parser)
    add_methods(parser, "lraspp")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    archive = data_folder("dense") / f"{SET}.zip"
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        n_test = n_pairs(archive, "test") if args.test is None else args.test
        test = extract(archive, "test", range(n_test), root / "test_part")
        for pixels in args.pixels:
            for size in args.sizes:
                found = []
                for draw in range(args.draws):
                    order = np.random.default_rng(args.seed + draw).permutation(n_pairs(archive, "train"))
                    train = extract(archive, "train", np.sort(order[:size]).tolist(), root / f"{size}-{draw}")
                    model = root / f"{pixels}-{size}-{draw}.onnx"
                    found.append(_measured(train, test, model, pixels, args))
                    print(pixels, size, draw, *(f"{value:.4g}" for file in found[-1] for value in file), flush=True)
                for mean, storage in zip(np.mean(found, 0), kinds(args), strict=True):
                    shown = [*(f"{v:.3f}" for v in mean[:3]), *(f"{v:.3g}" for v in mean[3:])]
                    rows.append([f"{size}, {pixels} px{storage}", *shown])
    header = [
        "labelled images",
        "mIoU",
        "pixel accuracy",
        "mIoU said at build",
        "build, CPU s",
        "images per CPU s",
        "MB",
    ]
    text = f"{provenance('modelgpt-cli', 'torch', 'onnxruntime')}\n\n"
    text += f"{SET}, {n_test} test images, mean of {args.draws} draws, seed {args.seed}, {args.threads} threads.\n\n"
    text += table(header, rows).replace(" nan ", " – ")
    print(text)
    if args.report:
        write_section(args.report, section("dense", args), text)


def _measured(train: Path, test: Path, model: Path, pixels: int, args: argparse.Namespace) -> list[tuple[float, ...]]:
    """Figures of a model's file, in 8 bits, tuned, and of rivals; see `_figures`."""
    images = sorted((test / "test" / "images").iterdir())[:16]

    def rivals(seconds: float) -> list[tuple[float, ...]]:
        def figures(measured: Evaluation, took: float, rate: float, megabytes: float) -> tuple[float, ...]:
            return _figures(measured, float("nan"), took, rate, megabytes)

        return rivals_of(args.methods, lambda: Lraspp(train), figures, model, test, images, seconds, args.seed)

    return measured_kinds(
        lambda: build(train, output=model, offline=True, card=card_name(pixels)),
        lambda file, _, said, seconds: _of_file(file, test, said, seconds, args.threads),
        model,
        train,
        "miou",
        args,
        rivals=rivals,
    )


def _of_file(model: Path, test: Path, said: float, built: float, threads: int) -> tuple[float, ...]:
    """`_figures` of a file."""
    images = sorted((test / "test" / "images").iterdir())[:16]
    rate = images_a_second(model, images, threads)
    return _figures(evaluate(model, test, threads=threads), said, built, rate, model.stat().st_size / 1e6)


def _figures(measured: Evaluation, said: float, built: float, rate: float, megabytes: float) -> tuple[float, ...]:
    """Test mIoU, pixel accuracy, the mIoU said, CPU seconds, images a CPU second, and megabytes."""
    return (measured["miou"] or 0.0, measured["pixel_accuracy"] or 0.0, said, built, rate, megabytes)


if __name__ == "__main__":
    main()
