"""An image model without its preprocessing, from pixels of one size on. Follows `deployment.numeric.Core`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor, nn

from modelgpt_cli.deployment.numeric import Inner
from modelgpt_cli.domains.image.feed import IMAGE
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.onnx_pixels import PIXELS
from modelgpt_cli.domains.image.preprocess import LONGEST, View, normalise, pixels
from modelgpt_cli.runtime.session import Model


def inner(model: Model) -> Sequence[Inner]:
    """Return the pixels that the network sees, (N, 3, S, S), 0 to 255."""
    view = View.of(model.metadata["image"])
    how = {
        "kind": "pixels",
        "layout": "NCHW",
        "colours": "RGB",
        "range": [0, 255],
        "resize": {
            "short_side": view.resize,
            "filter": "bilinear, antialiased, as Pillow's; across, then down, each rounded to whole numbers",
        },
        "crop": {"size": view.size, "place": "centre"},
        "longest": f"Of an image more than {LONGEST} times as long as it is wide, the middle of that length is taken.",
    }

    def make(images: np.ndarray) -> np.ndarray:
        found: np.ndarray = pixels(images, view).numpy().astype(np.float32)
        return found

    return [Inner(PIXELS, IMAGE, ("N", 3, view.size, view.size), how, make)]


def network(target: ImageModel) -> nn.Module:
    """Return the network from pixels, float (N, 3, S, S), 0 to 255, to probabilities (N, C)."""
    return _Network(target)


class _Network(nn.Module):
    def __init__(self, model: ImageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, values: Tensor) -> Tensor:
        return self.model.answers(normalise(values, self.model.view))
