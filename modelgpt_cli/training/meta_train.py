"""``meta-train`` (Algorithm 1): the generator learns to write parameters that do well on each task's query rows.

The verb, for all domains; what a domain's run teaches and how it is judged stands in its part ``train``.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol

from modelgpt_cli.core.domain import Domain, all_domains, domain_names, find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.training.compact import read_state
from modelgpt_cli.training.processes import Processes, join, started
from modelgpt_cli.training.run import TrainingRun, TrainReport
from modelgpt_cli.training.schedule import open_run
from modelgpt_cli.training.settings import RunSettings


class Trainer(Protocol):
    """A domain's part ``train``."""

    def configuration(self, fixed_tasks: bool) -> type[RunSettings]:
        """Return the class of a run's configuration.

        Raises
        ------
        UsageError
            The domain has no training on fixed tasks, and it is asked for.
        """

    def make_run(self, settings: Any, out: Path, processes: Processes, *, resume: bool) -> TrainingRun[Any]:
        """Read the tasks that a configuration names, and make the run, fresh weights in it."""


def meta_train(
    domain: str | None = None,
    *,
    fixed_tasks: bool = False,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    state: str | Path | None = None,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    **settings: Any,
) -> TrainReport:
    """Train a domain's generator.

    Under ``accelerate launch`` or ``torchrun`` every process calls it alike; each step's tasks are shared among them,
    where the domain's runs can be.

    Parameters
    ----------
    domain : str, optional
        A registered domain; that of tables by default, which alone learns from synthetic tasks too.
    fixed_tasks : bool
        Tables: train on the training rows of `tasks` alone, to serve those very tasks from words (the paper's setting).
    tasks : path, optional
        Folder of tasks with cards; a fixed share (by hash of the name) is kept for validation.
    config : path, optional
        YAML with the fields of the domain's configuration; the other arguments win over it.
    steps, minutes
        How long; one of them is needed.
    out : path, optional
        Run directory: ``config.yaml``, ``log.jsonl``, ``last.safetensors`` (to resume) and ``generator.safetensors``
        (the best so far); ``runs/`` and the domain's name by default.
    resume : bool
        Go on from ``last.safetensors``, on any device and number of processes; with one process on the CPU the result
        is bit for bit that of an uninterrupted run.
    state : path, optional
        Tables: a compact state (`training.compact`) to go on from in a new run: its settings, steps and tasks; `steps`,
        `minutes`, warm-up and decay count from there.
    device : {"auto", "cpu", "cuda", "mps"}
    seed : int, optional
    update : {"backprop", "delta"}, optional
        Differentiate through the target network, or the paper's Algorithm 1.
    **settings
        Any other field of the domain's configuration, such as `backbone` or `precision`.

    Raises
    ------
    UsageError
        A setting is not one of the domain's, or out of range.
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    found = find_domain(domain or domain_names()[-1])
    trainer: Trainer = found.part("train")
    kind = trainer.configuration(fixed_tasks)
    given = {name: value for name, value in settings.items() if value is not None}
    _check_fields(found, kind, given, fixed_tasks)
    if started() > 1 and not kind.distributed:
        raise UsageError("This training runs in one process.", hint="Start it without accelerate launch or torchrun.")
    if state is not None and (resume or not kind.compact):
        raise UsageError("--state is for a new run on tables.", "", "Leave out --resume and --fixed-tasks, or --state.")
    base = read_state(state)["config"] if state is not None else None
    place, resolved = open_run(
        kind, out or f"runs/{found.name}", config, resume, tasks=tasks, steps=steps, minutes=minutes, seed=seed,
        update=update, base=base, **given,
    )  # fmt: skip
    run = trainer.make_run(resolved, place, join(device), resume=resume)
    if state is not None:
        run.begin_from(state)
    return run.complete(resume)


def _check_fields(domain: Domain, kind: type[RunSettings], given: dict[str, Any], fixed_tasks: bool) -> None:
    """Make sure that settings are fields of the configuration; an error names the domains that have them."""
    known = {f.name for f in fields(kind)}
    unknown = next((name for name in given if name not in known), None)
    if unknown is None:
        return
    flag = f"--{unknown.replace('_', '-')}"
    titles = [other.title for other in all_domains() if other.has("train") and _has_field(other, unknown)]
    if not titles:
        raise UsageError(f"There is no setting {unknown!r}.", f"Known: {', '.join(sorted(known))}.")
    what = "training on fixed tasks" if fixed_tasks else f"a run on {domain.title}"
    raise UsageError(f"{flag} is for {' and '.join(titles)}.", f"This is {what}.", "Leave it out.")


def _has_field(domain: Domain, name: str) -> bool:
    trainer: Trainer = domain.part("train")
    return name in {f.name for f in fields(trainer.configuration(False))}
