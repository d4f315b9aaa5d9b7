"""The recipe of the table generator's meta-training: Muon, batches by width, rule tasks, the compact state."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import Cli
from tiny_training import TINY

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.loss import query_losses
from modelgpt_cli.domains.tabular.synthetic.draw import PriorConfig, draw_task
from modelgpt_cli.domains.tabular.task_source import TaskSource
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.parameter_generator.posterior import solve_head
from modelgpt_cli.training.compact import read_state, restore_compact, save_compact
from modelgpt_cli.training.meta_train import meta_train
from modelgpt_cli.training.muon import Muon, orthogonalise
from modelgpt_cli.training.processes import Processes

RECIPE: dict[str, Any] = TINY | {
    "workers": 0,
    "optimizer": "muon",
    "average": 0.9,
    "step_rows": 400,
    "part": 3,
    "accumulate": 2,
    "decay_from": 1.0,
    "validation_batches": 4,
}


def trained(tmp_path: Path, steps: int = 6, **settings: Any) -> TabularTraining:
    """A tiny run that has taken some steps."""
    config = MetaTrainConfig(**(RECIPE | settings), steps=100)
    run = TabularTraining(config, tmp_path / "none", Processes(), [])
    source = TaskSource(config)
    for step in range(steps):
        batch = [source.draw(2 * step), source.draw(2 * step + 1)]
        run.update(batch)
        run.step += 1
        run.tasks += run.count(batch)
    return run


def known(run: TabularTraining) -> dict:
    """Where a run stands."""
    return {"step": run.step, "seconds": run.seconds, "tasks": run.tasks}


@pytest.mark.parametrize("shape", [(40, 40), (24, 96), (96, 24)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape: tuple[int, int]) -> None:
    x = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    x *= torch.tensor([1e-4, 1.0, 1e3])[:, None, None]
    values = torch.linalg.svdvals(orthogonalise(x))
    assert values.max() < 1.3
    assert values.median() > 0.6


def test_muon_moves_query_key_and_value_each_by_an_orthogonal_step() -> None:
    weight = torch.nn.Parameter(torch.zeros(96, 32))
    optimizer = Muon([("qkv.weight", weight)], lr=0.1)
    weight.grad = torch.randn(96, 32, generator=torch.Generator().manual_seed(0))
    weight.grad[:32] *= 100
    optimizer.step()
    sizes = torch.stack([part.square().mean().sqrt() for part in weight.detach().chunk(3)])
    torch.testing.assert_close(sizes, torch.full((3,), 0.1 * 0.2), rtol=0.3, atol=0)


def test_muon_leaves_vectors_and_words_to_adamw() -> None:
    generator = torch.Generator().manual_seed(0)
    start = {"a.bias": torch.randn(7, generator=generator), "embed_feature_name.weight": torch.randn(20, 30)}
    ours, theirs = ({k: torch.nn.Parameter(v.clone()) for k, v in start.items()} for _ in range(2))
    muon = Muon(ours.items(), lr=0.01, weight_decay=0.1)
    adamw = torch.optim.AdamW(theirs.values(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1)
    for _ in range(3):
        for name in start:
            grad = torch.randn(start[name].shape, generator=generator)
            ours[name].grad, theirs[name].grad = grad, grad.clone()
        muon.step()
        adamw.step()
    for name in start:
        torch.testing.assert_close(ours[name], theirs[name], atol=1e-6, rtol=1e-5)


def test_muon_leaves_what_has_no_gradient() -> None:
    weight = torch.nn.Parameter(torch.ones(20, 20))
    Muon([("w", weight)], lr=1.0, weight_decay=1.0).step()
    assert weight.eq(1).all()


@pytest.mark.slow
def test_recipe_learns(tmp_path: Path) -> None:
    run = trained(tmp_path, steps=0)
    before = run.validate()["mean"]
    run = trained(tmp_path, steps=10)
    assert run.validate()["mean"] < 0.9 * before
    assert run.tasks > 2 * 2 * 10, "small tasks come in multiples of the batch"


def test_solved_head_is_differentiated_as_the_plain_formula() -> None:
    phi, y = torch.randn(2, 9, 5).double(), torch.randn(2, 9, 3).double()
    given = [t.requires_grad_() for t in (phi, torch.randn(2, 5, 3).double(), torch.rand(2, 5).double() + 0.5)]

    def plain(phi: torch.Tensor, prior: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
        gram = phi.mT @ phi
        return prior + torch.linalg.solve(gram + torch.diag_embed(precision), phi.mT @ y - gram @ prior)

    def ours(phi: torch.Tensor, prior: torch.Tensor, precision: torch.Tensor) -> torch.Tensor:
        return solve_head(phi.mT @ phi, phi.mT @ y, prior, precision)

    weight = torch.randn(2, 5, 3).double()
    expected = torch.autograd.grad((plain(*given) * weight).sum(), given)
    found = torch.autograd.grad((ours(*given) * weight).sum(), given)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)  # a jitter is part of ours


def test_parts_by_width_give_the_losses_of_the_whole_batch(tmp_path: Path) -> None:
    config = MetaTrainConfig(**(TINY | {"batch": 7, "max_features": 12}), steps=1)
    batch = TaskSource(config).draw(3)
    generator = TabularTraining(config, tmp_path, Processes(), []).generator.eval()
    parts = batch.by_width(3)
    assert [len(p.query_target) for p in parts] == [3, 3, 1]
    assert parts[0].inputs.feature_mask.shape[1] < batch.inputs.feature_mask.shape[1]
    with torch.no_grad():
        whole = query_losses(generator(batch.inputs), batch)[0]
        found = torch.cat([query_losses(generator(p.inputs), p)[0] for p in parts])
    torch.testing.assert_close(found.sort().values, whole.sort().values, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("spare", "norm"), [(4, "layer"), (0, "rms")])
def test_other_architectures_train_and_are_read_again(spare: int, norm: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(RECIPE | {"spare": spare, "norm": norm}))
    meta_train(config=path, steps=2, out=tmp_path / "run", device="cpu")
    generator, _ = load_generator(tmp_path / "run" / "generator.safetensors")
    assert (generator.config.spare, generator.config.norm) == (spare, norm)


@pytest.mark.parametrize("n_classes", [0, 2, 5])
def test_rule_tasks_are_tasks(n_classes: int) -> None:
    config = PriorConfig(weights={"rules": 1.0}, p_rare=0.5, p_duplicates=0.5)
    for seed in range(30):
        task = draw_task(np.random.default_rng(seed), n_rows=80, n_classes=n_classes, max_features=9, config=config)
        assert task.family == "rules"
        assert len(task.x) == len(task.codes) == len(task.y) == 80
        assert np.isfinite(task.y).all()
        assert n_classes == 0 or len(np.unique(task.y)) == n_classes


def test_rows_repeat_with_labels_that_disagree() -> None:
    config = PriorConfig(weights={"additive": 1.0}, p_duplicates=1.0, p_missing=0.0, p_categorical=0.0)
    disagree = 0
    for seed in range(20):
        task = draw_task(np.random.default_rng(seed), n_rows=100, n_classes=2, config=config)
        _, first = np.unique(task.x, axis=0, return_inverse=True)
        first = first.ravel()
        disagree += sum(len(np.unique(task.y[first == row])) > 1 for row in np.unique(first))
    assert disagree > 20


def test_prior_of_the_configuration_is_checked() -> None:
    with pytest.raises(UsageError, match="p_magic"):
        MetaTrainConfig(steps=1, prior={"p_magic": 0.5})
    with pytest.raises(UsageError, match="optimizer"):
        MetaTrainConfig(steps=1, optimizer="sgd")


@pytest.mark.slow
def test_compact_state_keeps_what_the_training_needs(tmp_path: Path) -> None:
    run = trained(tmp_path)
    path = tmp_path / "state.safetensors"
    save_compact(path, run.generator, run.optimizer, run.averaged, known(run), run.config.to_dict())
    again = TabularTraining(run.config, tmp_path / "none", Processes(), [])
    assert restore_compact(path, again.generator, again.optimizer, again.averaged) == known(run)
    for (name, one), two in zip(run.generator.named_parameters(), again.generator.parameters(), strict=True):
        torch.testing.assert_close(two, one, atol=1e-6, rtol=1e-3, msg=name)
        old, new = run.optimizer.state[one], again.optimizer.state[two]
        assert old.keys() == new.keys(), name
        for key in old:
            scale = float(old[key].abs().max()) + 1e-12
            assert float((old[key] - new[key]).abs().max()) < 0.01 * scale, (name, key)
    for one, two in zip(run.average.parameters(), again.average.parameters(), strict=True):
        assert float((one - two).detach().abs().max()) < 1e-3
    assert again.validate()["mean"] == pytest.approx(run.validate()["mean"], abs=2e-3)
    weights = sum(p.numel() for p in run.generator.parameters())
    assert path.stat().st_size < 5 * weights + 400_000  # of 16 bytes a weight in last.safetensors


@pytest.mark.slow
def test_compact_state_goes_on_in_a_new_run(cli: Cli, tmp_path: Path) -> None:
    run = trained(tmp_path)
    state = tmp_path / "state.safetensors"
    config = replace(run.config, tasks="/somewhere", init="/elsewhere/g.safetensors").to_dict()
    save_compact(state, run.generator, run.optimizer, run.averaged, known(run), config)
    assert "/" not in json.dumps(read_state(state))
    done = cli("meta-train", "--state", state, "--steps", "3", "--out", "more", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 9
    resolved = yaml.safe_load((tmp_path / "more" / "config.yaml").read_text())
    assert (resolved["optimizer"], resolved["steps"]) == ("muon", 3)
    entry = json.loads((tmp_path / "more" / "log.jsonl").read_text().splitlines()[-1])
    assert entry["tasks"] > run.tasks

    again = cli("meta-train", "--out", "more", "--resume", "--steps", "5", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["steps"] == 11, "the steps of the state come on top"

    (tmp_path / "decay.yaml").write_text("decay_from: 0\nwarmup: 1\nlog_every: 1\n")
    done = cli("meta-train", "--state", state, "--config", "decay.yaml", "--steps", "4", "--out", "last")
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (tmp_path / "last" / "log.jsonl").read_text().splitlines()]
    rates = [entry["lr"] for entry in log if "lr" in entry]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.3 * rates[0]


def test_state_that_is_none_or_of_other_sizes_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(ModelGPTError, match="not a state"):
        meta_train(state=tmp_path / "x.safetensors", steps=1, out=tmp_path / "run")
    run = trained(tmp_path, steps=1)
    path = tmp_path / "state.safetensors"
    save_compact(path, run.generator, run.optimizer, run.averaged, known(run), run.config.to_dict() | {"width": 16})
    with pytest.raises(ModelGPTError, match="doesn't fit"):
        meta_train(state=path, steps=1, out=tmp_path / "run")
