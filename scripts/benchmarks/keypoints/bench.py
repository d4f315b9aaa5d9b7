"""Key points: NME by the outer eye distance and PCK by the number of labelled images; CPU seconds and images a second.

    python -m scripts.benchmarks keypoints --sizes 20,347 --draws 3 --report docs/keypoints.md

The set is face_points.zip (ten points of a face) in the shared data: images are drawn from its train part, all of its
test part is measured.
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
from modelgpt_cli.domains.image.keypoints.architectures import SIZES, card_name
from modelgpt_cli.runtime.evaluate import Evaluation

from ..common import make_parser, numbers, provenance, table, write_section
from ..marked import add_tuned, images_a_second, kinds, measured_kinds, section
from ..pasted import FACES, add_set, archive_of
from ..rivals import add_methods, rivals_of
from .rival import HeatMaps

SET = "face_points"
NORMALISER = "left_eye_outer,right_eye_outer"
TIMED = 32


def extract(archive: Path, part: str, kept: Sequence[int] | None, folder: Path) -> Path:
    """Unpack some of the images of a part, by their place in its list, with their annotations; all for None."""
    with zipfile.ZipFile(archive) as opened:
        content = json.loads(opened.read(f"{part}/annotations.json"))
        images = content["images"] if kept is None else [content["images"][k] for k in kept]
        for image in images:
            opened.extract(f"{part}/images/{image['file_name']}", folder)
    own = {image["id"] for image in images}
    content |= {"images": images, "annotations": [one for one in content["annotations"] if one["image_id"] in own]}
    (folder / part / "annotations.json").write_text(json.dumps(content))
    return folder / part


def n_images(archive: Path, part: str) -> int:
    """Count the images of a part."""
    with zipfile.ZipFile(archive) as opened:
        return len(json.loads(opened.read(f"{part}/annotations.json"))["images"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("keypoints", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--sizes", type=numbers, default=[20, 347], help="labelled images (default 20,347)")
    parser.add_argument("--pixels", type=numbers, default=[SIZES[0]], help="of the longer side (default: the card's)")
    parser.add_argument("--draws", type=int, default=1, help="draws of the labelled images (default 1)")
    parser.add_argument("--int8", action="store_true", help="measure each model's file in 8 bits, too")
    add_set(parser, SET, FACES)
    add_tuned(parser)
    add_methods(parser, "heatmaps")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        archive = archive_of(args.set, root, args.seed)
        total, n_test = (n_images(archive, part) for part in ("train", "test"))
        test = extract(archive, "test", None, root / "test_part")
        for pixels in args.pixels:
            for size in args.sizes:
                found = []
                for draw in range(args.draws if size < total else 1):  # all images can be drawn in one way
                    order = np.random.default_rng(args.seed + draw).permutation(total)
                    train = extract(archive, "train", np.sort(order[:size]).tolist(), root / f"{size}-{draw}")
                    model = root / f"{pixels}-{size}-{draw}.onnx"
                    found.append(_measured(train, test, model, pixels, args.seed + draw, args))
                    print(pixels, size, draw, *(f"{value:.4g}" for file in found[-1] for value in file), flush=True)
                files = zip(np.mean(found, 0), np.std(found, 0), kinds(args), strict=True)
                for mean, spread, storage in files:
                    rows.append(
                        [f"{min(size, total)}, {pixels} px{storage}", f"{mean[0]:.3f} ± {spread[0]:.3f}"]
                        + [f"{v:.3f}" for v in mean[1:4]]
                        + [f"{v:.3g}" for v in mean[4:]]
                    )
    header = [
        "labelled images",
        "NME",
        "PCK@.1",
        "NME said at build",
        "NME of the mean shape",
        "build, CPU s",
        "images per CPU s",
        "MB",
    ]
    text = f"{provenance('modelgpt-cli', 'torch', 'onnxruntime')}\n\n"
    text += f"{args.set}, {n_test} test images, mean of {args.draws} draws (of all images one), "
    text += (
        f"seed {args.seed}, {args.threads} threads. Errors are divided by the distance of the eyes' outer corners.\n\n"
    )
    text += table(header, rows).replace(" nan ", " – ")
    print(text)
    if args.report:
        write_section(args.report, section("keypoints" if args.set == SET else args.set, args), text)


def _measured(
    train: Path, test: Path, model: Path, pixels: int, seed: int, args: argparse.Namespace
) -> list[tuple[float, ...]]:
    """Figures of a model's file, in 8 bits, tuned, and of rivals; see `_figures`."""
    images = sorted((test / "images").iterdir())[:TIMED]
    unsaid = [float("nan")] * 2

    def rivals(seconds: float) -> list[tuple[float, ...]]:
        def figures(measured: Evaluation, took: float, rate: float, megabytes: float) -> tuple[float, ...]:
            return _figures(measured, unsaid, took, rate, megabytes)

        return rivals_of(args.methods, lambda: HeatMaps(train), figures, model, test, images, seconds, seed)

    return measured_kinds(
        lambda: build(train, output=model, offline=True, card=card_name(pixels), normalise=NORMALISER, seed=seed),
        lambda file, report, said, seconds: _of_file(
            file, test, [said, report.metrics["mean shape"]["nme"]], seconds, args.threads
        ),
        model,
        train,
        "nme",
        args,
        seed,
        rivals,
    )


def _of_file(model: Path, test: Path, said: Sequence[float], built: float, threads: int) -> tuple[float, ...]:
    """`_figures` of a file."""
    images = sorted((test / "images").iterdir())[:TIMED]
    rate = images_a_second(model, images, threads)
    return _figures(evaluate(model, test, threads=threads), said, built, rate, model.stat().st_size / 1e6)


def _figures(
    measured: Evaluation, said: Sequence[float], built: float, rate: float, megabytes: float
) -> tuple[float, ...]:
    """Test NME, PCK, the NME said and that of the mean shape, CPU seconds, images a CPU second, megabytes."""
    return (measured["nme"] or 0.0, measured["pck"] or 0.0, *said, built, rate, megabytes)


if __name__ == "__main__":
    main()
