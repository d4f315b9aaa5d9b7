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
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.dense import DOMAIN, fit
from modelgpt_cli.domains.image.dense.architectures import NETWORK, card_name, encoder_config
from modelgpt_cli.domains.image.dense.build import SegmentationBuild, shared_map_trunk
from modelgpt_cli.domains.image.dense.maps import prior_scores, rooted, scores_of, seen_pixels
from modelgpt_cli.domains.image.dense.model import mask_of
from modelgpt_cli.domains.image.dense.ridge import Standardised
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores
from modelgpt_cli.domains.image.dense.words import LEAST, name_prior, nearest_names

from ..common import data_folder, make_parser, numbers, provenance, table, write_section
from .bench import SET, extract, n_pairs
from .words import GROUNDS, SETS, Photos, scene

Labelled = tuple[np.ndarray, ...]
"""An image uint8 (H, W, 3), and its mask uint8 (H, W)."""
THINGS = 4
"""Of a task."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the table."""
    parser = make_parser("dense prior", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--sizes", type=numbers, default=[1, 2, 5, 10], help="labelled images (default 1,2,5,10)")
    parser.add_argument("--sets", default=f"{SETS[0]},{SETS[2]},{SET}", help="(default: three)")
    parser.add_argument("--draws", type=int, default=1, help="of things and scenes, or of images (default 1)")
    parser.add_argument("--test", type=int, default=24, help="test images of each draw (default 24)")
    parser.add_argument("--pixels", type=int, default=320, help="of the longer side (default 320)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    rows = []
    for name in args.sets.split(","):
        found: dict[int, list[tuple[float, ...]]] = {size: [] for size in args.sizes}
        for draw in range(args.draws):
            with tempfile.TemporaryDirectory() as scratch:
                for size, train, test in draws(name, args.seed + draw, args.sizes, args.test, Path(scratch)):
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


solve = cache(Standardised.solve)


@torch.inference_mode()
def _compared(train: Path, test: Sequence[Labelled], pixels: int) -> tuple[float, ...]:
    """The mIoU without names and with them, and how strong they count."""
    dataset = load_dataset(train, task=DOMAIN.task, domain=DOMAIN.name)
    labels, trunk = dataset.schema.classes, shared_map_trunk(NETWORK)
    wanted = Requirement("Segment images.", task=DOMAIN.task, classes=labels, domain=DOMAIN.name)
    build = SegmentationBuild(wanted, BuildOptions(), card_name(pixels), encoder_config(pixels))
    known = name_prior(labels, NETWORK)
    prior = None if known is None else known[0]
    sums, found = build.sums(dataset, trunk, [], prior=prior), []
    sums.solver = cache(sums.solver)  # type: ignore[method-assign]  # what both solve takes most of the time
    for strengths in ((0.0,) * len(fit.STRENGTHS), fit.STRENGTHS):
        with mock.patch.object(fit, "STRENGTHS", strengths), mock.patch.object(Standardised, "solve", solve):
            solved = fit.fit_segmentation(sums, labels)
        counts = np.zeros((len(labels), len(labels)), np.int64)
        for image, mask in test:
            maps = trunk(seen_pixels(image[None], build.view))
            scores = scores_of(rooted(maps), solved.weight, solved.bias)
            if solved.strength is not None and prior is not None:
                scores = scores + prior_scores(prior, solved.strength, maps)
            counts += count_pairs(mask, mask_of(scores, *mask.shape)[0], len(labels))
        found.append(mask_scores(counts, labels)[0]["miou"] or 0.0)
    solve.cache_clear()
    return (*found, solved.chosen.strength)


def draws(
    name: str, seed: int, sizes: Sequence[int], n_test: int, root: Path
) -> Iterator[tuple[int, Path, Sequence[Labelled]]]:
    """Yield numbers of labelled images, folders with so many, and the test images."""
    if name == SET:
        archive = data_folder("dense") / f"{SET}.zip"
        places = np.linspace(0, n_pairs(archive, "test") - 1, n_test).astype(int)
        folder = extract(archive, "test", places.tolist(), root / "test_part") / "test"
        images, masks = (sorted((folder / part).iterdir()) for part in ("images", "masks"))
        test = [(np.asarray(Image.open(a)), np.asarray(Image.open(b))) for a, b in zip(images, masks, strict=True)]
        order = np.random.default_rng(seed).permutation(n_pairs(archive, "train"))
        for size in sizes:
            yield size, extract(archive, "train", np.sort(order[:size]).tolist(), root / str(size)), test
        return
    things, grounds, rng = Photos(name), Photos(GROUNDS), np.random.default_rng([seed, 7])
    nearest = nearest_names(list(things.places))
    known = [label for label in things.places if nearest[label]["likeness"] >= LEAST]
    labels = [str(label) for label in rng.choice(known, THINGS, replace=False)]
    scenes = [scene(things, grounds, labels, rng) for _ in range(max(sizes) + n_test)]
    for size in sizes:
        yield size, written(scenes[:size], labels, root / str(size)), scenes[max(sizes) :]


def written(scenes: Sequence[Labelled], labels: Sequence[str], folder: Path) -> Path:
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
