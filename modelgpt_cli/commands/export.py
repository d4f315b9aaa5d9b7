"""``modelgpt export``: model.safetensors in, model.onnx out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.deploy import PLACES
from modelgpt_cli.core.options import ExportOptions

if TYPE_CHECKING:
    from modelgpt_cli.artifacts.export import ExportReport


@o.command(
    "export",
    """
modelgpt export model.safetensors -o model.onnx
modelgpt export model.safetensors -o small.onnx --quantize int8 --data test.csv
modelgpt export model.onnx --for web -o page
modelgpt export model.onnx --runtime ort-1.10 -o old.onnx""",
    ExportOptions,
)
@click.argument("model")
@o.option("-o", "--output", metavar="FILE", required=True, help="The model.onnx, or with --for the folder, to write.")
@o.option(
    "--for",
    "place",
    type=click.Choice(list(PLACES)),
    metavar="PLACE",
    help=f"A folder for {', '.join(PLACES)}.",
)
@o.option("--data", metavar="FILE", help="Rows, to measure what --quantize costs or to verify --for on.")
@o.force_option
@o.json_option
def export(model: str, data: str | None, place: str | None, as_json: bool, **options: Any) -> None:
    """Turn MODEL (a model.safetensors) into one ONNX file that onnxruntime runs by itself.

    With --for it becomes a folder: a page that runs it in a browser (web), a container and Triton's repository
    (server), an app's file with snippets (mobile), or another runtime's files. These are verified against the
    model first.

    The file is verified against the original before it appears. int8 also makes text models faster.
    """
    from modelgpt_cli import api
    from modelgpt_cli.artifacts.backends import check_deployable
    from modelgpt_cli.commands.output import duration, number, result, result_json, say, size
    from modelgpt_cli.core.files import check_destination, check_exists, check_model_file
    from modelgpt_cli.data.address import with_sheet

    if place is not None:
        _folder(model, place, as_json, data=data, **options)
        return
    check_deployable(options["output"])
    check_destination(options["output"], options["force"])
    check_model_file(model)
    check_exists(data)
    with_sheet(data, options["sheet"])
    report = api.export(model, data=data, **options)
    if as_json:
        result_json(report.to_dict())
        return
    if report.title:  # answers of a domain's own, whose differences are no numbers of all domains
        say("Verified on probe rows.")
    else:
        where = f"probe rows and all of {data}" if report.after else "probe rows"
        say(f"Verified on {where}: outputs differ from the original's by at most {number(report.max_difference)}.")
    if report.after:
        say(_cost(report, data or ""))
    elif options["quantize"] != "none":
        say("To measure what that costs in accuracy, give labelled rows: --data FILE.")
    say(f"Exported in {duration(report.seconds)}, {size(report.size_bytes)}.")
    result(report.path)


def _folder(model: str, place: str, as_json: bool, **options: Any) -> None:
    """Write the folder of a place."""
    from modelgpt_cli.commands.output import duration, result, result_json, say, size
    from modelgpt_cli.deployment.targets import export_for

    report = export_for(model, place, **options)
    if as_json:
        result_json(report.to_dict())
        return
    say(f"Exported in {duration(report.seconds)}, {len(report.files)} files, {size(report.size_bytes)}.")
    say(report.next)
    result(report.path)


def _cost(report: ExportReport, data: str) -> str:
    """Say what quantisation cost."""
    from modelgpt_cli.commands.output import number

    names = {"accuracy": "accuracy", "micro_f1": "F1 (micro)", "r2": "R2"}
    key, name = next(((key, name) for key, name in names.items() if key in report.after), ("", ""))
    if not key:  # a task of a domain's own, whose first metric is the one that counts
        key = next(iter(report.after))
        name = report.title or key
    before, after = report.before[key], report.after[key]
    if before is None or after is None:
        return f"{data} has no {name} to compare: its true values don't vary."
    if key not in names:
        return f"On {data}: {name} {number(before)} before, {number(after)} after {report.quantize}."
    lost = (before - after) * 100
    change = f"{abs(lost):.2f} points {'lost' if lost > 0 else 'won'}" if abs(lost) >= 0.005 else "nothing lost"
    return f"On {data}: {name} {number(before)} before, {number(after)} after {report.quantize}: {change}."
