"""``modelgpt report``: a model.onnx, and labelled rows where there are some, to one HTML file."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import ReportOptions


@o.command(
    "report",
    """
modelgpt report model.onnx -o report.html
modelgpt report model.onnx --data test.csv --importance -o report.html
modelgpt report model.onnx --data test.csv --learning-curve train.csv -o report.html
modelgpt report model.onnx --data test.csv -o report.html --pdf report.pdf --model-card README.md""",
    ReportOptions,
)
@click.argument("model")
@o.option("-o", "--output", metavar="FILE", required=True, help="The HTML file to write.")
@o.force_option
@o.json_option
def report(model: str, as_json: bool, **options: Any) -> None:
    """Write all there is to know of MODEL (a model.onnx) into one HTML file that needs nothing else: what it is for,
    how good it was at build beside its baselines, its inputs, notes, and where it comes from. With labelled rows also
    their measures with intervals, a confusion matrix, curves, and the rows that it is most wrong about, with what they
    hold: whoever gets the report can read these.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, metrics_table, result, result_json, say, size

    done = api.report(model, **options)
    if as_json:
        result_json(done.to_dict())
        return
    if (curve := done.learning_curve) is not None:
        made = {f"{point.rows:,} {curve.unit}": point.metrics for point in curve.points if not point.reason}
        say(f"{metrics_table(made)}\n{curve.words()}")
    say(f"Written in {duration(done.seconds)}, {size(done.size_bytes)}.")
    result(done.path)
