"""What the builds of all domains with a backbone share: generator, words, and which rows the head is solved on."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.label_cells import JOINED, multi_hot
from modelgpt_cli.domains.shared.build import contract, provenance
from modelgpt_cli.domains.shared.folds import Split
from modelgpt_cli.domains.shared.head import HeadFit
from modelgpt_cli.domains.shared.held_out import synthetic_note
from modelgpt_cli.domains.shared.novelty import fit_novelty
from modelgpt_cli.domains.shared.options import BackboneBuildOptions
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.domains.shared.split import asked_column, split_note
from modelgpt_cli.domains.shared.tasks import WordsEncoder, class_indices, label_text, make_words
from modelgpt_cli.domains.shared.thresholds import DEFAULT
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, Words
from modelgpt_cli.parameter_generator.checkpoint import generator_file
from modelgpt_cli.parameter_generator.shared import shared_encoder
from modelgpt_cli.parameter_generator.spec import ParameterSpec

log = logging.getLogger("modelgpt")
NO_DATA = "No data was used (zero-shot): the weights come from the sentence and the class names alone."
HEAD_ROWS = 4096
"""Rows that the head is solved on, drawn evenly, unless all are asked for: each costs a pass of the backbone."""
CLASS_FLOOR = 8
"""Rows of each class that an even draw takes first, so that each of the five folds holds out one of a rare class."""
B = TypeVar("B", bound="BackboneBuild")
O = TypeVar("O", bound=BackboneBuildOptions)  # noqa: E741


class BackboneBuild(ABC):
    """One build: what was asked, and what serves it.

    Attributes
    ----------
    generator : AdapterGenerator, optional
        None for a backbone that none was trained for.
    header : dict, optional
        Its checkpoint's.
    shown, truth
        As in `Builder`.
    """

    domain: ClassVar[str]
    generator_cards: ClassVar[Collection[str]]
    """The cards that a generator is shipped for."""

    def __init__(
        self,
        requirement: Requirement,
        options: BackboneBuildOptions,
        card: str,
        spec: Sequence[ParameterSpec],
        *,
        own_weights: bool = False,
    ) -> None:
        self.requirement, self.options, self.card_name = requirement, options, card
        self.device = pick_device(options.device)
        self.asked = asked_column({"group": options.group, "time": options.time})
        self.generator, self.header = self._load_generator(spec, own_weights)
        self.encoder_name: str | None = None
        self.built = ""  # a model is of the card that it was begun with
        self.shown: pd.DataFrame | list[np.ndarray] | None = None
        self.truth: np.ndarray | None = None

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """What the task decides of a model's shapes; nothing is read for it."""
        classes = dataset.schema.classes if dataset is not None else self.requirement.classes
        used = dataset.schema.used if dataset is not None else [c for c in self.requirement.columns if c.used]
        return Sizes(max(len(classes), 1), texts=sum(column.is_text for column in used))

    @staticmethod
    @abstractmethod
    def read_generator(path: Path) -> tuple[AdapterGenerator, dict[str, Any]]:
        """Read a checkpoint of the domain; once in a process."""

    @abstractmethod
    def architecture(self) -> Architecture:
        """What a blueprint says of the backbone."""

    def _load_generator(
        self, spec: Sequence[ParameterSpec], own_weights: bool
    ) -> tuple[AdapterGenerator | None, dict[str, Any] | None]:
        """The generator for the backbone: the given one, or the shipped one where it is for this card; else none.

        Parameters
        ----------
        own_weights : bool
            Whether the backbone's weights are the user's: the shipped generator is not for them.

        Raises
        ------
        UsageError
            The given one was trained for another backbone.
        """
        given = self.options.generator
        if given is None and (own_weights or self.card_name not in self.generator_cards):
            if not self.can_generate():
                return None, None
            log.warning(
                "No generator was trained for %s: the network stays as it is, and only the head is solved. "
                "Train one: modelgpt meta-train --domain %s --backbone %s",
                f"these weights of {self.card_name!r}" if own_weights else repr(self.card_name),
                self.domain,
                self.options.backbone or self.card_name,
            )
            return None, None
        generator, header = self.read_generator(generator_file(given, self.generator_folder()))
        if [(p.name, p.sizes) for p in generator.spec] != [(p.name, p.sizes) for p in spec]:
            raise UsageError(
                f"The generator doesn't fit the backbone {self.card_name!r}.",
                f"It was trained for {generator.config.backbone!r}.",
                f"Give --backbone {generator.config.backbone}, or another --generator.",
            )
        return generator, header

    def can_generate(self) -> bool:
        """Whether a generator could be trained for the backbone."""
        return True

    def generator_folder(self) -> str:
        """The folder in ``weights/`` of the generator that is shipped for the card."""
        return self.domain

    def check_generator(self) -> None:
        """Make sure that there is one, where words are all there is.

        Raises
        ------
        UsageError
            There is none.
        """
        if self.generator is None:
            raise UsageError(
                f"Without data, the backbone {self.card_name!r} needs a generator trained for it.",
                hint="Give --data PATH, or --generator DIR (modelgpt meta-train makes one), or leave out --backbone.",
            )

    def head_rows(self, dataset: Dataset, notes: list[str], things: str = "rows") -> pd.DataFrame:
        """The rows that the head is solved on: all, or an even draw, which is noted."""
        frame, schema = dataset.sample, dataset.schema
        most = self.options.rows or HEAD_ROWS
        if len(frame) > most and not self.options.all_rows:
            frame = _even_draw(frame, most, schema.target, schema.task, self.options.seed)
        if len(frame) < dataset.n_rows:
            notes.append(f"The head was solved on {len(frame):,} of {dataset.n_rows:,} {things}, drawn evenly.")
            log.info("%s --rows and --all-rows take more, at a pass of the backbone each.", notes[-1])
        return frame

    def name_texts(self, classes: Sequence[str]) -> list[str]:
        """Class names as they are shown to the generator."""
        return [label_text(label) for label in classes]

    def words_encoder(self) -> WordsEncoder:
        """What embeds the requirement and the class names."""
        return shared_encoder(self.options.encoder)

    def words(self, classes: Sequence[str], pair: bool = False) -> Words:
        """The requirement and the class names, embedded.

        Raises
        ------
        UsageError
            The text encoder doesn't fit the generator.
        """
        encoder = self.words_encoder()
        if self.generator is not None and encoder.size != self.generator.config.embedding:
            raise UsageError(
                f"The text encoder {encoder.name!r} doesn't fit the generator.",
                f"It gives {encoder.size} numbers a text, the generator reads {self.generator.config.embedding}.",
                "Leave out --encoder, or meta-train a generator with it.",
            )
        self.encoder_name = Path(encoder.name).name
        return make_words(encoder, self.requirement.sentence, self.name_texts(classes), pair)

    def blueprint(
        self,
        dataset: Dataset | None,
        columns: tuple[Column, ...],
        target: str,
        classes: tuple[str, ...],
        notes: list[str],
    ) -> Blueprint:
        """The blueprint, but for what the fit says."""
        return Blueprint(
            task="classification" if classes else "regression",
            target=target,
            labels=classes,
            columns=columns,
            target_reading=self.requirement.target_reading if dataset is None else dataset.schema.target_reading,
            requirement=self.requirement.sentence,
            architecture=self.architecture(),
            domain=self.domain,
            **contract(self.requirement),
            notes=notes,
            provenance=provenance(
                self.requirement, dataset, self.options.seed, generator=self.header, encoder=self.encoder_name
            )
            | self.weights_given(),
        )

    def weights_given(self) -> dict[str, Any]:
        """Return what the provenance says of backbone weights that are the user's own; nothing where they are not."""
        return {}

    def report(
        self,
        blueprint: Blueprint,
        fit: HeadFit,
        dataset: Dataset,
        rows: int,
        things: str = "rows",
        synthetic: int = 0,
        split: Split | None = None,
    ) -> None:
        """Put what the fit says into the blueprint, with notes on too few rows, what ties them, and generated ones."""
        if not fit.metrics:
            blueprint.notes.append(
                f"Too few {things} ({rows - synthetic}) to cross-validate: nothing is known of how good this model is."
            )
            log.warning(blueprint.notes[-1])
        elif split is not None:
            blueprint.validated = split.words()
            blueprint.provenance["split"] = split.describe()
            if note := split_note(split):
                blueprint.notes.append(note)
                log.info(note)
        if fit.thresholds is not None:
            self.serve_labels(blueprint, fit.thresholds, fit.held_out is not None, dataset.separator)
        if synthetic:
            blueprint.notes.append(synthetic_note(rows, synthetic, bool(fit.metrics), things))
            log.warning(blueprint.notes[-1])
        blueprint.metrics = fit.metrics
        blueprint.calibration = fit.calibration
        blueprint.provenance["head"] = {"rows": rows, "strength": fit.strength}

    def serve_labels(
        self, blueprint: Blueprint, thresholds: np.ndarray, calibrated: bool = False, separator: str = JOINED
    ) -> None:
        """Make the model one that gives any number of labels, each from its threshold on."""
        blueprint.multi_label = {
            "thresholds": [float(np.float32(t)) for t in thresholds],
            "calibrated": calibrated,
            "separator": separator,
        }
        if not calibrated:
            blueprint.notes.append(
                f"Multi-label and uncalibrated: a label is given from a probability of {DEFAULT:g} on, "
                "as no held-out rows say where better."
            )
            log.warning(blueprint.notes[-1])

    def novelty(
        self, blueprint: Blueprint, fit: HeadFit, inputs: Tensor, target: Tensor, scaling: Scaling | None = None
    ) -> dict[str, Tensor]:
        """Return what the output ``novelty`` is computed from, and put its threshold into the blueprint.

        Nothing where no rows were held out, which alone tell what is usual. For `inputs` (N, P), `target` (N, C) and
        `scaling` see `fit_novelty`.
        """
        if fit.folds is None:
            return {}
        classes = blueprint.task == "classification"
        found, blueprint.novelty = fit_novelty(inputs, target, fit.folds, classes=classes, scaling=scaling)
        return found.state()


