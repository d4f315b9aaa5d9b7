"""Segmentation from words alone: what is found of things whose place is known, as they were pasted there.

    python -m scripts.benchmarks "dense words" --report docs/segmentation.md

Images of one thing each (objects15 and the photos of pacs, in the shared data) are pasted onto photographs of
landscapes (weather4), one or two a scene of 320 x 320 pixels, each 90 to 200 pixels long. The whole rectangle counts as
the thing, with what is around it there, so that an exact outline could not reach 1. Boxes around connected regions of a
mask say what a detector from words could be.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

from modelgpt_cli import build
from modelgpt_cli.domains.image.dense.architectures import card_name
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores
from modelgpt_cli.domains.image.dense.words import LEAST, PIXELS, nearest_names
from modelgpt_cli.domains.image.detection.boxes import matched
from modelgpt_cli.runtime.session import Model

from ..common import data_folder, make_parser, numbers, provenance, table, write_section

SETS = ("objects15/catalogue", "objects15/web64", "pacs/photo")
GROUNDS = "weather4"
SIDE = 320
ALONE, BESIDE = (96, 200), (90, 155)
"""Pixels of a thing's longer side: of one in a scene, and of one of two."""
SPECK = 0.003
"""Share of an image."""


class Photos:
    """The images of a set, or of one of its domains, by class."""

    def __init__(self, name: str) -> None:
        archive, _, domain = name.partition("/")
        self._zip = zipfile.ZipFile(data_folder("image") / f"{archive}.zip")
        self.places: dict[str, list[str]] = {}
        for place in sorted(self._zip.namelist()):
            if place.endswith(".jpg") and (not domain or place.startswith(f"{domain}/")):
                self.places.setdefault(place.split("/")[-2], []).append(place)

    def open(self, place: str) -> Image.Image:
        """Return an image."""
        return Image.open(io.BytesIO(self._zip.read(place))).convert("RGB")


def scene(things: Photos, grounds: Photos, labels: Sequence[str], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return a scene, uint8 (H, W, 3), and what each pixel shows, uint8 (H, W): 0 is the ground."""
    ground = grounds.open(str(rng.choice([place for some in grounds.places.values() for place in some])))
    short = min(ground.size)
    canvas = ground.crop((0, 0, short, short)).resize((SIDE, SIDE))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    drawn = rng.permutation(len(labels))[: 1 + int(rng.random() < 0.5)]
    for half, k in enumerate(drawn):
        thing = things.open(str(rng.choice(things.places[labels[k]])))
        longer = rng.integers(*(ALONE if len(drawn) == 1 else BESIDE)) / max(thing.size)
        thing = thing.resize((max(8, int(thing.width * longer)), max(8, int(thing.height * longer))))
        start, end = (0, SIDE) if len(drawn) == 1 else (half * SIDE // 2, (half + 1) * SIDE // 2)
        left = int(rng.integers(start, max(start + 1, end - thing.width)))
        top = int(rng.integers(0, SIDE - thing.height + 1))
        canvas.paste(thing, (left, top))
        mask[top : top + thing.height, left : left + thing.width] = 1 + k
    return np.asarray(canvas), mask


def named_model(classes: Sequence[str], folder: Path, card: str) -> tuple[Path, list[str]]:
    """Build a model of the classes that can be named, and return it with them."""
    nearest = nearest_names(classes)
    kept = [name for name in classes if nearest[name]["likeness"] >= LEAST]
    listed = ", ".join(kept)
    requirement = folder / "words.txt"
    requirement.write_text(f"Find {listed} in photos.\n---\ntask: segmentation\nclasses: [{listed}]\n")
    build(requirement, output=folder / "m.onnx", card=card, force=True)
    return folder / "m.onnx", kept


def boxes_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes (n, 4) around connected regions of a mask that are no mere specks, and their classes (n,)."""
    boxes, labels = [np.zeros((0, 4))], []
    for k in np.unique(mask[mask > 0]).tolist():
        regions, _ = ndimage.label(mask == k)
        for number, (rows, columns) in enumerate(ndimage.find_objects(regions), 1):
            if (regions[rows, columns] == number).sum() >= SPECK * mask.size:
                boxes.append(np.array([[columns.start, rows.start, columns.stop, rows.stop]], np.float64))
                labels.append(k)
    return np.concatenate(boxes), np.array(labels, np.int64)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("dense words", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--scenes", type=int, default=100, help="of each set (default 100)")
    parser.add_argument("--pixels", type=numbers, default=[PIXELS], help="of the longer side (default: the build's)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    grounds, rows = Photos(GROUNDS), []
    with tempfile.TemporaryDirectory() as scratch:
        for name in SETS:
            things = Photos(name)
            for pixels in args.pixels:
                path, kept = named_model(list(things.places), Path(scratch), card_name(pixels))
                rng = np.random.default_rng([args.seed, SETS.index(name)])
                rows.append([f"{name}, {pixels} px", *_measured(path, things, grounds, kept, args.scenes, rng)])
                print(*rows[-1], flush=True)
    header = [
        "things",
        "named",
        "IoU, mean of the named",
        "IoU of the ground",
        "pixels of things found",
        "of pixels told as things, right",
        "things boxed (IoU .5)",
        "of boxes, right",
    ]
    text = f"{provenance('modelgpt-cli', 'torch', 'onnxruntime')}\n\n"
    text += (
        f"{args.scenes} scenes of each set, seed {args.seed}. A model of all of a set's classes that can be named.\n\n"
    )
    text += table(header, rows)
    print(text)
    if args.report:
        write_section(args.report, "dense words", text)


def _measured(
    path: Path, things: Photos, grounds: Photos, kept: Sequence[str], scenes: int, rng: np.random.Generator
) -> list[str]:
    """How many classes are named, and the figures of the table."""
    model = Model(path)
    counts = np.zeros((len(model.labels), len(model.labels)), np.int64)
    right = there = given = 0
    for _ in range(scenes):
        image, mask = scene(things, grounds, kept, rng)
        answer = model.run({"image": [image]})["mask"][0]
        counts += count_pairs(mask, answer, len(model.labels))
        (true, labels), (boxes, told) = boxes_of(mask), boxes_of(answer)
        right += sum(int(matched(boxes[told == k], true[labels == k]).sum()) for k in set(labels.tolist()))
        there, given = there + len(labels), given + len(told)
    _, classes = mask_scores(counts, model.labels)
    iou = [classes[label]["iou"] or 0.0 for label in model.labels]
    found, precise = (counts.diagonal()[1:].sum() / max(1, part[1:].sum()) for part in (counts.sum(1), counts.sum(0)))
    shares = (np.mean(iou[1:]), iou[0], found, precise, right / there, right / max(1, given))
    return [f"{len(kept)} of {len(things.places)}", *(f"{share:.3f}" for share in shares)]


if __name__ == "__main__":
    main()
