"""Configuration of meta-training a generator of adapters; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from modelgpt_cli.domains.text.tasks import Draw
from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.adapter import SEEN_ROWS, AdapterConfig
from modelgpt_cli.training.settings import check_run_fields, check_types

PRECISIONS = ("auto", "bf16", "float32")
_LEAST = {"batch": 1, "query": 1, "max_support": 2, "max_classes": 2, "max_tokens": 8, "width": 4, "blocks": 1}
_LEAST |= {"validate_every": 1, "free_support": 0, "validation_query": 1}
_SHARES = (
    *("subset", "balanced", "requirement_dropout", "name_dropout", "other_names", "misled"),
    *("holdout", "decay_from", "average"),
)


@dataclass(frozen=True)
class AdapterTrainConfig:
    """Everything that decides a run of ``meta-train --domain text``.

    Raises
    ------
    UsageError
        For a value out of range; the message names the flag or the configuration key.
    """

    domain: str = "text"
    """Which domain's generator."""
    tasks: str | None = None
    """Folder of tasks with cards (flag --tasks); kept so that a resume reads the same ones."""
    backbone: str | None = None
    """Card, local folder or hub name of the backbone; None for the installed one (flag --backbone)."""
    steps: int | None = None
    """Stop after this many optimiser steps (flag --steps)."""
    minutes: float | None = None
    """Stop after this many minutes of training, resumes added up (flag --minutes)."""
    seed: int = 0
    """Seed of the episodes and the initial weights (flag --seed)."""
    update: str = "backprop"
    """``backprop`` or ``delta`` (Algorithm 1) (flag --update)."""
    batch: int = 4
    """Episodes per step."""
    lr: float = 5e-4
    """AdamW learning rate of the generator after the warm-up."""
    weight_decay: float = 1e-2
    """AdamW weight decay."""
    warmup: int = 100
    """Steps of linear warm-up."""
    decay_from: float = 0.4
    """Share of the run after which the learning rate falls to zero along a cosine."""
    clip: float = 1.0
    """Gradient norm clip; ``delta`` clips at 0.25 as the paper does."""
    target_lr: float = 1e-4
    """Learning rate of θ_t's own Adam (``delta``); the paper's for language."""
    average: float = 0.995
    """Decay of the running average of the weights, which is what is validated and kept."""
    prior_weight: float = 0.5
    """Weight of the loss of the generated head alone (requirement-only) beside the posterior head's."""
    penalty: float = 1e-3
    """L2 penalty on what is generated beyond the shared factors (Text-to-LoRA's)."""
    query: int = 32
    """Query rows of an episode, at least."""
    query_tokens: int = 1024
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
    misled: float = 0.1
    """Share of episodes whose class names are each another class's: rows must win over words."""
    temperature: float = 0.5
    """Tasks are drawn in proportion to training rows ** temperature ..."""
    glue_weight: float = 2.0
    """... and those of GLUE so many times as often."""
    max_tokens: int = 64
    """Window in training; texts are cut there."""
    exclude: tuple[str, ...] = ()
    """Tasks that are left out altogether."""
    holdout: float = 0.25
    """Share of tasks, by hash of the name, kept for validation (none of GLUE's)."""
    validate_every: int = 250
    """Steps between validations; each also writes a checkpoint."""
    validation_query: int = 128
    """Test rows of each task at a validation."""
    width: int = 256
    """Token width of the generator."""
    blocks: int = 2
    """Rounds of exchange, among words and again with rows."""
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

    def __post_init__(self) -> None:
        check_types(self)
        if self.tasks is None:
            raise UsageError("Which tasks?", hint="Give --tasks DIR, a folder of text tasks with cards.")
        check_run_fields(
            self,
            _LEAST,
            _SHARES,
        )
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision!r} is not known.", f"Known: {', '.join(PRECISIONS)}.")
        if self.width % AdapterConfig().heads:
            raise UsageError(f"width must be a multiple of {AdapterConfig().heads}, not {self.width}.")

    @property
    def draw(self) -> Draw:
        """How episodes are drawn."""
        return Draw(**{name: getattr(self, name) for name in Draw.__dataclass_fields__})

    def to_dict(self) -> dict[str, Any]:
        """All fields, for YAML and JSON."""
        return asdict(self) | {"exclude": list(self.exclude)}
