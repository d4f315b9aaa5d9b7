"""``modelgpt tune``: a generated model in, the better of it and its finetuned self out (ModelGPT-F)."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command("tune", "modelgpt tune model.safetensors --data train.csv -o tuned.safetensors")
@click.argument("model")
@o.option("--data", metavar="PATH", required=True, help="The labelled table, texts or images.")
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors.")
@o.option("--epochs", type=click.IntRange(min=1), default=1, help="Passes over the data.")
@o.option("--lr", type=click.FloatRange(min=0, min_open=True), help="The learning rate.", show_default="chosen")
@o.option("--batch-size", type=click.IntRange(min=1), help="Rows per step.", show_default="64; texts: 32; images: 16")
@o.device_option
@o.seed_option
@o.force_option
@o.json_option
def tune(
    model: str,
    data: str,
    output: str,
    epochs: int,
    lr: float | None,
    batch_size: int | None,
    device: str,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Finetune all parameters of MODEL and keep the better of before and after.

    MODEL is a model.safetensors, or a model.onnx that is not quantised. The two are compared on rows held out from the
    finetuning. BatchNorm, of a model of images, stays as it is.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, metrics_table, result, result_json, say, size

    report = api.tune(
        model,
        data=data,
        output=output,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        device=device,
        seed=seed,
        force=force,
    )
    if as_json:
        result_json(report.to_dict())
        return
    say(metrics_table({"before": report.before, "after": report.after}))
    say(f"Kept the model from {report.kept} the tuning ({report.rows:,} rows, {duration(report.seconds)}).")
    say(f"{size(report.size_bytes)}.")
    result(report.path)
