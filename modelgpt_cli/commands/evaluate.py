"""``modelgpt evaluate``: a model.onnx and labelled rows in, metrics out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import EvaluateOptions


@o.command(
    "evaluate",
    """
modelgpt evaluate model.onnx test.csv --plot test.png
modelgpt evaluate model.onnx test.csv --importance --importance-metric accuracy""",
    EvaluateOptions,
)
@click.argument("model")
@click.argument("data")
@o.force_option
@o.json_option
def evaluate(model: str, data: str, as_json: bool, **options: Any) -> None:
    """Measure MODEL (a model.onnx) on DATA: a table with the true values in it, or a folder of texts or images (or a
    zip of these) with a sub-folder per class. In a folder with train/ and test/, test/ is measured.

    Classification: accuracy, balanced accuracy, macro F1, ROC AUC, log loss, expected calibration error (15 bins) and
    the confusion matrix; for images also top-3 and top-5 accuracy and a table of the classes. Several labels a
    row: micro, macro and each label's F1, subset accuracy, mean average precision and log loss. Regression: RMSE, MAE,
    R2, Pearson's and Spearman's correlation, and the interval's coverage and mean width. --importance adds, for each
    column that the model reads, by how much a metric gets worse when the column's cells are shuffled.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.cards import evaluation_text
    from modelgpt_cli.commands.output import result, result_json, say

    done = api.evaluate(model, data, **options)
    if as_json:
        result_json(done.to_dict())
    else:
        result(evaluation_text(done))
    if done.plot is not None:
        say(f"The plot is in {done.plot}.")
