"""The blueprint: everything about a model but its numbers. What the model generator hands to the parameter generator.

It is kept as JSON in the header of ``model.safetensors`` and in the metadata of ``model.onnx``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any

from modelgpt_cli.core.conform import misfits
from modelgpt_cli.core.domain import default_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import Column, TaskType, task_types

FORMAT = 2


@dataclass(frozen=True)
class Architecture:
    """Which target network, at which sizes.

    Attributes
    ----------
    card : str
        Name of the architecture card.
    hidden : int
        H, units of each hidden layer of a member.
    members : int
        M, networks merged into one.
    trees : int
        Boosted trees beside the networks.
    kernel : int
        Points of a kernel machine beside the networks.
    max_tokens : int
        Text: the window; what is longer is cut off.
    encoder : dict
        Text: the encoder's configuration, as transformers writes it.
    word_layer : bool
        Text: whether the head sees the mean of what enters the encoder's first layer as well.
    """

    card: str = "tabular-mlp-128"
    hidden: Annotated[int, range(1 << 16)] = 128
    members: Annotated[int, range(1 << 16)] = 4
    trees: Annotated[int, range(1 << 20)] = 0
    kernel: Annotated[int, range(1 << 20)] = 0
    max_tokens: Annotated[int, range(1 << 20)] = 0
    encoder: dict[str, Any] = field(default_factory=dict)
    word_layer: bool = False


@dataclass
class Blueprint:
    """A model without its parameters.

    Attributes
    ----------
    columns : tuple of Column
        Used and dropped input columns, in the file's order. `levels` of a used one are the graph's vocabulary.
    labels : tuple of str
        Class names in the order of `probabilities`; empty for regression.
    limits, quality, deploy : dict
        The requirement's blocks of these names.
    metrics : dict
        Name of the model or baseline → metric → value, cross-validated at build.
    validated : str
        How rows were held out for the metrics, where that was not at random; see `domains.shared.folds.Split.words`.
    nearest : dict
        Class name → `concept`, the nearest thing that the backbone can name, and `likeness`, how near it is (1 for the
        same); empty where that isn't known.
    transform : dict
        Regression: the `kind` of the monotone transform in which the target was learned, what it is (`words`), and the
        range that answers stay in (`lower`, `upper`); empty where there is neither.
    interval : dict
        Regression: the prediction interval's `coverage`, and what it was made from; empty where there is none.
    multi_label : dict
        Where a row has any number of `labels`: `thresholds` in their order, the probability from which on each is
        given; whether these are `calibrated`, on held-out rows; and the `separator` of labels in the data. Else empty.
    calibration : dict
        Classification: the `temperature` that the head's logits were divided by, from held-out rows, with how many
        `rows` that were, and their log loss `before` and `after`; empty where nothing was changed.
    novelty : dict
        The `threshold` of the output ``novelty``, the `quantile` of held-out rows that it is, and how many `rows` these
        were; empty where there is no such output.
    decoding : dict
        What turns the graph's outputs into answers, where the task is one that a domain alone has, as its part
        ``answers`` reads it; else empty.
    provenance : dict
        Generator, encoder, seed, versions, data.
    """

    task: TaskType
    target: str
    labels: tuple[str, ...]
    columns: tuple[Column, ...]
    requirement: str
    target_reading: ReadingRule = PLAIN
    architecture: Architecture = field(default_factory=Architecture)
    domain: str = field(default_factory=default_domain)
    limits: dict[str, Any] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    deploy: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    validated: str = ""
    nearest: dict[str, dict[str, Any]] = field(default_factory=dict)
    transform: dict[str, Any] = field(default_factory=dict)
    interval: dict[str, Any] = field(default_factory=dict)
    multi_label: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    novelty: dict[str, Any] = field(default_factory=dict)
    decoding: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def used(self) -> tuple[Column, ...]:
        """Columns that are inputs of the graph."""
        return tuple(c for c in self.columns if c.used)

    @property
    def n_outputs(self) -> int:
        """C: classes, or as many as `decoding` has ``tags``; 1 for regression."""
        if "tags" in self.decoding:
            return len(self.decoding["tags"])
        return 1 if self.task == "regression" else len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; `from_dict` reads it back."""
        values = asdict(self)
        values["columns"] = [_slim(c) for c in self.columns]
        values["target_reading"] = self.target_reading.to_mapping()
        for name in ("validated", "nearest", "transform", "multi_label", "calibration", "novelty", "decoding"):
            if not values[name]:
                del values[name]
        for part in ("trees", "kernel"):
            if not values["architecture"][part]:  # so that versions without them go on reading models without
                del values["architecture"][part]
        return values | {"labels": list(self.labels), "format": FORMAT}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Blueprint:
        """Read a blueprint back.

        Raises
        ------
        ModelGPTError
            If it is of another format, or incomplete.
        """
        if values.get("format") != FORMAT:
            raise ModelGPTError(
                f"The model has blueprint format {values.get('format')}; this version reads format {FORMAT}.",
                hint="Use the version of modelgpt that built it, or build it again.",
            )
        if (fault := next(misfits(values, cls, "its blueprint"), None)) is not None:
            raise ModelGPTError("The model's blueprint is damaged.", f"{fault[0].upper()}{fault[1:]}.")
        if values.get("task") not in task_types():
            raise ModelGPTError("The model's blueprint is damaged.", f"Its task is {values.get('task')!r}.")
        known = {f.name for f in fields(cls)}
        try:
            kept = {k: v for k, v in values.items() if k in known}
            kept["columns"] = tuple(_column(c) for c in kept["columns"])
            kept["target_reading"] = ReadingRule.from_mapping(kept["target_reading"])
            kept["labels"] = tuple(kept["labels"])
            kept["architecture"] = Architecture(**kept["architecture"])
            return cls(**kept)
        except (KeyError, TypeError) as error:
            raise ModelGPTError("The model's blueprint is incomplete.", str(error)) from error


def _column(values: dict[str, Any]) -> Column:
    """Read back what `_slim` gives."""
    rule = ReadingRule.from_mapping(values.get("reading", {}))
    return Column(**{**values, "levels": tuple(values.get("levels", ())), "reading": rule})


def _slim(column: Column) -> dict[str, Any]:
    """A column's fields that differ from their defaults."""
    default = Column(column.name, column.type)
    values = {f.name: getattr(column, f.name) for f in fields(Column)}
    kept = {k: v for k, v in values.items() if k in ("name", "type") or v != getattr(default, k)}
    if "reading" in kept:
        kept["reading"] = column.reading.to_mapping()
    if "levels" in kept:
        kept["levels"] = list(kept["levels"])
    return kept
