"""Detection: mAP by the number of labelled images; CPU seconds and images a second.

    python -m scripts.benchmarks detection --sizes 10,40 --report docs/detection.md

The set is blood_cells.zip (BCCD, 3 classes) in the shared data: images are drawn from its train part, all of its test
part is measured unless --test says fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from modelgpt_cli import build, evaluate
from modelgpt_cli.domains.image.detection.architectures import SIZES, card_name
from modelgpt_cli.runtime.evaluate import Evaluation

from ..common import make_parser, numbers, provenance, table, write_section
from ..marked import add_tuned, images_a_second, kinds, measured_kinds, section
from ..pasted import THINGS, add_set, archive_of
from ..rivals import add_methods, rivals_of
from .rival import SsdLite

SET = "blood_cells"


def extract(archive: Path, part: str, kept: Sequence[int] | None, folder: Path) -> Path:
    """Unpack some of the images of a part, in the order of their names, with their annotations; all for None."""
    with zipfile.ZipFile(archive) as opened:
        known = json.loads(opened.read(f"{part}/annotations.json"))
        images = sorted(known["images"], key=lambda image: str(image["file_name"]))
        images = images if kept is None else [images[k] for k in kept]
        ids = {image["id"] for image in images}
        for image in images:
            opened.extract(f"{part}/images/{image['file_name']}", folder)
    known["images"] = images
    known["annotations"] = [one for one in known["annotations"] if one["image_id"] in ids]
    (folder / part / "annotations.json").write_text(json.dumps(known))
    return folder


def n_images(archive: Path, part: str) -> int:
    """Count the images of a part."""
    with zipfile.ZipFile(archive) as opened:
        return len(json.loads(opened.read(f"{part}/annotations.json"))["images"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("detection", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--sizes", type=numbers, default=[10, 40], help="labelled images (default 10,40)")
    parser.add_argument("--pixels", type=numbers, default=[SIZES[0]], help="of the longer side (default: the card's)")
    parser.add_argument("--draws", type=int, default=1, help="draws of the labelled images (default 1)")
    parser.add_argument("--test", type=int, help="the first N test images (default: all)")
    parser.add_argument("--int8", action="store_true", help="measure each model's file in 8 bits, too")
    add_set(parser, SET, THINGS)
    add_tuned(parser)
    add_methods(parser, "ssdlite")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        archive = archive_of(args.set, root, args.seed)
        n_test = n_images(archive, "test") if args.test is None else args.test
        test = extract(archive, "test", range(n_test), root / "test_part")
        for pixels in args.pixels:
            for size in args.sizes:
                found = []
                for draw in range(args.draws):
                    order = np.random.default_rng(args.seed + draw).permutation(n_images(archive, "train"))
                    train = extract(archive, "train", np.sort(order[:size]).tolist(), root / f"{size}-{draw}")
                    model = root / f"{pixels}-{size}-{draw}.onnx"
                    found.append(_measured(train, test, model, pixels, args))
                    print(pixels, size, draw, *(f"{value:.4g}" for file in found[-1] for value in file), flush=True)
                for mean, storage in zip(np.mean(found, 0), kinds(args), strict=True):
                    shown = [*(f"{v:.3f}" for v in mean[:4]), *(f"{v:.3g}" for v in mean[4:])]
                    rows.append([f"{size}, {pixels} px{storage}", *shown])
    header = [
        "labelled images",
        "mAP50",
        "mAP50-95",
        "lowest class's mAP50",
        "mAP50 said at build",
        "build, CPU s",
        "images per CPU s",
        "MB",
    ]
    text = f"{provenance('modelgpt-cli', 'torch', 'onnxruntime')}\n\n"
    text += (
        f"{args.set}, {n_test} test images, mean of {args.draws} draws, seed {args.seed}, {args.threads} threads.\n\n"
    )
    text += table(header, rows).replace(" nan ", " – ")
    print(text)
    if args.report:
        write_section(args.report, section("detection" if args.set == SET else args.set, args), text)


def _measured(train: Path, test: Path, model: Path, pixels: int, args: argparse.Namespace) -> list[tuple[float, ...]]:
    """Figures of a model's file, in 8 bits, tuned, and of rivals; see `_figures`."""
    images = sorted((test / "test" / "images").iterdir())[:16]

    def rivals(seconds: float) -> list[tuple[float, ...]]:
        def figures(measured: Evaluation, took: float, rate: float, megabytes: float) -> tuple[float, ...]:
            return _figures(measured, float("nan"), took, rate, megabytes)

        return rivals_of(args.methods, lambda: SsdLite(train), figures, model, test, images, seconds, args.seed)

    return measured_kinds(
        lambda: build(train, output=model, offline=True, card=card_name(pixels)),
        lambda file, _, said, seconds: _of_file(file, test, said, seconds, args.threads),
        model,
        train,
        "map50",
        args,
        rivals=rivals,
    )


def _of_file(model: Path, test: Path, said: float, built: float, threads: int) -> tuple[float, ...]:
    """`_figures` of a file."""
    images = sorted((test / "test" / "images").iterdir())[:16]
    rate = images_a_second(model, images, threads)
    return _figures(evaluate(model, test, threads=threads), said, built, rate, model.stat().st_size / 1e6)


def _figures(measured: Evaluation, said: float, built: float, rate: float, megabytes: float) -> tuple[float, ...]:
    """Test mAP50, mAP, the lowest class's mAP50, the one said, CPU seconds, images a CPU second, and megabytes."""
    lowest = min(values["map50"] or 0.0 for values in measured.classes.values())
    return (measured["map50"] or 0.0, measured["map"] or 0.0, lowest, said, built, rate, megabytes)


if __name__ == "__main__":
    main()
