"""``modelgpt meta-train``: tasks in, a generator checkpoint out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.domain import domain_names


@o.command(
    "meta-train",
    """
modelgpt meta-train --minutes 60 --out runs/tabular
modelgpt meta-train --minutes 60 --out runs/tabular --resume
accelerate launch --num_processes 2 -m modelgpt_cli.cli meta-train --minutes 60 --out runs/tabular
modelgpt meta-train --state weights/tabular-training/state.safetensors --tasks tables --minutes 60 --out runs/more
modelgpt meta-train --fixed-tasks --tasks tables --minutes 20 --out runs/tables
modelgpt meta-train --domain text --tasks texts --minutes 60 --out runs/text
modelgpt meta-train --domain image --tasks images --minutes 60 --out runs/image""",
)
@o.option("--domain", metavar="NAME", help="What kind of data.", show_default=domain_names()[-1])
@o.option("--tasks", metavar="DIR", help="Real tasks with cards: tables, beside the synthetic ones; texts; images.")
@o.option("--backbone", metavar="NAME|DIR", help="Texts, images: what to adapt.", show_default="the domain's")
@o.option("--backbone-weights", metavar="FILE", help="Images: weights for the backbone, as torchvision has them.")
@o.option(
    "--fixed-tasks",
    is_flag=True,
    show_default=False,
    help="Tables: train on the training rows of --tasks alone, to build those very tasks without data.",
)
@o.option("--config", metavar="FILE", help="YAML file of the generator's sizes and the training's numbers.")
@o.option("--steps", type=click.IntRange(min=1), help="Train for this many steps.", show_default="the config's")
@o.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for this long.")
@o.option("--out", metavar="DIR", show_default="runs/DOMAIN", help="Checkpoints, log and resolved configuration.")
@o.option("--resume", is_flag=True, show_default=False, help="Go on from the last checkpoint in --out.")
@o.option("--state", metavar="FILE", help="Tables: go on from a compact state of another run, in a new --out.")
@o.option(
    "--update",
    type=click.Choice(["backprop", "delta"]),
    show_default="the config's",
    help="Differentiate through the target network, or the paper's Algorithm 1.",
)
@o.option(
    "--precision",
    type=click.Choice(["auto", "bf16", "float32"]),
    show_default="the config's",
    help="Of the generator's pass; auto: bf16 on CUDA, float32 elsewhere.",
)
@o.option("--compile/--no-compile", default=None, show_default="the config's", help="torch.compile the generator.")
@o.option("--workers", type=click.IntRange(min=0), show_default="the config's", help="Processes that draw tasks ahead.")
@o.device_option
@o.option("--seed", type=int, shared=True, help="Same seed, same result.", show_default="the config's")
@o.json_option
def meta_train(
    domain: str | None,
    fixed_tasks: bool,
    config: str | None,
    steps: int | None,
    minutes: float | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a generator on real tasks and, for tables, on synthetic ones. Ctrl-C saves and leaves.

    Here --config is the training's own file; a file of options goes before the command's name:
    modelgpt --config FILE meta-train.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.training.processes import is_main_process

    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes can't go together.", "Each says when the training ends.")
    report = api.meta_train(domain, fixed_tasks=fixed_tasks, config=config, steps=steps, minutes=minutes, **settings)
    if not is_main_process():
        return
    if as_json:
        result_json(report.to_dict())
        return
    rate = f"{report.tasks_per_second:.3g} tasks a second, waiting for them {report.waited:.0%} of the time"
    say(f"{report.steps:,} steps in {duration(report.seconds)} ({rate}).")
    say(f"Best mean validation loss {number(report.validation_loss)}, at step {report.best_step:,}.")
    if "accuracy" in report.validation:
        say(f"Mean validation accuracy {number(report.validation['accuracy'])}.")
    result(report.out)
