"""Segmentation's network and head trained together, by cross-entropy of the pixels of random crops; see `tune`.

Training begins with the head that was solved in closed form. Its weights are learned of inputs divided by their spread,
so that one rate suits all.
Shapes: N crops, H, W pixels of an image, S pixels a side of a crop, P head inputs, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from time import monotonic

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.dense.light import relit
from modelgpt_cli.domains.image.dense.loop import Group, TunedTrunk, descend
from modelgpt_cli.domains.image.dense.maps import COARSEST, N_INPUTS, MapTrunk, View, scores_of, seen_pixels
from modelgpt_cli.domains.image.dense.masks import IGNORE
from modelgpt_cli.training.tune import TuneSettings

LR = 1.5e-4
"""AdamW's highest rate for the network. With ten street scenes, 150 steps brought the mIoU of others from .480 to .530
at 7e-5 and 1.5e-4, .518 at 4e-4 and .482 at 1e-3; more of what was tried is in docs/segmentation.md."""
HEAD_LR = 3.0
"""The head's, as a multiple: 5e-4 was better than 1e-4 and 2e-3 (.518, .499, .510, the network at 4e-4)."""
WEIGHT_DECAY = 1e-4
BATCH = 4
WARM_UP = 0.1
"""Share of the steps over which the rate rises; then it falls as a cosine to zero."""
SCALES = (0.5, 2.0)
"""Of the size at which images are segmented; a crop is never wider or higher than its image. At .75 to 1.5 the mIoU was
.495 instead of .518."""
ALONE = 0.6
"""Share of the steps that are made without the images that judge."""
CROPS, LEAST_CROPS, MOST_CROPS = 12, 600, 3000
"""Crops of an image in an epoch, and between how many all crops of an epoch are. More images take more steps: with 123
street scenes the mIoU of others was .574 after 300 steps and .599 after 1,000, with 40 it was .562 after 600 and .561
after 1,000."""
PASS = 3
"""Crops of an image, which together have about as many pixels as it is seen with, that an epoch has at least."""
MOST_BYTES = 500_000_000
"""Of images that are kept in memory; others are read anew each time."""

Labelled = tuple[np.ndarray, np.ndarray]
"""An image, uint8 (H, W, 3), and its mask, uint8 (H, W)."""


def random_crop(image: np.ndarray, mask: np.ndarray, longest: int, side: int, rng: np.random.Generator) -> Labelled:
    """Cut a square out of an image, uint8 (H, W, 3), and its mask, (H, W); resized, mirrored and lit at random.

    Parameters
    ----------
    longest : int
        Pixels of an image's longer side at which it is segmented; see `SCALES`.
    side : int
        S, of the crop.
    """
    height, width = mask.shape
    scale = np.exp(rng.uniform(*np.log(SCALES))) * longest / max(height, width)
    cut = min(side / scale, height, width)
    left, top = rng.uniform(0, width - cut), rng.uniform(0, height - cut)
    box, size = (left, top, left + cut, top + cut), (side, side)
    seen = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR, box))
    wanted = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST, box))
    if rng.random() < 0.5:
        seen, wanted = seen[:, ::-1], wanted[:, ::-1]
    return relit(np.ascontiguousarray(seen), rng), np.ascontiguousarray(wanted)


class Crops:
    """Random crops of images, resized, mirrored and lit.

    Parameters
    ----------
    read : callable
        Gives the k-th image and mask; raises `ImageError`.
    """

    def __init__(self, read: Callable[[int], Labelled], view: View, rng: np.random.Generator) -> None:
        self._read, self._size, self._rng = read, view.size, rng
        self.side = max(COARSEST, round(view.size / 2 / COARSEST) * COARSEST)
        self.view = View(self.side, view.mean, view.std)
        self._kept: dict[int, Labelled | None] = {}
        self._bytes = 0

    def draw(self, k: int) -> Labelled | None:
        """A crop of the k-th image, uint8 (S, S, 3), and of its mask, (S, S); None where that can't be read."""
        if (pair := self._pair(k)) is None:
            return None
        return random_crop(*pair, self._size, self.side, self._rng)

    def _pair(self, k: int) -> Labelled | None:
        if k in self._kept:
            return self._kept[k]
        pair: Labelled | None = None
        try:
            pair = self._smaller(*self._read(k))
        except ImageError:
            self._kept[k] = None
            return None
        size = pair[0].nbytes + pair[1].nbytes
        if self._bytes + size <= MOST_BYTES:
            self._kept[k] = pair
            self._bytes += size
        return pair

    def _smaller(self, image: np.ndarray, mask: np.ndarray) -> Labelled:
        """No larger than crops are made of."""
        height, width = mask.shape
        share = SCALES[1] * self._size / max(height, width)
        if share >= 1:
            return image, mask
        size = max(1, round(width * share)), max(1, round(height * share))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        return image, np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


