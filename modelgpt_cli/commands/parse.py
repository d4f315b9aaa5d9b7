"""``modelgpt parse``: a request in words in, what is understood of it out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "parse",
    """
modelgpt parse "sort mails into spam and ham, under 2 MB, at least 90 % right, int8" -o req.txt
modelgpt parse req.txt --json""",
)
@click.argument("request", metavar="WORDS|FILE")
@o.option("-o", "--output", metavar="FILE", default="-", help="Where the requirement goes.", show_default="stdout")
@o.force_option
@o.json_option
def parse(request: str, output: str, force: bool, as_json: bool) -> None:
    """Show what is understood of a request in plain English: task, classes, limits, quality, deployment.

    A FILE ('-' for stdin) holds such words, or is a requirement file, which is checked and written anew. What looks
    like a limit and is left out is told on stderr. Nothing leaves your machine.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say

    done = api.parse(request, output=output, force=force)
    if as_json:
        result_json(done.to_dict())
        return
    for remark in done.unclear:
        say(f"Left out: {remark.words!r}: {remark.reason}.")
    result(done.text.rstrip("\n") if done.path is None else done.path)
