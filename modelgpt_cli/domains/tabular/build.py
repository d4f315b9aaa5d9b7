"""A table's build: dataset and requirement in, a target model out. Called by `model_generator.builders`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.shared.build import contract, first_notes, provenance
from modelgpt_cli.domains.shared.folds import GROUP, Split, split_words
from modelgpt_cli.domains.shared.held_out import synthetic_note
from modelgpt_cli.domains.shared.split import GROUP_NOTE, asked_column, read_split, split_note
from modelgpt_cli.domains.tabular.architectures import KERNEL, SETTING, TREES, card_name
from modelgpt_cli.domains.tabular.encoder import fit_encoder
from modelgpt_cli.domains.tabular.findings import (
    Finding,
    describe_schema,
    inspect_table,
    many_levels,
    tell,
    whole_numbers,
)
from modelgpt_cli.domains.tabular.fit import DEFAULT_MEMBERS, TableArrays
from modelgpt_cli.domains.tabular.fit_model import fit_model
from modelgpt_cli.domains.tabular.generator import shared_generator
from modelgpt_cli.domains.tabular.intervals import DEFAULT_COVERAGE
from modelgpt_cli.domains.tabular.level_statistics import add_statistics
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.domains.tabular.options import BuildOptions
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, make_preprocessor
from modelgpt_cli.domains.tabular.read import check_width
from modelgpt_cli.domains.tabular.requirement import require
from modelgpt_cli.domains.tabular.requirement_only import (
    cut_levels,
    encoder_from_statistics,
    make_requirement_only_model,
)
from modelgpt_cli.domains.tabular.rows import RowStream, table_arrays
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.taught import teacher_words
from modelgpt_cli.domains.tabular.teacher import MIN_ROWS, Teacher
from modelgpt_cli.domains.tabular.text_rows import prepare_text, text_columns_allowed
from modelgpt_cli.domains.tabular.words import embed_words
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.parameter_generator.shared import shared_encoder
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

log = logging.getLogger("modelgpt")
FLOAT32_SPREADS = 1e6
"""Beyond this many standard deviations from zero, a float32 cell holds little of how a column varies."""
UNCHECKED = "Built in one pass, without cross-validation"
NO_DATA = "No data was used: the weights come from the sentence, the column and the class names alone."


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], TabularBuild]:
    """Return what gives the build of a card: the same for all, so that the rows are read once."""
    build = TabularBuild(requirement, options)

    def of_card(card: ArchitectureCard) -> TabularBuild:
        build.members = card.settings[SETTING]
        build.trees, build.kernel = bool(card.settings[TREES]), bool(card.settings[KERNEL])
        return build

    return of_card


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset with the columns of free text that the limits allow, and of such a table some rows alone.

    Raises
    ------
    ModelGPTError
        There are too many columns, or none that may be used; or the teacher is none.
    """
    if options.teacher is not None:
        Teacher(options.teacher, dataset.schema.task)  # what is wrong with it is told before anything is loaded
    reason = text_columns_allowed(requirement.limits, options.text_columns)
    dataset = prepare_text(dataset, reason, requirement.limits, options.seed)
    check_width(dataset)
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return nothing: a table's model has one form."""
    return {}


@dataclass(frozen=True)
class _Read:
    """What a build reads once, however many models it makes of it.

    Attributes
    ----------
    table : TableArrays, optional
        None where there are only words.
    texts : TaskTexts, optional
        None where the generator reads no words.
    """

    columns: tuple[Column, ...]
    preprocessor: TablePreprocessor
    table: TableArrays | None
    texts: TaskTexts | None
    notes: list[str]


