"""Meta-training on several processes, in other precisions, compiled and with more workers: always the same training."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import Start, clean_environment
from safetensors.torch import load_file
from test_meta_train import interrupt_at, log_of, saved_progress, tasks, wait_for  # noqa: F401
from tiny_training import TINY

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.tabular import train as module
from modelgpt_cli.domains.tabular.forward import make_forward, uses_bf16
from modelgpt_cli.domains.tabular.loss import backward, query_losses
from modelgpt_cli.domains.tabular.task_source import TaskSource
from modelgpt_cli.domains.tabular.tasks import TaskBatch
from modelgpt_cli.domains.tabular.train import TabularTraining
from modelgpt_cli.domains.tabular.train_config import MetaTrainConfig
from modelgpt_cli.training import processes as processes_module
from modelgpt_cli.training.batches import drawn_ahead
from modelgpt_cli.training.meta_train import meta_train
from modelgpt_cli.training.processes import Processes, join

# Three tasks for two processes: shares of one and two. The learning rate is small because AdamW blows rounding up.
SMALL = TINY | {"batch": 3, "lr": 5e-4, "validate_every": 3, "log_every": 1, "validation_batches": 2}
STEPS = 6


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a small run, as a YAML file."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def launch(start: Start) -> Callable[..., list]:
    """Start ``modelgpt meta-train`` as a launcher does: each process is told its number and where to meet."""

    def launch(*args: str | Path, processes: int = 2) -> list:
        common = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1"}
        common |= {"MASTER_PORT": free_port(), "OMP_NUM_THREADS": 1}
        return [
            start("meta-train", "--device", "cpu", *args, env={k: str(v) for k, v in (common | own).items()})
            for own in ({"RANK": i, "LOCAL_RANK": i} for i in range(processes))
        ]

    return launch


def finish(started: list) -> list[tuple[int, str, str]]:
    """What each process returned and said."""
    try:
        said = [p.communicate(timeout=240) for p in started]
    finally:
        for p in started:
            p.kill()
    return [(p.returncode, out, err) for p, (out, err) in zip(started, said, strict=True)]


def curve(run: Path, key: str) -> list[float]:
    """A number of each step from a run's log."""
    return [entry[key] for entry in log_of(run) if key in entry]


def assert_same_training(one: Path, two: Path) -> None:
    """The curves agree: at first up to rounding, then within what AdamW makes of it."""
    for key in ("loss", "grad_norm"):
        a, b = curve(one, key), curve(two, key)
        assert len(a) == len(b) == STEPS
        np.testing.assert_allclose(b[:3], a[:3], rtol=1e-4, err_msg=key)
        np.testing.assert_allclose(b, a, rtol=0.05, err_msg=key)
    means = [[v["mean"] for v in curve(run, "validation")] for run in (one, two)]  # type: ignore[index]
    np.testing.assert_allclose(means[1], means[0], rtol=0.01)


