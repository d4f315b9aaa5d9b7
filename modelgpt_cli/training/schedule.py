"""What every training run has in common: how far it is, its learning rate, its steps, its directory and log."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
import yaml
from torch import nn

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.training.settings import read_settings

log = logging.getLogger("modelgpt")
T = TypeVar("T")
DELTA_CLIP = 0.25
"""Gradient norm clip of the paper's Algorithm 1."""


class Plan(Protocol):
    """The part of a configuration that decides length, learning rate and clipping."""

    @property
    def steps(self) -> int | None: ...
    @property
    def minutes(self) -> float | None: ...
    @property
    def lr(self) -> float: ...
    @property
    def warmup(self) -> int: ...
    @property
    def decay_from(self) -> float: ...
    @property
    def update(self) -> str: ...
    @property
    def clip(self) -> float: ...


def progress(plan: Plan, step: int, seconds: float) -> float:
    """Share of the run that is done, by steps or by minutes."""
    shares = []
    if plan.steps is not None:
        shares.append(step / plan.steps)
    if plan.minutes is not None:
        shares.append(seconds / 60 / plan.minutes)
    return max(shares)


def learning_rate(plan: Plan, step: int, share: float) -> float:
    """Warm-up by steps, a plateau, and a cosine to (almost) zero over the last part of the run's `share`."""
    warm = min(1.0, (step + 1) / max(plan.warmup, 1))
    late = max(0.0, (share - plan.decay_from) / max(1 - plan.decay_from, 1e-9))
    return plan.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(late, 1.0))))


def take_step(plan: Plan, step: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Clip the gradient and let the optimiser step; the norm before clipping, not finite where the step was skipped.

    A single broken task must not end a run of hours.
    """
    clip = DELTA_CLIP if plan.update == "delta" else plan.clip
    norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), clip))
    if math.isfinite(norm):
        optimizer.step()
    else:
        log.warning("Step %d gave a gradient that is not finite; skipped.", step)
    return norm


def write_log(out: Path, step: int, seconds: float, values: dict[str, Any]) -> None:
    """Add a line to the run's ``log.jsonl``."""
    with (out / "log.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **values}) + "\n")


def check_run(out: Path, resume: bool) -> None:
    """Make sure that `out` holds a run exactly if one is to be resumed.

    Raises
    ------
    UsageError
        It is the other way round.
    """
    if (out / "last.safetensors").exists() != resume:
        problem = f"{out} already holds a run." if not resume else f"{out} holds no run to resume."
        raise UsageError(problem, hint="Add --resume to go on with it." if not resume else "Leave out --resume.")


def open_run(
    kind: type[T],
    out: str | Path,
    config: str | Path | None,
    resume: bool,
    *,
    tasks: str | Path | None,
    base: dict[str, Any] | None = None,
    **given: Any,
) -> tuple[Path, T]:
    """The directory and the configuration of a run that is to begin or, with `resume`, to go on.

    Parameters
    ----------
    kind : type
        Of the configuration; see `read_settings`. A resumed run has its own where none is given.
    base : dict, optional
        Settings of the run that this one goes on from.
    tasks, given
        From the command line.

    Raises
    ------
    ModelGPTError
        `out` holds a run and is not to be resumed, or the other way round; or the configuration is no good.
    """
    out = Path(out)
    if resume and config is None and (out / "config.yaml").is_file():
        config = out / "config.yaml"
    folder = str(Path(tasks).resolve()) if tasks is not None else None
    settings = read_settings(kind, config, base, tasks=folder, **given)
    check_run(out, resume)
    return out, settings


def write_config(out: Path, values: dict[str, Any]) -> None:
    """Make the run's directory, with its ``config.yaml``.

    Raises
    ------
    ModelGPTError
        It can't be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise ModelGPTError(f"Can't write to {out}.", str(error), "Choose another folder with --out.") from error
