"""``modelgpt build``: a requirement, data or words in, a model out."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import BatchOptions, BuildDataOptions, BuildLLMOptions, BuildOptions

_DATA = o.theme("Data")


@o.command(
    "build",
    """
modelgpt build train.csv -t churned -o model.onnx
modelgpt build ./photos -o model.onnx
modelgpt build "tell roses from tulips in photos" -o model.onnx
modelgpt build --req req.txt -o model.onnx
modelgpt build --req req.txt --data train.csv --members 8 --json -o model.safetensors
modelgpt build --req req.txt --data reviews.csv --text review --target stars -o model.onnx
modelgpt build --req req.txt --generate 200 --provider ollama -o model.onnx
modelgpt build --req req.txt --data-from iris --catalog cards/ -o model.onnx
modelgpt build --batch requests.jsonl --members 1 -o models/""",
    BuildOptions,
    BuildDataOptions,
    BuildLLMOptions,
    BatchOptions,
)
@click.argument("source", required=False, metavar="[DATA|REQUIREMENT|WORDS]")
@o.requirement_option()
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors; --batch: a folder.")
@o.off_option("--no-req", "keep_requirement", "Don't keep the requirement written for the data.", heading=_DATA)
@o.option("--report", metavar="FILE", help="Write an HTML report of the model too.")
@o.option("--model-card", metavar="FILE", help="Write a Hugging Face model card (README.md) too.")
@o.force_option
@o.json_option
def build(
    source: str | None,
    req: str | None,
    output: str,
    keep_requirement: bool,
    report: str | None,
    model_card: str | None,
    force: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Turn data, a requirement or words into a model.

    Data (a file or folder) are described first, as by modelgpt describe, and the requirement is kept beside the model.
    Prints the model's path; cross-validated metrics, time and size go to stderr, or everything to stdout with --json.
    """
    from modelgpt_cli import api
    from modelgpt_cli.artifacts.backends import check_model_destination
    from modelgpt_cli.commands.output import duration, metrics_table, number, result, result_json, say, size
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.model_generator.source import check_start
    from modelgpt_cli.parameter_generator.default_encoder import begin_check

    about = {"report": report, "model_card": model_card}
    many, asked = o.take(options, BatchOptions), o.take(options, BuildLLMOptions)
    found = o.take(options, BuildDataOptions)
    if many.batch is not None:
        if asked.generate is not None or found.data_from is not None or source is not None:
            what = "--generate and --data-from are" if source is None else f"{source!r} is"
            raise UsageError(f"{what} for a single model.", hint="Leave it out, or leave out --batch.")
        if any(about.values()):
            raise UsageError("--report and --model-card are for a single model.", hint="Leave them out.")
        _build_batch(many, output, force, as_json, {"req": req, **options})
        return
    if many.given():
        raise UsageError("--jobs and --engine are for --batch.", hint="Leave them out, or give --batch FILE.")
    check_model_destination(output, force)
    _check_about(about, output, force)
    begin_with = _source(source, req, options)
    if found.data_from is not None:
        options["data"] = _catalogue_data(found.data_from, found.catalog, options["data"], found.yes)
    check_start(begin_with, options, Path(output), keep_requirement=keep_requirement, force=force)
    if options["words"] and options["encoder"] is None:
        begin_check()  # while torch is loaded
    done = api.build(
        begin_with,
        output=output,
        force=force,
        keep_requirement=keep_requirement,
        **_llm_arguments(asked, begin_with if req is None else None, options["seed"]),
        **options,
    )
    _write_about(about, output, force)
    if as_json:
        result_json(done.to_dict())
        return
    if done.metrics:
        how = f" {done.validated}" if done.validated else ""
        say(f"Cross-validated{how} on {done.n_rows:,} rows:\n{metrics_table(done.metrics)}")
    if done.interval:
        width, coverage = number(done.interval["mean_width"]), done.interval["coverage"]
        say(f"Interval: 'lower' to 'upper', {width} wide on average, covers {coverage:.4g} of the true values.")
    if done.requirement is not None:
        say(f"The requirement is in {done.requirement}.")
    took = f"{duration(done.seconds)} ({duration(done.total_seconds)} with loading)"
    say(f"Built in {took}, {size(done.size_bytes)}.")
    result(done.path)


