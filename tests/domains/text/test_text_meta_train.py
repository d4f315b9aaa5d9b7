"""Meta-training on tiny text tasks: it learns, stops and goes on exactly, and keeps the best."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from bad_input import Bench
from safetensors.torch import load_file
from tiny_texts import SIZE, loaded, tiny_backbone, tiny_generator, write_tasks
from torch.optim.swa_utils import AveragedModel

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.shared.episode import run_episode
from modelgpt_cli.domains.shared.head import episode_loss
from modelgpt_cli.domains.tabular.loss import send_back
from modelgpt_cli.domains.text.target import load_text_generator
from modelgpt_cli.domains.text.train import TextTrainConfig, TransformerTraining, load_tasks
from modelgpt_cli.training.meta_train import meta_train
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.run import running_average
from modelgpt_cli.training.settings import read_settings

TINY = {
    "width": 16,
    "blocks": 1,
    "batch": 2,
    "query": 8,
    "max_support": 12,
    "free_support": 6,
    "lr": 3e-3,
    "warmup": 2,
    "average": 0.5,
    "validate_every": 2,
    "validation_query": 16,
    "precision": "float32",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny tasks in ``tasks``, and the tiny encoder in ``tiny``."""
    folder = tmp_path_factory.mktemp("world")
    write_tasks(folder / "tasks")
    tiny_backbone(folder / "tiny")
    return folder


@pytest.fixture
def config(world: Path, tmp_path: Path) -> Path:
    """The settings of a tiny run, as a YAML file."""
    return written(tmp_path / "tiny.yaml", world)


def written(path: Path, world: Path, **changes: object) -> Path:
    values = TINY | {"backbone": str(world / "tiny"), "tasks": str(world / "tasks")} | changes
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


def training(world: Path, out: Path, **changes: object) -> TransformerTraining:
    """A run that has not begun."""
    backbone = loaded(world / "tiny")
    settings = TextTrainConfig(**(TINY | {"tasks": str(world / "tasks"), "steps": 4} | changes))
    return TransformerTraining(settings, out, Processes(), backbone, load_tasks(settings, backbone))


