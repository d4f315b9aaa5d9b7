"""``build``, from end to end: requirement and data in, a verified artifact out. One direction, no way back."""

from __future__ import annotations

import logging
import platform
import time
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.artifact.card import model_card
from modelgpt_cli.artifact.export import write_onnx
from modelgpt_cli.artifact.limits import check_limits
from modelgpt_cli.artifact.model_file import check_model_destination, save_model
from modelgpt_cli.assets import asset
from modelgpt_cli.data.dataset import Dataset, check_width, load_dataset
from modelgpt_cli.data.schema import Column
from modelgpt_cli.devices import pick_device
from modelgpt_cli.domains.tabular.codec import TableCodec, make_codec
from modelgpt_cli.domains.tabular.crossfit import CrossValidation, cross_fit
from modelgpt_cli.domains.tabular.estimator import make_model
from modelgpt_cli.domains.tabular.fit import DEFAULT_MEMBERS, TableArrays
from modelgpt_cli.domains.tabular.intervals import DEFAULT_COVERAGE, add_interval, check_coverage
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.requirement_only import make_requirement_only_model, requirement_only_columns
from modelgpt_cli.domains.tabular.rows import RowStream, table_arrays
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.text_rows import check_text_mode, prepare_text, text_columns_allowed
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.errors import UsageError
from modelgpt_cli.model_generator.blueprint import Architecture, Blueprint
from modelgpt_cli.parameter_generator.checkpoint import load_generator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.requirement import Requirement, read_requirement

log = logging.getLogger("modelgpt")
SAMPLE_ROWS = 50_000
"""Rows held in memory; preprocessing, support and refinement are taken from them, the closed-form head sees more."""
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
    interval: dict[str, Any] = field(default_factory=dict)
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
    coverage: float | None = None,
    text_columns: str = "embed",
    all_rows: bool = False,
    words: bool = False,
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
    coverage : float, optional
        Regression: the share of true values that shall lie between ``lower`` and ``upper``; 0.9 where not given, 0 for
        no interval.
    text_columns : {"embed", "drop"}
        What to do with columns of free text: give the model the text encoder (some 24 MB), unless the requirement's
        limits forbid it, or leave them out.
    all_rows : bool
        Solve the head on every row of a table of more than `HEAD_ROWS`, instead of on so many drawn evenly.
    words : bool
        Show the generator the requirement's sentence and names beside the data. By default it reads them only where
        there is no data: on tables that it has never seen they cost accuracy (docs/requirement-only.md).

    Raises
    ------
    VerificationError
        The model misses a limit of the requirement's, or differs from its exported self; nothing is written.
    ModelGPTError
        The requirement or the data can't be used.
    """
    start = time.monotonic()
    output = Path(output)
    check_coverage(coverage or 0.0)
    check_text_mode(text_columns)
    check_model_destination(output, force)
    wanted = requirement if isinstance(requirement, Requirement) else read_requirement(requirement)
    more = read_description(description)
    if more:
        wanted = replace(wanted, sentence=f"{wanted.sentence} {more}")
    device = pick_device(device)
    source = data if data is not None else wanted.data
    dataset = None
    texts, reason = text_columns_allowed(wanted.limits, text_columns)
    if source is None:
        requirement_only_columns(wanted)
    else:
        dataset = load_dataset(
            source,
            target=wanted.target,
            task=wanted.task,
            columns=[c for c in wanted.columns if c.used or c.is_text] or None,
            classes=wanted.classes or None,
            types=types,
            merge_labels=merge_labels,
            sample_rows=SAMPLE_ROWS,
            text_columns=texts,
            seed=seed,
        )
        check_width(dataset)
        dataset = prepare_text(dataset, reason, wanted.limits, seed)
    # What is wrong with the requirement or the data is told before the generator and the encoder are loaded.
    run = _Build(wanted, output, members, device, seed, generator, encoder, coverage, all_rows, words, force)
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
        interval=model.blueprint.interval,
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
        coverage: float | None,
        all_rows: bool,
        words: bool,
        force: bool,
    ) -> None:
        self.requirement, self.output, self.device, self.seed, self.force = requirement, output, device, seed, force
        self.members, self.coverage, self.all_rows = members or DEFAULT_MEMBERS, coverage, all_rows
        self.rows: pd.DataFrame | None = None  # real rows that the export is verified on, where there are some
        path = Path(generator) if generator else asset("weights", "tabular", "generator.safetensors")
        self.generator, self.header = load_generator(path / "generator.safetensors" if path.is_dir() else path)
        self.words = words or encoder is not None
        self.encoder_name = encoder
        self.encoder: TextEncoder | None = None  # once it is needed

    def embed(self, codec: TableCodec, classes: tuple[str, ...]) -> TaskTexts:
        """The requirement's sentence and the names, embedded.

        Raises
        ------
        UsageError
            Where the text encoder's size is not what the generator reads.
        """
        self.encoder = TextEncoder(self.encoder_name)
        if self.encoder.size != self.generator.config.embedding:
            raise UsageError(
                f"The text encoder {self.encoder.name!r} doesn't fit the generator.",
                f"It gives {self.encoder.size} numbers a text, the generator reads {self.generator.config.embedding}.",
                "Leave out --encoder, or meta-train a generator with it.",
            )
        return embed_words(self.encoder, codec, self.requirement.sentence, classes)

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
        table = table_arrays(dataset, codec, all_rows=self.all_rows, seed=self.seed)
        texts = self.embed(codec, schema.classes) if self.words else None
        cross = cross_fit(self.generator, table, members=self.members, seed=self.seed, texts=texts, device=self.device)
        if isinstance(table.stream, RowStream) and (note := table.stream.note()):
            notes.append(note)
            log.info(note)
        checked = cross.checked
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
        blueprint.provenance["head"] = [asdict(choice) | {"weight": weight} for choice, weight in cross.mix.items()]
        model = make_model(blueprint, codec, cross, table)
        self._add_interval(model, table, checked)
        return model, blueprint.metrics, checked.rows if checked else 0

    def _add_interval(self, model: TabularModel, table: TableArrays, checked: CrossValidation | None) -> None:
        """Bounds beside the prediction of a regression; what is amiss goes into the model's notes."""
        if model.blueprint.task == "regression":
            wanted = DEFAULT_COVERAGE if self.coverage is None else self.coverage
            note = add_interval(model, table, checked, wanted)
        else:
            note = "--coverage is for regression: this model gives probabilities." if self.coverage else ""
        if note:
            model.blueprint.notes.append(note)
            log.warning(note)

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
        )
        codec = make_codec(columns)
        texts = self.embed(codec, labels)
        blueprint.provenance = self._provenance(None)  # with the encoder
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
            "encoder": {"name": Path(self.encoder.name).name} if self.encoder else None,  # None: no words were read
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
