"""Segmentation from a few images of things with names: what the names are worth beside the images.

    python -m scripts.benchmarks "dense prior" --report docs/segmentation.md

A task is four things of a set (objects15 and the photos of pacs, in the shared data) that the network can name, pasted
onto landscapes as in `dense words`; and street_scenes as it is. Each is built from the same images with what names tell
as the head's prior, as `build` does, and without. mIoU of all classes, those among them that no image shows.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from modelgpt_cli import build, evaluate
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.domains.image.dense import fit
from modelgpt_cli.domains.image.dense.architectures import card_name
from modelgpt_cli.domains.image.dense.words import LEAST, PIXELS, nearest_names

from ..common import data_folder, make_parser, numbers, provenance, table, write_section
from .bench import SET, extract, n_pairs
from .words import GROUNDS, SETS, Photos, scene

THINGS = 4
"""Of a task."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("dense prior", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--sizes", type=numbers, default=[1, 2, 5, 10], help="labelled images (default 1,2,5,10)")
    parser.add_argument("--sets", default=f"{SETS[0]},{SETS[2]},{SET}", help="(default: three)")
    parser.add_argument("--draws", type=int, default=2, help="of things and scenes, or of images (default 2)")
    parser.add_argument("--test", type=int, default=24, help="test images of each draw (default 24)")
    parser.add_argument("--pixels", type=int, default=PIXELS, help=f"of the longer side (default {PIXELS})")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.sets.split(","):
        found: dict[int, list[tuple[float, ...]]] = {size: [] for size in args.sizes}
        for draw in range(args.draws):
            with tempfile.TemporaryDirectory() as scratch:
                for size, train, test in _draws(name, args.seed + draw, args.sizes, args.test, Path(scratch)):
                    found[size].append(_compared(train, test, args.pixels))
                    print(name, size, draw, *found[size][-1], flush=True)
        for size, values in found.items():
            without, named, strength = np.mean(values, 0)
            rows.append(
                [name, str(size), f"{without:.3f}", f"{named:.3f}", f"{named - without:+.3f}", f"{strength:.2g}"]
            )
    header = ["images of", "labelled", "mIoU without names", "with names", "gain", "strength chosen, mean"]
    text = f"{provenance('modelgpt-cli', 'torch', 'onnxruntime')}\n\n"
    text += f"{args.pixels} px; {args.draws} draws of {args.test} test images each, seed {args.seed}.\n\n"
    text += table(header, rows)
    print(text)
    if args.report:
        write_section(args.report, "dense prior", text)


def _compared(train: Path, test: Path, pixels: int) -> tuple[float, ...]:
    """The mIoU without names and with them, and how strong they count."""
    model, found = train.with_suffix(".onnx"), []
    for strengths in ((0.0,) * len(fit.STRENGTHS), fit.STRENGTHS):
        with mock.patch.object(fit, "STRENGTHS", strengths):
            build(train, output=model, offline=True, card=card_name(pixels), force=True)
        found.append(evaluate(model, test)["miou"] or 0.0)
    return (*found, load_model(model).blueprint.provenance["head"]["strength"])


def _draws(name: str, seed: int, sizes: Sequence[int], n_test: int, root: Path) -> Iterator[tuple[int, Path, Path]]:
    """Yield numbers of labelled images, folders with so many, and the folder of the test images."""
    if name == SET:
        archive = data_folder("dense") / f"{SET}.zip"
        places = np.linspace(0, n_pairs(archive, "test") - 1, n_test).astype(int)
        test = extract(archive, "test", places.tolist(), root / "test_part")
        order = np.random.default_rng(seed).permutation(n_pairs(archive, "train"))
        for size in sizes:
            yield size, extract(archive, "train", np.sort(order[:size]).tolist(), root / str(size)), test
        return
    things, grounds, rng = Photos(name), Photos(GROUNDS), np.random.default_rng([seed, 7])
    nearest = nearest_names(list(things.places))
    known = [label for label in things.places if nearest[label]["likeness"] >= LEAST]
    labels = [str(label) for label in rng.choice(known, THINGS, replace=False)]
    scenes = [scene(things, grounds, labels, rng) for _ in range(max(sizes) + n_test)]
    test = _written(scenes[max(sizes) :], labels, root / "test_part" / "test")
    for size in sizes:
        yield size, _written(scenes[:size], labels, root / str(size)), test


def _written(scenes: Sequence[tuple[np.ndarray, ...]], labels: Sequence[str], folder: Path) -> Path:
    """Write scenes as images and masks, with the list of classes."""
    for k, (image, mask) in enumerate(scenes):
        for part, values in (("images", image), ("masks", mask)):
            (folder / part).mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            Image.fromarray(values).save(content, "PNG")
            (folder / part / f"{k:03d}.png").write_bytes(content.getvalue())
    (folder / "classes.txt").write_text("\n".join(["background", *labels]) + "\n")
    return folder


if __name__ == "__main__":
    main()
