"""The target model of detection: an image in, boxes with classes and scores out.

Two looks. The first scores each place: is it the centre of a thing of a class, and how far are its edges. The second
reads what is inside the best boxes, moves them, reads again and scores them.
Shapes: H, W pixels, h, w places, P head inputs, R inputs of a box, C classes, K candidates, M boxes found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.image.dense.maps import View, make_map_trunk, rooted, scores_of, seen_pixels
from modelgpt_cli.domains.image.detection.boxes import suppressed
from modelgpt_cli.domains.image.detection.feed import IMAGE
from modelgpt_cli.domains.image.detection.regions import boxes_at, inside, moved, projected, region_inputs
from modelgpt_cli.domains.image.trunks import trunk_tensors
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT

VIEW_COLUMN = Column(IMAGE, "image", role="view")
"""The one column of a blueprint of this domain."""
PEAK = 3
"""Places a side: a candidate is the best of so many around it."""
LOW = -1e4
"""The score of a place that is no peak."""
TENSORS = (
    "regions.near.weight", "regions.near.bias", "regions.far.weight", "regions.far.bias", "regions.move.weight",
    "regions.move.bias", "regions.score.weight", "regions.score.bias", "regions.sizes", "regions.certainty",
)  # fmt: skip


@dataclass(frozen=True)
class Decoding:
    """How candidates become answers.

    Attributes
    ----------
    candidates : int
        K: so many places are looked at twice.
    overlap : float
        IoU: of two boxes of a class that overlap by more, the better one is kept.
    least : float
        Boxes of a lower score are no answers at all.
    shown : float
        Boxes of a lower score are measured, but not shown to people.
    """

    candidates: int
    overlap: float
    least: float
    shown: float

    @classmethod
    def of(cls, decoding: Mapping[str, float]) -> Decoding:
        """From a blueprint's `decoding`."""
        return cls(
            int(decoding["candidates"]), float(decoding["overlap"]), float(decoding["least"]), float(decoding["shown"])
        )

    def to_dict(self) -> dict[str, float]:
        """As JSON."""
        return {
            "candidates": self.candidates,
            "overlap": self.overlap,
            "least": self.least,
            "shown": self.shown,
        }


@dataclass
class Heads:
    """All that is solved for a detector.

    Attributes
    ----------
    place : (P, C + 4) and (C + 4,)
        First look: each class, and distances to the left, top, right and bottom edge.
    near, far : (240, 48) and (48,), (672, 64) and (64,)
        Projections of the maps at strides of 8 and 16.
    move : (R, 4) and (4,)
    score : (R, C) and (C,)
    sizes : (C, 2)
        Usual width and height of each class, in places.
    certainty : (C, 3)
        Of a logistic regression: weights of the second and the first look's score, and the rest.
    """

    place: tuple[Tensor, Tensor]
    near: tuple[Tensor, Tensor]
    far: tuple[Tensor, Tensor]
    move: tuple[Tensor, Tensor]
    score: tuple[Tensor, Tensor]
    sizes: Tensor
    certainty: Tensor

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Heads:
        """From a model's state."""
        values = [state[name].float() for name in TENSORS]
        pairs = [(values[i], values[i + 1]) for i in range(0, 8, 2)]
        return cls((state[HEAD_WEIGHT].float(), state[HEAD_BIAS].float()), *pairs, *values[8:])  # type: ignore[arg-type]

    def state(self) -> dict[str, Tensor]:
        """As `of` takes them."""
        values = (*self.near, *self.far, *self.move, *self.score, self.sizes, self.certainty)
        found = {HEAD_WEIGHT: self.place[0], HEAD_BIAS: self.place[1], **dict(zip(TENSORS, values, strict=True))}
        return {name: value.contiguous() for name, value in found.items()}


def first_look(maps: Sequence[Tensor], heads: Heads) -> Tensor:
    """Scores and distances of each place, (1, C + 4, h, w), of rooted maps."""
    return scores_of(maps, *heads.place)


