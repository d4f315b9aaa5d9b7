"""A text build: requirement and labelled texts in, a target model out. Called by `model_generator.builders`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modelgpt_cli.core.blueprint import Architecture, Blueprint
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.synthetic import MARK
from modelgpt_cli.domains.shared.adapted import lora_spec
from modelgpt_cli.domains.shared.alike import tell
from modelgpt_cli.domains.shared.backbone_build import NO_DATA, BackboneBuild, backbone_builders, one_hot
from modelgpt_cli.domains.shared.baselines import baseline_scores
from modelgpt_cli.domains.shared.build import first_notes
from modelgpt_cli.domains.shared.head import HeadFit, fit_head
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT, TARGET
from modelgpt_cli.domains.shared.onnx_text_encoder import encoder_layout
from modelgpt_cli.domains.shared.split import read_split
from modelgpt_cli.domains.shared.target_scale import target_scale
from modelgpt_cli.domains.shared.tasks import WordsEncoder
from modelgpt_cli.domains.shared.thresholds import DEFAULT
from modelgpt_cli.domains.text.architectures import DEFAULT_CARD, GENERATORS, MULTILINGUAL, find_card
from modelgpt_cli.domains.text.backbone import MultilingualBackbone, StaticBackbone, shared_backbone
from modelgpt_cli.domains.text.fit import Adapted, adapt, word_model
from modelgpt_cli.domains.text.head_sizes import input_groups
from modelgpt_cli.domains.text.languages import NAMES, language_of
from modelgpt_cli.domains.text.lexical import LexicalScores, Lexicon
from modelgpt_cli.domains.text.likeness import alike_split
from modelgpt_cli.domains.text.model import TextModel, encoder_config
from modelgpt_cli.domains.text.multilingual_package import EXTRA, is_installed
from modelgpt_cli.domains.text.options import BuildOptions
from modelgpt_cli.domains.text.pooled import MultilingualWords
from modelgpt_cli.domains.text.requirement import require, texts_of
from modelgpt_cli.domains.text.strange import ENGLISH, Strangeness
from modelgpt_cli.domains.text.target import shared_text_generator
from modelgpt_cli.domains.text.tokens import Encoded, encode, shared_tokenizer
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.logistic_sparse import SparseInputs

log = logging.getLogger("modelgpt")
TAKEN = (
    "The multilingual encoder is taken: the usual one was trained on English, and {found}. "
    f"--backbone {DEFAULT_CARD} takes that one all the same."
)
HINT = f" The multilingual encoder may do better: --backbone {MULTILINGUAL}."
INSTALL = f'{HINT[:-1]}, after pip install "modelgpt-cli[{EXTRA}]".'


def make_builders(requirement: Requirement, options: BuildOptions) -> Callable[[ArchitectureCard], TextBuild]:
    """Return what gives the build of a card, or of the multilingual one in its place where nothing is asked for."""
    asked = (options.backbone, options.card, options.generator)
    free = not any(asked) and not options.tokenizer_in_graph  # which is for the usual one's tokenizer
    return backbone_builders(partial(TextBuild, free=free), requirement, options)


def prepare(dataset: Dataset, requirement: Requirement, options: BuildOptions) -> Dataset:
    """Return the dataset as it is: rows are drawn where the head is solved."""
    return dataset


def export_options(options: BuildOptions) -> Mapping[str, Any]:
    """Return where the tokenizer is to be."""
    return {"tokenizer_in_graph": options.tokenizer_in_graph}


class TextBuild(BackboneBuild):
    """One build: what was asked, and the backbone, generator and encoder that serve it.

    Parameters
    ----------
    free : bool
        Whether the texts may decide on another encoder than the card's.
    """

    domain = "text"
    generator_cards = tuple(GENERATORS)
    options: BuildOptions

    def __init__(self, requirement: Requirement, options: BuildOptions, *, free: bool = False) -> None:
        self.free = free
        card = find_card(options.backbone)
        self.card = card if options.max_tokens is None else replace(card, max_tokens=options.max_tokens)
        self.backbone = shared_backbone(self.card)
        self.tokenizer = shared_tokenizer(self.backbone.tokenizer, self.card.max_tokens)
        super().__init__(requirement, options, self.card.name, lora_spec(self.backbone))

    @staticmethod
    def read_generator(path: Path) -> tuple[AdapterGenerator, dict[str, Any]]:
        """Read a checkpoint of the domain."""
        return shared_text_generator(path)

    def architecture(self) -> Architecture:
        """What a blueprint says of the backbone, before it is adapted."""
        return Architecture(card=self.card.name, members=1, hidden=0, max_tokens=self.card.max_tokens)

    def from_words(self) -> tuple[TextModel, dict[str, dict[str, float]], int]:
        """Requirement-only: W = W_gen, the paper's own setting.

        Raises
        ------
        UsageError
            As `require` has it, or no generator was trained for the backbone.
        """
        wanted = require(self.requirement)
        if self.free and is_installed() and (found := self._strange_words(wanted.classes)):
            log.warning("%s", TAKEN.format(found=found))
            other = TextBuild(self.requirement, replace(self.options, backbone=MULTILINGUAL))
            self.built = MULTILINGUAL
            return other.from_words()
        self.check_generator()
        pair = len(wanted.columns) == 2
        log.warning(NO_DATA)
        several = self.requirement.multi_label
        adapted = self._adapt(pair, wanted.classes, several)
        head = adapted.prior(None, None, sum(input_groups(self.backbone.size)[pair].values())).weight
        target = self.requirement.target or "label"
        blueprint = self.blueprint(None, wanted.columns, target, wanted.classes, [NO_DATA])
        if several:
            self.serve_labels(blueprint, np.full(len(wanted.classes), DEFAULT))
        return self._model(blueprint, adapted, HeadFit(head[:-1], head[-1]), wanted.scale), {}, 0

    def from_data(
        self, dataset: Dataset, *, check_fingerprint: bool
    ) -> tuple[TextModel, dict[str, dict[str, float]], int]:
        """The usual way: generate, embed the rows once, cross-validate, and solve the head on them all."""
        schema, pair = dataset.schema, len(dataset.schema.used) == 2
        self.shown, self.truth = dataset.sample, dataset.sample[schema.target].to_numpy()
        notes = first_notes(self.requirement, dataset, check_fingerprint)
        frame = self.head_rows(dataset, notes)
        columns = [frame[c.name].fillna("").tolist() for c in texts_of(schema.columns)]
        rows = encode(self.tokenizer, columns[0], columns[1] if pair else None)
        if rows.cut:
            notes.append(
                f"{rows.cut:,} of {len(rows):,} texts are longer than the window ({self.card.max_tokens} tokens) "
                "and were cut."
            )
            log.warning("%s --max-tokens widens it.", notes[-1])
        strange = Strangeness(self.tokenizer, self.card.name)
        strange.add(rows.ids, *columns[: 1 + pair])
        if note := strange.note():
            if self.free and is_installed():
                log.warning("%s", TAKEN.format(found=strange.found()))
                return self._multilingual(dataset, check_fingerprint)
            notes.append(note)
            hint = HINT if is_installed() else INSTALL
            log.warning("%s%s", note, hint if self.card.name in ENGLISH else "")
        elif self.card.name == MULTILINGUAL and (seen := strange.languages.words()):
            log.info("Languages of the texts, by letters and common words: %s.", seen)
        target, scale = _targets(frame[schema.target].to_numpy(), schema.classes, schema.multi_label)
        adapted = self._adapt(pair, schema.classes, schema.multi_label)
        phi, word_layer = self._embed(adapted, rows, pair)
        marks = frame[MARK].to_numpy(dtype=bool) if MARK in frame else None
        split = read_split(frame, self.asked)
        if split is None:
            labels = frame[schema.target].tolist() if schema.classes else None
            split, told = alike_split(columns[: 1 + pair], labels)
            tell(told)
            notes += told[:1]  # texts are for the user, not for the model's card
        lexicon, sparse = self._words_counted(rows, pair, target.shape[1])
        fit = fit_head(
            adapted,
            phi,
            target,
            seed=self.options.seed,
            scale=scale,
            synthetic=marks,
            split=split,
            sparse=sparse,
            more=word_layer,
        )
        languages = {name: round(share, 3) for name, share in strange.languages.shares().items()}
        texts = columns[0] if not pair else [f"{a} {b}" for a, b in zip(*columns, strict=True)]
        regression = schema.task == "regression"
        fit.metrics |= baseline_scores(
            fit, target, regression, scale, lambda: word_model(texts, regression), multi_label=schema.multi_label
        )
        blueprint = self.blueprint(
            dataset, (*texts_of(schema.columns), *schema.dropped), schema.target, schema.classes, notes
        )
        self.report(blueprint, fit, dataset, len(rows), synthetic=0 if marks is None else int(marks.sum()), split=split)
        blueprint.provenance |= {"languages": languages} if languages else {}
        if word_layer is not None and fit.more_precision is not None:
            phi = torch.cat([phi, word_layer], 1)
            blueprint.architecture = replace(blueprint.architecture, word_layer=True)
            blueprint.provenance["head"] |= {"word_layer_precision": fit.more_precision}
        tensors = self.novelty(blueprint, fit, phi, target)
        if lexicon is not None and fit.beside is not None:
            tensors |= LexicalScores.of(lexicon, fit.beside).state()
            blueprint.provenance["head"] |= {"words": lexicon.width, "words_precision": fit.sparse_precision}
        model = self._model(blueprint, adapted, fit, scale if schema.task == "regression" else None, tensors)
        return model, fit.metrics, len(fit.scored)

    def _multilingual(
        self, dataset: Dataset, check_fingerprint: bool
    ) -> tuple[TextModel, dict[str, dict[str, float]], int]:
        """The same build by the multilingual encoder."""
        options = replace(self.options, backbone=MULTILINGUAL)
        other = TextBuild(self.requirement, options)
        found = other.from_data(dataset, check_fingerprint=check_fingerprint)
        self.shown, self.truth, self.built = other.shown, other.truth, MULTILINGUAL
        return found

    def can_generate(self) -> bool:
        """Whether the encoder takes LoRA factors."""
        return not isinstance(self.backbone, StaticBackbone)

    def generator_folder(self) -> str:
        """The folder of the card's generator."""
        return GENERATORS[self.card_name] if self.card_name in GENERATORS else super().generator_folder()

    def words_encoder(self) -> WordsEncoder:
        """The multilingual encoder itself where it reads the texts, unless another is asked for."""
        if isinstance(self.backbone, MultilingualBackbone) and self.options.encoder is None:
            return MultilingualWords(self.backbone)
        return super().words_encoder()

    def _strange_words(self, classes: tuple[str, ...]) -> str:
        """Say what the encoder was not made for in a requirement's words; "" where it seems to be."""
        said = [self.requirement.sentence, *self.name_texts(classes)]
        strange = Strangeness(self.tokenizer, self.card.name)
        strange.add(encode(self.tokenizer, said).ids)
        language = language_of(" ".join(said), lead=2)
        if self.card.name in ENGLISH and language not in (None, "en"):
            return f"these words seem to be {NAMES[language]}"
        return strange.found()

    def _embed(self, adapted: Adapted, rows: Encoded, pair: bool) -> tuple[Tensor, Tensor | None]:
        """The rows' head inputs (N, P), and of single texts those of the word layer, where there is one to be asked."""
        if not self.options.lexical or pair or encoder_layout(adapted.encoder.config, "") is None:
            return adapted.embed(rows, pair), None
        last, first = adapted.embed(rows, pair, word_layer=True).chunk(2, 1)
        return last, first

    def _words_counted(self, rows: Encoded, pair: bool, outputs: int) -> tuple[Lexicon | None, SparseInputs | None]:
        """What the words themselves say, unless it isn't asked for."""
        if not self.options.lexical:
            return None, None
        vocabulary = max(self.tokenizer.get_vocab().values()) + 1
        lexicon = Lexicon.of(rows, vocabulary, pair, outputs)
        return lexicon, SparseInputs.of(lexicon.inputs(rows))

    def _adapt(self, pair: bool, classes: tuple[str, ...], multi_label: bool) -> Adapted:
        """Embed the words and let the generator adapt the backbone."""
        names = self.name_texts(classes)
        rows = encode(self.tokenizer, names) if any(names) else None
        adapted = adapt(self.backbone, self.generator, self.words(classes, pair), rows, device=self.device)
        adapted.multi_label = multi_label
        return adapted

    def _model(
        self,
        blueprint: Blueprint,
        adapted: Adapted,
        fit: HeadFit,
        scale: tuple[float, float] | None,
        more: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> TextModel:
        encoder = adapted.encoder.cpu()
        blueprint.architecture = replace(blueprint.architecture, encoder=encoder_config(encoder))
        state: dict[str, Tensor] = {BACKBONE + k: v for k, v in encoder.state_dict().items()}
        state |= {HEAD_WEIGHT: fit.weight, HEAD_BIAS: fit.bias} | dict(more)
        if scale is not None:
            state[TARGET] = target_scale(*scale)
        return TextModel(blueprint, state, self.tokenizer)


def _targets(cells: np.ndarray, classes: tuple[str, ...], multi_label: bool) -> tuple[Tensor, tuple[float, float]]:
    """Labels as ones (N, C), or the standardised target (N, 1) with its mean and standard deviation."""
    if classes:
        return one_hot(cells, classes, multi_label), (0.0, 1.0)
    y = cells.astype(np.float64)
    scale = (float(y.mean()), float(y.std()) or 1.0)
    return torch.from_numpy(((y - scale[0]) / scale[1]).astype(np.float32))[:, None], scale
