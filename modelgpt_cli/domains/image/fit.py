"""An image build's numbers: the generator's words made into factors, every labelled image seen once.

The head is solved by `domains.head`. Shapes: N images, E features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.image.backbone import Backbone
from modelgpt_cli.domains.image.preprocess import View, normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import scaling_of
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.domains.shared.head import STRENGTHS, HeadSource
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, Words

BATCH = 64
THUMBNAIL_SIZE = 8


@dataclass(kw_only=True)
class Adapted(HeadSource):
    """A trunk with the generated factors merged in, and what the head is generated from.

    Attributes
    ----------
    trunk : nn.Module
    scaling : Scaling, optional
        Of the features that it was trained with; None where no generator was.
    """

    trunk: nn.Module
    view: View
    scaling: Scaling | None = None
    strengths: tuple[float, ...] = (*STRENGTHS, 1 / 16, 1 / 64)  # images may be far from all that the trunk has seen

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


def thumbnail_model(rows: Images) -> tuple[Any, np.ndarray]:
    """A linear model of a thumbnail's colours, and the thumbnails (N, 3 · 8 · 8) for it to read."""
    from sklearn.linear_model import LogisticRegression

    side = rows.values.shape[-1] // THUMBNAIL_SIZE
    small = torch.nn.functional.avg_pool2d(rows.values.float() / 255, side).flatten(1).numpy()
    # As good as one that has converged, on digits and on 29 classes of 8 images each, where that takes 17 CPU s.
    return LogisticRegression(solver="sag", tol=1e-2, max_iter=200, random_state=0), small
