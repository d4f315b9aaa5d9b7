"""``modelgpt meta-train``: tasks in, a generator checkpoint out."""

from __future__ import annotations

from typing import Any

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.domain import default_domain
from modelgpt_cli.core.options import MetaTrainOptions


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
    MetaTrainOptions,
)
@o.option("--domain", metavar="NAME", help="Kind of data to train for.", show_default=default_domain())
@o.json_option
def meta_train(as_json: bool, **options: Any) -> None:
    """Train a generator on real tasks and, for tables, on synthetic ones. Ctrl-C saves and stops.

    Here --config is the training's own file; a file of options goes before the command:
    modelgpt --config FILE meta-train.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.core.files import check_exists

    if options["steps"] is not None and options["minutes"] is not None:
        raise UsageError("--steps and --minutes exclude each other.", "Each says when the training ends.")
    for name in ("tasks", "config", "state"):
        check_exists(options[name])
    from modelgpt_cli.training.processes import is_main_process  # with torch

    report = api.meta_train(**options)
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
