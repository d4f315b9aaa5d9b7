"""Segmentation: what a prior that was learned from other tasks is worth, against one that knows nothing.

    python -m scripts.benchmarks "dense meta" --report docs/segmentation.md

The head's weights are expected to be of one size for all (standardised) inputs. Here each input has a size of its own,
which is learned from tasks as `dense prior` makes them (empirical Bayes): of four other sets of images, 20 scenes each,
the head is solved, and its squared weights are averaged over classes and tasks. Measured on `dense prior`'s sets, which
took no part: mIoU without what is learned, and with it. Nothing of this ships.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.domains.image.dense import DOMAIN, fit
from modelgpt_cli.domains.image.dense.architectures import NETWORK, card_name, encoder_config
from modelgpt_cli.domains.image.dense.build import SegmentationBuild, shared_map_trunk
from modelgpt_cli.domains.image.dense.maps import View, rooted, scores_of, seen_pixels
from modelgpt_cli.domains.image.dense.model import mask_of
from modelgpt_cli.domains.image.dense.ridge import Standardised
from modelgpt_cli.domains.image.dense.scores import count_pairs, mask_scores

from ..common import make_parser, numbers, provenance, table, write_section
from .bench import SET
from .prior import THINGS, Labelled, draws, written
from .words import GROUNDS, SETS, Photos, scene

LEARNED_FROM = ("caltech_objects", "tiny_household", "flowers5", "trashnet")
SCENES, PRECISION = 20, 0.3
"""Of a task that is learned from, and the precision of its head."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, measure and write the table."""
    parser = make_parser("dense meta", __doc__, "--seed", "--threads", "--report")
    parser.add_argument("--tasks", type=int, default=8, help="of each set that is learned from (default 8)")
    parser.add_argument("--sizes", type=numbers, default=[1, 5, 10], help="labelled images (default 1,5,10)")
    parser.add_argument("--sets", default=f"{SETS[0]},{SETS[2]},{SET}", help="(default: three)")
    parser.add_argument("--test", type=int, default=24, help="test images (default 24)")
    parser.add_argument("--pixels", type=int, default=320, help="of the longer side (default 320)")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    size = torch.stack([squares for k in range(args.tasks) for squares in _learned(args.seed + k, args.pixels)]).mean(0)
    sizes, rows = size.div(size.mean()).sqrt(), []
    for name in args.sets.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            for n, train, test in draws(name, args.seed, args.sizes, args.test, Path(scratch)):
                even = _miou(train, test, args.pixels)
                with _sized(sizes):
                    learned = _miou(train, test, args.pixels)
                rows.append([name, str(n), f"{even:.3f}", f"{learned:.3f}", f"{learned - even:+.3f}"])
                print(*rows[-1], flush=True)
    text = f"{provenance('modelgpt-cli', 'torch')}\n\n"
    text += f"{args.pixels} px; {args.test} test images, seed {args.seed}; {args.tasks} tasks of each of four sets.\n\n"
    text += table(["images of", "labelled", "mIoU, even prior", "learned prior", "gain"], rows)
    print(text)
    if args.report:
        write_section(args.report, "dense meta", text)


@torch.inference_mode()
def _learned(seed: int, pixels: int) -> Iterator[Tensor]:
    """The squared weights of the inputs (P,) of a task of each set, 1 in the mean."""
    grounds = Photos(GROUNDS)
    for name in LEARNED_FROM:
        things, rng = Photos(name), np.random.default_rng([seed, 17])
        labels = [str(label) for label in rng.choice(sorted(things.places), THINGS, replace=False)]
        with tempfile.TemporaryDirectory() as scratch:
            folder = written([scene(things, grounds, labels, rng) for _ in range(SCENES)], labels, Path(scratch))
            solver = _sums(folder, pixels)[0].solver()
        assert solver is not None
        weight, _ = solver.solve(PRECISION)
        squares = (weight * solver.scale.nan_to_num(posinf=0.0)[:, None]).square().sum(1)
        yield squares / squares.mean()


def _sums(folder: Path, pixels: int) -> tuple[fit.SegmentationSums, tuple[str, ...], View]:
    """A folder's sums, its classes, and how images are seen."""
    dataset = load_dataset(folder, task=DOMAIN.task, domain=DOMAIN.name)
    labels = dataset.schema.classes
    wanted = Requirement("Segment images.", task=DOMAIN.task, classes=labels, domain=DOMAIN.name)
    build = SegmentationBuild(wanted, BuildOptions(), card_name(pixels), encoder_config(pixels))
    return build.sums(dataset, shared_map_trunk(NETWORK), []), labels, build.view


@torch.inference_mode()
def _miou(train: Path, test: Sequence[Labelled], pixels: int) -> float:
    sums, labels, view = _sums(train, pixels)
    trunk = shared_map_trunk(NETWORK)
    solved, counts = fit.fit_segmentation(sums, labels), np.zeros((len(labels), len(labels)), np.int64)
    for image, mask in test:
        scores = scores_of(rooted(trunk(seen_pixels(image[None], view))), solved.weight, solved.bias)
        counts += count_pairs(mask, mask_of(scores, *mask.shape)[0], len(labels))
    return mask_scores(counts, labels)[0]["miou"] or 0.0


@contextmanager
def _sized(sizes: Tensor) -> Iterator[None]:
    """Expect weights of these sizes (P,) of standardised inputs."""
    plain = fit.SegmentationSums.solver

    def solver(sums: fit.SegmentationSums, *without: int) -> Standardised | None:
        found = plain(sums, *without)
        if found is not None:
            found.gram *= sizes[:, None] * sizes[None, :]
            found.cross *= sizes[:, None]
            found.scale = found.scale / sizes
        return found

    with mock.patch.object(fit.SegmentationSums, "solver", solver):
        yield


if __name__ == "__main__":
    main()
