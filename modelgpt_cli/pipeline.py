"""``build``, from end to end: requirement and data in, a verified artifact out. One direction, no way back."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.artifact.card import model_card
from modelgpt_cli.artifact.export import write_onnx
from modelgpt_cli.artifact.limits import check_limits
from modelgpt_cli.artifact.model_file import check_model_destination, save_model
from modelgpt_cli.assets import asset
from modelgpt_cli.data.dataset import Dataset, check_width, load_dataset
from modelgpt_cli.data.schema import Column
from modelgpt_cli.devices import pick_device
from modelgpt_cli.domains.tabular.codec import TableCodec, level_codes, make_codec
from modelgpt_cli.domains.tabular.crossval import cross_validate
from modelgpt_cli.domains.tabular.estimator import make_model
from modelgpt_cli.domains.tabular.fit import DEFAULT_MEMBERS, HeadChoice, TableArrays
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.requirement_only import make_requirement_only_model, requirement_only_columns
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.errors import UsageError
from modelgpt_cli.model_generator.blueprint import Architecture, Blueprint
from modelgpt_cli.parameter_generator.checkpoint import load_generator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.requirement import Requirement, read_requirement

log = logging.getLogger("modelgpt")
SAMPLE_ROWS = 50_000
"""Rows held in memory; preprocessing, support and refinement are taken from them, the closed-form head sees all."""
FLOAT32_SPREADS = 1e6
"""Beyond this many standard deviations from zero, a float32 cell holds little of how a column varies."""
NO_DATA = "No data was used: the weights come from the sentence, the column and the class names alone."


@dataclass
class BuildReport:
    """What a build made."""

    path: Path
    size_bytes: int
    seconds: float
    metrics: dict[str, dict[str, float]]
    n_rows: int
    data_used: bool
    notes: list[str] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"path": str(self.path)}


def build(
    requirement: str | Path | Requirement,
    *,
    data: str | Path | None = None,
    description: str | None = None,
    output: str | Path,
    members: int | None = None,
    device: str = "auto",
    seed: int = 0,
    generator: str | None = None,
    encoder: str | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    force: bool = False,
) -> BuildReport:
    """Turn a requirement, and data if there is any, into a model.

    Parameters
    ----------
    requirement : str, Path or Requirement
        A requirement file (``-`` for stdin), or one already read.
    data : str or Path, optional
        The labelled table; by default the one the requirement names. Without either, the weights come from the words.
    description : str, optional
        More words about the data, or ``@FILE``.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    members : int, optional
        Networks merged into the model; `DEFAULT_MEMBERS` where not given.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the generator runs.
    seed : int
        Written into the artifact; same seed, same model.
    generator, encoder : str, optional
        A generator checkpoint (file or run directory) and a text encoder; the shipped ones by default.
    types, merge_labels, force
        As for `describe`.

    Raises
    ------
    VerificationError
        The model misses a limit of the requirement's, or differs from its exported self; nothing is written.
    ModelGPTError
        The requirement or the data can't be used.
    """
    start = time.monotonic()
    output = Path(output)
    check_model_destination(output, force)
    wanted = requirement if isinstance(requirement, Requirement) else read_requirement(requirement)
    words = read_description(description)
    if words:
        wanted = replace(wanted, sentence=f"{wanted.sentence} {words}")
    device = pick_device(device)
    source = data if data is not None else wanted.data
    dataset = None
    if source is None:
        requirement_only_columns(wanted)
    else:
        dataset = load_dataset(
            source,
            target=wanted.target,
            task=wanted.task,
            columns=[c for c in wanted.columns if c.used] or None,
            classes=wanted.classes or None,
            types=types,
            merge_labels=merge_labels,
            sample_rows=SAMPLE_ROWS,
            seed=seed,
        )
        check_width(dataset)
    # What is wrong with the requirement or the data is told before the generator and the encoder are loaded.
    run = _Build(wanted, output, members, device, seed, generator, encoder, force)
    if dataset is None:
        model, metrics, rows = run.from_words()
    else:
        model, metrics, rows = run.from_data(dataset, check_fingerprint=data is None)
    size, measured = run.write(model, metrics)
    return BuildReport(
        path=output,
        size_bytes=size,
        seconds=time.monotonic() - start,
        metrics=metrics,
        n_rows=rows,
        data_used=source is not None,
        notes=model.blueprint.notes,
        limits=measured,
    )


class _Build:
    """One build: what was asked, and the generator and encoder that serve it."""

    def __init__(
        self,
        requirement: Requirement,
        output: Path,
        members: int | None,
        device: str,
        seed: int,
        generator: str | None,
        encoder: str | None,
        force: bool,
    ) -> None:
        self.requirement, self.output, self.device, self.seed, self.force = requirement, output, device, seed, force
        self.members = members or DEFAULT_MEMBERS
        self.rows: pd.DataFrame | None = None  # real rows that the export is verified on, where there are some
        path = Path(generator) if generator else asset("weights", "tabular", "generator.safetensors")
        self.generator, self.header = load_generator(path / "generator.safetensors" if path.is_dir() else path)
        self.encoder = TextEncoder(encoder)
        if self.encoder.size != self.generator.config.embedding:
            raise UsageError(
                f"The text encoder {self.encoder.name!r} doesn't fit the generator.",
                f"It gives {self.encoder.size} numbers a text, the generator reads {self.generator.config.embedding}.",
                "Leave out --encoder, or meta-train a generator with it.",
            )

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[TabularModel, dict[str, dict[str, float]], int]:
        """The usual way: generate, cross-validate, and solve the head on every row."""
        schema, notes = dataset.schema, list(dataset.warnings)
        self.rows = dataset.sample
        known = self.requirement.fingerprint
        if check_fingerprint and known and known != dataset.fingerprint:
            notes.append("The data has changed since the requirement was written.")
            log.warning(notes[-1])
        for column in schema.used:
            if column.mean and column.std and abs(column.mean) > FLOAT32_SPREADS * column.std:
                notes.append(
                    f"The column {column.name!r} varies too little around {column.mean:.6g} for float32 cells "
                    f"(standard deviation {column.std:.3g}): subtract its mean in the data."
                )
                log.warning(notes[-1])
        columns = _described(schema.columns, self.requirement.columns)
        codec = make_codec(columns, dataset.sample)
        table = table_arrays(dataset, codec)
        texts = embed_words(self.encoder, codec, self.requirement.sentence, schema.classes)
        checked = cross_validate(
            self.generator, table, members=self.members, seed=self.seed, texts=texts, device=self.device
        )
        if checked is None:
            notes.append(
                f"Too few rows ({len(table.y)}) to cross-validate: nothing is known of how good this model is."
            )
            log.warning(notes[-1])
        blueprint = Blueprint(
            task=schema.task,
            target=schema.target,
            labels=schema.classes,
            columns=columns,
            requirement=self.requirement.sentence,
            architecture=Architecture(members=self.members),
            limits=self.requirement.limits.to_mapping(),
            metrics=checked.metrics if checked else {},
            notes=notes,
            provenance=self._provenance(dataset),
        )
        choice = checked.choice if checked else HeadChoice()
        blueprint.provenance["head"] = asdict(choice)
        model = make_model(
            blueprint, codec, self.generator, table, choice, seed=self.seed, texts=texts, device=self.device
        )
        return model, blueprint.metrics, checked.rows if checked else 0

    def from_words(self) -> tuple[TabularModel, dict[str, dict[str, float]], int]:
        """Requirement-only: W = W_gen, the paper's own setting."""
        columns, labels = requirement_only_columns(self.requirement)
        log.warning(NO_DATA)
        blueprint = Blueprint(
            task="classification",
            target=self.requirement.target or "target",
            labels=labels,
            columns=columns,
            requirement=self.requirement.sentence,
            architecture=Architecture(members=self.members),
            limits=self.requirement.limits.to_mapping(),
            notes=[NO_DATA],
            provenance=self._provenance(None),
        )
        codec = make_codec(columns)
        texts = embed_words(self.encoder, codec, self.requirement.sentence, labels)
        model = make_requirement_only_model(blueprint, codec, self.generator, texts, seed=self.seed, device=self.device)
        return model, {}, 0

    def write(self, model: TabularModel, metrics: dict[str, dict[str, float]]) -> tuple[int, dict[str, Any]]:
        """Write the artifact, verified and within the requirement's limits; its size, and what was measured."""
        limits = self.requirement.limits
        if self.output.suffix.lower() == ".safetensors":
            measured = check_limits(limits, model, None, metrics)
            save_model(model, self.output, card=model_card(model.blueprint), force=self.force)
            return self.output.stat().st_size, measured
        measured = {}

        def accept(path: Path) -> None:
            measured.update(check_limits(limits, model, path, metrics))

        report = write_onnx(
            model,
            self.output,
            opset=limits.opset or 17,
            quantize=limits.quantize or "none",
            force=self.force,
            rows=self.rows,
            accept=accept,
        )
        return report.size_bytes, measured

    def _provenance(self, dataset: Dataset | None) -> dict[str, Any]:
        packages = ("torch", "transformers", "onnx", "onnxruntime")
        source = {"name": dataset.name, "fingerprint": dataset.fingerprint, "rows": dataset.n_rows} if dataset else None
        return {
            "modelgpt": version("modelgpt-cli"),
            "generator": {"step": self.header.get("step"), "sha256": self.header["sha256"]},
            "encoder": {"name": Path(self.encoder.name).name},
            "seed": self.seed,
            "members": self.members,
            "author": self.requirement.author,
            "versions": {"python": platform.python_version(), **{p: version(p) for p in packages}},
            "data": source,
        }


def _described(columns: tuple[Column, ...], named: tuple[Column, ...]) -> tuple[Column, ...]:
    """The data's columns, with the descriptions that the requirement gives them."""
    words = {c.name: c.description for c in named if c.description}
    return tuple(replace(c, description=words.get(c.name, c.description)) for c in columns)


def table_arrays(dataset: Dataset, codec: TableCodec) -> TableArrays:
    """A dataset's sample as arrays, with a stream of every row where the sample isn't all."""
    schema = dataset.schema

    def convert(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        x, codes = codec.arrays(frame)
        if schema.task == "classification":
            y = level_codes(frame[schema.target], schema.classes)
        else:
            y = frame[schema.target].to_numpy(dtype=np.float32)
        return x, codes, y

    def stream() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for frame in dataset.frames():
            yield convert(frame)

    x, codes, y = convert(dataset.sample)
    levels = tuple(len(names) for names in codec.levels)
    whole = len(dataset.sample) >= dataset.n_rows
    return TableArrays(x, codes, y, len(schema.classes), levels, None if whole else stream)