class TabularBuild:
    """One build: what was asked, and the generator and encoder that serve it.

    Attributes
    ----------
    members : int
        M of the next model; a later one of another number is made of the same reading.
    trees, kernel : bool
        Whether the next model may have trees, and a kernel.
    built : str
        The card of the last model: without what paid nothing.
    """

    def __init__(self, requirement: Requirement, options: BuildOptions) -> None:
        self.requirement, self.options = requirement, options
        self.seed, self.device = options.seed, pick_device(options.device)
        self.members = options.members or DEFAULT_MEMBERS
        self.trees, self.kernel, self.built = False, False, ""
        self.generator, self.header = shared_generator(generator_file(options.generator, "tabular"))
        self.words = options.words or options.encoder is not None
        self.encoder: TextEncoder | None = None  # once it is needed
        self.shown: pd.DataFrame | list[np.ndarray] | None = None
        self.truth: np.ndarray | None = None
        self._read: _Read | None = None
        self._taught_by: Teacher | None = None
        self._made: dict[str, tuple[tuple[TabularModel, dict[str, dict[str, float]], int], str]] = {}  # by card

    def embed(self, preprocessor: TablePreprocessor, classes: tuple[str, ...]) -> TaskTexts:
        """The requirement's sentence and the names, embedded.

        Raises
        ------
        UsageError
            Where the text encoder's size is not what the generator reads.
        """
        self.encoder = shared_encoder(self.options.encoder)
        if self.encoder.size != self.generator.config.embedding:
            raise UsageError(
                f"The text encoder {self.encoder.name!r} doesn't fit the generator.",
                f"It gives {self.encoder.size} numbers a text, the generator reads {self.generator.config.embedding}.",
                "Leave out --encoder, or meta-train a generator with it.",
            )
        return embed_words(self.encoder, preprocessor, self.requirement.sentence, classes)

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """What the task decides of a model's shapes; reads what is to be read."""
        if dataset is None:
            read = self._words()
            encoder = encoder_from_statistics(read.preprocessor)
            outputs = len(require(self.requirement)[1])
        else:
            read = self._rows(dataset, check_fingerprint)
            assert read.table is not None
            encoder = fit_encoder(read.table.x, read.table.codes, read.table.levels)
            outputs = max(read.table.n_classes, 1)
        flat = encoder.n_features - encoder.n_full
        return Sizes(outputs, numbers=encoder.n_full, levels=flat, texts=len(read.preprocessor.textual))

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[TabularModel, dict[str, dict[str, float]], int]:
        """The usual way: generate, cross-validate, solve the head on every row, and mix in what pays."""
        asked = card_name(self.members, trees=self.trees, kernel=self.kernel)
        if asked not in self._made:
            made = self._from_data(dataset, check_fingerprint=check_fingerprint)
            self._made[asked] = self._made[self.built] = made, self.built
        made, self.built = self._made[asked]
        return made

    def _from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[TabularModel, dict[str, dict[str, float]], int]:
        schema, read = dataset.schema, self._rows(dataset, check_fingerprint)
        notes, table = list(read.notes), read.table
        assert table is not None
        blueprint = Blueprint(
            task=schema.task,
            target=schema.target,
            labels=schema.classes,
            columns=read.columns,
            target_reading=schema.target_reading,
            requirement=self.requirement.sentence,
            architecture=Architecture(members=self.members),
            **contract(self.requirement),
            validated=split_words(table.split),
            notes=notes,
            provenance=self._provenance(dataset),
        )
        fitted = fit_model(
            self.generator,
            table,
            read.preprocessor,
            blueprint,
            seed=self.seed,
            device=self.device,
            texts=read.texts,
            validate=not self.options.one_pass,
            coverage=DEFAULT_COVERAGE if self.options.coverage is None else self.options.coverage,
            trees=self.trees,
            kernel=self.kernel,
            teacher=self._teacher(schema.task),
        )
        cross = fitted.cross
        self.built = card_name(self.members, trees=cross.trees is not None, kernel=cross.kernel is not None)
        for words in (*cross.words(), teacher_words(blueprint.provenance.get("teacher"))):
            if words:
                notes.append(words)
                log.info(words)
        if self.options.teacher is not None and "teacher" not in blueprint.provenance:
            notes.append(f"--teacher was left out: judging it takes {MIN_ROWS} rows or more that are held out.")
            log.warning(notes[-1])
        checked = cross.checked
        if formula := blueprint.transform.get("words"):
            notes.append(f"{schema.target!r} is learned as {formula}, and turned back in the graph.")
            log.info(notes[-1])
        if isinstance(table.stream, RowStream) and (note := table.stream.note()):
            notes.append(note)
            log.info(note)
        if table.split is not None and checked is not None:
            blueprint.provenance["split"] = table.split.describe()
            if words := split_note(table.split):
                notes.append(words + _group_words(table.split, schema))
                log.info(notes[-1])
        if checked is None:
            why = f"Too few rows ({len(dataset.real_rows)}) to cross-validate"
            notes.append(f"{UNCHECKED if self.options.one_pass else why}: nothing is known of how good this model is.")
            log.warning(notes[-1])
        if dataset.n_synthetic:
            notes.append(synthetic_note(dataset.n_rows, dataset.n_synthetic, checked is not None))
            log.warning(notes[-1])
        note = fitted.note
        if schema.task == "classification" and self.options.coverage:
            note = "--coverage is for regression: this model gives probabilities."
        if note:
            notes.append(note)
            log.warning(note)
        return fitted.model, blueprint.metrics, checked.rows if checked else 0

    def _rows(self, dataset: Dataset, check_fingerprint: bool) -> _Read:
        """The labelled rows as arrays, and what is to be known before the build."""
        if self._read is not None:
            return self._read
        schema, notes = dataset.schema, first_notes(self.requirement, dataset, check_fingerprint)
        self.shown, self.truth = dataset.sample, dataset.sample[schema.target].to_numpy()
        for column in schema.used:
            if column.mean and column.std and abs(column.mean) > FLOAT32_SPREADS * column.std:
                notes.append(
                    f"The column {column.name!r} varies too little around {column.mean:.6g} for float32 cells "
                    f"(standard deviation {column.std:.3g}): subtract its mean in the data."
                )
                log.warning(notes[-1])
        columns = _described(schema.columns, self.requirement.columns)
        preprocessor = make_preprocessor(columns, dataset.sample, many_levels=True)
        split = read_split(dataset.sample, asked_column({"group": self.options.group, "time": self.options.time}))
        table = table_arrays(dataset, preprocessor, all_rows=self.options.all_rows, seed=self.seed, split=split)
        table, found = inspect_table(table, preprocessor, schema, self.seed)
        preprocessor, table = add_statistics(preprocessor, table)
        found += many_levels(preprocessor, columns)
        tell(
            [*describe_schema(schema, self._dropped(schema), dataset.n_rows), *_of_numbers(schema, table), *found],
            notes,
        )
        texts = self.embed(preprocessor, schema.classes) if self.words else None
        self._read = _Read(columns, preprocessor, table, texts, notes)
        return self._read

    def _teacher(self, task: str) -> Teacher | None:
        """The teacher, the same for all cards; None where none is asked for."""
        if self.options.teacher is not None and self._taught_by is None:
            self._taught_by = Teacher(self.options.teacher, task, self.seed)
        return self._taught_by

    def _dropped(self, schema: Schema) -> list[Column]:
        """Columns of the data, or of the requirement, that are no inputs."""
        known = {c.name: c for c in (*self.requirement.columns, *schema.columns)}
        return [c for c in known.values() if not c.used and c.note != GROUP_NOTE]

    def from_words(self) -> tuple[TabularModel, dict[str, dict[str, float]], int]:
        """Requirement-only: W = W_gen, the paper's own setting.

        Raises
        ------
        UsageError
            There is a teacher, who teaches rows.
        """
        if self.options.teacher is not None:
            raise UsageError("--teacher takes data to learn from.", hint="Give --data, or leave out --teacher.")
        read, labels = self._words(), require(self.requirement)[1]
        assert read.texts is not None
        blueprint = Blueprint(
            task="classification",
            target=self.requirement.target or "target",
            labels=labels,
            columns=read.columns,
            target_reading=self.requirement.target_reading,
            requirement=self.requirement.sentence,
            architecture=Architecture(members=self.members),
            **contract(self.requirement),
            notes=list(read.notes),
            provenance=self._provenance(None),
        )
        self.built = card_name(self.members)
        model = make_requirement_only_model(
            blueprint, read.preprocessor, self.generator, read.texts, seed=self.seed, device=self.device
        )
        return model, {}, 0

    def _words(self) -> _Read:
        """The requirement's words, embedded."""
        if self._read is None:
            columns, labels = require(self.requirement)
            columns, notes = cut_levels(columns)
            for note in (NO_DATA, *notes):
                log.warning(note)
            preprocessor = make_preprocessor(columns)
            self._read = _Read(columns, preprocessor, None, self.embed(preprocessor, labels), [NO_DATA, *notes])
        return self._read

    def _provenance(self, dataset: Dataset | None) -> dict[str, Any]:
        encoder = Path(self.encoder.name).name if self.encoder else None  # None: no words were read
        found = provenance(self.requirement, dataset, self.seed, generator=self.header, encoder=encoder)
        return found | {"members": self.members}


def _group_words(split: Split, schema: Schema) -> str:
    """Say what becomes of the column of groups, to follow `split_note`."""
    name = split.column
    if split.kind != GROUP or any(c.name == name and c.used for c in schema.columns):
        return ""
    return f" {name!r} is no input; a line '{name}: categorical' in a --types FILE makes it one."


def _of_numbers(schema: Schema, table: TableArrays) -> list[Finding]:
    """What is to be said of a target of whole numbers that is taken as a number."""
    return [] if table.n_classes else whole_numbers(schema, np.unique(table.y).tolist())


def _described(columns: tuple[Column, ...], named: tuple[Column, ...]) -> tuple[Column, ...]:
    """The data's columns, with the descriptions that the requirement gives them."""
    words = {c.name: c.description for c in named if c.description}
    return tuple(replace(c, description=words.get(c.name, c.description)) for c in columns)
