"""``modelgpt describe``: data in, the requirement out."""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import DescribeOptions, LLMOptions


@o.command(
    "describe",
    """
modelgpt describe data.csv --target species -o req.txt
modelgpt describe ./data --llm gpt-4o-mini --dry-run
modelgpt describe ./data --provider ollama --redact
modelgpt describe ./images --dry-run --contact-sheet sheet.jpg
modelgpt describe pairs.csv --text premise --text-pair hypothesis
cat data.csv | modelgpt describe - --offline > req.txt""",
    DescribeOptions,
    LLMOptions,
)
@click.argument("path")
@o.stdout_option("Requirement file to write.")
@o.force_option
@o.json_option
def describe(path: str, output: str, as_json: bool, **options: Any) -> None:
    """Describe data: write a requirement.

    PATH is a table (CSV, TSV, JSON lines, Parquet, Excel; '-' for stdin), a folder of them, a folder with one
    sub-folder of .txt files or images per class (also zipped), or a table with a column of paths to images. An LLM
    is sent the column names, a profile and a few rows, or up to 16 small images; --dry-run shows exactly what.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say
    from modelgpt_cli.core.files import check_destination, check_exists

    dry_run = options["dry_run"]
    check_exists(path)
    if output != "-" and not dry_run:
        check_destination(output, options["force"])
    done = api.describe(path, output=None if output == "-" or dry_run else output, **options)
    if dry_run:
        if done.prompt is None:
            say("Nothing would be sent: the sentence is written offline.")
        else:
            from modelgpt_cli.requirement_generator.prompt import without_images

            result(done.prompt if done.contact_sheet is None else without_images(done.prompt))
    elif as_json:
        result_json(done.to_dict())
    elif done.path is not None:
        say(done.requirement.sentence)
        result(done.path)
    else:
        result(done.text.rstrip("\n"))
