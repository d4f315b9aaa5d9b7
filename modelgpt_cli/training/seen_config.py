"""Configuration of training on seen tasks; kept in the run directory and in the checkpoint's card."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from modelgpt_cli.errors import UsageError
from modelgpt_cli.parameter_generator.generator import GeneratorConfig


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
        self._check_types()
        if self.tasks is None:
            raise UsageError("Which tasks?", hint="Give --tasks DIR, a folder of tables with cards.")
        if self.steps is None and self.minutes is None:
            raise UsageError("How long to train?", hint="Give --steps N or --minutes M.")
        if self.update not in ("backprop", "delta"):
            raise UsageError(f"--update {self.update!r} is not known.", "Known: backprop, delta.")
        for name in ("steps", "batch", "query", "validate_every", "width", "blocks"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be 1 or more, not {value}.")
        for name in ("minutes", "lr"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise UsageError(f"{name} must be above 0, not {value}.")
        for name in ("sentence_dropout", "cell_dropout", "smoothing", "decay_from", "average"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")
        heads = GeneratorConfig().heads
        if self.width % heads:
            raise UsageError(f"width must be a multiple of {heads}, the attention heads, not {self.width}.")

    def _check_types(self) -> None:
        """YAML gives any type; each value has to be of its field's."""
        for f in fields(self):
            value: Any = getattr(self, f.name)
            kind = str(f.type).split(" |")[0]
            if value is None and f.default is None:
                continue
            numbers = {"int": (int,), "float": (int, float)}.get(kind)
            if numbers and (isinstance(value, bool) or not isinstance(value, numbers) or not math.isfinite(value)):
                raise UsageError(f"{f.name} must be a {'whole ' if kind == 'int' else ''}number, not {value!r}.")
            if kind == "str" and not isinstance(value, str):
                raise UsageError(f"{f.name} must be a word, not {value!r}.")
        good = isinstance(self.sentences, dict) and all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts)
            for texts in self.sentences.values()
        )
        if not good:
            raise UsageError("sentences must give a list of sentences for each table's name.")

    def to_dict(self) -> dict[str, Any]:
        """All fields, for YAML and JSON."""
        return asdict(self)


def read_seen_config(path: str | Path | None, **overrides: Any) -> SeenConfig:
    """A configuration from a YAML file and the command line, which wins.

    Raises
    ------
    UsageError
        For an unreadable file or an unknown key (the known ones are listed).
    """
    values: Any = {}
    if path is not None:
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UsageError(f"The configuration {path} can't be read.", error.strerror or str(error)) from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"The configuration {path} is not valid YAML.", str(error)) from error
        if not isinstance(values, dict):
            raise UsageError(f"The configuration {path} must hold 'key: value' lines.")
    known = {f.name for f in fields(SeenConfig)}
    unknown = sorted(map(str, set(values) - known))
    if unknown:
        raise UsageError(f"Unknown key {unknown[0]!r} in {path}.", f"Known: {', '.join(sorted(known))}.")
    return SeenConfig(**(values | {k: v for k, v in overrides.items() if v is not None}))
