"""Meta-training on a tiny generator: it learns, stops and goes on exactly, keeps the best, and its result is used."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import Cli, Start
from safetensors.torch import load_file
from tiny_training import TINY

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.tabular import train as module
from modelgpt_cli.domains.tabular.generator import load_generator
from modelgpt_cli.domains.tabular.loss import backward, batch_loss
from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out
from modelgpt_cli.domains.tabular.task_source import TaskSource
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig, read_config
from modelgpt_cli.training.meta_train import meta_train
from modelgpt_cli.training.processes import Processes

FAST: dict[str, object] = {"validate_every": 100}
FAST_STEPS = 28
"""Enough to learn something; the weights are judged at the end alone."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a tiny run, as a YAML file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY), encoding="utf-8")
    return path


def log_of(run: Path) -> list[dict]:
    """The entries of a run's log."""
    return [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send this process SIGINT in the middle of a training step."""
    original = TabularTraining.update

    def update(self: TabularTraining, batch):
        if self.step == step:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch)

    monkeypatch.setattr(TabularTraining, "update", update)


def test_command_trains_a_generator_that_build_can_use(cli: Cli, config: Path, tmp_path: Path, iris_csv: Path) -> None:
    run = tmp_path / "run"
    done = cli("meta-train", "--config", config, "--steps", "4", "--seed", "3", "--out", run, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["steps"] == report["best_step"] == 4
    assert np.isfinite(report["validation_loss"])
    resolved = yaml.safe_load((run / "config.yaml").read_text())
    assert resolved["steps"] == 4
    assert resolved["seed"] == 3
    assert resolved["width"] == 32
    assert {"last.safetensors", "generator.safetensors", "log.jsonl"} <= {p.name for p in run.iterdir()}
    assert log_of(run)[-1]["validation"]["mean"] == pytest.approx(report["validation_loss"])

    (tmp_path / "req.txt").write_text("Classify the species of an iris from its four measures.\n")
    built = cli("build", "--req", "req.txt", "--data", iris_csv, "--generator", run, "--members", "1", "-o", "m.onnx")
    assert built.returncode == 0, built.stderr
    assert (tmp_path / "m.onnx").stat().st_size > 0


@pytest.mark.parametrize("update", ["backprop", pytest.param("delta", marks=pytest.mark.slow)])
def test_loss_falls(update: str, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(yaml.safe_dump(TINY | FAST))
    clips: list[float] = []
    original = torch.nn.utils.clip_grad_norm_

    def clip(parameters, max_norm: float):
        clips.append(max_norm)
        return original(parameters, max_norm)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clip)
    fresh = TabularTraining(read_config(config, steps=FAST_STEPS, update=update), tmp_path, Processes(), [])
    before = fresh.validate()["mean"]
    report = meta_train(config=config, steps=FAST_STEPS, update=update, out=tmp_path / "run", device="cpu")
    assert report.validation_loss < 0.9 * before
    assert set(clips) == {0.25 if update == "delta" else 1.0}
    assert log_of(tmp_path / "run")[-1]["step"] == FAST_STEPS


def test_delta_sends_the_step_of_the_targets_own_adam_back() -> None:
    settings = MetaTrainConfig(**TINY, steps=1, regression=0.0)
    batch = TaskSource(settings).draw(0)
    run = TabularTraining(settings, Path(), Processes(), [])
    backward(run.generator, batch, "delta", target_lr=0.02)
    got = {name: p.grad.clone() for name, p in run.generator.named_parameters() if p.grad is not None}

    run.generator.zero_grad()
    parameters = run.generator(batch.inputs)
    leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
    batch_loss(leaves, batch)[0].backward()
    grads = {name: p.grad for name, p in leaves.items() if p.grad is not None}
    first_step = [0.02 * g / (g.abs() + 1e-8) for g in grads.values()]  # Adam's first step has no memory
    torch.autograd.backward([parameters[name] for name in grads], first_step)
    for name, parameter in run.generator.named_parameters():
        if parameter.grad is not None:
            scale = float(parameter.grad.abs().max()) + 1e-6
            assert float((got[name] - parameter.grad).abs().max()) < 0.02 * scale, name


def test_delta_is_another_training_than_backprop(config: Path, tmp_path: Path) -> None:
    for update in ("backprop", "delta"):
        meta_train(config=config, steps=2, update=update, out=tmp_path / update, device="cpu")
    one, two = (load_file(tmp_path / update / "last.safetensors") for update in ("backprop", "delta"))
    assert any(not torch.equal(one[name], two[name]) for name in one if name.startswith("model."))


def test_resume_is_bit_for_bit(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(yaml.safe_dump(TINY | {"validate_every": 2, "validation_batches": 2}))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    meta_train(config=config, steps=6, out=whole, device="cpu")
    with monkeypatch.context() as patch:
        interrupt_at(patch, step=2)
        with pytest.raises(KeyboardInterrupt):
            meta_train(config=config, steps=6, out=parts, device="cpu")
    assert log_of(parts)[-1]["step"] == 2  # the last validation before the interruption
    report = meta_train(out=parts, resume=True, device="cpu")
    assert report.steps == 6
    for name in ("last.safetensors", "generator.safetensors"):
        one, two = load_file(whole / name), load_file(parts / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name
    losses = [[e["validation"]["mean"] for e in log_of(run) if "validation" in e] for run in (whole, parts)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def test_another_seed_is_another_run(config: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        meta_train(config=config, steps=1, seed=seed, out=tmp_path / str(seed), device="cpu")
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("0", "1"))
    assert any(not torch.equal(one[name], two[name]) for name in one)


def test_ctrl_c_saves_and_resume_goes_on(start: Start, cli: Cli, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    config.write_text(yaml.safe_dump(TINY | {"validate_every": 2, "validation_batches": 1}))
    process = start("meta-train", "--config", config, "--steps", "100000", "--out", run, new_session=True)
    try:
        wait_for(lambda: (run / "log.jsonl").exists() or process.poll() is not None)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the main process and its worker alike
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, err
    assert out == ""
    assert "--resume" in err
    assert "Traceback" not in err
    progress = saved_progress(run)
    assert progress["step"] >= 2
    assert not [p for p in run.iterdir() if p.name.startswith(".tmp-")]

    last = progress["step"] + 3
    again = cli("meta-train", "--out", run, "--resume", "--steps", str(last))
    assert again.returncode == 0, again.stderr
    assert saved_progress(run)["step"] == last


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)


def saved_progress(run: Path) -> dict:
    """Where the saved state of a run stands."""
    from safetensors import safe_open

    with safe_open(str(run / "last.safetensors"), "pt") as file:
        return json.loads(file.metadata()["progress"])


def test_best_checkpoint_is_the_one_of_least_validation_mean(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text(yaml.safe_dump(TINY | {"validate_every": 1}))
    means = iter([0.5, 0.3, 0.4])
    monkeypatch.setattr(TabularTraining, "validate", lambda self: {"mean": next(means)})
    report = meta_train(config=config, steps=3, out=tmp_path / "run", device="cpu")
    assert (report.best_step, report.validation_loss) == (2, 0.3)
    generator, header = load_generator(tmp_path / "run" / "generator.safetensors")
    assert header["step"] == 2
    last = load_file(tmp_path / "run" / "last.safetensors")
    assert any(not torch.equal(last[f"model.{name}"], value) for name, value in generator.state_dict().items())


def test_existing_run_is_not_overwritten(config: Path, tmp_path: Path) -> None:
    meta_train(config=config, steps=1, out=tmp_path / "run", device="cpu")
    kept = (tmp_path / "run" / "last.safetensors").read_bytes()
    with pytest.raises(ModelGPTError, match="already holds a run") as caught:
        meta_train(config=config, steps=1, out=tmp_path / "run", device="cpu")
    assert "--resume" in caught.value.hint
    assert (tmp_path / "run" / "last.safetensors").read_bytes() == kept
    with pytest.raises(ModelGPTError, match="no run to resume"):
        meta_train(config=config, steps=1, out=tmp_path / "elsewhere", resume=True, device="cpu")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("width: 32\nwidht: 64\nsteps: 1\n", ["'widht'", "width", "min_support"]),
        ("steps: 1\nlr: -1\n", ["lr", "above 0"]),
        ("steps: 1\nreal: 2\n", ["real", "between 0 and 1"]),
        ("steps: 1\nwidth: 30\n", ["width", "multiple of 4"]),
        ("steps: 1\nmax_features: 1\n", ["max_features", "2 or more"]),
        ("steps: 1\nmin_support: 50\nmax_support: 20\n", ["max_support", "min_support"]),
        ("steps: [\n", ["YAML"]),
        ("width: 32\n", ["--steps", "--minutes"]),
    ],
)
def test_bad_configuration_is_named(text: str, words: list[str], config: Path, tmp_path: Path) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as caught:
        meta_train(config=config, out=tmp_path / "run")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Tables with cards: a classification on one side of the held-out split, a regression on the other."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rng = np.random.default_rng(0)
    n = 120
    x = rng.normal(size=(n, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(colour=rng.choice(["red", "blue"], n))
    frame.loc[:5, "a"] = np.nan
    targets = {
        "sign": ("classification", np.where(x[:, 0] + x[:, 1] > 0, "up", "down"), family_name(kept=False)),
        "sum": ("regression", x.sum(1) * 50 + 1000, family_name(kept=True)),
    }
    for name, (task, y, family) in targets.items():
        frame.assign(target=y).to_csv(folder / f"{name}.csv", index=False)
        card = {
            "name": name,
            "title": name.title(),
            "description": f"Predict the {name} of the numbers.",
            "task": task,
            "file": f"{name}.csv",
            "family": family,
            "columns": [{"name": c, "type": "numeric"} for c in "abc"] + [{"name": "colour", "type": "categorical"}],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card))
    return folder


def family_name(kept: bool) -> str:
    """A family that the hash keeps for validation, or one that it doesn't."""
    share = MetaTrainConfig(steps=1).holdout
    names = (f"family {i}" for i in range(1000))
    return next(n for n in names if held_out(RealTask("", n, None, None), share) == kept)  # type: ignore[arg-type]


def test_real_tasks_are_trained_on_and_validated_apart(config: Path, tasks: Path, tmp_path: Path) -> None:
    settings = read_config(config, steps=6)
    real = module._real_tasks(replace(settings, tasks=str(tasks)))
    run = TabularTraining(settings, tmp_path / "none", Processes(), real)
    assert [t.name for t in run.train_tasks] == ["sign"]
    assert [t.name for t in run.validation_tasks] == ["sum"]
    assert real[0].table.n_classes == 2
    assert real[1].table.n_classes == 0
    assert real[0].texts.classes.shape == (2, 384)
    without = read_config(config, steps=6, exclude_families=(real[1].family,))
    assert [t.name for t in module._real_tasks(replace(without, tasks=str(tasks)))] == ["sign"]

    config.write_text(yaml.safe_dump(TINY | {"real": 1.0, "text_only": 0.5, "text_dropout": 0.5}))
    meta_train(config=config, tasks=tasks, steps=3, out=tmp_path / "run", device="cpu")
    assert read_config(tmp_path / "run" / "config.yaml").tasks == str(tasks)  # so that a resume reads them again
    validation = log_of(tmp_path / "run")[-1]["validation"]
    assert set(validation) == {"synthetic", "real", "words_alone", "mean"}
    assert np.isfinite(list(validation.values())).all()
    assert validation["mean"] == pytest.approx((validation["synthetic"] + validation["real"]) / 2)


def test_real_batches_are_of_the_table(tasks: Path, config: Path) -> None:
    settings = read_config(config, steps=1, real=1.0, text_only=0.5)
    real = module._real_tasks(replace(settings, tasks=str(tasks)))
    for task in real:
        rows, words = task.draw(np.random.default_rng(0), 40, max_columns=2)
        assert rows.x.shape[1] + rows.codes.shape[1] == 2
        assert len(rows.y) == 40
        assert len(words.columns) == 2
    batches = [TaskSource(settings, real).draw(step) for step in range(24)]
    assert {b.inputs.regression for b in batches} == {True, False}
    assert any(b.inputs.requirement.abs().sum() > 0 for b in batches)  # with words
    assert any(b.inputs.requirement.abs().sum() == 0 for b in batches)  # without
    assert any(b.inputs.channels.shape[1] == 0 for b in batches)  # words alone


def test_folder_without_cards_is_refused(config: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="No tables with cards"):
        meta_train(config=config, steps=1, tasks=tmp_path / "empty", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_can_start_from_a_generator_that_lacks_the_later_stage(tmp_path: Path) -> None:
    def run(name: str, **settings: object) -> Path:
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(TINY | settings), encoding="utf-8")
        return path

    meta_train(config=run("first", feedback=0), steps=2, out=tmp_path / "first")
    init = tmp_path / "first" / "generator.safetensors"
    second = run("second", init=str(init), feedback=1)
    meta_train(config=second, steps=1, out=tmp_path / "second")
    first, later = (load_file(tmp_path / n / "generator.safetensors") for n in ("first", "second"))
    assert set(first) < set(later)
    moved = max(float((first[k] - later[k]).abs().max()) for k in first)
    assert 0 < moved < 0.01  # one step away from where the first run ended
    init.unlink()  # a resumed run doesn't need it any more
    report = meta_train(config=run("third", init=str(init), feedback=1), steps=2, out=tmp_path / "second", resume=True)
    assert report.steps == 2
