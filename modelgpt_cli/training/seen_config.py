"""Configuration of training on seen tasks; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.settings import check_run_fields, check_types, read_settings

_SHARES = ("sentence_dropout", "cell_dropout", "smoothing", "decay_from", "average")


@dataclass(frozen=True)
class SeenConfig:
    """Everything that decides a run of ``meta-train --seen``.

    Raises
    ------
    UsageError
        For a value out of range; the message names the flag or the configuration key.
    """

    tasks: str | None = None
    """Folder of the tables with cards (flag --tasks); kept so that a resume reads the same ones."""
    steps: int | None = None
    """Stop after this many optimiser steps (flag --steps)."""
    minutes: float | None = None
    """Stop after this many minutes of training, resumes added up (flag --minutes)."""
    seed: int = 0
    """Seed of the split, the draws and the initial weights (flag --seed)."""
    update: str = "backprop"
    """``backprop`` or ``delta`` (Algorithm 1) (flag --update)."""
    batch: int = 4
    """Tasks per step."""
    query: int = 512
    """Training rows of a task per step."""
    temperature: float = 0.5
    """Tasks are drawn in proportion to training rows ** temperature: small tables are soon learned by heart."""
    lr: float = 1e-3
    """AdamW learning rate of the generator after the warm-up."""
    weight_decay: float = 3e-2
    """AdamW weight decay."""
    warmup: int = 200
    """Steps of linear warm-up."""
    decay_from: float = 0.3
    """Share of the run after which the learning rate falls to zero along a cosine."""
    clip: float = 1.0
    """Gradient norm clip; ``delta`` clips at 0.25 as the paper does."""
    target_lr: float = 2e-2
    """Learning rate of θ_t's own Adam (``delta``)."""
    average: float = 0.998
    """Decay of the running average of the weights, which is what is validated and kept."""
    word_noise: float = 0.3
    """Standard deviation of the noise on a sentence's embedding, whose root mean square is 1."""
    sentence_dropout: float = 0.1
    """Share of batches without the sentence."""
    cell_dropout: float = 0.1
    """Share of training cells that are blanked."""
    mixup: float = 0.0
    """α of the Beta distribution by which training rows are mixed in pairs; 0: not at all."""
    smoothing: float = 0.0
    """Share of each label that is spread over all classes."""
    validate_every: int = 500
    """Steps between validations; each also writes a checkpoint."""
    width: int = 128
    """Token width of the generator."""
    blocks: int = 2
    """Rounds of exchange."""
    sentences: dict[str, list[str]] = field(default_factory=dict)
    """By table: phrasings of its requirement, beside the card's and the offline writer's."""

    def __post_init__(self) -> None:
        check_types(self)
        good = all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for texts in self.sentences.values()
        )
        if not good:
            raise UsageError("sentences must give a list of sentences for each table's name.")
        if self.tasks is None:
            raise UsageError("Which tasks?", hint="Give --tasks DIR, a folder of tables with cards.")
        check_run_fields(self, dict.fromkeys(("batch", "query", "validate_every", "width", "blocks"), 1), _SHARES)
        heads = GeneratorConfig().heads
        if self.width % heads:
            raise UsageError(f"width must be a multiple of {heads}, the attention heads, not {self.width}.")

    def to_dict(self) -> dict[str, Any]:
        """All fields, for YAML and JSON."""
        return asdict(self)


def read_seen_config(path: str | Path | None, **overrides: Any) -> SeenConfig:
    """A configuration from a YAML file and the command line, which wins; errors as `read_settings` has them."""
    return read_settings(SeenConfig, path, **overrides)
