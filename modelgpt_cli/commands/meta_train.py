"""``modelgpt meta-train``: tasks in, a generator checkpoint out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o


@o.command(
    "meta-train",
    """
modelgpt meta-train --minutes 60 --out runs/tabular
modelgpt meta-train --minutes 60 --out runs/tabular --resume
accelerate launch --num_processes 2 -m modelgpt_cli.cli meta-train --minutes 60 --out runs/tabular
modelgpt meta-train --state weights/tabular-training/state.safetensors --tasks tables --minutes 60 --out runs/more
modelgpt meta-train --seen --tasks tables --minutes 20 --out runs/tables
modelgpt meta-train --domain text --tasks texts --minutes 60 --out runs/text
modelgpt meta-train --domain image --tasks pictures --minutes 60 --out runs/image""",
)
@o.option("--domain", type=click.Choice(["tabular", "text", "image"]), default="tabular", help="What kind of data.")
@o.option("--tasks", metavar="DIR", help="Real tasks with cards: tables, beside the synthetic ones; texts; pictures.")
@o.option("--backbone", metavar="NAME|DIR", help="Texts, pictures: what to adapt.", show_default="minilm-l6, small")
@o.option("--backbone-weights", metavar="FILE", help="Pictures: weights for the backbone, as torchvision has them.")
@o.option(
    "--seen",
    is_flag=True,
    show_default=False,
    help="Train on the training rows of --tasks alone, to build those very tasks without data.",
)
@o.option("--config", metavar="FILE", help="YAML file of the generator's sizes and the training's numbers.")
@o.option("--steps", type=click.IntRange(min=1), help="Train for this many steps.", show_default="the config's")
@o.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Train for this long.")
@o.option("--out", metavar="DIR", default="runs/tabular", help="Checkpoints, log and resolved configuration.")
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
    domain: str,
    tasks: str | None,
    backbone: str | None,
    backbone_weights: str | None,
    seen: bool,
    config: str | None,
    steps: int | None,
    minutes: float | None,
    out: str,
    resume: bool,
    state: str | None,
    update: str | None,
    precision: str | None,
    compile: bool | None,
    workers: int | None,
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
    from modelgpt_cli.training.processes import is_main_process, started

    if steps is not None and minutes is not None:
        raise UsageError("--steps and --minutes can't go together.", "Each says when the training ends.")
    common: dict[str, Any] = {
        "tasks": tasks,
        "config": config,
        "steps": steps,
        "minutes": minutes,
        "out": out,
        "resume": resume,
        "device": device,
        "seed": seed,
        "update": update,
    }
    if backbone_weights is not None and domain != "image":
        raise UsageError("--backbone-weights is for --domain image.", hint="Leave it out.")
    if state is not None and (domain != "tabular" or seen or resume):
        raise UsageError("--state is for --domain tabular, without --seen and --resume.", hint="Leave it out.")
    if domain != "tabular":
        common |= {"backbone": backbone, "precision": precision}
        common |= {"backbone_weights": backbone_weights} if domain == "image" else {}
        _train_adapters(domain, common, seen, bool(compile) or workers is not None, as_json)
        return
    if backbone is not None:
        raise UsageError("--backbone is for --domain text and image.", "Tables have none.", "Leave it out.")
    if seen:
        if precision is not None or compile or workers is not None:
            raise UsageError("--precision, --compile and --workers are not for --seen.", "It runs in one process.")
        if started() > 1:
            raise UsageError("--seen runs in one process.", hint="Start it without accelerate launch or torchrun.")
        trained = api.train_on_seen(
            **common,
        )
        if as_json:
            result_json(trained.to_dict())
            return
        say(f"{trained.steps:,} steps in {duration(trained.seconds)} ({trained.tasks_per_second:.0f} tasks a second).")
        say(f"Mean validation accuracy {number(trained.validation_accuracy)}, at step {trained.best_step:,}.")
        result(trained.out)
        return
    report = api.meta_train(
        domain=domain,
        **common,
        precision=precision,
        compile=compile,
        workers=workers,
        state=state,
    )
    if not is_main_process():
        return
    if as_json:
        result_json(report.to_dict())
        return
    rate = f"{report.tasks_per_second:.0f} tasks a second, waiting for them {report.waited:.0%} of the time"
    say(f"{report.steps:,} steps in {duration(report.seconds)} ({rate}).")
    say(f"Best mean validation loss {number(report.validation_loss)}, at step {report.best_step:,}.")
    result(report.out)


def _train_adapters(domain: str, common: dict[str, Any], seen: bool, others: bool, as_json: bool) -> None:
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say
    from modelgpt_cli.errors import UsageError
    from modelgpt_cli.training.processes import started

    if seen or others:
        raise UsageError(
            "--seen, --compile and --workers are for tables.", "What the tasks hold is read once and kept in memory."
        )
    if started() > 1:
        raise UsageError(
            f"--domain {domain} runs in one process.", hint="Start it without accelerate launch or torchrun."
        )
    report = (api.train_texts if domain == "text" else api.train_images)(**common)
    if as_json:
        result_json(report.to_dict())
        return
    say(f"{report.steps:,} steps in {duration(report.seconds)} ({report.episodes_per_second:.1f} episodes a second).")
    say(f"Best mean validation loss {number(report.validation_loss)}, at step {report.best_step:,}.")
    result(report.out)
