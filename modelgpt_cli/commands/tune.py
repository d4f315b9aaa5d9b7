"""``modelgpt tune``: a generated model in, the better of it and its finetuned self out (ModelGPT-F)."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import TuneOptions


@o.command("tune", "modelgpt tune model.safetensors --data train.csv -o tuned.safetensors", TuneOptions)
@click.argument("model")
@o.option("--data", metavar="PATH", required=True, help="Labelled table, texts or images.")
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors.")
@o.force_option
@o.json_option
def tune(model: str, as_json: bool, **options: Any) -> None:
    """Finetune all parameters of MODEL and keep the better of before and after.

    MODEL is a model.safetensors, or a model.onnx that is not quantised. The two are compared on rows held out from the
    finetuning. BatchNorm, in a model of images, stays as it is.
    """
    from modelgpt_cli import api
    from modelgpt_cli.artifacts.backends import check_model_destination
    from modelgpt_cli.commands.output import duration, metrics_table, result, result_json, say, size
    from modelgpt_cli.core.files import check_exists, check_model_file
    from modelgpt_cli.data.address import with_sheet

    check_model_destination(options["output"], options["force"])
    check_model_file(model)
    check_exists(options["data"])
    with_sheet(options["data"], options["sheet"])

    report = api.tune(model, **options)
    if as_json:
        result_json(report.to_dict())
        return
    if report.validated:
        say(f"Held out {report.validated}:")
    say(metrics_table({"before": report.before, "after": report.after}))
    say(f"Kept the model from {report.kept} tuning ({report.rows:,} rows, {duration(report.seconds)}).")
    say(f"{size(report.size_bytes)}.")
    result(report.path)
