"""``modelgpt build``: a requirement in, a model out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "build",
    """
modelgpt build --req req.txt -o model.onnx
modelgpt build --req req.txt --data train.csv --members 8 --json -o model.safetensors""",
)
@o.option("-r", "--req", metavar="FILE", required=True, help="The requirement file; '-' for stdin.")
@o.option("--data", metavar="PATH", help="The labelled table.", show_default="the one the requirement names")
@o.option("-d", "--description", metavar="TEXT|@FILE", help="More words about the data.")
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors.")
@o.option("--members", type=click.IntRange(min=1), help="Networks merged into the model.", show_default="4")
@o.option("--generator", metavar="DIR", shared=True, help="The generator checkpoint.", show_default="the shipped one")
@o.option("--encoder", metavar="NAME|DIR", shared=True, help="The text encoder.", show_default="the shipped one")
@o.types_option
@o.merge_labels_option
@o.device_option
@o.seed_option
@o.force_option
@o.json_option
def build(
    req: str,
    data: str | None,
    description: str | None,
    output: str,
    members: int | None,
    generator: str | None,
    encoder: str | None,
    types: str | None,
    merge_labels: bool,
    device: str,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Turn a requirement, and data if there is any, into a model.

    Prints the model's path; the cross-validated metrics, the time and the size go to stderr, or all to stdout with
    --json.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, metrics_table, result, result_json, say, size

    report = api.build(
        req,
        data=data,
        description=description,
        output=output,
        members=members,
        generator=generator,
        encoder=encoder,
        types=types,
        merge_labels=merge_labels,
        device=device,
        seed=seed,
        force=force,
    )
    if as_json:
        result_json(report.to_dict())
        return
    if report.metrics:
        say(f"Cross-validated on {report.n_rows:,} rows:\n{metrics_table(report.metrics)}")
    say(f"Built in {duration(report.seconds)}, {size(report.size_bytes)}.")
    result(report.path)
