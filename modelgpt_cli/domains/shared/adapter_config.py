"""Configuration of meta-training a generator of adapters; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

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

    domain: str = ""
    """Which domain's generator."""
    backbone: str | None = None
    """Card, local folder or hub name of the backbone; None for the installed one (flag --backbone)."""
    target_lr: float = 1e-4  # the paper's, for language
    validate_every: int = 250
    width: int = 256
    average: float = 0.995
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
        "holdout",
    )
    heads: ClassVar[int] = AdapterConfig().heads
    scaled: ClassVar[bool] = False
    """Whether the generator keeps a scaling of the head's inputs."""

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
        return AdapterConfig(backbone=backbone, size=size, concepts=concepts, scaled=self.scaled, **given)
