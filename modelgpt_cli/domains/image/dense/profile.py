"""What there is to say of images with masks: how many, how large, and of which classes. Behind `profile`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from modelgpt_cli.core.schema import TaskType
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.dataset import ReadScenes
from modelgpt_cli.requirement_generator.offline import of_name
from modelgpt_cli.requirement_generator.profile import ROWS, Clean, Profile, Vocabulary, common_profile
from modelgpt_cli.requirement_generator.prompt import MAX_CLASSES, MAX_DESCRIPTION, cut, without_empty

PROMPT = "dense-image"
ROLES = {next(iter(DOMAIN.roles)): "image whose pixels have classes"}
HAS_SHEET = False
REQUEST = "Segment each {row} into {labels}"
"""How an offline sentence begins; see `Profiler`."""
_VERBS: Mapping[TaskType, tuple[str, ...]] = {
    DOMAIN.task: ("segment", "label", "mark", "outlin", "assign", "find", "divid", "mask")
}
_OBJECTS: Mapping[TaskType, tuple[str, ...]] = {
    DOMAIN.task: ("pixel", "mask", "region", "area", "segment", "part", "each", "every", "all", "the")
}


@dataclass(frozen=True, kw_only=True)
class SceneProfile(Profile):
    """A profile of images with masks. Its `sample` is empty: names of files may tell what is nobody's business."""

    size: tuple[int, int] = (0, 0)
    """The commonest width and height."""


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> SceneProfile:
    """Summarise images with masks."""
    common = common_profile(dataset, description=description, rows=0, seed=seed, clean=clean)
    values = {f.name: getattr(common, f.name) for f in fields(common)}
    return SceneProfile(**values, size=cast(ReadScenes, dataset.source).size)


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown."""
    assert isinstance(profile, SceneProfile)
    total = max(1, sum(profile.class_counts.values()))
    labels = list(profile.class_counts.items())[:MAX_CLASSES]
    return without_empty(
        {
            "name": cut(profile.name),
            "description": cut(profile.description, MAX_DESCRIPTION),
            "images": profile.n_rows,
            "task": profile.task,
            "width_and_height": list(profile.size),
            "percent_of_pixels_per_class": {cut(label): round(100 * n / total, 2) for label, n in labels},
        }
    )


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each row is, an image, and that its pixels are labelled."""
    assert isinstance(profile, SceneProfile)
    width, height = profile.size
    size = f", {width:,} by {height:,} pixels" if n_names > 1 else ""
    return f"image{of_name(profile)} ({profile.n_rows:,} labelled images{size})", ", pixel by pixel"


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about images with masks are told."""
    return Vocabulary("say what the images show", _VERBS, _OBJECTS, names_tell=False)
