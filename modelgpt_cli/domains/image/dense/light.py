"""Images in other light, to learn from.

Shapes: H, W pixels.
"""

from __future__ import annotations

import numpy as np

LIGHT = 0.25
"""By how much brightness, contrast and saturation are changed at most."""


def relit(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image, uint8 (H, W, 3), with other brightness, contrast and saturation."""
    light, contrast, colour = rng.uniform(1 - LIGHT, 1 + LIGHT, 3).astype(np.float32)
    values = image.astype(np.float32)
    grey = values.mean(2, keepdims=True)
    values = grey + (values - grey) * colour
    mean = values.mean()
    found: np.ndarray = np.clip((mean + (values - mean) * contrast) * light, 0, 255).astype(np.uint8)
    return found
