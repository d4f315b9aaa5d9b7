"""``modelgpt generate``: a requirement in, labelled rows out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "generate",
    """
modelgpt generate --req req.txt -n 200 -o data.csv --provider ollama --dry-run
modelgpt generate --req req.txt -n 200 -o data.csv --provider openai --max-tokens 50000
modelgpt generate --req req.txt -n 200 -o texts/ --data few.csv --examples 4 --redact
modelgpt generate --req req.txt -n 200 -o data.csv --resume""",
)
@o.option("-r", "--req", metavar="FILE", required=True, help="The requirement file; '-' for stdin.")
@o.option("-n", "--rows", "n", type=click.IntRange(min=1), required=True, help="How many rows, over all classes.")
@o.option("-o", "--output", metavar="FILE|DIR", required=True, help="data.csv, data.jsonl, or a folder for texts.")
@o.option("--data", metavar="PATH", help="Real rows, some as examples.", show_default="what the requirement names")
@o.option("--examples", type=click.IntRange(min=0), default=8, help="Real rows that the LLM is shown; 0 for none.")
@o.option("-d", "--description", metavar="TEXT|@FILE", help="More words about the data.")
@o.option("--batch", type=click.IntRange(min=1), default=20, help="Rows per request.")
@o.option("--max-tokens", type=click.IntRange(min=1), help="Stop before so many tokens, in and out.")
@o.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="Stop before so many US dollars.")
@o.option("--resume", is_flag=True, show_default=False, help="Go on with an interrupted run.")
@o.llm_options
@o.redact_option
@o.types_option
@o.option("--dry-run", is_flag=True, show_default=False, help="Send nothing; print the first request, estimate all.")
@o.seed_option
@o.force_option
@o.json_option
def generate(
    req: str,
    n: int,
    output: str,
    data: str | None,
    examples: int,
    description: str | None,
    batch: int,
    max_tokens: int | None,
    max_cost: float | None,
    resume: bool,
    llm: str | None,
    provider: str | None,
    base_url: str | None,
    no_cache: bool,
    timeout: float | None,
    retries: int | None,
    redact: bool,
    types: str | None,
    dry_run: bool,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Have an LLM write labelled rows, where there is no data or too little.

    Rows of a table, or texts; each is checked against the requirement's columns and classes, copies are dropped, and
    the classes are balanced. The column 'synthetic' (in a folder: the files' names) marks every row; a build never
    learns from the mark. What was received stays beside the output until all is written.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json

    done = api.generate(
        req,
        n=n,
        output=output,
        data=data,
        description=description,
        batch=batch,
        examples=examples,
        max_tokens=max_tokens,
        max_cost=max_cost,
        resume=resume,
        dry_run=dry_run,
        force=force,
        seed=seed,
        llm=llm,
        provider=provider,
        base_url=base_url,
        timeout=timeout,
        retries=retries,
        cache=not no_cache,
        redact=redact,
        types=types,
    )
    if done.prompt is not None:
        result(done.prompt)
    elif as_json:
        result_json(done.to_dict())
    elif done.path is not None:
        result(done.path)
