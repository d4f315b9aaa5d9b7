"""``modelgpt parse``: a request in words in, what is understood of it out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import LLMOptions, ParseOptions


@o.command(
    "parse",
    """
modelgpt parse "a model under 2 MB that sorts mails into spam and ham, at least 90 % right, int8" -o req.txt
modelgpt parse "ein Modell unter 2 MB, das Spam von Ham unterscheidet" --provider ollama
modelgpt parse words.txt --llm gpt-4o-mini --dry-run
modelgpt parse req.txt --json""",
    ParseOptions,
    LLMOptions,
)
@click.argument("request", metavar="WORDS|FILE")
@o.stdout_option("Requirement file to write.")
@o.force_option
@o.json_option
def parse(request: str, as_json: bool, **options: Any) -> None:
    """Show how a request is understood: task, classes, limits, quality, deployment.

    A FILE ('-' for stdin) holds such words, or is a requirement file, which is checked and rewritten. stderr lists
    what 'build' applies from the words alone, what it applies only once it stands below the '---', and what is left
    out. Plain English is read by a few rules, and nothing leaves your machine; with --llm, --provider or --base-url an
    LLM reads words in any language, and has to quote them for each figure.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say

    done = api.parse(request, **options)
    if options["dry_run"]:
        if done.prompt is None:
            say("Nothing would be sent: no LLM is involved.")
        else:
            result(done.prompt)
        return
    if as_json:
        result_json(done.to_dict())
        return
    for reading in done.applied:
        say(f"Applied: {reading}.")
    for reading in done.proposed:
        say(f"Proposed: {reading}; build applies it once it stands below a line ---.")
    for remark in done.unclear:
        say(f"Left out: {remark.words!r}: {remark.reason}.")
    result(done.text.rstrip("\n") if done.path is None else done.path)
