"""``modelgpt predict``: a model.onnx and rows in, predictions out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import PredictOptions


@o.command(
    "predict",
    """
modelgpt predict model.onnx new.csv -o preds.csv
cat new.csv | modelgpt predict model.onnx - --proba
modelgpt predict model.onnx photos/ more/*.jpg --topk 3""",
    PredictOptions,
)
@click.argument("model")
@click.argument("data", nargs=-1, required=True)
@o.stdout_option("CSV file to write.")
@o.force_option
def predict(model: str, data: tuple[str, ...], **options: Any) -> None:
    """Predict for DATA with MODEL (a model.onnx): any table or folder of texts that describe reads, '-' for stdin; or
    images, as files, folders, globs, zips or tables of paths.

    Writes CSV with a column 'label', or for regression 'prediction' and, if the model has an interval, 'lower' and
    'upper'; rows in the order of the input. Works on files larger than memory. Missing columns count as empty cells,
    further columns are ignored. For images: 'file', 'label' and 'probability'; one that can't be
    read has empty cells.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, say

    done = api.predict(model, data, **options)
    if done.path is not None:
        say(f"Predicted for {done.rows:,} rows.")
        result(done.path)