def _check_about(about: dict[str, str | None], output: str, force: bool) -> None:
    """Make sure, before the build, that what is to be written about the model can be."""
    from modelgpt_cli.core.deploy import FORMATS
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.core.files import check_destination

    for name, path in about.items():
        if path is None:
            continue
        if Path(output).suffix.lower() != f".{next(iter(FORMATS))}":
            flag = f"--{name.replace('_', '-')}"
            raise UsageError(f"{flag} is for a model.onnx, and {output} is none.", hint="Leave it out.")
        check_destination(path, force)


def _write_about(about: dict[str, str | None], output: str, force: bool) -> None:
    """Write the report and the model card of a model that was built; its own figures are those held out."""
    from modelgpt_cli import api

    if about["report"] is not None:
        api.report(output, output=about["report"], model_card=about["model_card"], force=force)
    elif about["model_card"] is not None:
        from modelgpt_cli.core.files import atomic_write
        from modelgpt_cli.deployment.report.card import card_text
        from modelgpt_cli.runtime.session import Model

        with atomic_write(about["model_card"], force=force) as temporary:
            temporary.write_text(card_text(Model(output)), encoding="utf-8")


def _source(source: str | None, req: str | None, options: dict[str, Any]) -> Any:
    """Return what a build begins with; data beside a requirement go to `options`.

    Raises
    ------
    UsageError
        There is nothing, or data are named twice.
    """
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.model_generator.source import is_data
    from modelgpt_cli.requirement_generator.requirement_file import read_requirement

    if req is None and source is None and options["data"] is not None and is_data(options["data"]):
        source, options["data"] = options["data"], None
    if req is None and source is None:
        raise UsageError(
            "There is nothing to build from.",
            hint="Give data, a sentence, or a requirement, which modelgpt describe DATA -o req.txt writes: --req FILE.",
        )
    if req is None:
        return source
    if source is not None and options["data"] is not None:
        raise UsageError(f"{source!r} and --data both name data.", hint="Leave one of them out.")
    options["data"] = source if options["data"] is None else options["data"]
    return read_requirement(req)


def _llm_arguments(asked: BuildLLMOptions, source: str | None, seed: int) -> dict[str, Any]:
    """Return `build`'s arguments about an LLM; where it has no part, its settings are not even checked."""
    from modelgpt_cli.model_generator.source import is_data

    wish = llm = None
    if asked.generate is not None:
        from modelgpt_cli.sources.generator.run import Wish

        wish = Wish(
            rows=asked.generate,
            examples=asked.examples,
            redact=asked.redact,
            max_tokens=asked.generate_tokens,
            max_cost=asked.max_cost,
            seed=seed,
        )
    if wish is not None or (source is not None and is_data(source) and not asked.offline):
        from modelgpt_cli.llm.client import LLM

        llm = LLM.from_settings(asked.llm, asked.base_url, None, asked.timeout, asked.retries, asked.provider)
    return {"generate": wish, "llm": llm, "offline": asked.offline, "cache": asked.cache, "redact": asked.redact}


def _build_batch(many: BatchOptions, output: str, force: bool, as_json: bool, options: dict[str, Any]) -> None:
    """Build many models.

    Raises
    ------
    SomeFailedError
        Not all of them could be built; the others are there.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, result, result_json, say
    from modelgpt_cli.core.files import check_exists

    check_exists(many.batch, "--batch takes a file of requests, one a line.")
    given = {name: value for name, value in options.items() if value is not None} | many.given()
    report = api.build_batch(given.pop("batch"), output=output, force=force, **given)
    if as_json:
        result_json(report.to_dict())
    else:
        kept = f", {report.kept:,} already there" if report.kept else ""
        failed = f", {report.failed:,} failed" if report.failed else ""
        models = "model" if report.built == 1 else "models"
        say(f"Built {report.built:,} {models} in {duration(report.seconds)}{kept}{failed}.")
        result(report.manifest)
    report.check()


def _catalogue_data(name: str, catalog: str | None, data: str | None, yes: bool) -> str:
    """Return the data of a dataset card, once the user has seen whose they are and agreed.

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
            f"The data of {card.name!r} need your consent.",
            "There is no terminal to ask on.",
            "Give --yes, once you have read its licence and source above.",
        )
    if not click.confirm("Use these data?", err=True):
        raise click.Abort
    return str(path)
