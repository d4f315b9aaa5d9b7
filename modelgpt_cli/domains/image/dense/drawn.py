"""Masks drawn from annotations with outlines: the pixels of marked objects as class indices. Beside `masks`.

Shapes: H, W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.objects import Annotations, MarkedImage
from modelgpt_cli.domains.image.annotations.rle import outline_mask
from modelgpt_cli.domains.image.dense.masks import IGNORE, MOST_CLASSES, UNLABELLED, check_size

BACKGROUND = "background"
GROUND = (BACKGROUND, "_background_", "bg")
"""Classes called so are where nothing is marked, too."""


def drawn_classes(annotations: Annotations) -> tuple[str, ...]:
    """Return the classes of drawn masks: background, and those of the objects; not what lists call unlabelled.

    Raises
    ------
    ModelGPTError
        There are too many.
    """
    objects = [label for label in annotations.classes if label.lower() not in (*GROUND, *UNLABELLED)]
    if len(objects) >= MOST_CLASSES:
        raise ModelGPTError(f"{annotations.name} has {len(objects):,} classes; {MOST_CLASSES} can be told apart.")
    return (BACKGROUND, *objects)


class DrawnMasks:
    """Draws the masks of annotated images; reads as `masks.MaskReader` does.

    Objects are drawn in the order of their file, so that later ones cover earlier ones. Pixels of crowds, and those in
    boxes of objects without an outline, belong to no class.

    Parameters
    ----------
    annotations : Annotations
    labels : sequence of str
        The classes by index.

    Raises
    ------
    ModelGPTError
        The annotations have a class that is not among them.
    """

    def __init__(self, annotations: Annotations, labels: Sequence[str]) -> None:
        self._images = {image.place: image for image in annotations.images}
        own = {label: k for k, label in enumerate(labels)}
        ground = next((own[label] for label in labels if label.lower() in GROUND), None)
        if ground is None:
            raise ModelGPTError(
                f"The model has no class {BACKGROUND!r}, which {annotations.name} has wherever nothing is marked.",
                f"Its classes: {', '.join(labels[:20])}.",
                "Give images with masks.",
            )
        self._ground = ground
        self._index: list[int] = []
        for label in annotations.classes:
            if label.lower() in UNLABELLED:
                self._index.append(IGNORE)
            elif label in own or label.lower() in GROUND:
                self._index.append(own.get(label, ground))
            else:
                raise ModelGPTError(
                    f"{annotations.name} has the class {label!r}, which the model doesn't have.",
                    f"Its classes: {', '.join(labels[:20])}.",
                    "Give images with the model's classes.",
                )

    def read(self, place: str, size: tuple[int, int]) -> np.ndarray:
        """Draw the mask of the image at a place, uint8 (H, W).

        Parameters
        ----------
        size : (int, int)
            Height and width of the image.

        Raises
        ------
        ModelGPTError
            The annotations are of another size; or a mask among them is damaged.
        """
        image = self._images[place]
        check_size(f"of {place}", image.size, (size[1], size[0]))
        return self.draw(image)

    def draw(self, image: MarkedImage) -> np.ndarray:
        """Draw the mask of an image, uint8 (H, W)."""
        mask = np.full((image.size[1], image.size[0]), self._ground, np.uint8)
        for one in image.objects:
            if one.outline is None and one.box is not None:
                left, top, right, bottom = (round(edge) for edge in one.box)
                mask[top:bottom, left:right] = IGNORE
        for one in image.objects:
            if one.outline is not None:
                mask[outline_mask(one.outline, image.size)] = IGNORE if one.crowd else self._index[one.label]
        return mask
