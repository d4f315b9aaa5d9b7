"""``modelgpt meta-train``: tasks in, a generator checkpoint out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "meta-train",
    """
modelgpt meta-train --minutes 60 --out runs/tabular
modelgpt meta-train --minutes 60 --out runs/tabular --resume""",
)
@o.option("--domain", type=click.Choice(["tabular"]), default="tabular", help="What kind of data.")
@o.option("--tasks", metavar="DIR", help="Real tasks beside the synthetic ones: tables, each with a YAML card.")
@o.option("--config", metavar="FILE", help="YAML file of the generator's sizes and the training's numbers.")
@o.option("--steps", type=click.IntRange(min=1), help="Train for this many steps.", show_default="the config's")
@o.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for this long.")
@o.option("--out", metavar="DIR", default="runs/tabular", help="Checkpoints, log and resolved configuration.")
@o.option("--resume", is_flag=True, show_default=False, help="Go on from the last checkpoint in --out.")
@o.option(
    "--update",
    type=click.Choice(["backprop", "delta"]),
    show_default="the config's",
    help="Differentiate through the target network, or the paper's Algorithm 1.",
)
@o.device_option
@o.option("--seed", type=int, shared=True, help="Same seed, same result.", show_default="the config's")
@o.json_option
def meta_train(
    domain: str,
    tasks: str | None,
    config: str | None,
    steps: int | None,
    minutes: float | None,
    out: str,
    resume: bool,
    update: str | None,
    device: str,
    seed: int | None,
    as_json: bool,
) -> None:
    """Train the generator on synthetic tasks and, with --tasks, on real ones. Ctrl-C saves and leaves.

    Here --config is the training's own file; a file of options goes before the command's name:
    modelgpt --config FILE meta-train.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say
    from modelgpt_cli.errors import UsageError

    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes can't go together.", "Each says when the training ends.")
    report = api.meta_train(
        domain=domain,
        tasks=tasks,
        config=config,
        steps=steps,
        minutes=minutes,
        out=out,
        resume=resume,
        device=device,
        seed=seed,
        update=update,
    )
    if as_json:
        result_json(report.to_dict())
        return
    say(f"{report.steps:,} steps in {duration(report.seconds)} ({report.tasks_per_second:.0f} tasks a second).")
    say(f"Best mean validation loss {number(report.validation_loss)}, at step {report.best_step:,}.")
    result(report.out)
