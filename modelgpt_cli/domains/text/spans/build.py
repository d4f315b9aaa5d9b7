"""A build of marked texts: requirement and texts in, a target model out. Called by `model_generator.builders`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.shared.backbone_build import NO_DATA
from modelgpt_cli.domains.shared.build import contract, first_notes, provenance
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.shared.onnx_text_encoder import encoder_layout
from modelgpt_cli.domains.text.architectures import TextCard
from modelgpt_cli.domains.text.backbone import load_encoder
from modelgpt_cli.domains.text.likeness import alike_split
from modelgpt_cli.domains.text.model import encoder_config
from modelgpt_cli.domains.text.spans import DOMAIN
from modelgpt_cli.domains.text.spans.architectures import layers_read, text_card
from modelgpt_cli.domains.text.spans.fit import SpanFit, Words, fit_spans
from modelgpt_cli.domains.text.spans.kinds import (
    known_words,
    matched_kinds,
    named_kinds,
    prior_of,
    shipped_generator,
    taken_for,
)
from modelgpt_cli.domains.text.spans.marks import Faults, Span, read_cell
from modelgpt_cli.domains.text.spans.model import (
    MEAN,
    SCALE,
    SpanModel,
    cut_encoder,
    standard,
    tensors,
    word_inputs,
    word_states,
)
from modelgpt_cli.domains.text.spans.options import BuildOptions
from modelgpt_cli.domains.text.spans.requirement import NEEDED, require
from modelgpt_cli.domains.text.spans.table import DOCUMENT
from modelgpt_cli.domains.text.spans.tags import tag_names, tags_of, transitions, weighed, whole_words
from modelgpt_cli.domains.text.spans.words import SHAPE_NAMES, Text, Windows, join_windows, make_windows, read_texts
from modelgpt_cli.domains.text.strange import Strangeness
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.parameter_generator.shared import read_once

log = logging.getLogger("modelgpt")
MOST_WORDS = 12_000
"""Words that the head is solved on: each is as wide as 2,400 numbers. Whole texts are drawn."""
BATCH_TOKENS = 2048
GUESS = (
    "From words alone spans are a first guess: in news three of four are found, and three of four that are found are "
    "right. Thirty marked texts (--data) do better."
)
"""As scripts.benchmarks "spans words" measured it; see docs/texts.md."""
SHRUNK = 20.0
"""Words that the mean scale of all directions counts for, beside the texts' own words."""


