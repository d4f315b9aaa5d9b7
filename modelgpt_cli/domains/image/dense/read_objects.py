"""Images whose masks are drawn from annotations with outlines. Behind `read`."""

from __future__ import annotations

import hashlib
import logging

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image.annotations.objects import Annotations
from modelgpt_cli.domains.image.annotations.table import digest_image, refuse_other_task
from modelgpt_cli.domains.image.decode import ImageError
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.coding import Classes
from modelgpt_cli.domains.image.dense.dataset import (
    IMAGE,
    MASK,
    ReadScenes,
    check_two_classes,
    common_warnings,
    commonest,
    make_scenes,
    shares_told,
)
from modelgpt_cli.domains.image.dense.drawn import DrawnMasks, drawn_classes
from modelgpt_cli.domains.image.dense.masks import IGNORE, INDEX, Coding, upright_size
from modelgpt_cli.domains.image.source import shown_reasons

log = logging.getLogger("modelgpt")


def read_objects(source: Source, annotations: Annotations) -> Dataset:
    """Read annotated images, each once, and draw their masks.

    Raises
    ------
    ModelGPTError
        None can be read, or there is one class only.
    UsageError
        No object has an outline, or the requirement names other classes.
    """
    name, images = annotations.name, annotations.part("train")
    objects = [one for image in images for one in image.objects]
    if not any(one.outline is not None for one in objects):
        raise refuse_other_task(annotations, DOMAIN.task, "outlines")
    names = drawn_classes(annotations)
    coding = Coding(INDEX, tuple(range(len(names))), (IGNORE,))
    labels = Classes(names, coding, named=True).renamed(source.classes, name).names
    drawn = DrawnMasks(annotations, labels)
    pixels, digest = np.zeros(IGNORE + 1, np.int64), hashlib.sha256()
    sizes: list[tuple[int, int]] = []
    places: list[str] = []
    reasons: dict[str, str] = {}
    with progress("draw masks", len(images), "masks") as advance:
        for image in images:
            advance(1)
            try:
                content = annotations.files.open(image.place)
                upright_size(content)
            except ImageError as error:
                reasons[image.place] = error.reason
                continue
            pixels += np.bincount(drawn.draw(image).reshape(-1), minlength=IGNORE + 1)
            digest_image(digest, image, content)
            places.append(image.place)
            sizes.append(image.size)
    if not places:
        raise ModelGPTError(
            f"None of the {len(images):,} annotated images of {name} can be read.",
            f"{shown_reasons(list(reasons), reasons)}.",
            "Look at the files.",
        )
    counts = {label: int(pixels[k]) for k, label in enumerate(labels)}
    check_two_classes(name, counts)
    warnings = [*annotations.notes, *common_warnings(len(places), reasons, counts)]
    if boxes := sum(one.outline is None and one.box is not None for one in objects):
        warnings.append(f"{boxes:,} objects have a box and no outline: nothing is learned from the pixels inside.")
    frame = pd.DataFrame({IMAGE: places, MASK: places}, dtype=object)
    read_scenes = ReadScenes(annotations.files, coding, commonest(sizes), sum(counts.values()), drawn)
    log.info("%s (%s): %s", name, annotations.format, shares_told(sizes, counts))
    return make_scenes(source, frame, labels, counts, warnings, f"sha256:{digest.hexdigest()}", read_scenes)
