"""An image build's numbers: the generator's words made into factors, every labelled image seen once.

The head is solved by `domains.head`. Shapes: N images, E features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import scaling_of
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.domains.shared.head import STRENGTHS, HeadSource, with_bias
from modelgpt_cli.domains.shared.scaling import Scaling, spread
from modelgpt_cli.parameter_generator.adapter import PRECISION, AdapterGenerator, HeadPrior, Words
from modelgpt_cli.parameter_generator.logistic import posterior

BATCH = 64
MANY = 5
"""From so many images of a class on, in the mean, the precision is the usual one. The generated one was learned from
few images, and from inputs that vary as is usual. On sets that meta-training may see: with 1 image the usual one is
worse by 1.3 points where words say most (`caltech_objects`), and as good on five others; with 4 as good on five; with
8, over five, better by .6, with 32, over four, by .9 at a log loss that is lower by .023."""
THUMBNAIL_SIZE = 8
LOOSE = 1e-2
"""Precision of the linear baseline's intercept, which is as good as free."""


@dataclass(kw_only=True)
class ImageHead(HeadSource):
    """What the head of a model of images is generated from.

    Attributes
    ----------
    scaling : Scaling, optional
        Of the features that the generator was trained with; None where there is none.
    start : (Tensor (E, C), Tensor (C,)), optional
        A head on features to go on from, instead of a generated one.
    """

    scaling: Scaling | None = None
    start: tuple[Tensor, Tensor] | None = None
    strengths: tuple[float, ...] = (*STRENGTHS, 1 / 16, 1 / 64)  # images may be far from all that the trunk has seen

    @torch.inference_mode()
    def prior(self, phi: Tensor | None, target: Tensor | None, n_inputs: int) -> HeadPrior:
        """The generated head, its precision that of inputs which vary as these do; of many images the usual one."""
        if self.start is None:
            found = super().prior(phi, target, n_inputs)
            if self.generator is not None and target is not None and _images_per_class(target) >= MANY:
                found.precision = self.generator.usual_precision(self.words.pair)
        else:
            assert self.scaling is not None
            found = HeadPrior(self.scaling.unfolded(*self.start), torch.full((n_inputs + 1,), PRECISION))
        if phi is not None:
            found.precision[:-1] *= spread(phi)
        return found


@dataclass(kw_only=True)
class Adapted(ImageHead):
    """A trunk with the generated factors merged in, and what the head is generated from.

    Attributes
    ----------
    trunk : nn.Module
    """

    trunk: nn.Module
    view: View

    @torch.inference_mode()
    def features(self, rows: Images) -> Tensor:
        """Features of all images, (N, E) float32."""
        device = next(self.trunk.parameters()).device
        trunk, parts = folded(self.trunk), []
        with progress("embed images", len(rows.values), "images") as advance:
            for part in rows.values.split(BATCH):
                values = normalise(part.to(device), self.view).contiguous(memory_format=torch.channels_last)
                parts.append(trunk(values).cpu())
                advance(len(part))
        return torch.cat(parts)


@torch.inference_mode()
def adapt(backbone: Backbone, generator: AdapterGenerator | None, words: Words, *, device: str = "cpu") -> Adapted:
    """Let the generator write the factors, and merge them into a copy of the backbone."""
    lora, tokens = generator.adapt(words) if generator is not None else ({}, None)
    return Adapted(
        trunk=backbone.merge(lora).to(device),
        view=View.of(backbone.card.encoder_config()),
        scaling=scaling_of(generator) if generator is not None else None,
        words=words,
        generator=generator,
        tokens=tokens,
    )


def _images_per_class(target: Tensor) -> float:
    """How many images a class has, of those that have any, in the mean."""
    counts = target.sum(0)
    return float(counts.sum() / (counts > 0).sum().clamp(min=1))


class LinearModel:
    """Logistic regression as scikit-learn's default has it, with its methods, solved as heads are.

    To import scikit-learn for it takes longer than to learn from a few hundred thumbnails.

    Attributes
    ----------
    classes_ : int64 (C,)
    """

    classes_: np.ndarray

    def fit(self, inputs: np.ndarray, y: np.ndarray) -> LinearModel:
        """Learn from inputs (n, p) and class numbers (n,).

        Raises
        ------
        ValueError
            There is one class only.
        """
        self.classes_, codes = np.unique(y, return_inverse=True)
        C = len(self.classes_)
        if C < 2:
            raise ValueError("There is one class only.")
        phi = with_bias(torch.from_numpy(inputs))
        target = torch.nn.functional.one_hot(torch.from_numpy(codes), C).float()
        # Of two classes scikit-learn has one column of weights, which is the difference of two.
        precision = torch.full((phi.shape[1],), 2.0 if C == 2 else 1.0)
        precision[-1] = LOOSE
        self._weight = posterior(phi, target, torch.zeros(phi.shape[1], C), precision, regression=False)
        return self

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """Probabilities (n, C)."""
        found: np.ndarray = (with_bias(torch.from_numpy(inputs)) @ self._weight).softmax(1).numpy()
        return found


def thumbnail_model(rows: Images) -> tuple[LinearModel, np.ndarray]:
    """A linear model of a thumbnail's colours, and the thumbnails (N, 3 · 8 · 8) for it to read."""
    side = rows.values.shape[-1] // THUMBNAIL_SIZE
    small = [torch.nn.functional.avg_pool2d(part / 255, side).flatten(1) for part in rows.values.split(BATCH)]
    return LinearModel(), torch.cat(small).numpy()