def one_hot(cells: np.ndarray, classes: Sequence[str], multi_label: bool = False) -> Tensor:
    """Labels (N,), or JSON lists of them where it is `multi_label`, as float (N, C)."""
    if multi_label:
        return torch.from_numpy(multi_hot(cells, classes))
    labels = torch.from_numpy(class_indices(cells, classes))
    return torch.nn.functional.one_hot(labels, len(classes)).float()


def _even_draw(frame: pd.DataFrame, rows: int, target: str, task: str, seed: int) -> pd.DataFrame:
    """So many rows, each class in its share but at least some of it."""
    rng = np.random.default_rng([seed, 31])
    order = rng.permutation(len(frame))
    if task == "classification":
        labels = frame[target].iloc[order]
        turn = labels.groupby(labels, sort=False).cumcount().to_numpy()
        order = order[np.argsort(turn >= CLASS_FLOOR, kind="stable")]
    drawn: pd.DataFrame = frame.iloc[np.sort(order[:rows])].reset_index(drop=True)
    return drawn


def backbone_builders(
    kind: Callable[[Requirement, O], B], requirement: Requirement, options: O
) -> Callable[[ArchitectureCard], B]:
    """Return what gives the build of a card, made when it is first asked for.

    Parameters
    ----------
    kind : type of BackboneBuild
    """
    made: dict[str, B] = {}

    def of_card(card: ArchitectureCard) -> B:
        if card.name not in made:
            made[card.name] = kind(requirement, replace(options, backbone=options.backbone or card.name))
        return made[card.name]

    return of_card
