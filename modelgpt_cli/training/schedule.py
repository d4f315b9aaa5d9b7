"""What every training run has in common: how far it is, its learning rate, and its directory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Protocol

import yaml

from modelgpt_cli.errors import ModelGPTError


class Plan(Protocol):
    """The part of a configuration that decides length and learning rate."""

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
    warm = min(1.0, (step + 1) / plan.warmup)
    late = max(0.0, (share - plan.decay_from) / max(1 - plan.decay_from, 1e-9))
    return plan.lr * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(late, 1.0))))


def check_run(out: Path, resume: bool) -> None:
    """Make sure that `out` holds a run exactly if one is to be resumed.

    Raises
    ------
    ModelGPTError
        It is the other way round.
    """
    if (out / "last.safetensors").exists() != resume:
        problem = f"{out} already holds a run." if not resume else f"{out} holds no run to resume."
        raise ModelGPTError(problem, hint="Add --resume to go on with it." if not resume else "Leave out --resume.")


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