@pytest.mark.slow
def test_accelerate_launch_trains_as_one_process_does(config: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    meta_train(config=config, steps=STEPS, out=one, device="cpu")
    launcher = Path(sys.executable).with_name("accelerate")
    command = [launcher, "launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", str(free_port())]
    command += ["-m", "modelgpt_cli.cli", "meta-train", "--device", "cpu", "--json"]
    done = subprocess.run(
        [*map(str, command), "--config", str(config), "--steps", str(STEPS), "--out", str(two)],
        env=clean_environment(), capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # from the main process alone, or this would not be JSON
    assert report["steps"] == STEPS
    assert [e["step"] for e in log_of(two) if "loss" in e] == list(range(1, STEPS + 1))  # each step logged once
    assert_same_training(one, two)


@pytest.mark.slow
def test_run_of_one_process_is_resumed_by_two_and_back(
    launch: Callable[..., list], config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, parts = tmp_path / "one", tmp_path / "parts"
    for run in (one, parts):
        with monkeypatch.context() as patch:
            interrupt_at(patch, step=2)
            with pytest.raises(KeyboardInterrupt):
                meta_train(config=config, steps=STEPS, out=run, device="cpu")
        assert saved_progress(run)["step"] == 3
    meta_train(out=one, resume=True, steps=4, device="cpu")
    for code, _, err in finish(launch("--resume", "--steps", "4", "--out", parts)):
        assert code == 0, err
    assert saved_progress(parts)["step"] == 4
    for run in (one, parts):
        meta_train(out=run, resume=True, steps=STEPS, device="cpu")
    assert_same_training(one, parts)


def test_ctrl_c_at_one_process_stops_all_at_the_same_step(
    launch: Callable[..., list], config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    started = launch("--config", config, "--steps", "100000", "--out", run)
    wait_for(lambda: (run / "log.jsonl").exists() or any(p.poll() is not None for p in started), seconds=200)
    started[1].send_signal(signal.SIGINT)
    (code, out, err), (other_code, other_out, other_err) = finish(started)
    assert (code, other_code) == (130, 130), err + other_err
    assert out == other_out == ""
    assert "--resume" in err
    assert "--resume" not in other_err
    assert "Traceback" not in err + other_err
    assert saved_progress(run)["step"] == log_of(run)[-1]["step"] > 0
    assert not [p for p in run.iterdir() if p.name.startswith(".tmp-")]


@pytest.mark.parametrize("update", ["backprop", "delta"])
def test_gradients_of_the_shares_add_up_to_those_of_the_batch(update: str) -> None:
    settings = MetaTrainConfig(**{**SMALL, "batch": 5}, steps=1, update=update, regression=0.5)
    run = TabularTraining(settings, Path(), Processes(), [])
    for step in range(4):

        def gradients(share: slice, part: float, step: int = step) -> dict[str, torch.Tensor]:
            run.generator.zero_grad()
            batch = TaskSource(settings, share=share).draw(step)
            backward(run.generator, batch, update, settings.target_lr, part)  # type: ignore[arg-type]
            return {n: p.grad.clone() for n, p in run.generator.named_parameters() if p.grad is not None}

        whole = gradients(slice(None), 1.0)
        shares = [gradients(slice(0, 2), 0.4), gradients(slice(2, 5), 0.6)]
        assert whole.keys() == shares[0].keys() == shares[1].keys()
        for name, expected in whole.items():
            off = float((shares[0][name] + shares[1][name] - expected).norm())
            # The step of θ_t's Adam has the sign of a gradient, which rounding decides where it is all but zero.
            tolerance = 0.03 if update == "delta" else 1e-4
            assert off < tolerance * float(expected.norm()) + 1e-5, name


def assert_same_tasks(whole: TaskBatch, parts: list[TaskBatch]) -> None:
    """Shares hold the batch's tasks; each pads to its own widest task."""
    start = 0
    for part in parts:
        B, width = part.inputs.feature_mask.shape
        rows = slice(start, start + B)
        assert torch.equal(whole.inputs.channels[rows, :, :width], part.inputs.channels)
        assert torch.equal(whole.query_channels[rows, :, :width], part.query_channels)
        assert not whole.inputs.feature_mask[rows, width:].any()
        assert torch.equal(whole.query_target[rows], part.query_target)
        for name in ("codes", "target", "requirement", "class_names"):
            assert torch.equal(getattr(whole.inputs, name)[rows], getattr(part.inputs, name)), name
        start += B
    assert start == len(whole.query_target)


def test_shares_make_up_the_batch(config: Path, tasks: Path) -> None:  # noqa: F811
    settings = MetaTrainConfig(**{**SMALL, "batch": 5}, steps=1, real=0.5, text_only=0.5)
    real = module._real_tasks(replace(settings, tasks=str(tasks)))
    whole = TaskSource(settings, real)
    shares = [TaskSource(settings, real, share=Processes(index=i, count=3).share(5)) for i in range(3)]
    for step in range(12):
        assert_same_tasks(whole.draw(step), [share.draw(step) for share in shares])


def test_share_draws_no_other_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    from modelgpt_cli.domains.tabular import task_source

    drawn = []
    original = task_source.draw_task
    monkeypatch.setattr(task_source, "draw_task", lambda *a, **k: drawn.append(1) or original(*a, **k))
    TaskSource(MetaTrainConfig(**{**SMALL, "batch": 6}, steps=1), share=slice(2, 4)).draw(0)
    assert len(drawn) == 2


def test_more_processes_than_tasks_are_refused() -> None:
    with pytest.raises(UsageError, match="2 tasks can't be shared by 3") as caught:
        Processes(index=1, count=3).share(2)
    assert "'batch' to 3" in caught.value.hint


def test_processes_that_cannot_share_a_device_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    for found, words in (("mps", "MPS"), ("cuda", "1 CUDA device.")):
        monkeypatch.setattr(processes_module, "pick_device", lambda _, found=found: found)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        with pytest.raises(UsageError, match=words) as caught:
            join("auto")
        assert "--device cpu" in caught.value.hint


def test_launcher_that_started_one_process_only_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")  # as `accelerate launch --cpu --num_processes 2` leaves them
    monkeypatch.setenv("MASTER_PORT", "29500")
    with caplog.at_level("WARNING", logger="modelgpt"):
        assert join("cpu") == Processes("cpu", 0, 1)
    assert "--multi_gpu" in caplog.text


@pytest.mark.slow
def test_one_process_needs_no_accelerate(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = "sys, modelgpt_cli.training.meta_train, modelgpt_cli.domains.tabular.train"
    code = f"import {modules}; sys.exit('accelerate' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    monkeypatch.setitem(sys.modules, "accelerate", None)  # importing it fails
    assert meta_train(config=config, steps=1, out=tmp_path / "run", device="cpu").steps == 1


@pytest.mark.parametrize("workers", [0, 3])
def test_workers_deliver_the_same_batches_in_order(workers: int) -> None:
    settings = MetaTrainConfig(**SMALL, steps=1)
    source = TaskSource(settings, start=5)
    for step, batch in zip(range(5, 12), drawn_ahead(source, workers, "cpu"), strict=False):
        assert_same_tasks(source.draw(step), [batch])


def test_number_of_workers_does_not_change_the_training(config: Path, tmp_path: Path) -> None:
    for workers in (0, 2):
        meta_train(config=config, steps=3, workers=workers, out=tmp_path / str(workers), device="cpu")
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("0", "2"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_bf16_elsewhere_than_on_cuda_goes_on_in_float32_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", logger="modelgpt"):
        assert not uses_bf16("auto", "cpu")
        assert not uses_bf16("float32", "cpu")
        assert not caplog.text
        assert not uses_bf16("bf16", "cpu")
    assert "float32" in caplog.text


def test_auto_is_bf16_where_cuda_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True, there=there: there)
        assert uses_bf16("auto", "cuda:1") == uses_bf16("bf16", "cuda") == there
        assert not uses_bf16("float32", "cuda")


def test_bf16_is_the_generators_alone() -> None:
    settings = MetaTrainConfig(**SMALL, steps=1)
    run = TabularTraining(settings, Path(), Processes(), [])
    with torch.no_grad():  # fresh generators write much that doesn't depend on the task
        for parameter in run.generator.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    seen = []
    run.generator.blocks[0].to_features.register_forward_hook(lambda module, inputs, out: seen.append(out.dtype))
    batch = TaskSource(settings).draw(0)
    written = make_forward(run.generator, "cpu", bf16=True, compiled=False)(batch.inputs)
    assert seen == [torch.bfloat16]
    assert {value.dtype for value in written.values()} == {torch.float32}
    exact = run.generator(batch.inputs)
    assert any(not torch.equal(written[name], exact[name]) for name in exact)
    (loss, _), (expected, _) = query_losses(written, batch), query_losses(exact, batch)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.02)
    loss.sum().backward()
    assert {p.grad.dtype for p in run.generator.parameters() if p.grad is not None} == {torch.float32}


@pytest.mark.slow
def test_compiled_generator_trains_and_is_saved_under_its_own_names(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, asked = torch.compile, []

    def traced(model, **options):
        asked.append(options)
        return original(model, **options, backend="eager")

    monkeypatch.setattr(torch, "compile", traced)
    for name in ("plain", "compiled"):
        with torch.compiler.set_stance("force_eager"):  # wrapped, but not traced, which takes half a minute
            meta_train(config=config, steps=1, compile=name == "compiled", out=tmp_path / name, device="cpu")
    assert asked == [{"dynamic": True}]
    one, two = (load_file(tmp_path / name / "last.safetensors") for name in ("plain", "compiled"))
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=2e-3, msg=key)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_run_goes_from_cpu_to_cuda_and_back(config: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for steps in (2, 4, STEPS):
        meta_train(config=config, steps=steps, resume=steps > 2, out=whole, device="cpu", precision="float32")
        device = "cuda" if steps == 4 else "cpu"
        meta_train(config=config, steps=steps, resume=steps > 2, out=parts, device=device, precision="float32")
    assert_same_training(whole, parts)


def test_saved_state_belongs_to_no_device(config: Path, tmp_path: Path) -> None:
    """What a run on any device leaves is taken up on this one, moments included."""
    meta_train(config=config, steps=2, out=tmp_path / "run", device="cpu")
    state = load_file(tmp_path / "run" / "last.safetensors")
    run = TabularTraining(MetaTrainConfig(**SMALL, steps=3), tmp_path / "run", Processes(), [])
    run.restore()
    restored = run.optimizer.state_dict()["state"]
    names = [n for n, _ in run.generator.named_parameters()]
    for i, moments in restored.items():
        for key, value in moments.items():
            assert torch.equal(value, state[f"optimizer.{key}.{names[i]}"])
    assert len(restored) == sum(key.startswith("optimizer.step.") for key in state) > 0
