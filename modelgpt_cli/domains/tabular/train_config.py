"""Configuration of a meta-training run; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular.synthetic.config import PriorConfig
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.settings import RunSettings, read_settings

CHOICES = {"precision": ("auto", "bf16", "float32"), "optimizer": ("adamw", "muon"), "norm": ("layer", "rms")}


@dataclass(frozen=True)
class MetaTrainConfig(RunSettings):
    """Everything that decides a meta-training run; errors as `RunSettings` has them."""

    domain: str = "tabular"
    """Which domain's generator."""
    batch: int = 8
    warmup: int = 300
    decay_from: float = 0.55
    query: int = 96
    validate_every: int = 1000
    blocks: int = 4
    min_support: int = 24
    """Fewest support rows of a task."""
    max_support: int = 1024
    """Most support rows of a task."""
    max_features: int = 28
    """Most columns (after one-hot) of a synthetic task."""
    max_classes: int = 12
    """Most classes of a synthetic task."""
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
    exclude_families: tuple[str, ...] = ()
    """Families (see the cards) that are left out altogether, as their tables are kept for measuring."""
    holdout: float = 0.2
    """Share of real tasks, by hash of the name, kept for validation."""
    log_every: int = 50
    """Steps between lines of the log."""
    validation_batches: int = 12
    """Synthetic batches of a validation."""
    feedback: int = 1
    """Rounds after the feedback of the support's residuals."""
    precision: str = "auto"
    """Of the generator's pass: ``bf16`` (CUDA only), ``float32``, or ``auto``, bf16 on CUDA (flag --precision)."""
    compile: bool = False
    """Whether the generator goes through torch.compile, which takes minutes at the start (flag --compile)."""
    workers: int = 1
    """Processes that draw tasks ahead, for each process that trains; 0 draws between the steps (flag --workers)."""
    optimizer: str = "adamw"
    """``adamw``, or ``muon`` for matrices beside AdamW for the rest."""
    step_rows: int = 0
    """Rows, of support and query, that a synthetic batch fills with multiples of `batch` tasks; 0: `batch` tasks."""
    part: int = 0
    """Most tasks of a batch that go through the generator together, those of similar width; 0: all of them."""
    accumulate: int = 1
    """Batches, each of other sizes or another table, whose gradients make a step."""
    spare: int = 0
    """Learned tokens that attend beside the support rows'."""
    norm: str = "layer"
    """Normalisation of tokens: ``layer`` or ``rms``."""
    prior: dict[str, Any] = field(default_factory=dict)
    """What the synthetic prior draws otherwise than `PriorConfig`'s defaults; validation keeps to the defaults."""
    init: str | None = None
    """A generator checkpoint to start from instead of fresh weights; what it lacks starts fresh."""

    least: ClassVar[dict[str, int]] = RunSettings.least | {
        "min_support": 4,
        "max_features": 2,
        "max_classes": 2,
        "log_every": 1,
        "validation_batches": 1,
        "feedback": 0,
        "workers": 0,
        "step_rows": 0,
        "part": 0,
        "accumulate": 1,
        "spare": 0,
    }
    shares: ClassVar[tuple[str, ...]] = (
        *RunSettings.shares,
        *("regression", "real", "retarget", "text_only", "text_dropout", "holdout"),
    )
    heads: ClassVar[int] = GeneratorConfig().heads
    distributed: ClassVar[bool] = True
    compact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(isinstance(name, str) for name in self.exclude_families):
            raise UsageError(f"exclude_families must be a list of names, not {self.exclude_families!r}.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError(f"{name} {getattr(self, name)!r} is not known.", f"Known: {', '.join(known)}.")
        self.synthetic()  # which names what is wrong in `prior`
        if self.max_support < self.min_support:
            raise UsageError(f"max_support ({self.max_support}) is below min_support ({self.min_support}).")

    def synthetic(self) -> PriorConfig:
        """The synthetic prior.

        Raises
        ------
        UsageError
            For a key or value in `prior` that it doesn't have.
        """
        unknown = sorted(set(map(str, self.prior)) - {f.name for f in fields(PriorConfig)})
        if unknown:
            raise UsageError(f"prior has an unknown key: {unknown[0]!r}.")
        return PriorConfig(**self.prior)

    def tasks_per_batch(self, n_support: int) -> int:
        """Tasks of a synthetic batch whose tasks have so many support rows: a multiple of `batch`."""
        return self.batch * max(1, self.step_rows // (self.batch * (n_support + self.query)))


def read_config(path: str | Path | None, **overrides: Any) -> MetaTrainConfig:
    """A configuration from a YAML file and the command line, which wins; errors as `read_settings` has them."""
    return read_settings(MetaTrainConfig, path, **overrides)