def _load(card: TextCard) -> tuple[nn.Module, Tokenizer, tuple[int, ...]]:
    encoder, tokenizer = load_encoder(card.path())
    if encoder.config.model_type != "bert" or encoder_layout(encoder.config, BACKBONE) is None:
        raise UsageError(
            f"The backbone {card.name!r} can't read marked texts.",
            f"It is of the kind {encoder.config.model_type}; their encoder is one of BERT's kind.",
            "Leave out --backbone.",
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    layers = layers_read(encoder.config.num_hidden_layers)
    return cut_encoder(encoder, max(layers)).eval(), tokenizer, layers


shared_words_encoder = read_once(_load, lambda card: card.path())
"""The encoder's lower layers with its tokenizer, and which are read. Loaded once in a process."""


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], SpanBuild]:
    """Return what gives the build of a card."""
    return lambda card: SpanBuild(requirement, options, card.name)


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return none."""
    return {}


class SpanBuild:
    """One build; see `model_generator.builders.Builder`."""

    def __init__(self, requirement: Requirement, options: BuildOptions, card: str) -> None:
        self.requirement, self.options, self.card = requirement, options, card
        self.shown: pd.DataFrame | None = None
        self.truth: np.ndarray | None = None  # a smaller file is not compared: its scores are of words
        self.built = ""

    def sizes(self, dataset: Dataset | None, *, check_fingerprint: bool) -> Sizes:
        """What the task decides of a model's shapes."""
        classes = dataset.schema.classes if dataset is not None else self.requirement.classes
        return Sizes(len(classes), texts=1)

    def from_words(self) -> tuple[SpanModel, dict[str, dict[str, float]], int]:
        """From the names of classes alone, if they are called like kinds of spans that are known; see `kinds`."""
        classes = require(self.requirement)
        if self.options.backbone is not None:
            raise UsageError(
                "From words alone, spans are found with the shipped encoder.",
                "Of another it isn't known how names and dates look to it.",
                "Leave out --backbone, or give marked texts (--data).",
            )
        generator, nearest = named_kinds(classes, NEEDED)
        notes = [NO_DATA, GUESS, *filter(None, [taken_for(nearest)])]
        for note in notes:
            log.warning(note)
        weight, bias = generator.head([nearest[label]["concept"] for label in classes])
        table = weighed(transitions([], 1 + 2 * len(classes)), 0.0)  # only forbids what can't be
        fit = SpanFit(weight, bias, table, 0.0, 0.0, named=True)
        card = text_card()
        encoder, tokenizer, layers = shared_words_encoder(card)
        columns = self.requirement.columns or (Column("text", "text", role="marked"),)
        blueprint = self._blueprint(columns, None, fit, encoder, layers, card, notes)
        blueprint.nearest = nearest
        state = _state(encoder, fit, generator.mean, generator.scale)
        return SpanModel(blueprint, state, tokenizer), {}, 0

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[SpanModel, dict[str, dict[str, float]], int]:
        """Embed the words once, cross-validate, and solve the head on them all."""
        schema = dataset.schema
        self.shown = dataset.sample
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        card = text_card(self.options.backbone)
        encoder, tokenizer, layers = shared_words_encoder(card)
        frame = dataset.sample
        texts = frame[schema.used[0].name].tolist()
        read = read_texts(tokenizer, texts)
        kept = _drawn(read, MOST_WORDS, self.options.seed)
        if len(kept) < dataset.n_rows:
            notes.append(f"The head was solved on {len(kept):,} of {dataset.n_rows:,} texts, drawn evenly.")
            log.info(notes[-1])
        frame = frame.iloc[kept].reset_index(drop=True)
        texts, read = [texts[i] for i in kept], [read[i] for i in kept]
        strange = Strangeness(tokenizer, card.name)
        windows = make_windows(read, tokenizer, card.max_tokens)
        strange.add([np.array(ids) for ids in windows.ids])
        if note := strange.note():
            notes.append(note)
            log.warning(note)
        spans, tags = _targets(frame[schema.target], read, schema.classes, notes)
        states = window_states(encoder, layers, windows)
        classes = schema.classes
        generator = shipped_generator() if self.options.backbone is None else None  # of that encoder alone
        mean, scale = scaling(states) if generator is None else (generator.mean, generator.scale)
        inputs = head_inputs(states, windows, read, mean, scale)
        prior = None
        if generator is not None:
            kinds = matched_kinds(generator, inputs, tags, classes)
            prior = prior_of(generator, kinds)
        words = Words(inputs, tags, [one.words for one in read], spans, texts)
        fit = fit_spans(words, classes, _groups(frame, texts, notes), self.options.seed, prior)
        if fit.named:
            log.info("%s", known_words(classes, kinds))
        if not fit.metrics:
            notes.append(f"Too few texts ({len(words)}) to cross-validate: nothing is known of how good this model is.")
            log.warning(notes[-1])
        blueprint = self._blueprint(schema.columns, dataset, fit, encoder, layers, card, notes)
        state = _state(encoder, fit, mean, scale)
        return SpanModel(blueprint, state, tokenizer), fit.metrics, len(words)

    def _blueprint(
        self,
        columns: Sequence[Column],
        dataset: Dataset | None,
        fit: SpanFit,
        encoder: nn.Module,
        layers: Sequence[int],
        card: TextCard,
        notes: list[str],
    ) -> Blueprint:
        schema = None if dataset is None else dataset.schema
        labels = self.requirement.classes if schema is None else schema.classes
        made = Blueprint(
            task=DOMAIN.task,
            target="spans" if schema is None else schema.target,
            labels=labels,
            columns=tuple(columns),
            requirement=self.requirement.sentence,
            architecture=Architecture(
                self.card if self.options.backbone is None else card.name,
                hidden=0,
                members=1,
                max_tokens=card.max_tokens,
                encoder=encoder_config(encoder),
            ),
            domain=DOMAIN.name,
            **contract(self.requirement),
            metrics=fit.metrics,
            notes=notes,
            provenance=provenance(
                self.requirement,
                dataset,
                self.options.seed,
                generator=dict(shipped_generator().header) if fit.named else None,
                encoder=None,
            ),
        )
        made.decoding = {
            "scheme": "BIO",
            "tags": tag_names(labels),
            "transitions": [[round(float(value), 6) for value in row] for row in fit.table],
            "sharpness": fit.sharpness,
            "shapes": list(SHAPE_NAMES),
            "layers": list(layers),
        }
        if dataset is not None:
            solved = {"precision": fit.precision, "transitions": fit.transition_weight, "around_names": fit.named}
            made.provenance["head"] = solved
        return made


