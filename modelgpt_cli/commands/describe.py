"""``modelgpt describe``: data in, the requirement out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "describe",
    """
modelgpt describe data.csv --target species -o req.txt
modelgpt describe ./data --llm gpt-4o-mini --dry-run
modelgpt describe ./data --provider ollama --redact
modelgpt describe ./images --dry-run --sheet sheet.jpg
modelgpt describe pairs.csv --text premise --text-pair hypothesis
cat data.csv | modelgpt describe - --offline > req.txt""",
)
@click.argument("path")
@o.option("-t", "--target", metavar="COLUMN", help="The column to predict.", show_default="guessed")
@o.option("--text", metavar="COLUMN", help="The column of the text to be judged.", show_default="guessed")
@o.option("--text-pair", metavar="COLUMN", help="The second text, where each row is a pair.", show_default="guessed")
@o.option("-d", "--description", metavar="TEXT|@FILE", help="Your own words about the data, or @FILE holding them.")
@o.option("--offline", is_flag=True, shared=True, show_default=False, help="Ask no LLM: write from the profile alone.")
@o.llm_options
@o.redact_option
@o.option("-o", "--output", metavar="FILE", default="-", help="Where the requirement goes.", show_default="stdout")
@o.types_option
@o.merge_labels_option
@o.option("--sheet", metavar="FILE.jpg", help="Save the sheet of small images that an LLM is shown.")
@o.option("--dry-run", is_flag=True, show_default=False, help="Send nothing; print exactly what would be sent.")
@o.seed_option
@o.force_option
def describe(
    path: str,
    target: str | None,
    text: str | None,
    text_pair: str | None,
    description: str | None,
    offline: bool,
    llm: str | None,
    provider: str | None,
    base_url: str | None,
    no_cache: bool,
    output: str,
    types: str | None,
    merge_labels: bool,
    sheet: str | None,
    dry_run: bool,
    timeout: float | None,
    retries: int | None,
    redact: bool,
    seed: int,
    force: bool,
) -> None:
    """Look at the data and write the requirement.

    PATH is a table (CSV, TSV, JSON lines, Parquet, Excel; '-' for stdin), a folder of them, a folder with one
    sub-folder of .txt files or images per class (also zipped), or a table with a column of paths to images. Of the
    data, an LLM sees the column names, a profile and a few rows, or up to 16 images made small; --dry-run shows
    exactly what.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, say
    from modelgpt_cli.requirement_generator.prompt import without_images

    done = api.describe(
        path,
        target=target,
        description=description,
        llm=llm,
        offline=offline,
        base_url=base_url,
        output=None if output == "-" or dry_run else output,
        types=types,
        merge_labels=merge_labels,
        text=text,
        text_pair=text_pair,
        sheet=sheet,
        dry_run=dry_run,
        force=force,
        timeout=timeout,
        retries=retries,
        seed=seed,
        provider=provider,
        cache=not no_cache,
        redact=redact,
    )
    if dry_run:
        if done.prompt is None:
            say("Nothing would be sent: the sentence is written offline.")
        else:
            result(done.prompt if done.sheet is None else without_images(done.prompt))
    elif done.path is not None:
        say(done.requirement.sentence)
        result(done.path)
    else:
        result(done.text.rstrip("\n"))
