"""Configuration of training on fixed tasks; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.parameter_generator.generator import GeneratorConfig
from modelgpt_cli.training.settings import RunSettings


@dataclass(frozen=True)
class FixedTasksConfig(RunSettings):
    """Everything that decides a run of ``meta-train --fixed-tasks``; errors as `RunSettings` has them."""

    query: int = 512
    lr: float = 1e-3
    weight_decay: float = 3e-2
    warmup: int = 200
    decay_from: float = 0.3
    average: float = 0.998
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
    sentences: dict[str, list[str]] = field(default_factory=dict)
    """By table: phrasings of its requirement, beside the card's and the offline writer's."""

    shares: ClassVar[tuple[str, ...]] = (
        *RunSettings.shares,
        *("sentence_dropout", "cell_dropout", "smoothing"),
    )
    heads: ClassVar[int] = GeneratorConfig().heads

    def __post_init__(self) -> None:
        super().__post_init__()
        good = all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for texts in self.sentences.values()
        )
        if not good:
            raise UsageError("sentences must give a list of sentences for each table's name.")
        if self.tasks is None:
            raise UsageError("Which tasks?", hint="Give --tasks DIR, a folder of tables with cards.")
