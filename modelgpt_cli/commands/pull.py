"""``modelgpt pull``: a model or a bundle from where it was pushed to."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command("pull", "modelgpt pull hf://me/irises@sha256:2c26b46b... -o model.bundle.zip")
@click.argument("source", metavar="FROM")
@o.option("-o", "--output", metavar="FILE", required=True, help="The file to write.")
@o.force_option
@o.json_option
def pull(source: str, output: str, force: bool, as_json: bool) -> None:
    """Fetch a model or a bundle from an address as modelgpt push printed it. What comes must have the address's
    SHA-256; otherwise nothing is kept.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, result, result_json, say, size

    done = api.pull(source, output=output, force=force)
    if as_json:
        result_json(done.to_dict())
        return
    if not done.pinned:
        say(f"Its SHA-256 wasn't asked for. To get this very file again: {source}@sha256:{done.sha256}")
    say(f"Fetched a {done.kind} in {duration(done.seconds)}, {size(done.size_bytes)}.")
    result(done.path)
