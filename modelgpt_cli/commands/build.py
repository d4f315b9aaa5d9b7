"""``modelgpt build``: a requirement, data or words in, a model out."""

from __future__ import annotations

import sys
from typing import Any

import click

from modelgpt_cli.commands import options as o


@o.command(
    "build",
    """
modelgpt build train.csv -t churned -o model.onnx
modelgpt build "tell roses from tulips" -o model.onnx
modelgpt build --req req.txt -o model.onnx
modelgpt build --req req.txt --data train.csv --members 8 --json -o model.safetensors
modelgpt build --req req.txt --data reviews.csv --text review --target stars -o model.onnx
modelgpt build --req req.txt --generate 200 --provider ollama -o model.onnx
modelgpt build --req req.txt --data-from iris --catalog cards/ -o model.onnx
modelgpt build --batch requests.jsonl --members 1 -o models/""",
)
@click.argument("source", required=False, metavar="[DATA|REQUIREMENT|WORDS]")
@o.option("-r", "--req", metavar="FILE", help="The requirement file; '-' for stdin.", show_default="none")
@o.option("--no-req", is_flag=True, show_default=False, help="Don't keep the requirement that is written for the data.")
@o.option("--data", metavar="PATH", help="The labelled table or texts.", show_default="the one the requirement names")
@o.option("-d", "--description", metavar="TEXT|@FILE", help="More words about the data.")
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors; --batch: a folder.")
@o.option("--members", type=click.IntRange(min=1), help="Networks merged into the model.", show_default="8")
@o.option("--one-pass", is_flag=True, help="Tables: one member, and no cross-validation: fast, of unknown quality.")
@o.option("--generator", metavar="DIR", shared=True, help="The generator checkpoint.", show_default="the shipped one")
@o.option("--encoder", metavar="NAME|DIR", shared=True, help="The text encoder.", show_default="the shipped one")
@o.option(
    "--coverage",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Regression: the share of true values between 'lower' and 'upper'; 0: no such outputs.",
    show_default="0.9",
)
@o.option("--all-rows", is_flag=True, help="Solve the head on every row of more than 300,000 (texts: 4,096).")
@o.option(
    "--text-columns",
    type=click.Choice(["embed", "drop"]),
    default="embed",
    help="Free text: give the model the text encoder (24 MB) where the limits allow, or leave such columns out.",
)
@o.option("--words", is_flag=True, help="Tables: show the generator the requirement's words even where there is data.")
@o.option("--ignore-words", is_flag=True, help="Take no limits from the requirement's sentence.")
@o.option("-t", "--target", metavar="COLUMN", help="The column to predict.", show_default="the requirement's")
@o.option("--text", metavar="COLUMN", help="The column with the text.", show_default="the requirement's")
@o.option("--text-pair", metavar="COLUMN", help="The column with the second text of a pair.", show_default="none")
@o.option("--backbone", metavar="NAME|DIR", help="Texts, images: what to adapt.", show_default="minilm-l6, small")
@o.option("--backbone-weights", metavar="FILE", help="Images: weights for the backbone, as torchvision has them.")
@o.option("--max-tokens", type=int, help="Texts: the window; what is longer is cut off.", show_default="128")
@o.option("--rows", type=click.IntRange(min=1), help="Texts, images: solve the head on so many.", show_default="4,096")
@o.option("--tokenizer-in-graph", is_flag=True, help="Texts: put the tokenizer into the ONNX file: strings in.")
@o.option("--generate", type=click.IntRange(min=1), metavar="N", help="Have an LLM write N rows to learn from, too.")
@o.option("--examples", type=click.IntRange(min=0), default=8, help="--generate: real rows that the LLM is shown.")
@o.option("--generate-tokens", type=click.IntRange(min=1), help="--generate: stop before so many tokens, in and out.")
@o.option("--max-cost", type=click.FloatRange(min=0, min_open=True), help="--generate: stop before so many US dollars.")
@o.llm_options
@o.redact_option
@o.option("--data-from", metavar="NAME", help="Use the data set of this name in the catalogue, after your yes.")
@o.catalog_option
@o.option("-y", "--yes", is_flag=True, show_default=False, help="--data-from: don't ask.")
@o.option("--card", metavar="NAME[/STORAGE]", help="The card to build, see modelgpt zoo.", show_default="the best")
@o.option("--best-effort", is_flag=True, show_default=False, help="Where no card meets the limits, write the nearest.")
@o.option("--batch", metavar="FILE", help="Build a model for each line of a JSON Lines file; '-' for stdin.")
@o.option("--jobs", type=click.IntRange(min=1), metavar="N", help="--batch: models at a time.", show_default="cores")
@o.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    show_default="processes",
    help="--batch: where they are built: on this machine, or on a Ray cluster.",
)
@o.types_option
@o.merge_labels_option
@o.device_option
@o.seed_option
@o.force_option
@o.json_option
def build(
    source: str | None,
    req: str | None,
    no_req: bool,
    data: str | None,
    description: str | None,
    output: str,
    members: int | None,
    one_pass: bool,
    generator: str | None,
    encoder: str | None,
    coverage: float | None,
    text_columns: str,
    all_rows: bool,
    words: bool,
    ignore_words: bool,
    target: str | None,
    text: str | None,
    text_pair: str | None,
    backbone: str | None,
    backbone_weights: str | None,
    max_tokens: int | None,
    rows: int | None,
    tokenizer_in_graph: bool,
    generate: int | None,
    examples: int,
    generate_tokens: int | None,
    max_cost: float | None,
    llm: str | None,
    provider: str | None,
    base_url: str | None,
    no_cache: bool,
    timeout: float | None,
    retries: int | None,
    redact: bool,
    data_from: str | None,
    catalog: str | None,
    yes: bool,
    card: str | None,
    best_effort: bool,
    batch: str | None,
    jobs: int | None,
    engine: str | None,
    types: str | None,
    merge_labels: bool,
    device: str,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Turn data, a requirement or words into a model.

    Data (a file or folder) are described first, as by modelgpt describe, and the requirement is kept beside the model.
    Prints the model's path; the cross-validated metrics, the time and the size go to stderr, or all to stdout with
    --json.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, metrics_table, number, result, result_json, say, size
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.parameter_generator.default_encoder import begin_check
    from modelgpt_cli.requirement_generator.requirement_file import read_requirement

    options: dict[str, Any] = {
        "data": data,
        "description": description,
        "members": members,
        "one_pass": one_pass,
        "generator": generator,
        "encoder": encoder,
        "coverage": coverage,
        "all_rows": all_rows,
        "text_columns": text_columns,
        "words": words,
        "ignore_words": ignore_words,
        "target": target,
        "text": text,
        "text_pair": text_pair,
        "backbone": backbone,
        "backbone_weights": backbone_weights,
        "max_tokens": max_tokens,
        "rows": rows,
        "tokenizer_in_graph": tokenizer_in_graph,
        "card": card,
        "best_effort": best_effort,
        "types": types,
        "merge_labels": merge_labels,
        "device": device,
        "seed": seed,
    }
    if batch is not None:
        if generate is not None or data_from is not None or source is not None:
            what = "--generate and --data-from are" if source is None else f"{source!r} is"
            raise UsageError(f"{what} for one model.", hint="Leave it out, or --batch.")
        _build_batch(batch, output, jobs, engine, force, as_json, {"req": req, **options})
        return
    if jobs is not None or engine is not None:
        raise UsageError("--jobs and --engine are for many models.", hint="Leave them out, or give --batch FILE.")
    begin_with: Any = source
    if req is not None:
        begin_with = read_requirement(req)
        if source is not None and data is not None:
            raise UsageError(f"{source!r} and --data both name data.", hint="Leave one of them out.")
        options["data"] = data or source
    if begin_with is None:
        raise UsageError(
            "There is nothing to build from.",
            hint="Give data, a sentence, or a requirement, which modelgpt describe DATA -o req.txt writes: --req FILE.",
        )
    if data_from is not None:
        options["data"] = _data_of(data_from, catalog, options["data"], yes)
    wish = asked = None
    if generate is not None:
        from modelgpt_cli.llm.client import LLM
        from modelgpt_cli.sources.generator.run import Wish

        wish = Wish(
            generate, examples=examples, redact=redact, max_tokens=generate_tokens, max_cost=max_cost, seed=seed
        )
        asked = LLM.from_settings(llm, base_url, None, timeout, retries, provider)
    if words and encoder is None:
        begin_check()  # while torch is loaded
    report = api.build(
        begin_with,
        output=output,
        force=force,
        keep_requirement=not no_req,
        generate=wish,
        llm=asked,
        cache=not no_cache,
        **options,  # type: ignore[arg-type]
    )
    if as_json:
        result_json(report.to_dict())
        return
    if report.metrics:
        say(f"Cross-validated on {report.n_rows:,} rows:\n{metrics_table(report.metrics)}")
    if report.interval:
        width, coverage = number(report.interval["mean_width"]), report.interval["coverage"]
        say(f"Interval: 'lower' to 'upper', on average {width} wide, for {coverage:.4g} of the true values.")
    if report.requirement is not None:
        say(f"The requirement is in {report.requirement}.")
    took = f"{duration(report.seconds)} ({duration(report.total_seconds)} with loading)"
    say(f"Built in {took}, {size(report.size_bytes)}.")
    result(report.path)


def _build_batch(
    batch: str, output: str, jobs: int | None, engine: str | None, force: bool, as_json: bool, options: dict[str, Any]
) -> None:
    """Build many models.

    Raises
    ------
    SomeFailedError
        Not all of them could be built; the others are there.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, result, result_json, say

    given = {name: value for name, value in options.items() if value is not None}
    report = api.build_batch(batch, output=output, jobs=jobs, engine=engine or "processes", force=force, **given)
    if as_json:
        result_json(report.to_dict())
    else:
        kept = f", {report.kept:,} already there" if report.kept else ""
        failed = f", {report.failed:,} failed" if report.failed else ""
        models = "model" if report.built == 1 else "models"
        say(f"Built {report.built:,} {models} in {duration(report.seconds)}{kept}{failed}.")
        result(report.manifest)
    report.check()


def _data_of(name: str, catalog: str | None, data: str | None, yes: bool) -> str:
    """The data of a card, once the user has seen whose they are, and said yes.

    Raises
    ------
    UsageError
        Data are given too, there is no catalogue or no such card, or nobody can be asked.
    """
    from modelgpt_cli.commands.output import say
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.sources.catalogue.use import card_data

    if data is not None:
        raise UsageError("--data and --data-from both name data.", hint="Leave one of them out.")
    card, path = card_data(name, catalog)
    say(card.words())
    if yes:
        return str(path)
    if not sys.stdin.isatty():
        raise UsageError(
            f"Shall the data of {card.name!r} be used?",
            "There is no terminal to ask on.",
            "Say --yes, once you have read its licence and source above.",
        )
    if not click.confirm("Use these data?", err=True):
        raise click.Abort
    return str(path)