class JointTuning:
    """Trains copies of a network and a head.

    Parameters
    ----------
    counts : Tensor (C,)
        How much a pixel of each class counts.
    """

    def __init__(self, trunk: MapTrunk, counts: Tensor, crops: Crops, settings: TuneSettings) -> None:
        self._crops, self._settings, self._counts = crops, settings, counts.to(settings.device)
        self._network = TunedTrunk(trunk, settings.device)
        self._rng = np.random.default_rng([settings.seed, 83])
        self.begin((torch.zeros(N_INPUTS, len(counts)), torch.zeros(len(counts))), torch.ones(N_INPUTS))

    def begin(self, head: tuple[Tensor, Tensor], spread: Tensor) -> None:
        """Begin with a head, weight (P, C) and bias (C,), whose scores are logits; its inputs' spread is (P,)."""
        device = self._settings.device
        self._start, self._spread = head, spread[:, None].to(device)
        self._weight = nn.Parameter(head[0].to(device) * self._spread)
        self._bias = nn.Parameter(head[1].to(device).clone())

    @property
    def batch(self) -> int:
        """Crops of a step."""
        return self._settings.batch_size or BATCH

    def steps(self, images: int) -> int:
        """Steps of an epoch of so many images."""
        crops = max(PASS * images, min(max(CROPS * images, LEAST_CROPS), MOST_CROPS))
        return -(-crops // self.batch)

    def seconds(self, images: np.ndarray) -> float | None:
        """How long a step takes; None where none of the images can be read."""
        found = None
        for _ in range(2):  # the first time takes longer
            start = monotonic()
            if (loss := self._loss(self._rng.choice(images, self.batch).tolist())) is not None:
                loss.backward()
                found = monotonic() - start
        for parameter in (*self._network.parameters, self._weight, self._bias):
            parameter.grad = None
        return found

    def run(self, others: np.ndarray, everything: np.ndarray, steps: int, better: Callable[[], bool]) -> bool:
        """Train by crops of images in so many steps, most without those that judge.

        Parameters
        ----------
        others, everything : int64 (n,), int64 (N,)
            Images to begin with, and all.
        better : callable
            Asked after `ALONE` of the steps whether the model has gained; if not, no more are made.

        Returns
        -------
        bool
            What that said.
        """
        rate, first, said = self._settings.lr or LR, math.ceil(ALONE * steps), False

        def losses() -> Iterator[tuple[int, Tensor | None]]:
            nonlocal said
            for batch in self._batches(others, first):
                yield self.batch, self._loss(batch)
            if said := better():
                for batch in self._batches(everything, steps - first):
                    yield self.batch, self._loss(batch)

        descend(
            [Group(self._network.parameters, rate), Group([self._weight, self._bias], HEAD_LR * rate)],
            losses(),
            steps=steps,
            images=steps * self.batch,
            decay=self._settings.decay(WEIGHT_DECAY),
            warm_up=WARM_UP,
        )
        return said

    def trained(self, share: float = 1.0) -> tuple[MapTrunk, Tensor, Tensor]:
        """The network and the head, weight (P, C) and bias (C,), so far on the way from what they were, on the CPU."""
        (old, shift), new = self._start, (self._weight / self._spread).detach().cpu()
        return (
            self._network.trunk(share),
            torch.lerp(old, new, share),
            torch.lerp(shift, self._bias.detach().cpu(), share),
        )

    def _batches(self, images: np.ndarray, steps: int) -> Iterator[list[int]]:
        """Yield the images of each step: all in turn, in another order each time."""
        waiting: list[int] = []
        for _ in range(steps):
            while len(waiting) < self.batch:
                waiting += self._rng.permutation(images).tolist()
            yield waiting[: self.batch]
            waiting = waiting[self.batch :]

    def _loss(self, images: list[int]) -> Tensor | None:
        """Cross-entropy of each labelled pixel of a crop of each image: (); None where none can be read."""
        pairs = [pair for k in images if (pair := self._crops.draw(k)) is not None]
        if not pairs:
            return None
        seen = torch.cat([seen_pixels(image[None], self._crops.view) for image, _ in pairs])
        wanted = torch.from_numpy(np.stack([mask for _, mask in pairs])).long().to(self._counts.device)
        scores = scores_of(self._network.maps(seen), self._weight / self._spread, self._bias)
        logits = F.interpolate(scores, wanted.shape[1:], mode="bilinear", align_corners=False)
        lost = F.cross_entropy(logits, wanted, self._counts, ignore_index=IGNORE, reduction="sum")
        counted: Tensor = self._counts[wanted[wanted != IGNORE]].sum()
        return lost / counted.clamp(min=1e-6)