def log_of(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process SIGINT in the middle of a training step."""
    original = TransformerTraining.update

    def update(self: TransformerTraining, batch: None):
        if self.step == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch)

    monkeypatch.setattr(TransformerTraining, "update", update)


# A run --------------------------------------------------------------------------------------------------------------


def test_the_command_trains_a_generator(bench: Bench, world: Path, config: Path) -> None:
    line = ["meta-train", "--domain", "text", "--config", config, "--steps", "3", "--seed", "5", "--out", "run"]
    done = bench.run(*line, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["steps"] == 3
    assert report["best_step"] in (2, 3)
    run = bench.folder / "run"
    assert {p.name for p in run.iterdir()} == {
        "config.yaml",
        "log.jsonl",
        "last.safetensors",
        "generator.safetensors",
    }
    resolved = yaml.safe_load((run / "config.yaml").read_text())
    assert (resolved["steps"], resolved["seed"], resolved["domain"], resolved["width"]) == (3, 5, "text", 16)
    assert resolved["tasks"] == str(world / "tasks")
    entries = log_of(run)
    assert [entry["step"] for entry in entries] == [2, 3]
    validation = entries[0]["validation"]
    assert {"unseen_0", "unseen_4", "unseen_16", "glue_0", "glue_4", "glue_16", "mean", "scores"} == set(validation)
    unseen = [validation[f"unseen_{shots}"] for shots in (0, 4, 16)]
    assert validation["mean"] == pytest.approx(np.mean(unseen))
    assert set(validation["scores"]) == {"waters", "sst2"}  # the held-out one, and GLUE's
    generator, header = load_text_generator(run / "generator.safetensors")
    assert header["step"] == report["best_step"]
    assert generator.config.backbone == "tiny"
    bench.refuse(2, "already holds a run", *line)
    more = bench.run("meta-train", "--domain", "text", "--out", "run", "--resume", "--steps", "4", "--device", "cpu")
    assert more.code == 0, more.err
    assert "4 steps" in more.err
    assert log_of(run)[-1]["step"] == 4


def test_tasks_are_drawn_by_size_and_glue_more_often(world: Path, tmp_path: Path) -> None:
    run = training(world, tmp_path)
    assert [t.name for t in run.shares.train] == ["alike", "sst2", "stars", "topics"]
    assert [t.name for t in run.shares.judged["unseen"]] == ["waters"]
    share = dict(zip((t.name for t in run.shares.train), run.proportions, strict=True))
    assert sum(share.values()) == pytest.approx(1)
    assert share["alike"] == pytest.approx(share["topics"])
    assert share["sst2"] == pytest.approx(share["topics"] * 2 * (40 / 60) ** 0.5)
    without = training(world, tmp_path, exclude=["topics", "waters"])
    assert [t.name for t in without.shares.train + without.shares.judged["unseen"]] == ["alike", "sst2", "stars"]


def test_a_step_is_a_function_of_seed_and_number(world: Path, tmp_path: Path) -> None:
    run, again, other = (training(world, tmp_path, seed=seed) for seed in (0, 0, 1))
    run.draw(0)

    def shown(run: TransformerTraining, step: int) -> list:
        return [(e.task, [row.tolist() for row in (*e.support.ids, *e.query.ids)]) for e in run.draw(step)]

    assert shown(run, 7) == shown(again, 7)
    assert shown(run, 7) != shown(run, 8)
    assert shown(run, 7) != shown(other, 7)


@pytest.mark.parametrize("update", ["backprop", pytest.param("delta", marks=pytest.mark.slow)])
def test_it_learns(update: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clips: list[float] = []
    original = torch.nn.utils.clip_grad_norm_

    def clip(parameters, max_norm: float):
        clips.append(max_norm)
        return original(parameters, max_norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    run = training(world, tmp_path, steps=12, update=update, validate_every=1000, target_lr=1e-3, lr=8e-3)
    before = run.validate()
    run.train()
    # Nothing was known of the classes from their names alone; afterwards they are known, of the tasks trained on.
    assert log_of(tmp_path)[-1]["validation"]["glue_0"] < 0.9 * before["glue_0"]
    assert run.step == 12
    assert set(clips) == {0.25 if update == "delta" else 1.0}


@pytest.mark.slow
def test_delta_is_another_training_of_the_same_parameters(world: Path, tmp_path: Path) -> None:
    moved = {}
    for update in ("backprop", "delta"):
        run = training(world, tmp_path, update=update, weight_decay=0.0)
        before = {name: p.detach().clone() for name, p in run.generator.named_parameters()}
        run.update(None)
        run.step = 1
        run.update(None)
        moved[update] = {n: p.detach() - before[n] for n, p in run.generator.named_parameters()}
        backbone = {name for name, p in run.backbone.named_parameters() if p.grad is not None}
        assert not backbone
    trained = {update: {n for n, d in found.items() if d.any()} for update, found in moved.items()}
    assert trained["delta"] == trained["backprop"]
    assert any(not torch.allclose(d, moved["delta"][n], atol=1e-6) for n, d in moved["backprop"].items())


def test_delta_sends_back_the_step_of_the_targets_own_adam() -> None:
    generated = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    leaf = (generated * 2).detach().requires_grad_()
    idle = torch.zeros(2, requires_grad=True)
    (leaf * torch.tensor([5.0, -0.1, 0.0])).sum().backward()
    send_back([(generated * 2, leaf), (idle * 1, torch.zeros(2, requires_grad=True))], 0.01)
    # Adam's first step is the learning rate against the gradient's sign, here through a factor of 2.
    torch.testing.assert_close(generated.grad, torch.tensor([0.02, -0.02, 0.0]), atol=1e-5, rtol=1e-3)
    assert idle.grad is None


def test_delta_cuts_the_graph_at_what_is_generated(world: Path, tmp_path: Path) -> None:
    run = training(world, tmp_path, update="delta")
    (episode, *_) = run.draw(0)
    seen: list[torch.Tensor] = []

    def cut(value: torch.Tensor) -> torch.Tensor:
        seen.append(value)
        return value.detach().requires_grad_()

    found = run_episode(run.generator, run.embed, episode, cut=cut)
    regression = episode.words.regression
    sum(episode_loss(z, episode.answer, regression) for z in (found.posterior, found.prior)).backward()
    assert len(seen) == len(run.generator.spec) + 3  # the factors; both heads, and the precision
    assert all(p.grad is None for p in run.generator.parameters())


def test_a_task_that_breaks_does_not_end_the_run(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = training(world, tmp_path)
    monkeypatch.setattr(
        "modelgpt_cli.domains.shared.adapter_training.episode_loss", lambda z, *_: z.sum() * float("nan")
    )
    before = {name: p.detach().clone() for name, p in run.generator.named_parameters()}
    _, norm = run.update(None)
    assert not np.isfinite(norm)
    assert all(torch.equal(p, before[name]) for name, p in run.generator.named_parameters())
    averaged = dict(run.average.named_parameters())
    assert all(torch.equal(averaged[name], before[name]) for name in before)
    assert "not finite; skipped" in caplog.text


# Stopping and going on ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_resume_is_bit_for_bit(world: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(config, world, validation_query=4)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    meta_train("text", config=config, steps=5, update="delta", out=whole, device="cpu")
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=2)
        with pytest.raises(KeyboardInterrupt):
            meta_train("text", config=config, steps=5, update="delta", out=parts, device="cpu")
    assert log_of(parts)[-1]["step"] == 2
    report = meta_train("text", out=parts, resume=True, device="cpu")
    assert report.steps == 5
    for name in ("last.safetensors", "generator.safetensors"):
        one, two = load_file(whole / name), load_file(parts / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    means = [[entry["validation"]["mean"] for entry in log_of(run) if "validation" in entry] for run in (whole, parts)]
    assert means[0] == means[1]
    assert len(means[0]) == 3


def test_the_best_average_is_what_is_kept(
    world: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(config, world, validate_every=1)
    means = iter([0.5, 0.3, 0.4])
    monkeypatch.setattr(TransformerTraining, "validate", lambda self: {"mean": next(means)})
    report = meta_train("text", config=config, steps=3, out=tmp_path / "run", device="cpu")
    assert (report.best_step, report.validation_loss) == (2, 0.3)
    _, header = load_text_generator(tmp_path / "run" / "generator.safetensors")
    assert (header["step"], header["validation"]) == (2, {"mean": 0.3})
    last, kept = (load_file(tmp_path / "run" / f"{name}.safetensors") for name in ("last", "generator"))
    assert any(not torch.equal(last[f"average.module.{name}"], value) for name, value in kept.items())
    assert any(not torch.equal(last[f"model.{n}"], last[f"average.module.{n}"]) for n in kept)


def test_the_average_of_a_short_run_is_near_its_end() -> None:
    weight = torch.nn.Linear(1, 1, bias=False)
    average = AveragedModel(weight, multi_avg_fn=running_average(0.995))
    for value in [0.0] + 100 * [1.0]:
        weight.weight.data.fill_(value)
        average.update_parameters(weight)
    assert average.module.weight.item() > 0.99
    for _ in range(2000):
        average.update_parameters(weight)
    weight.weight.data.fill_(2.0)
    average.update_parameters(weight)
    assert average.module.weight.item() == pytest.approx(1.005, abs=1e-4), "and a long one's changes slowly"


@pytest.mark.slow
def test_a_run_can_start_from_a_generator(world: Path, config: Path, tmp_path: Path) -> None:
    written(config, world, feedback=False)
    meta_train("text", config=config, steps=2, out=tmp_path / "first", device="cpu")
    init = tmp_path / "first" / "generator.safetensors"
    written(config, world, feedback=True, init=str(init), lr=1e-6)
    meta_train("text", config=config, steps=1, out=tmp_path / "second", device="cpu")
    first, later = (load_file(tmp_path / name / "generator.safetensors") for name in ("first", "second"))
    assert set(first) < set(later)  # what the first one lacked starts fresh
    assert max(float((first[name] - later[name]).abs().max()) for name in first) < 1e-4
    init.unlink()  # a resumed run doesn't need it any more
    assert meta_train("text", config=config, steps=2, out=tmp_path / "second", resume=True, device="cpu").steps == 2
    with pytest.raises(ModelGPTError, match="No generator checkpoint"):
        meta_train("text", config=config, steps=1, out=tmp_path / "third", device="cpu")


def test_nothing_to_resume(config: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="no run to resume"):
        meta_train("text", config=config, steps=1, out=tmp_path / "nowhere", resume=True, device="cpu")


# Configuration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"widht": 4}, ["'widht'", "width", "max_support"]),
        ({"lr": -1}, ["lr", "above 0"]),
        ({"lr": "fast"}, ["lr", "a number"]),
        ({"batch": 1.5}, ["batch", "a whole number"]),
        ({"batch": 0}, ["batch", "1 or more"]),
        ({"shared": 1}, ["shared", "true or false"]),
        ({"name_dropout": 2}, ["name_dropout", "between 0 and 1"]),
        ({"holdout": -0.1}, ["holdout", "between 0 and 1"]),
        ({"width": 30}, ["width", "multiple of 4"]),
        ({"max_tokens": 4}, ["max_tokens", "8 or more"]),
        ({"update": "sideways"}, ["--update 'sideways'", "backprop, delta"]),
        ({"precision": "int3"}, ["--precision 'int3'", "bf16"]),
        ({"exclude": "sst2"}, ["exclude", "a list of names"]),
        ({"wordings": ["x"]}, ["wordings", "a mapping"]),
        ({"tasks": None}, ["--tasks"]),
        ({"steps": None}, ["--steps", "--minutes"]),
        ({"average": float("nan")}, ["average", "finite"]),
    ],
)
def test_bad_configuration_is_named(changes: dict, words: list[str], world: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "bad.yaml", world, **({"steps": 1} | changes))
    with pytest.raises(UsageError) as caught:
        meta_train("text", config=path, out=tmp_path / "run")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "run").exists()


def test_flags_win_over_the_file(world: Path, config: Path) -> None:
    settings = read_settings(TextTrainConfig, config, steps=9, seed=None, update="delta")
    assert (settings.steps, settings.seed, settings.update, settings.width) == (9, 0, "delta", 16)
    assert settings.draw.query == 8
    assert TextTrainConfig(**settings.to_dict()).to_dict() == settings.to_dict()
    assert replace(settings, exclude=("a",)).to_dict()["exclude"] == ["a"]


@pytest.mark.parametrize("changes", [{"holdout": 1.0, "exclude": ["sst2"]}, {"holdout": 0.0, "exclude": ["sst2"]}])
def test_tasks_to_train_on_and_to_choose_by_are_needed(changes: dict, world: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "some.yaml", world, **changes)
    with pytest.raises(UsageError, match="tasks are to be trained on"):
        meta_train("text", config=path, steps=1, out=tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_training_may_begin_at_full_speed(world: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "fast.yaml", world, warmup=0)
    assert meta_train("text", config=path, steps=1, out=tmp_path / "run", device="cpu").steps == 1


def test_the_window_of_the_training_is_the_encoders_at_most(world: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "wide.yaml", world, max_tokens=500)
    with pytest.raises(UsageError, match="reads 160 tokens at most"):
        meta_train("text", config=path, steps=1, out=tmp_path / "run", device="cpu")


COMMANDS = {
    "no tasks": (["--steps", "1"], 2, "--tasks"),
    "no such folder": (["--steps", "1", "--tasks", "nowhere"], 2, "There is no file nowhere"),
    "no such backbone": (["--steps", "1", "--tasks", "TASKS", "--backbone", "/nowhere"], 2, "no folder /nowhere"),
    "no end": (["--tasks", "TASKS"], 2, "--steps N or --minutes M"),
    "for tables": (["--steps", "1", "--tasks", "TASKS", "--fixed-tasks"], 2, "is for tables"),
    "compiled": (["--steps", "1", "--tasks", "TASKS", "--compile"], 2, "is for tables"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_commands_that_can_not_train(bench: Bench, world: Path, case: str) -> None:
    options, code, words = COMMANDS[case]
    given = [str(world / "tasks") if option == "TASKS" else option for option in options]
    bench.refuse(code, words, "meta-train", "--domain", "text", "--out", "run", *given)


def test_the_backbone_is_for_texts(bench: Bench, world: Path) -> None:
    bench.refuse(2, "for images and texts", "meta-train", "--backbone", world / "tiny", "--steps", "1", "--out", "run")


def test_a_shared_lora_can_be_trained_for_comparison(world: Path, tmp_path: Path) -> None:
    run = training(world, tmp_path, shared=True, weight_decay=0.0)
    before = {name: p.detach().clone() for name, p in run.generator.named_parameters()}
    for step in range(2):
        run.step = step
        run.update(None)
    moved = {name for name, p in run.generator.named_parameters() if not torch.equal(p, before[name])}
    assert any(name.startswith("factors.base") for name in moved)
    assert not any(name.startswith("factors.out") for name in moved)
    assert tiny_generator(run.backbone).config.shared is False
    assert run.generator.config.shared is True
    assert run.generator.config.size == SIZE
