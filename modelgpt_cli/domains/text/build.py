"""A text build: requirement and labelled texts in, a target model out. Called by `pipeline.build`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.assets import asset
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.schema import Column
from modelgpt_cli.domains.build import BuildOptions, provenance
from modelgpt_cli.domains.head import HeadFit, fit_head, make_folds
from modelgpt_cli.domains.tasks import label_text, make_words
from modelgpt_cli.domains.text.backbone import load_backbone, lora_spec
from modelgpt_cli.domains.text.cards import DEFAULT_CARD, TextCard, find_card
from modelgpt_cli.domains.text.fit import Adapted, adapt, baseline_scores
from modelgpt_cli.domains.text.model import BACKBONE, HEAD_BIAS, HEAD_WEIGHT, TARGET, TextModel, encoder_config
from modelgpt_cli.domains.text.requirement_only import requirement_only_texts
from modelgpt_cli.domains.text.tokens import encode, prepare_tokenizer
from modelgpt_cli.errors import UsageError
from modelgpt_cli.model_generator.blueprint import Architecture, Blueprint
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, input_groups
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.requirement_generator.requirement import Requirement

log = logging.getLogger("modelgpt")
NO_DATA = "No data was used (zero-shot): the weights come from the sentence and the class names alone."
HEAD_ROWS = 4096
"""Rows that the head is solved on, drawn evenly, unless all are asked for: each costs a pass of the backbone."""
LEAST_TOKENS = 8


class TextBuild:
    """One build: what was asked, and the backbone, generator and encoder that serve it."""

    def __init__(self, requirement: Requirement, options: BuildOptions) -> None:
        self.requirement, self.options = requirement, options
        self.card = _with_window(find_card(options.backbone), options.max_tokens)
        self.backbone = load_backbone(self.card)
        self.tokenizer = prepare_tokenizer(self.backbone.tokenizer, self.card.max_tokens)
        self.generator, self.header = self._load_generator()
        self.encoder_name: str | None = None

    def _load_generator(self) -> tuple[AdapterGenerator | None, dict[str, Any] | None]:
        """The generator for the backbone: the given one, or the shipped one of the default card; else none.

        Raises
        ------
        UsageError
            The given one was trained for another backbone.
        """
        given = self.options.generator
        if given is None and self.card.name != DEFAULT_CARD:
            log.warning(
                "No generator was trained for %r: its weights stay as they are, and only the head is solved. "
                "Train one: modelgpt meta-train --domain text --backbone %s",
                self.card.name,
                self.options.backbone,
            )
            return None, None
        path = Path(given) if given else asset("weights", "text", "generator.safetensors")
        generator, header = load_adapter_generator(path / "generator.safetensors" if path.is_dir() else path)
        if [(p.name, p.sizes) for p in generator.spec] != [(p.name, p.sizes) for p in lora_spec(self.backbone)]:
            raise UsageError(
                f"The generator doesn't fit the backbone {self.card.name!r}.",
                f"It was trained for {generator.config.backbone!r}.",
                f"Give --backbone {generator.config.backbone}, or another --generator.",
            )
        return generator, header

    def from_words(self) -> tuple[TextModel, dict[str, dict[str, float]], int]:
        """Requirement-only: W = W_gen, the paper's own setting.

        Raises
        ------
        UsageError
            As `requirement_only_texts` has it, or no generator was trained for the backbone.
        """
        wanted = requirement_only_texts(self.requirement)
        if self.generator is None:
            raise UsageError(
                f"Without data, the backbone {self.card.name!r} needs a generator trained for it.",
                hint="Give --data FILE, or --generator DIR, or leave out --backbone.",
            )
        pair = len(wanted.columns) == 2
        log.warning(NO_DATA)
        adapted = self._adapt(pair, wanted.classes)
        head = adapted.prior(None, None, sum(input_groups(self.backbone.size)[pair].values())).weight
        target = self.requirement.target or "label"
        blueprint = self._blueprint(None, wanted.columns, target, wanted.classes, [NO_DATA])
        return self._model(blueprint, adapted, HeadFit(head[:-1], head[-1]), wanted.scale), {}, 0

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[TextModel, dict[str, dict[str, float]], int]:
        """The usual way: generate, embed the rows once, cross-validate, and solve the head on them all."""
        schema, notes = dataset.schema, list(dataset.warnings)
        known = self.requirement.fingerprint
        if check_fingerprint and known and known != dataset.fingerprint:
            notes.append("The data has changed since the requirement was written.")
            log.warning(notes[-1])
        for flag, given in (("--members", self.options.members), ("--coverage", self.options.coverage)):
            if given:
                notes.append(f"{flag} is for tables; this is a model of texts.")
                log.warning(notes[-1])
        pair = len(schema.used) == 2
        frame = dataset.sample
        most = self.options.rows or HEAD_ROWS
        if len(frame) > most and not self.options.all_rows:
            frame = _even_draw(frame, most, schema.target, schema.task, self.options.seed)
        if len(frame) < dataset.n_rows:
            notes.append(f"The head was solved on {len(frame):,} of {dataset.n_rows:,} rows, drawn evenly.")
            log.info("%s --rows and --all-rows take more, at a pass of the backbone each.", notes[-1])
        columns = [frame[c.name].fillna("").tolist() for c in schema.texts]
        rows = encode(self.tokenizer, columns[0], columns[1] if pair else None)
        if rows.cut:
            notes.append(
                f"{rows.cut:,} of {len(rows):,} texts are longer than the window ({self.card.max_tokens} tokens) "
                "and were cut."
            )
            log.warning("%s --max-tokens widens it.", notes[-1])
        target, scale = _targets(frame[schema.target].to_numpy(), schema.classes)
        adapted = self._adapt(pair, schema.classes)
        phi = adapted.embed(rows, pair)
        folds = make_folds(target, schema.task == "regression", self.options.seed)
        fit = fit_head(adapted, phi, target, seed=self.options.seed, scale=scale)
        texts = columns[0] if not pair else [f"{a} {b}" for a, b in zip(*columns, strict=True)]
        fit.metrics |= baseline_scores(texts, target, folds, schema.task == "regression", scale)
        if folds is None:
            notes.append(f"Too few rows ({len(rows)}) to cross-validate: nothing is known of how good this model is.")
            log.warning(notes[-1])
        blueprint = self._blueprint(dataset, (*schema.texts, *schema.dropped), schema.target, schema.classes, notes)
        blueprint.metrics = fit.metrics
        blueprint.provenance["head"] = {"rows": len(rows), "strength": fit.strength}
        model = self._model(blueprint, adapted, fit, scale if schema.task == "regression" else None)
        return model, fit.metrics, len(rows) if fit.metrics else 0

    def _adapt(self, pair: bool, classes: tuple[str, ...]) -> Adapted:
        """Embed the words and let the generator adapt the backbone."""
        names = self.name_texts(classes)
        words = make_words(self._encoder(), self.requirement.sentence, names, pair)
        rows = encode(self.tokenizer, names) if any(names) else None
        return adapt(self.backbone, self.generator, words, rows, device=self.options.device)

    def name_texts(self, classes: Sequence[str]) -> list[str]:
        """Class names as they are shown to the generator."""
        return [label_text(label) for label in classes]

    def _encoder(self) -> TextEncoder:
        encoder = TextEncoder(self.options.encoder)
        if self.generator is not None and encoder.size != self.generator.config.embedding:
            raise UsageError(
                f"The text encoder {encoder.name!r} doesn't fit the generator.",
                f"It gives {encoder.size} numbers a text, the generator reads {self.generator.config.embedding}.",
                "Leave out --encoder, or meta-train a generator with it.",
            )
        self.encoder_name = Path(encoder.name).name
        return encoder

    def _blueprint(
        self,
        dataset: Dataset | None,
        columns: tuple[Column, ...],
        target: str,
        classes: tuple[str, ...],
        notes: list[str],
    ) -> Blueprint:
        return Blueprint(
            task="classification" if classes else "regression",
            target=target,
            labels=classes,
            columns=columns,
            requirement=self.requirement.sentence,
            architecture=Architecture(card=self.card.name, members=1, hidden=0, max_tokens=self.card.max_tokens),
            domain="text",
            limits=self.requirement.limits.to_mapping(),
            notes=notes,
            provenance=provenance(
                self.requirement, dataset, self.options.seed, generator=self.header, encoder=self.encoder_name
            ),
        )

    def _model(
        self, blueprint: Blueprint, adapted: Adapted, fit: HeadFit, scale: tuple[float, float] | None
    ) -> TextModel:
        encoder = adapted.encoder.cpu()
        blueprint.architecture = replace(blueprint.architecture, encoder=encoder_config(encoder))
        state: dict[str, Tensor] = {BACKBONE + k: v for k, v in encoder.state_dict().items()}
        state |= {HEAD_WEIGHT: fit.weight, HEAD_BIAS: fit.bias}
        if scale is not None:
            state[TARGET] = torch.tensor(scale)
        return TextModel(blueprint, state, self.tokenizer)


def _with_window(card: TextCard, max_tokens: int | None) -> TextCard:
    if max_tokens is None:
        return card
    if max_tokens < LEAST_TOKENS:
        raise UsageError(f"--max-tokens must be {LEAST_TOKENS} or more, not {max_tokens}.")
    return replace(card, max_tokens=max_tokens)


def _targets(cells: np.ndarray, classes: tuple[str, ...]) -> tuple[Tensor, tuple[float, float]]:
    """One-hot labels (N, C), or the standardised target (N, 1) with its mean and standard deviation."""
    if classes:
        place = {label: k for k, label in enumerate(classes)}
        labels = torch.tensor([place[cell] for cell in cells])
        return torch.nn.functional.one_hot(labels, len(classes)).float(), (0.0, 1.0)
    y = cells.astype(np.float64)
    scale = (float(y.mean()), float(y.std()) or 1.0)
    return torch.from_numpy(((y - scale[0]) / scale[1]).astype(np.float32))[:, None], scale


def _even_draw(frame: Any, rows: int, target: str, task: str, seed: int) -> Any:
    """So many rows, each class in its share but at least some of it."""
    rng = np.random.default_rng([seed, 31])
    order = rng.permutation(len(frame))
    if task == "classification":
        labels = frame[target].iloc[order]
        turn = labels.groupby(labels, sort=False).cumcount().to_numpy()
        order = order[np.argsort(turn >= 8, kind="stable")]  # eight rows of each class come first
    return frame.iloc[np.sort(order[:rows])].reset_index(drop=True)
