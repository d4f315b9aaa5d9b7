"""``modelgpt export``: model.safetensors in, model.onnx out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modelgpt_cli.commands import options as o

if TYPE_CHECKING:
    from modelgpt_cli.artifacts.export import ExportReport


@o.command(
    "export",
    """
modelgpt export model.safetensors -o model.onnx
modelgpt export model.safetensors -o small.onnx --quantize int8 --data test.csv""",
)
@click.argument("model")
@o.option("-o", "--output", metavar="FILE", required=True, help="The model.onnx to write.")
@o.option("--opset", type=int, help="The ONNX operator set.", show_default="17; 18 for text encoders that are traced")
@o.option("--quantize", type=click.Choice(["none", "fp16", "int8"]), default="none", help="Make it smaller.")
@o.option("--data", metavar="FILE", help="Labelled rows, to measure what --quantize costs.")
@o.option(
    "--tokenizer-in-graph",
    is_flag=True,
    show_default=False,
    help="Text: take raw texts in; needs onnxruntime-extensions where it runs.",
)
@o.force_option
@o.json_option
def export(
    model: str,
    output: str,
    opset: int | None,
    quantize: str,
    data: str | None,
    tokenizer_in_graph: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Turn MODEL (a model.safetensors) into one ONNX file that onnxruntime runs by itself.

    The file is verified against the original before it appears. int8 makes models of texts faster too.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say, size

    report = api.export(
        model,
        output=output,
        opset=opset,
        quantize=quantize,
        data=data,
        tokenizer_in_graph=tokenizer_in_graph,
        force=force,
    )
    if as_json:
        result_json(report.to_dict())
        return
    say(f"Verified: at most {number(report.max_difference)} off the original.")
    if report.after:
        say(_cost(report, data or ""))
    elif quantize != "none":
        say("What that costs in accuracy, --data FILE with labelled rows measures.")
    say(f"Exported in {duration(report.seconds)}, {size(report.size_bytes)}.")
    result(report.path)


def _cost(report: ExportReport, data: str) -> str:
    """Say what quantisation cost."""
    from modelgpt_cli.commands.output import number

    name, key = ("accuracy", "accuracy") if "accuracy" in report.after else ("R2", "r2")
    before, after = report.before[key], report.after[key]
    if before is None or after is None:
        return f"{data} has no {name} to compare: its true values don't vary."
    lost = (before - after) * 100
    change = f"{abs(lost):.2f} points {'lost' if lost > 0 else 'won'}" if abs(lost) >= 0.005 else "nothing lost"
    return f"On {data}: {name} {number(before)} before, {number(after)} after {report.quantize}: {change}."
