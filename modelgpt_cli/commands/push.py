"""``modelgpt push``: a model or a bundle to a folder, a hub or an object store."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import PushOptions


@o.command(
    "push",
    """
modelgpt push model.bundle.zip hf://me/irises
modelgpt push model.onnx s3://bucket/models/
modelgpt push model.bundle.zip /mnt/models""",
    PushOptions,
)
@click.argument("file", metavar="MODEL|BUNDLE")
@click.argument("to", metavar="TO")
@o.force_option
@o.json_option
def push(file: str, to: str, as_json: bool, **options: Any) -> None:
    """Send a model.onnx or a bundle to a folder, to a repository of the Hugging Face hub (hf://owner/name), which is
    made private unless --public, or to a URL that fsspec knows (s3://, gs://, memory://, ...).

    Prints the address with the SHA-256, by which modelgpt pull gets this very file or nothing.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, result, result_json, say, size

    done = api.push(file, to, **options)
    if as_json:
        result_json(done.to_dict())
        return
    if not done.sent:
        say("\n".join(f"{name}  {size(n)}" for name, n in done.files.items()))
        rows = f", with golden rows: {done.golden_source}" if done.golden_source else ""
        say(f"Would be sent{rows}. Nothing was.")
    else:
        say(f"Sent in {duration(done.seconds)}, {size(done.size_bytes)}.")
    result(done.address)