def peak_line(scores: Tensor, classes: int) -> Tensor:
    """Scores of the places, class by class in one row, (C h w,): `LOW` where one around a place beats it."""
    heat = scores[:, :classes]
    best = F.max_pool2d(heat, PEAK, 1, PEAK // 2) == heat
    return torch.where(best, heat, torch.full_like(heat, LOW)).reshape(-1)


def peaks(scores: Tensor, classes: int, most: int) -> Tensor:
    """The best places of that row, int64 (K,), the best first."""
    line = peak_line(scores, classes)
    return line.topk(min(most, len(line))).indices


def first_boxes(scores: Tensor, chosen: Tensor, heads: Heads) -> tuple[Tensor, Tensor]:
    """Boxes (K, 4) in places, and the first look's scores (K, C), of chosen places."""
    classes = len(heads.sizes)
    height, width = scores.shape[2:]
    label, place = chosen // (height * width), chosen % (height * width)
    read = scores[0].flatten(1)[:, place].T  # (K, C + 4)
    boxes = boxes_at(place // width, place % width, read[:, classes:], heads.sizes[label])
    return inside(boxes, height, width), read[:, :classes]


def second_look(maps: Sequence[Tensor], boxes: Tensor, heads: Heads) -> tuple[Tensor, Tensor]:
    """Boxes moved, (K, 4), and the scores of what is inside them then, (K, C)."""
    height, width = maps[0].shape[2:]
    components = projected(maps, *zip(heads.near, heads.far, strict=True))
    moves = region_inputs(components, boxes) @ heads.move[0] + heads.move[1]
    boxes = inside(moved(boxes, moves), height, width)
    return boxes, region_inputs(components, boxes) @ heads.score[0] + heads.score[1]


def certain(first: Tensor, second: Tensor, certainty: Tensor) -> Tensor:
    """How likely each box is right, (K, C), by the scores of both looks, (K, C) each."""
    return (second * certainty[:, 0] + first * certainty[:, 1] + certainty[:, 2]).sigmoid()


def kept_rows(boxes: np.ndarray, scores: np.ndarray, decoding: Decoding) -> tuple[np.ndarray, np.ndarray]:
    """Which candidates (M,) are kept, of boxes (K, 4) and scores (K, C), as which classes (M,), the best first."""
    found = [np.empty((0, 2), np.int64)]
    for label in range(scores.shape[1]):
        rows = np.flatnonzero(scores[:, label] > decoding.least)
        rows = rows[suppressed(boxes[rows], scores[rows, label], decoding.overlap)]
        found.append(np.stack([rows, np.full(len(rows), label)], 1))
    rows, labels = np.concatenate(found).T
    order = np.argsort(-scores[rows, labels], kind="stable")
    return rows[order], labels[order]


def kept(boxes: np.ndarray, scores: np.ndarray, decoding: Decoding) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (M, 4), scores (M,) and classes int64 (M,) of candidates (K, 4) and (K, C), the best first."""
    rows, labels = kept_rows(boxes, scores, decoding)
    return boxes[rows], scores[rows, labels], labels


class DetectionModel(nn.Module):
    """A convolutional network, as it was trained, with two looks at its maps.

    Parameters
    ----------
    blueprint : Blueprint
        `architecture.encoder` has the network and its `View`; `decoding` is a `Decoding`.
    state : mapping of str to Tensor
        ``backbone.*``, and what `Heads.state` gives.
    """

    def __init__(self, blueprint: Blueprint, state: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.blueprint = blueprint
        encoder = blueprint.architecture.encoder
        self.view, self.decoding = View.of(encoder), Decoding.of(blueprint.decoding)
        self.trunk = make_map_trunk(
            encoder["network"], {name: value for name, value in state.items() if name.startswith(BACKBONE)}
        )
        self.heads = Heads.of(state)
        self.eval()

    @property
    def classes(self) -> int:
        """C."""
        return len(self.heads.sizes)

    def state(self) -> dict[str, Tensor]:
        """Parameters and BatchNorm's buffers, as `__init__` takes them."""
        return trunk_tensors(self.trunk) | self.heads.state()

    def extras(self) -> dict[str, str]:
        """Return nothing: tensors and blueprint are all there is."""
        return {}

    def empty_rows(self) -> np.ndarray:
        """Return one black image, uint8 (1, 1, 1, 3)."""
        return np.zeros((1, 1, 1, 3), dtype=np.uint8)

    @property
    def target_std(self) -> float:
        """1: nothing is scaled."""
        return 1.0

    @torch.inference_mode()
    def maps(self, image: np.ndarray) -> list[Tensor]:
        """Rooted maps (1, c, h, w) of an image, uint8 (H, W, 3)."""
        return rooted(self.trunk(seen_pixels(image[None], self.view)))

    @torch.inference_mode()
    def candidates(
        self, maps: Sequence[Tensor], scores: Tensor, chosen: Tensor, height: int, width: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (K, 4) in the image's pixels, and how likely each is right as a thing of each class, (K, C)."""
        boxes, first = first_boxes(scores, chosen, self.heads)
        boxes, second = second_look(maps, boxes, self.heads)
        pixels = boxes * pixels_per_place(height, width, *maps[0].shape[2:])
        return pixels.numpy(), certain(first, second, self.heads.certainty).numpy()

    @torch.inference_mode()
    def forward(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Boxes (M, 4), scores (M,) and classes (M,) of an image, uint8 (H, W, 3)."""
        maps = self.maps(image)
        scores = first_look(maps, self.heads)
        chosen = peaks(scores, self.classes, self.decoding.candidates)
        return kept(*self.candidates(maps, scores, chosen, *image.shape[:2]), self.decoding)

    def predict(self, images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
        """How many things of each class are shown to people, float32 (N, C)."""
        found = [self.forward(image) for image in images]
        counts = [
            np.bincount(labels[scores >= self.decoding.shown], minlength=self.classes) for _, scores, labels in found
        ]
        return np.array(counts, dtype=np.float32).reshape(len(images), self.classes)


def pixels_per_place(height: int, width: int, high: int, wide: int) -> Tensor:
    """How many pixels of an image a place is wide and high, twice: float32 (4,)."""
    return torch.tensor([width / wide, height / high] * 2, dtype=torch.float32)


def load(blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path) -> DetectionModel:
    """Rebuild a model from what its file holds; see `artifacts.target_model.Models`.

    Raises
    ------
    ModelGPTError
        The network can't be rebuilt.
    """
    return DetectionModel(blueprint, state)
