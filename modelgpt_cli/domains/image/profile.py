"""What there is to say of images: how they look, and a sheet of some. Behind `profile` and `offline`."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.contact_sheet import MOST_SHOWN, contact_sheet, sheet_size
from modelgpt_cli.domains.image.decode import ImageError, decode_image, image_size
from modelgpt_cli.domains.image.folder import IMAGE
from modelgpt_cli.domains.image.looks import BLUR_SIDE, Looks, Marks, mark_image
from modelgpt_cli.domains.image.source import shown_reasons, source_of
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.requirement_generator.offline import counted, listed, of_name, plain_name
from modelgpt_cli.requirement_generator.profile import (
    ROWS,
    Clean,
    Profile,
    Sheet,
    Vocabulary,
    common_profile,
    redacted_keys,
)
from modelgpt_cli.requirement_generator.prompt import (
    MAX_CLASSES,
    MAX_COLUMNS,
    MAX_DESCRIPTION,
    cut,
    short_number,
    without_empty,
)

log = logging.getLogger("modelgpt")

PROMPT = "image"
ROLES = {IMAGE: IMAGE}
HAS_SHEET = True
MOST_MEASURED = 200
"""Enough to tell shares of a half from shares of a third; some seconds for photographs of many megapixels."""
_NAMED_DOMAINS, _TOLD_DOMAINS = 2, 6
"""From so much detail on domains of images are named, and told apart."""
_TOPICS_TEXT = """
aerial background black blurred blurry bright cartoon clipart close closeup color colour coloured dark drawing drawn
exposure film frame gray grayscale grey greyscale handwriting handwritten icon illumination illustration lighting lit
micrograph microscope microscopy monochrome outline overhead painting pale photo photograph photography pixel
plain portrait radiograph render resolution satellite scan scanned screenshot sharp shot sketch snapshot soft studio
surface texture textured thumbnail ultrasound uncluttered webcam white xray
"""
# What is said of images, beside naming their labels: of what kind they are and how they look.
_TOPICS = tuple(_TOPICS_TEXT.split())


@dataclass(frozen=True)
class Appearance:
    """What the images of a dataset look like."""

    looks: Looks
    domains: dict[str, Looks]
    """By domain; empty where there are none."""
    sheet: bytes
    """A JPEG of a few images: see `contact_sheet`."""
    shown: tuple[str, ...]
    """What the images on the sheet are, row by row: class, and domain where there are any."""
    n_measured: int


@dataclass(frozen=True, kw_only=True)
class ImageProfile(Profile):
    """A profile of images. Its `sample` is empty: the names of files may tell what is nobody's business."""

    images: Appearance

    @property
    def sheet(self) -> Sheet:
        """The sheet of images."""
        content = self.images.sheet
        width, height = sheet_size(content)
        count = f"{len(self.images.shown)} images" if len(self.images.shown) != 1 else "one image"
        return Sheet(content, f"a sheet of {count} (JPEG, {width} x {height} pixels, {len(content):,} bytes)")

    def redacted(self) -> Profile:
        """As in `Profile`; domains and what the images on the sheet are as well."""
        images = replace(
            self.images,
            domains=redacted_keys(self.images.domains),
            shown=tuple(redact(name) for name in self.images.shown),
        )
        return replace(super().redacted(), images=images)  # type: ignore[call-arg]  # of this class


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> ImageProfile:
    """Summarise images: what they look like, and a sheet of a few.

    Raises
    ------
    ModelGPTError
        None of them can be decoded.
    """
    common = common_profile(dataset, description=description, rows=0, seed=seed, clean=clean)
    values = {f.name: getattr(common, f.name) for f in fields(common)}
    return ImageProfile(**values, images=profile_images(dataset, seed))


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown in words; the sheet goes beside it."""
    assert isinstance(profile, ImageProfile)
    images = profile.images
    values = {
        "name": cut(profile.name),
        "images": profile.n_rows,
        "description": cut(profile.description.strip(), MAX_DESCRIPTION),
        "task": profile.task,
        "target": cut(profile.target),
        "images_per_label": {cut(k): n for k, n in list(profile.class_counts.items())[:MAX_CLASSES]},
        "labels_not_shown": max(0, len(profile.class_counts) - MAX_CLASSES),
        "measured": images.looks.phrase(),
        "median_short_side_in_pixels": short_number(images.looks.short_side),
        "domains": {cut(name): looks.phrase() for name, looks in list(images.domains.items())[:MAX_COLUMNS]},
        "sheet_row_by_row": [cut(name) for name in images.shown],
    }
    return without_empty(values)


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each image is, and the domains where there are some."""
    assert isinstance(profile, ImageProfile)
    images = profile.images
    return f"image{of_name(profile)} ({profile.n_rows:,} {images.looks.phrase()})", _domains(images, n_names)


