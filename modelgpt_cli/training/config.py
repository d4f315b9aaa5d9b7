"""Configuration of a meta-training run; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.settings import check_run_fields, check_types, read_settings

PRECISIONS = ("auto", "bf16", "float32")
_LEAST = {
    "batch": 1,
    "query": 1,
    "min_support": 4,
    "max_features": 2,
    "max_classes": 2,
    "validate_every": 1,
    "log_every": 1,
    "validation_batches": 1,
    "width": 1,
    "blocks": 1,
    "feedback": 0,
    "workers": 0,
}
"""The least value of whole numbers."""
_SHARES = ("regression", "real", "retarget", "text_only", "text_dropout", "holdout", "decay_from")


@dataclass(frozen=True)
class MetaTrainConfig:
    """Everything that decides a meta-training run.

    Raises
    ------
    UsageError
        For a value out of range; the message names the flag or the configuration key.
    """

    domain: str = "tabular"
    """Which domain's generator; only ``tabular`` so far."""
    steps: int | None = None
    """Stop after this many optimiser steps (flag --steps)."""
    minutes: float | None = None
    """Stop after this many minutes of training, resumes added up (flag --minutes)."""
    seed: int = 0
    """Seed of the tasks, the class codes and the initial weights (flag --seed)."""
    update: str = "backprop"
    """``backprop`` or ``delta`` (Algorithm 1) (flag --update)."""
    batch: int = 8
    """Tasks per step."""
    lr: float = 5e-4
    """AdamW learning rate of the generator after the warm-up."""
    weight_decay: float = 1e-2
    """AdamW weight decay."""
    warmup: int = 300
    """Steps of linear warm-up."""
    decay_from: float = 0.55
    """Share of the run after which the learning rate falls to zero along a cosine."""
    clip: float = 1.0
    """Gradient norm clip; ``delta`` clips at 0.25 as the paper does."""
    target_lr: float = 2e-2
    """Learning rate of θ_t's own Adam (``delta``)."""
    min_support: int = 24
    """Fewest support rows of a task."""
    max_support: int = 1024
    """Most support rows of a task."""
    query: int = 96
    """Query rows of a task."""
    max_features: int = 28
    """Most columns (after one-hot) of a synthetic task."""
    max_classes: int = 12
    """Most classes of a synthetic task."""
    tasks: str | None = None
    """Folder of real tables with cards (flag --tasks); kept so that a resume reads the same ones."""
    regression: float = 0.2
    """Share of regression among synthetic batches."""
    real: float = 0.35
    """Share of batches drawn from real tasks, where ``--tasks`` gives some."""
    retarget: float = 0.5
    """Share of real batches that predict another column of the table than its target."""
    text_only: float = 0.25
    """Share of real batches without support rows (requirement-only)."""
    text_dropout: float = 0.5
    """Share of real batches without any words."""
    temperature: float = 0.5
    """Real tasks are drawn in proportion to rows ** temperature."""
    exclude_families: tuple[str, ...] = ()
    """Families (see the cards) that are left out altogether, as their tables are kept for measuring."""
    holdout: float = 0.2
    """Share of real tasks, by hash of the name, kept for validation."""
    validate_every: int = 1000
    """Steps between validations; each also writes a checkpoint."""
    log_every: int = 50
    """Steps between lines of the log."""
    validation_batches: int = 12
    """Synthetic batches of a validation."""
    width: int = 128
    """Token width of the generator."""
    blocks: int = 4
    """Rounds of exchange."""
    feedback: int = 1
    """Rounds after the feedback of the support's residuals."""
    precision: str = "auto"
    """Of the generator's pass: ``bf16`` (CUDA only), ``float32``, or ``auto``, bf16 on CUDA (flag --precision)."""
    compile: bool = False
    """Whether the generator goes through torch.compile, which takes minutes at the start (flag --compile)."""
    workers: int = 1
    """Processes that draw tasks ahead, for each process that trains; 0 draws between the steps (flag --workers)."""
    init: str | None = None
    """A generator checkpoint to start from instead of fresh weights; what it lacks starts fresh."""

    def __post_init__(self) -> None:
        check_types(self)
        if not all(isinstance(name, str) for name in self.exclude_families):
            raise UsageError(f"exclude_families must be a list of names, not {self.exclude_families!r}.")
        if self.domain != "tabular":
            raise UsageError(f"--domain {self.domain!r} can't be meta-trained so.", "Known here: tabular.")
        if self.precision not in PRECISIONS:
            raise UsageError(f"--precision {self.precision!r} is not known.", f"Known: {', '.join(PRECISIONS)}.")
        check_run_fields(self, _LEAST, _SHARES)
        heads = GeneratorConfig().heads
        if self.width % heads:
            raise UsageError(f"width must be a multiple of {heads}, the attention heads, not {self.width}.")
        if self.max_support < self.min_support:
            raise UsageError(f"max_support ({self.max_support}) is below min_support ({self.min_support}).")

    def to_dict(self) -> dict[str, Any]:
        """All fields, for YAML and JSON."""
        return asdict(self) | {"exclude_families": list(self.exclude_families)}


def read_config(path: str | Path | None, **overrides: Any) -> MetaTrainConfig:
    """A configuration from a YAML file and the command line, which wins; errors as `read_settings` has them."""
    return read_settings(MetaTrainConfig, path, **overrides)
