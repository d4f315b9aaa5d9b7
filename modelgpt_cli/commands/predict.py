"""``modelgpt predict``: a model.onnx and rows in, predictions out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "predict",
    """
modelgpt predict model.onnx new.csv -o preds.csv
cat new.csv | modelgpt predict model.onnx - --proba
modelgpt predict model.onnx photos/ more/*.jpg --topk 3""",
)
@click.argument("model")
@click.argument("data", nargs=-1, required=True)
@o.option("-o", "--output", metavar="FILE", default="-", help="The CSV file to write.", show_default="stdout")
@o.option("-p", "--proba", is_flag=True, show_default=False, help="Add a column probability_<label> for each class.")
@o.option("--topk", type=click.IntRange(min=1), help="Images: the K likeliest classes of each.", show_default="1")
@o.option("--chunk-rows", type=click.IntRange(min=1), default=16_384, help="Rows held in memory at a time.")
@o.threads_option
@o.force_option
def predict(
    model: str,
    data: tuple[str, ...],
    output: str,
    proba: bool,
    topk: int | None,
    chunk_rows: int,
    threads: int | None,
    force: bool,
) -> None:
    """Score DATA with MODEL (a model.onnx): any table or folder of texts that describe can read, '-' for stdin; or
    images, as files, folders, globs, zips or tables of paths.

    Writes CSV with a column 'label', or for regression 'prediction' and, of a model that has an interval, 'lower' and
    'upper'; rows in the order of the input. Works on files larger than memory. Missing columns
    count as empty cells, further columns are ignored. Of images: 'file', 'label' and 'probability'; one that can't be
    read has empty cells.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, say

    done = api.predict(
        model, data, output=output, proba=proba, topk=topk, chunk_rows=chunk_rows, threads=threads, force=force
    )
    if done.path is not None:
        say(f"Scored {done.rows:,} rows.")
        result(done.path)