def _state(encoder: nn.Module, fit: SpanFit, mean: Tensor, scale: Tensor) -> dict[str, Tensor]:
    """A model's tensors; see `SpanModel`."""
    state = {BACKBONE + name: value for name, value in encoder.state_dict().items()}
    return state | {HEAD_WEIGHT: fit.weight, HEAD_BIAS: fit.bias, MEAN: mean, SCALE: scale}


def _drawn(texts: Sequence[Text], most: int, seed: int) -> list[int]:
    """The texts whose words together are no more than so many, in their order."""
    sizes = np.array([len(text.words) for text in texts])
    if sizes.sum() <= most:
        return list(range(len(texts)))
    order = np.random.default_rng([seed, 31]).permutation(len(texts))
    fits = np.cumsum(sizes[order]) <= most
    fits[0] = True
    return sorted(order[fits].tolist())


def _targets(
    cells: pd.Series, read: Sequence[Text], classes: Sequence[str], notes: list[str]
) -> tuple[list[list[Span]], list[np.ndarray]]:
    """The spans of each text in whole words, and its words' tags; what had to be widened is told."""
    faults = Faults()
    spans, tags = [], []
    for cell, text in zip(cells, read, strict=True):
        given = read_cell(cell)
        faults.spans += len(given)
        places = whole_words(given, text.words, faults)
        tags.append(tags_of(places, len(text.words), classes))
        spans.append([Span(text.words[a][0], text.words[b][1], label) for a, b, label in places])
    if not any(tag.any() for tag in tags):
        raise ModelGPTError("No span has a word of the texts in it.", "", "Check the spans' start and end.")
    for line in faults.lines():
        notes.append(line)
        log.warning(line)
    return spans, tags


def _groups(frame: pd.DataFrame, texts: Sequence[str], notes: list[str]) -> np.ndarray:
    """Which texts are held out together: those of a document, where the file tells; else near-duplicates."""
    if DOCUMENT in frame:
        documents = frame[DOCUMENT].to_numpy(dtype=np.int64)
        if len(np.unique(documents)) > 1:
            return documents
    groups = np.arange(len(texts))
    split, told = alike_split([texts], None)
    if split is not None:
        joined = split.keys >= 0
        groups[joined] = len(texts) + split.keys[joined]
        log.info(told[0])
        notes += told[:1]
    return groups


@torch.inference_mode()
def window_states(encoder: nn.Module, layers: Sequence[int], windows: Windows) -> list[Tensor]:
    """Embed texts: the states of each window's words, (K, W, E)."""
    states: list[Tensor] = [torch.zeros(0)] * len(windows.ids)
    with progress("embed texts", len(windows.ids)) as advance:
        for rows, inputs in windows.batches(BATCH_TOKENS):
            ids, mask, words, shapes = tensors(inputs)
            found = word_states(encoder, layers, ids, mask, words, shapes.shape[1] - 2)
            for i, row in enumerate(rows):
                low, high = windows.words[row]
                states[row] = found[:, i, : high - low].clone()
            advance(len(rows))
    return states


def scaling(states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and scale of the states of words, (K, E) each.

    The scale of a direction is that of these words, drawn to the mean of all directions where the words are few.
    """
    together = torch.cat(list(states), 1)  # (K, n, E)
    spread, n = together.var(1, unbiased=False), together.shape[1]
    scale = ((n * spread + SHRUNK * spread.mean(1, keepdim=True)) / (n + SHRUNK)).sqrt().clamp(min=1e-6)
    return together.mean(1), scale


def head_inputs(
    states: Sequence[Tensor], windows: Windows, texts: Sequence[Text], mean: Tensor, scale: Tensor
) -> list[Tensor]:
    """Head inputs of the words of each text, (W, P), from the states of its windows."""
    parts = [
        word_inputs(standard(own[:, None], mean, scale), torch.tensor([shapes])).squeeze(0).numpy()
        for own, shapes in zip(states, windows.shapes, strict=True)
    ]
    joined = join_windows(windows, parts, texts, parts[0].shape[1])
    return [torch.from_numpy(own) for own in joined]
