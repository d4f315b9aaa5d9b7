"""Configuration of meta-training a generator of adapters; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.tasks import Draw
from modelgpt_cli.parameter_generator.adapter import SEEN_ROWS, AdapterConfig
from modelgpt_cli.training.settings import RunSettings

PRECISIONS = ("auto", "bf16", "float32")


@dataclass(frozen=True)
class AdapterTrainConfig(RunSettings):
    """What decides a run that trains a generator of adapters; errors as `RunSettings` has them."""

    domain: str = "text"
    """Which domain's generator."""
    backbone: str | None = None
    """Card, local folder or hub name of the backbone; None for the installed one (flag --backbone)."""
    target_lr: float = 1e-4  # the paper's, for language
    validate_every: int = 250
    width: int = 256
    average: float = 0.995
    """Decay of the running average of the weights (less at first), which is what is validated and kept."""
    prior_weight: float = 0.5
    """Weight of the loss of the generated head alone (requirement-only) beside the posterior head's."""
    penalty: float = 1e-3
    """L2 penalty on what is generated beyond the shared factors (Text-to-LoRA's)."""
    query_tokens: int = 0
    """Tokens of an episode's queries, about: of short texts up to four times as many rows are asked."""
    max_support: int = SEEN_ROWS
    """Most support rows of an episode."""
    free_support: int = 48
    """Support rows that pass gradients on to the factors; further ones only count in the head."""
    max_classes: int = 24
    """Most classes of an episode."""
    subset: float = 0.4
    """Share of episodes with some of their task's classes only."""
    balanced: float = 0.5
    """Share of episodes whose queries are drawn class by class, not as the task has them."""
    requirement_dropout: float = 0.15
    """Share of episodes without the requirement's sentence."""
    name_dropout: float = 0.1
    """Share of episodes without class names."""
    other_names: float = 0.4
    """Share of episodes with other wordings of the class names, where there are some."""
    hidden_names: float = 0.0
    """Share of episodes whose class names are shown to the generator's concepts only, where it has some."""
    misled: float = 0.1
    """Share of episodes whose class names are each another class's: rows must win over words."""
    exclude: tuple[str, ...] = ()
    """Tasks that are left out altogether."""
    holdout: float = 0.25
    """Share of tasks, by hash of the name, kept for validation (none of GLUE's nine)."""
    validation_query: int = 128
    """Test rows of each task at a validation."""
    shared: bool = False
    """One LoRA for all tasks instead of a generated one, for comparison."""
    feedback: bool = True
    """Whether the head's generation is told how well the head of words alone does on the support."""
    precision: str = "auto"
    """Of the backbone's pass: ``bf16``, ``float32``, or ``auto``, bf16 where the device multiplies it faster."""
    init: str | None = None
    """A generator checkpoint to start from instead of fresh weights."""
    wordings: dict[str, Any] = field(default_factory=dict)
    """By task: further ``requirements``, and other ``labels`` by class."""

    least: ClassVar[dict[str, int]] = RunSettings.least | {
        "query_tokens": 0,
        "max_support": 2,
        "max_classes": 2,
        "free_support": 0,
        "validation_query": 1,
    }
    shares: ClassVar[tuple[str, ...]] = (
        *RunSettings.shares,
        *("subset", "balanced", "requirement_dropout", "name_dropout", "other_names", "hidden_names", "misled"),
        *("holdout", "average"),
    )
    heads: ClassVar[int] = AdapterConfig().heads

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tasks is None:
            raise UsageError("Which tasks?", hint="Give --tasks DIR, a folder of tasks with cards.")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision!r} is not known.", f"Known: {', '.join(PRECISIONS)}.")

    @property
    def draw(self) -> Draw:
        """How episodes are drawn."""
        return Draw(**{name: getattr(self, name) for name in Draw.__dataclass_fields__})

    def sizes(self, backbone: str, size: int, concepts: int = 0) -> AdapterConfig:
        """The generator's sizes, for a backbone whose states have `size` numbers."""
        names = ("domain", "width", "blocks", "shared", "feedback")
        given = {name: getattr(self, name) for name in names}
        return AdapterConfig(backbone=backbone, size=size, concepts=concepts, **given)


@dataclass(frozen=True)
class TextTrainConfig(AdapterTrainConfig):
    """Everything that decides a run of ``meta-train --domain text``; errors as `RunSettings` has them."""

    query_tokens: int = 1024
    glue_weight: float = 2.0
    """GLUE's tasks are drawn so many times as often as others of their size."""
    max_tokens: int = 64
    """Window in training; texts are cut there."""

    least: ClassVar[dict[str, int]] = AdapterTrainConfig.least | {"max_tokens": 8}


@dataclass(frozen=True)
class ImageTrainConfig(AdapterTrainConfig):
    """Everything that decides a run of ``meta-train --domain image``; errors as `RunSettings` has them."""

    domain: str = "image"
    backbone_weights: str | None = None
    """A file of weights for the backbone's card (flag --backbone-weights)."""
    teacher: str | None = None
    """A file of weights with an ImageNet head: what it can name, the generator knows as concepts. None for none."""
    teacher_card: str = "mobilenet_v2_tf"
    """The card that these weights are of."""
    concepts: dict[str, Any] = field(default_factory=dict)
    """Groups of ImageNet's classes that are concepts too: by name, numbers and ranges (``"151-268"``)."""
    views: int = 0
    """With so many views of each image (itself, and changed ones), the trunk is left as it is and sees each once: its
    features are kept, and the head's generation alone is trained, at a hundredth of the time. 0 trains all."""
    requirement_dropout: float = 0.5
    name_dropout: float = 0.3
    hidden_names: float = 0.5
    misled: float = 0.3
    least: ClassVar[dict[str, int]] = AdapterTrainConfig.least | {"views": 0}
    set_weights: dict[str, Any] = field(default_factory=dict)
    """By set: how many times as often as others of their size its tasks are drawn."""
    judged: tuple[str, ...] = ()
    """Tasks (``set/domain``) that are not trained on, though others of their set are, and judged at validations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, weight in self.set_weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise UsageError(f"set_weights: {name} must have a number above 0, not {weight!r}.")
