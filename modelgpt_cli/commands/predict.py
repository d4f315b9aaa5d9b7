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
modelgpt predict model.onnx new.csv --keep id,name --min-confidence 0.8 -o preds.jsonl
modelgpt predict texts.onnx "what a lovely film" --proba --json
modelgpt predict model.onnx photos/ more/*.jpg --topk 3""",
    PredictOptions,
)
@click.argument("model")
@click.argument("data", nargs=-1, required=True)
@o.stdout_option("File to write: CSV, .jsonl, or .json for COCO.")
@o.force_option
@o.json_option
def predict(model: str, data: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Predict for DATA with MODEL (a model.onnx): any table or folder of texts that describe reads, '-' for stdin; or
    images, as files, folders, globs, zips or tables of paths. A model of texts also takes a text of several words, or
    lines of text on stdin.

    Writes CSV with a column 'label', or for regression 'prediction' and, if the model has an interval, 'lower' and
    'upper'; rows in the order of the input. Works on files larger than memory. Missing columns count as empty cells,
    further columns are ignored. For images: 'file', 'label' and 'probability'; one that can't be
    read has empty cells. Where a row has several labels, 'prediction' holds them, with ';' between. Models of texts and
    images built from data add 'novelty': how unlike the training data a row is. --json prints JSON lines, one a row;
    with -o FILE, what was done.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say

    done = api.predict(model, data, json_lines=as_json and options["output"] == "-", **options)
    if done.unsure:
        labels = "label is" if done.unsure == 1 else "labels are"
        say(f"{done.unsure:,} {labels} left empty, being less likely than {options['min_confidence']:g}.")
    if done.path is not None and as_json:
        told = {"path": str(done.path), "rows": done.rows, "unsure": done.unsure, "seconds": done.seconds}
        result_json(told | ({} if done.novelty_threshold is None else {"novel": done.novel}))
    elif done.path is not None:
        say(f"Predicted for {done.rows:,} rows.")
        result(done.path)
