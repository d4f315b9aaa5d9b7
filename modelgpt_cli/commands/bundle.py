"""``modelgpt bundle``: a model.onnx to an archive with all that goes with it."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import BundleOptions


@o.command(
    "bundle",
    """
modelgpt bundle model.onnx -o model.bundle.zip
modelgpt bundle model.onnx --data test.csv --licence Apache-2.0 --key key.pem -o model.bundle.zip""",
    BundleOptions,
)
@click.argument("model")
@o.option("-o", "--output", metavar="FILE", required=True, help="The archive to write; ends in .zip.")
@o.force_option
@o.json_option
def bundle(model: str, as_json: bool, **options: Any) -> None:
    """Write MODEL (a model.onnx) into one archive with a model card, golden rows and the answers to them, licences of
    everything inside, a bill of materials (CycloneDX), hashes and a signature. modelgpt verify checks it anywhere,
    offline; predict, evaluate, serve and report take it as it is.

    With --data some of its rows go into the archive as they are: whoever gets it can read them.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, result, result_json, say, size

    done = api.bundle(model, **options)
    if as_json:
        result_json(done.to_dict())
        return
    rows = f"{done.golden_rows} golden rows, {done.golden_source}" if done.golden_rows else "no golden rows"
    if options["data"] is not None and done.golden_rows:
        rows = f"{done.golden_rows} rows of {done.golden_source}, as they are"
    say(f"In it: {len(done.files)} files, {rows}; {'signed' if done.signed else 'not signed'}.")
    say(f"Written in {duration(done.seconds)}, {size(done.size_bytes)}. Check it: modelgpt verify {done.path}")
    result(done.path)