def _domains(images: Appearance, n: int) -> str:
    """The domains of images, and how each differs from the whole where there is room to say it."""
    kind = images.looks.words["kind"]
    told = {plain_name(name): looks.phrase(images.looks) for name, looks in images.domains.items() if name}
    if not told:
        return ""
    if len(told) > n or n < _NAMED_DOMAINS:
        return f", in {counted(len(told), 'domain')}"
    if n < _TOLD_DOMAINS:
        return f", in the domains {listed(list(told), 'and')}"
    return f", in the domains {listed([d if words == kind else f'{d} ({words})' for d, words in told.items()], 'and')}"


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about images are told: what the column is called says nothing of them."""
    assert isinstance(profile, ImageProfile)
    return Vocabulary(
        "say what kind of images they are and what they look like",
        topics=(*_TOPICS, *profile.images.domains),
        names_tell=False,
    )


def profile_images(dataset: Dataset, seed: int = 0) -> Appearance:
    """Measure some images of a dataset, and put a few on a sheet.

    Parameters
    ----------
    dataset : Dataset
        One of the image domain.
    seed : int
        For the draw: `MOST_MEASURED` images at most, each class of each domain in turn.

    Raises
    ------
    ModelGPTError
        None of them can be decoded.
    """
    source = source_of(dataset)
    column = dataset.schema.used[0].name
    in_domains = "domain" in dataset.sample and dataset.schema.target != "domain"
    labels = dataset.sample[dataset.schema.target]
    domains = dataset.sample["domain"] if in_domains else pd.Series("", index=labels.index)
    marks: list[Marks] = []
    taken: list[int] = []
    small: list[np.ndarray] = []
    reasons: dict[str, str] = {}
    for at in _in_turn(domains, labels, seed)[:MOST_MEASURED]:
        place = dataset.sample[column].iloc[at]
        try:
            content = source.open(place)
            pixels = decode_image(content, least=BLUR_SIDE)
        except ImageError as error:
            reasons[place] = error.reason
            continue
        marks.append(mark_image(pixels, min(image_size(content))))
        taken.append(at)
        if len(small) < MOST_SHOWN:
            small.append(pixels)
    if reasons:
        _tell(dataset, reasons, none=not marks)
    kinds = [domains.iloc[at] for at in taken]
    by_domain: dict[str, list[Marks]] = {}
    for kind, mark in sorted(zip(kinds, marks, strict=True), key=lambda pair: pair[0]):
        by_domain.setdefault(kind, []).append(mark)
    return Appearance(
        looks=Looks.of(marks),
        domains={kind: Looks.of(some) for kind, some in by_domain.items()} if in_domains else {},
        sheet=contact_sheet(small),
        shown=tuple(f"{labels.iloc[at]}{f' ({domains.iloc[at]})' if in_domains else ''}" for at in taken[:MOST_SHOWN]),
        n_measured=len(marks),
    )


def _in_turn(domains: pd.Series, labels: pd.Series, seed: int) -> np.ndarray:
    """Positions of all rows: first one of each class and domain, then a second of each, and so on.

    Within a round the classes of all domains take turns, so that a few images come from many of both.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    frame = pd.DataFrame({"domain": domains.to_numpy()[order], "label": labels.to_numpy()[order]})
    turn = frame.groupby(["domain", "label"], sort=False).cumcount().to_numpy()
    shuffled = np.random.default_rng([seed, 1]).permutation(len(labels))
    first = frame.assign(turn=turn, any=shuffled).sort_values(["turn", "any"])
    # within a round: the first image met of each domain, then the second of each
    again = first.groupby(["turn", "domain"], sort=False).cumcount()
    positions: np.ndarray = order[first.assign(again=again).sort_values(["turn", "again", "any"]).index.to_numpy()]
    return positions


def _tell(dataset: Dataset, reasons: dict[str, str], none: bool) -> None:
    """Say which images could not be decoded."""
    shown = shown_reasons(list(reasons), reasons)
    if none:
        raise ModelGPTError(
            f"None of {len(reasons):,} images of {dataset.name} that were tried can be decoded.",
            f"{shown}.",
            "Look at the files: they may have been cut short when they were copied.",
        )
    things = "images" if len(reasons) > 1 else "image"
    warning = f"{len(reasons):,} {things} can't be decoded, and will be skipped: {shown}."
    dataset.warnings.append(warning)
    log.warning("%s", warning)
