"""What there is to say of images with boxes: how many, how large, and of which classes. Behind `profile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from modelgpt_cli.core.schema import TaskType
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.detection import DOMAIN
from modelgpt_cli.domains.image.detection.read import ReadBoxes
from modelgpt_cli.requirement_generator.offline import of_name
from modelgpt_cli.requirement_generator.profile import ROWS, Clean, Profile, Vocabulary, common_profile
from modelgpt_cli.requirement_generator.prompt import MAX_CLASSES, MAX_DESCRIPTION, cut, without_empty

PROMPT = "detection-image"
ROLES = {next(iter(DOMAIN.roles)): "image in which things are found"}
HAS_SHEET = False
REQUEST = "Detect {labels} in each {row}"
"""How an offline sentence begins; see `Profiler`."""
_VERBS: Mapping[TaskType, tuple[str, ...]] = {
    DOMAIN.task: ("find", "detect", "locat", "mark", "box", "count", "spot", "identif")
}
_OBJECTS: Mapping[TaskType, tuple[str, ...]] = {
    DOMAIN.task: ("each", "every", "all", "any", "box", "object", "thing", "the", "where", "place")
}


@dataclass(frozen=True, kw_only=True)
class BoxProfile(Profile):
    """A profile of images with boxes. Its `sample` is empty: names of files may tell what is nobody's business."""

    size: tuple[int, int] = (0, 0)
    """The commonest width and height."""


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> BoxProfile:
    """Summarise images with boxes."""
    common = common_profile(dataset, description=description, rows=0, seed=seed, clean=clean)
    values = {f.name: getattr(common, f.name) for f in fields(common)}
    return BoxProfile(**values, size=cast(ReadBoxes, dataset.source).size)


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown."""
    assert isinstance(profile, BoxProfile)
    labels = list(profile.class_counts.items())[:MAX_CLASSES]
    return without_empty(
        {
            "name": cut(profile.name),
            "description": cut(profile.description, MAX_DESCRIPTION),
            "images": profile.n_rows,
            "task": profile.task,
            "width_and_height": list(profile.size),
            "boxes_per_class": {cut(label): n for label, n in labels},
        }
    )


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each row is, an image, and that boxes are drawn."""
    assert isinstance(profile, BoxProfile)
    width, height = profile.size
    size = f", {width:,} by {height:,} pixels" if n_names > 1 else ""
    return f"image{of_name(profile)} ({profile.n_rows:,} labelled images{size})", ", with a box around each"


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about images with boxes are told."""
    return Vocabulary("say what the images show", _VERBS, _OBJECTS, names_tell=False)
