"""The generator of LoRA factors and heads: what it starts from, what it must not depend on, how it is kept."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file
from tiny_texts import SIZE, loaded, sayings, tiny_backbone, tiny_generator

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.target import input_groups as image_groups
from modelgpt_cli.domains.image.target import load_image_generator
from modelgpt_cli.domains.shared.episode import run_episode
from modelgpt_cli.domains.shared.head import episode_loss, solve, with_bias
from modelgpt_cli.domains.shared.tasks import Episode
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.text.backbone import Backbone
from modelgpt_cli.domains.text.embed import embed
from modelgpt_cli.domains.text.head_sizes import input_groups
from modelgpt_cli.domains.text.target import load_text_generator
from modelgpt_cli.domains.text.tokens import Encoded, encode, prepare_tokenizer
from modelgpt_cli.parameter_generator.adapter import (
    NAME_SCALE,
    PRECISION,
    SEEN_ROWS,
    AdapterConfig,
    AdapterGenerator,
    Evidence,
    HeadPrior,
    Words,
    class_evidence,
)
from modelgpt_cli.parameter_generator.checkpoint import save_generator
from modelgpt_cli.parameter_generator.spec import ParameterSpec


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    return loaded(tiny_backbone(tmp_path_factory.mktemp("text") / "tiny"))


@pytest.fixture(scope="module")
def learnt(backbone: Backbone) -> AdapterGenerator:
    """A generator whose every weight has been moved, as training would: nothing of it is zero."""
    return tiny_generator(backbone, shaken=0.2)


def words_of(classes: int, *, pair: bool = False, seed: int = 0) -> Words:
    """Random embeddings; no classes is a regression."""
    rng = torch.Generator().manual_seed(seed)
    names = torch.randn(max(classes, 1), SIZE, generator=rng) if classes else torch.zeros(1, SIZE)
    return Words(torch.randn(SIZE, generator=rng), names, regression=not classes, pair=pair)


def inputs_of(pair: bool) -> int:
    return sum(input_groups(SIZE)[pair].values())


def evidence_of(classes: int, *, pair: bool = False, seed: int = 1) -> Evidence:
    """Of four random rows a class."""
    rng = torch.Generator().manual_seed(seed)
    phi = torch.randn(4 * max(classes, 1), inputs_of(pair), generator=rng)
    if not classes:
        return class_evidence(phi, torch.randn(len(phi), 1, generator=rng), True)
    return class_evidence(phi, torch.eye(classes).repeat(4, 1), False)


def episode_of(backbone: Backbone, classes: int, *, pair: bool = False, rows: int = 12) -> Episode:
    """An episode of texts about random topics."""
    tokenizer = prepare_tokenizer(backbone.tokenizer, 64)
    texts, _ = sayings(["sport", "food", "money", "water"], 2 * rows)
    both: Encoded = encode(tokenizer, texts, texts[::-1] if pair else None)
    number = np.arange(2 * rows)
    target = torch.eye(classes)[number[:rows] % classes] if classes else torch.linspace(-1.5, 1.5, rows)[:, None]
    answer = torch.from_numpy(number[rows:] % classes) if classes else torch.linspace(-1, 1, rows)
    return Episode(
        task="random",
        words=words_of(classes, pair=pair),
        names=encode(tokenizer, [f"goal {k}" for k in range(classes)]) if classes else None,
        support=both.take(number[:rows]),
        target=target,
        query=both.take(number[rows:]),
        answer=answer,
    )


# The factors --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_fresh_generator_leaves_the_backbone_as_it_is(backbone: Backbone) -> None:
    rows = encode(prepare_tokenizer(backbone.tokenizer, 64), sayings(["food", "water"], 5)[0])
    tokens = rows.padded(range(5))
    generator = tiny_generator(backbone)
    for words in (words_of(3), words_of(0, seed=4), words_of(2, pair=True, seed=5)):
        lora, _ = generator.adapt(words)
        torch.testing.assert_close(backbone(tokens, lora), backbone(tokens))
    assert any(value.any() for value in lora.values()), "half of the factors start at random, or nothing would learn"
    moved, _ = tiny_generator(backbone, shaken=0.2).adapt(words_of(3))
    assert not torch.allclose(backbone(tokens, moved), backbone(tokens), atol=1e-2)


@torch.no_grad()
def test_each_factor_is_one_that_the_backbone_takes(backbone: Backbone, learnt: AdapterGenerator) -> None:
    lora, _ = learnt.adapt(words_of(3))
    rank = backbone.card.rank
    assert {layer.split(".")[-1] for layer in backbone.adapted} == {"query", "value"}
    assert set(lora) == {f"{layer}.{factor}" for layer in backbone.adapted for factor in ("lora_A", "lora_B")}
    for layer, (inputs, outputs) in backbone.adapted.items():
        assert lora[f"{layer}.lora_A"].shape == (rank, inputs)
        assert lora[f"{layer}.lora_B"].shape == (outputs, rank)


@torch.no_grad()
def test_factors_of_convolutions_are_kernels(tmp_path: Path) -> None:
    spec = [
        ParameterSpec("a.lora_A", (4, 6, 3, 3)),
        ParameterSpec("a.lora_B", (10, 4, 1, 1), gain=0.0),
        ParameterSpec("b.lora_A", (4, 10, 1, 1)),
        ParameterSpec("b.lora_B", (2, 4, 1, 1), gain=0.0),
    ]
    config = AdapterConfig(domain="image", scaled=True, backbone="none", size=10, width=16, embedding=SIZE)
    generator = AdapterGenerator(config, spec, image_groups(10))
    words = words_of(3)
    lora, tokens = generator.adapt(words)
    assert {p.name: tuple(lora[p.name].shape) for p in spec} == {p.name: p.sizes for p in spec}
    assert all(bool(lora[p.name].any()) == bool(p.gain) for p in spec), "a no-op at the start"
    for parameter in generator.factors.out.parameters():
        parameter.normal_()
    # Each of the r kernels is decoded from its own token, so of lora_B the columns differ, not only the rows.
    second = generator.adapt(words)[0]["a.lora_B"][:, :, 0, 0]
    assert all(not torch.allclose(second[:, 0], second[:, k]) for k in range(1, 4))
    assert float(generator.beyond_shared(generator.adapt(words)[0])) > 0
    assert generator.head(tokens, words, None, None).weight.shape == (11, 3)
    save_generator(tmp_path / "g.safetensors", generator, {}, domain="image")
    again = load_image_generator(tmp_path / "g.safetensors")[0]
    assert torch.equal(again.adapt(words)[0]["a.lora_B"], generator.adapt(words)[0]["a.lora_B"])
    with pytest.raises(ModelGPTError, match="for the domain image, not for text"):
        load_text_generator(tmp_path / "g.safetensors")


@torch.no_grad()
def test_the_factors_follow_the_requirement_and_the_names(backbone: Backbone, learnt: AdapterGenerator) -> None:
    words = words_of(3)
    first, _ = learnt.adapt(words)
    for other in (
        replace(words, requirement=words_of(3, seed=9).requirement),
        replace(words, names=words_of(3, seed=9).names),
        replace(words, pair=True),
    ):
        second, _ = learnt.adapt(other)
        assert not any(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


@torch.no_grad()
def test_one_shared_lora_is_the_same_for_all(backbone: Backbone) -> None:
    shared = tiny_generator(backbone, shaken=0.2, shared=True)
    first, second = shared.adapt(words_of(3))[0], shared.adapt(words_of(5, seed=9))[0]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert float(shared.beyond_shared(first)) == 0


@torch.no_grad()
def test_what_goes_beyond_the_shared_factors_is_measured(backbone: Backbone, learnt: AdapterGenerator) -> None:
    assert float(tiny_generator(backbone).beyond_shared(tiny_generator(backbone).adapt(words_of(3))[0])) == 0
    assert float(learnt.beyond_shared(learnt.adapt(words_of(3))[0])) > 0


# Classes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [False, True])
@torch.no_grad()
def test_classes_may_come_in_any_order(learnt: AdapterGenerator, pair: bool) -> None:
    words, evidence = words_of(4, pair=pair), evidence_of(4, pair=pair)
    named = None if pair else torch.randn(4, inputs_of(pair), generator=torch.Generator().manual_seed(2))
    order = torch.tensor([2, 0, 3, 1])
    turned = replace(words, names=words.names[order])
    one, two = learnt.adapt(words), learnt.adapt(turned)
    for name in one[0]:
        torch.testing.assert_close(two[0][name], one[0][name], atol=1e-5, rtol=1e-4)
    agreement = torch.rand(5, 2, generator=torch.Generator().manual_seed(4))
    for shown in (None, evidence, replace(evidence, agreement=agreement)):
        seen = None if shown is None else Evidence(shown.means[order], shown.counts[order])
        if shown is not None and shown.agreement is not None:
            seen = replace(seen, agreement=torch.cat([agreement[:1], agreement[1:][order]]))
        expected = learnt.head(one[1], words, named, shown)
        found = learnt.head(two[1], turned, None if named is None else named[order], seen)
        torch.testing.assert_close(found.weight, expected.weight[:, order], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(found.precision, expected.precision, atol=1e-5, rtol=1e-4)
        assert not torch.allclose(expected.weight, expected.weight[:, order], atol=1e-2)


@torch.no_grad()
def test_one_generator_serves_any_number_of_classes_pairs_and_numbers(learnt: AdapterGenerator) -> None:
    for classes, pair in [(2, False), (150, False), (0, True), (3, True), (0, False), (1, False)]:
        words = words_of(classes, pair=pair)
        _, tokens = learnt.adapt(words)
        for evidence in (None, evidence_of(classes, pair=pair)):
            head = learnt.head(tokens, words, None, evidence)
            assert head.weight.shape == (inputs_of(pair) + 1, max(classes, 1))
            assert head.precision.shape == (inputs_of(pair) + 1,)
            assert torch.isfinite(head.weight).all()
            assert (head.precision > 0).all()


@torch.no_grad()
def test_a_fresh_head_leans_towards_the_names(backbone: Backbone) -> None:
    generator, words = tiny_generator(backbone), words_of(3)
    _, tokens = generator.adapt(words)
    named = torch.nn.functional.normalize(torch.randn(3, SIZE, generator=torch.Generator().manual_seed(3)))
    head = generator.head(tokens, words, named, None)
    torch.testing.assert_close(head.weight[:-1].T, NAME_SCALE * (named - named.mean(0)))
    assert not head.weight[-1].any()
    torch.testing.assert_close(head.precision, torch.full_like(head.precision, PRECISION))
    assert not generator.head(tokens, words, None, None).weight.any()


@torch.no_grad()
def test_a_class_without_rows_has_a_head_too(learnt: AdapterGenerator) -> None:
    words = words_of(3)
    phi = torch.randn(8, SIZE, generator=torch.Generator().manual_seed(3))
    evidence = class_evidence(phi, torch.eye(3)[torch.arange(8) % 2], False)
    assert evidence.counts.tolist() == [4, 4, 0]
    head = learnt.head(learnt.adapt(words)[1], words, None, evidence)
    assert torch.isfinite(head.weight).all()
    assert head.weight[:, 2].abs().max() > 0


def test_class_evidence_is_the_mean_of_each_class() -> None:
    phi = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0]])
    found = class_evidence(phi, torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 1, 0]]), False)
    torch.testing.assert_close(found.means[:2], torch.tensor([[2.0, 1.0], [5.0, 5.0]]))
    torch.testing.assert_close(found.means[2], found.means[:2].mean(0))  # no row: in the middle of the others
    torch.testing.assert_close(found.counts, torch.tensor([2.0, 1.0, 0.0]))
    numbers = class_evidence(phi, torch.tensor([[1.0], [-1.0], [0.0]]), True)
    torch.testing.assert_close(numbers.means, torch.tensor([[-2.0, -2.0]]) / 3)
    assert numbers.counts.tolist() == [3]


@torch.no_grad()
def test_more_rows_than_ever_shown_are_as_many_as_were_shown(learnt: AdapterGenerator) -> None:
    words, evidence = words_of(3), evidence_of(3)
    tokens = learnt.adapt(words)[1]
    few, many, more = (
        learnt.head(tokens, words, None, replace(evidence, counts=torch.full((3,), float(n))))
        for n in (4, 10 * SEEN_ROWS, 1000 * SEEN_ROWS)
    )
    torch.testing.assert_close(many.weight, more.weight)
    assert not torch.allclose(few.weight, many.weight, atol=1e-3)


@torch.no_grad()
def test_the_head_is_told_how_well_words_alone_do(backbone: Backbone, learnt: AdapterGenerator) -> None:
    target = torch.eye(2)[torch.arange(12) % 2]
    phi = torch.zeros(12, SIZE)
    phi[:, :2] = target
    weight = torch.zeros(SIZE + 1, 2)
    weight[:2] = 4 * torch.eye(2)
    right = class_evidence(phi, target, False, HeadPrior(weight, torch.ones(SIZE + 1)))
    wrong = class_evidence(phi, target, False, HeadPrior(-weight, torch.ones(SIZE + 1)))
    assert right.agreement is not None
    assert wrong.agreement is not None
    assert right.agreement.shape == (3, 2)  # over all, and by class
    assert right.agreement[:, 1].tolist() == [1, 1, 1]
    assert wrong.agreement[:, 1].tolist() == [0, 0, 0]
    assert (right.agreement[:, 0] < 0.1).all()
    assert (wrong.agreement[:, 0] > 1).all()
    nothing = class_evidence(phi, target, False, HeadPrior(0 * weight, torch.ones(SIZE + 1)))
    torch.testing.assert_close(nothing.agreement[:, 0], torch.ones(3))
    words = words_of(2)
    heads = [learnt.head(learnt.adapt(words)[1], words, None, evidence) for evidence in (right, wrong)]
    assert not torch.allclose(heads[0].precision, heads[1].precision, atol=1e-4)
    deaf = tiny_generator(backbone, shaken=0.2, feedback=False)
    heads = [deaf.head(deaf.adapt(words)[1], words, None, evidence) for evidence in (right, wrong)]
    torch.testing.assert_close(heads[0].weight, heads[1].weight)


def test_agreement_of_numbers_is_their_correlation() -> None:
    target = torch.linspace(-1.5, 1.5, 20)[:, None]
    weight = torch.tensor([[2.0], [0.0]])
    found = class_evidence(target, target, True, HeadPrior(weight, torch.ones(2))).agreement
    assert found is not None
    torch.testing.assert_close(found[:, 1], torch.ones(2))
    torch.testing.assert_close(found[:, 0], target.square().mean().expand(2))
    constant = class_evidence(target, target, True, HeadPrior(0 * weight, torch.ones(2))).agreement
    assert constant is not None
    assert torch.isfinite(constant).all()


# Episodes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("classes", "pair"), [(3, False), (2, True), (0, False), (0, True)])
def test_an_episode_teaches_every_part(backbone: Backbone, classes: int, pair: bool) -> None:
    generator = tiny_generator(backbone, shaken=0.1)
    episode = episode_of(backbone, classes, pair=pair)
    found = run_episode(generator, partial(embed, backbone), episode)
    assert found.posterior.shape == found.prior.shape == found.prior_support.shape == (12, max(classes, 1))
    regression = episode.words.regression
    loss = sum(episode_loss(z, episode.answer, regression) for z in (found.posterior, found.prior))
    loss.backward()
    others = set(input_groups(SIZE)[not pair])
    silent = {name for name, parameter in generator.named_parameters() if parameter.grad is None}
    # Untouched are only what reads the other kind of rows, and the names' weight where there are none to lean towards.
    assert {".".join(name.split(".")[:2]) for name in silent} <= {
        *(f"{part}.{other}" for part in ("head_out", "read_means") for other in others),
        *(("name_scale.weight", "name_scale.bias") if pair or not classes else ()),
    }
    for name, parameter in generator.named_parameters():
        assert parameter.grad is None or torch.isfinite(parameter.grad).all(), name
    assert all(parameter.grad is None for parameter in backbone.parameters())


@torch.no_grad()
def test_an_episode_is_the_prior_solved_on_the_support(backbone: Backbone, learnt: AdapterGenerator) -> None:
    episode = episode_of(backbone, 3)
    found = run_episode(learnt, partial(embed, backbone), episode)
    lora = found.lora
    words, tokens = episode.words, learnt.adapt(episode.words)[1]
    support, query = (embed(backbone, lora, rows, False) for rows in (episode.support, episode.query))
    assert episode.names is not None
    named = embed(backbone, lora, episode.names, False)
    prior = learnt.head(tokens, words, named, None)
    head = learnt.head(tokens, words, named, class_evidence(support, episode.target, False, prior))
    expected = with_bias(query) @ solve(support, episode.target, head, False)
    torch.testing.assert_close(found.posterior, expected, atol=1e-3, rtol=1e-3)
    for rows, logits in ((query, found.prior), (support[found.kept], found.prior_support)):
        torch.testing.assert_close(logits, with_bias(rows) @ prior.weight, atol=1e-4, rtol=1e-4)


def test_rows_that_pass_no_gradient_count_all_the_same(backbone: Backbone, learnt: AdapterGenerator) -> None:
    episode = episode_of(backbone, 3)
    found = run_episode(learnt, partial(embed, backbone), episode, free=2)
    few, every = found.posterior, run_episode(learnt, partial(embed, backbone), episode).posterior
    assert len(found.prior_support) == len(found.kept) == 2
    torch.testing.assert_close(few, every, atol=1e-3, rtol=1e-3)
    torch.manual_seed(0)
    learnt.zero_grad()
    few.sum().backward()
    assert learnt.factors.from_world.weight.grad is not None
    learnt.zero_grad()


def test_losses_are_one_for_a_model_that_knows_nothing() -> None:
    answer = torch.tensor([0, 1, 2, 3])
    assert float(episode_loss(torch.zeros(4, 4), answer, False)) == pytest.approx(1)
    assert float(episode_loss(50 * torch.eye(4), answer, False)) == pytest.approx(0, abs=1e-6)
    numbers = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    assert float(episode_loss(torch.zeros(20_000, 1), numbers, True)) == pytest.approx(1, abs=0.1)
    assert math.isfinite(float(episode_loss(torch.full((4, 1), 1e30), torch.zeros(4), True)))


# Checkpoints --------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_checkpoint_brings_the_same_generator_back(learnt: AdapterGenerator, tmp_path: Path) -> None:
    save_generator(tmp_path / "g.safetensors", learnt, {"step": 7, "validation": {"mean": 0.5}}, domain="text")
    again, header = load_text_generator(tmp_path / "g.safetensors")
    assert (header["domain"], header["step"], header["validation"]) == ("text", 7, {"mean": 0.5})
    assert len(header["sha256"]) == 64
    assert again.config == learnt.config
    assert not again.training
    words, evidence = words_of(3), evidence_of(3)
    one, two = learnt.adapt(words), again.adapt(words)
    assert all(torch.equal(one[0][name], two[0][name]) for name in one[0])
    heads: list[HeadPrior] = [g.head(t, words, None, evidence) for g, (_, t) in ((learnt, one), (again, two))]
    assert torch.equal(heads[0].weight, heads[1].weight)
    assert torch.equal(heads[0].precision, heads[1].precision)


def test_a_checkpoint_of_another_domain_is_refused(learnt: AdapterGenerator, tmp_path: Path) -> None:
    save_generator(tmp_path / "g.safetensors", learnt, {}, domain="text")
    with pytest.raises(ModelGPTError, match="domain text, not for tabular"):
        load_generator(tmp_path / "g.safetensors")
    shipped = ROOT / "weights" / "tabular" / "generator.safetensors"
    with pytest.raises(ModelGPTError, match="domain tabular, not for text"):
        load_text_generator(shipped)


def test_a_damaged_checkpoint_is_one_clear_error(learnt: AdapterGenerator, tmp_path: Path) -> None:
    path = tmp_path / "g.safetensors"
    with pytest.raises(ModelGPTError, match="No generator checkpoint"):
        load_text_generator(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ModelGPTError, match="is not a generator checkpoint"):
        load_text_generator(path)
    save_generator(path, learnt, {}, domain="text")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelGPTError, match="is not a generator checkpoint"):
        load_text_generator(path)
    save_generator(path, learnt, {}, domain="text")
    state = load_file(path)
    state.pop("head_bias.weight")
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    save_file(state, str(path), metadata=metadata)
    with pytest.raises(ModelGPTError, match="doesn't fit this version"):
        load_text_generator(path)
