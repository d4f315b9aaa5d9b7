"""``modelgpt export``: model.safetensors in, model.onnx out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command("export", "modelgpt export model.safetensors -o model.onnx --quantize fp16")
@click.argument("model")
@o.option("-o", "--output", metavar="FILE", required=True, help="The model.onnx to write.")
@o.option("--opset", type=int, default=17, help="The ONNX operator set.")
@o.option("--quantize", type=click.Choice(["none", "fp16", "int8"]), default="none", help="Make it smaller.")
@o.force_option
@o.json_option
def export(model: str, output: str, opset: int, quantize: str, force: bool, as_json: bool) -> None:
    """Turn MODEL (a model.safetensors) into one ONNX file that onnxruntime runs by itself.

    The file is verified against the original before it appears.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say, size

    report = api.export(model, output=output, opset=opset, quantize=quantize, force=force)
    if as_json:
        result_json(report.to_dict())
        return
    say(f"Verified: at most {number(report.max_difference)} off the original.")
    say(f"Exported in {duration(report.seconds)}, {size(report.size_bytes)}.")
    result(report.path)
