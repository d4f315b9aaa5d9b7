"""Concepts: what a classifier can name becomes heads that an image generator has at hand by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.image.concepts import ConceptList
from modelgpt_cli.domains.image.target import input_groups
from modelgpt_cli.parameter_generator.adapter import AdapterConfig, AdapterGenerator, Words
from modelgpt_cli.parameter_generator.checkpoint import load_adapter_generator, save_generator
from modelgpt_cli.parameter_generator.concepts import Concepts
from modelgpt_cli.parameter_generator.spec import ParameterSpec

E, P, D = 12, 10, 16
SPEC = [ParameterSpec("layer.lora_A", (2, 6)), ParameterSpec("layer.lora_B", (4, 2), gain=0.0)]


def words(names: torch.Tensor, hidden: bool = False) -> Words:
    return Words(torch.zeros(E), names, regression=False, pair=False, hidden=hidden)


def generator(count: int) -> AdapterGenerator:
    torch.manual_seed(0)
    config = AdapterConfig(domain="image", scaled=True, backbone="none", size=P, width=D, embedding=E, concepts=count)
    return AdapterGenerator(config, SPEC, input_groups(P)).eval()


@pytest.fixture
def orthogonal() -> torch.Tensor:
    """Names as unlike each other as can be, (E, E)."""
    return torch.linalg.qr(torch.randn(E, E, generator=torch.Generator().manual_seed(1)))[0]


def test_a_known_name_gets_its_own_head(orthogonal: torch.Tensor) -> None:
    concepts = Concepts(5, E, P, D)
    heads = torch.randn(5, P)
    concepts.fill(orthogonal[:5] * 3, heads)
    found, _ = concepts(orthogonal[[4, 0]] * 0.1)  # length says nothing
    torch.testing.assert_close(found, heads[[4, 0]], atol=1e-3, rtol=0)


def test_a_name_between_two_gets_both_and_no_name_none(orthogonal: torch.Tensor) -> None:
    concepts = Concepts(5, E, P, D)
    heads = torch.randn(5, P)
    concepts.fill(orthogonal[:5], heads)
    found, told = concepts(torch.stack([orthogonal[0] + orthogonal[1], torch.zeros(E)]))
    torch.testing.assert_close(found[0], heads[:2].mean(0), atol=1e-2, rtol=0)
    assert not found[1].any()
    assert told.shape == (2, D)


def test_the_generated_head_leans_on_concepts_whatever_the_tokens_see(orthogonal: torch.Tensor) -> None:
    built = generator(5)
    heads = torch.randn(5, P)
    built.concepts.fill(orthogonal[:5], heads)
    for hidden in (False, True):
        shown = words(orthogonal[[2, 3]], hidden)
        with torch.no_grad():
            _, tokens = built.adapt(shown)
            weight = built.head(tokens, shown, None, None).weight  # (P + 1, 2)
        towards = heads[[2, 3]] - heads[[2, 3]].mean(0)
        cosine = torch.nn.functional.cosine_similarity(weight[:-1].T, towards, dim=1)
        assert (cosine > 0.99).all()


def test_hidden_names_reach_no_token(orthogonal: torch.Tensor) -> None:
    built = generator(0)
    with torch.no_grad():
        hidden = built.adapt(words(orthogonal[[2, 3]], hidden=True))[1]
        absent = built.adapt(words(torch.zeros(2, E)))[1]
        shown = built.adapt(words(orthogonal[[2, 3]]))[1]
    torch.testing.assert_close(hidden, absent)
    assert not torch.allclose(shown, absent)


def test_groups_are_the_means_of_their_members() -> None:
    found = ConceptList.of({"dog": ["151-153"], "pair": [3, "5"]})
    assert (len(found.names), found.names[-2:]) == (1002, ["dog", "pair"])
    weight = torch.arange(1000.0)[:, None]
    assert found.heads(weight)[-2:, 0].tolist() == [152.0, 4.0]


@pytest.mark.parametrize("wrong", ["1000", "7-1001", "dog", "9-3", -1])
def test_classes_that_are_none_are_refused(wrong: str | int) -> None:
    with pytest.raises(UsageError, match="The concept 'mine'"):
        ConceptList.of({"mine": [wrong]})


def test_the_nearest_concept_of_each_name(orthogonal: torch.Tensor) -> None:
    concepts = Concepts(5, E, P, D)
    concepts.fill(orthogonal[:5], torch.randn(5, P))
    likeness, which = concepts.nearest(torch.stack([orthogonal[3] * 2, orthogonal[0] + orthogonal[7]]))
    assert which.tolist() == [3, 0]
    assert likeness.tolist() == pytest.approx([1.0, 0.5**0.5], abs=1e-5)


def test_a_checkpoint_says_what_its_concepts_are_called_or_a_file_beside_it(tmp_path: Path) -> None:
    names = ["horse", "nail", "sky"]

    def names_of(path: Path, **info: list[str]) -> tuple[str, ...]:
        path.parent.mkdir(exist_ok=True)
        save_generator(path, generator(3), dict(info), domain="image")
        return load_adapter_generator(path, domain="image", inputs=input_groups)[0].concept_names

    assert names_of(tmp_path / "a" / "generator.safetensors", concept_names=names) == tuple(names)
    assert names_of(tmp_path / "b" / "generator.safetensors") == ()
    (tmp_path / "b" / "concepts.txt").write_text("horse\nnail\nsky\n")
    assert names_of(tmp_path / "b" / "generator.safetensors") == tuple(names)
    (tmp_path / "b" / "concepts.txt").write_text("horse\nnail\n")
    with pytest.raises(ModelGPTError, match="3 concepts and 2 names"):
        names_of(tmp_path / "b" / "generator.safetensors")
