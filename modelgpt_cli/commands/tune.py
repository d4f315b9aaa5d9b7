"""``modelgpt tune``: a generated model in, the better of it and its finetuned self out (ModelGPT-F); or a search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import SearchOptions, TuneOptions

if TYPE_CHECKING:
    from modelgpt_cli.model_generator.search.study import Trial

_SET = ("epochs", "lr", "batch_size", "weight_decay")


@o.command(
    "tune",
    """
modelgpt tune model.safetensors --data train.csv -o tuned.safetensors
modelgpt tune model.onnx --data train.csv --search 30 -o best.onnx
modelgpt tune model.onnx --data train.csv --minutes 10 --proposer llm --provider ollama -o best.onnx""",
    TuneOptions,
    SearchOptions,
)
@click.argument("model")
@o.option("--data", metavar="PATH", required=True, help="Labelled table, texts or images.")
@o.option("-o", "--output", metavar="FILE", required=True, help="model.onnx or model.safetensors.")
@o.force_option
@o.json_option
def tune(model: str, as_json: bool, **options: Any) -> None:
    """Finetune all parameters of MODEL and keep the better of before and after.

    MODEL is a model.safetensors, or a model.onnx that is not quantised. The two are compared on rows held out from the
    finetuning. BatchNorm, in a model of images, stays as it is.

    With --search or --minutes, models of other settings are built, and tuned, for what MODEL is for: those of a build
    by itself stay unless others are surely better on rows held out. Needs pip install "modelgpt-cli[search]".
    """
    from modelgpt_cli import api
    from modelgpt_cli.artifacts.backends import check_model_destination
    from modelgpt_cli.commands.output import duration, metrics_table, result, result_json, say, size
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.core.files import check_exists, check_model_file
    from modelgpt_cli.data.address import with_sheet

    searching = o.take(options, SearchOptions)
    check_model_destination(options["output"], options["force"])
    check_model_file(model)
    check_exists(options["data"])
    with_sheet(options["data"], options["sheet"])

    if searching.search or searching.minutes:
        _search(model, searching, as_json, options)
        return
    if searching.given():
        flag = next(iter(searching.given())).replace("_", "-")
        raise UsageError(f"--{flag} is for a search.", hint="Give --search TRIALS or --minutes M, or leave it out.")
    report = api.tune(model, **options)
    if as_json:
        result_json(report.to_dict())
        return
    if report.validated:
        say(f"Held out {report.validated}:")
    say(metrics_table({"before": report.before, "after": report.after}))
    say(f"Kept the model from {report.kept} tuning ({report.rows:,} rows, {duration(report.seconds)}).")
    say(f"{size(report.size_bytes)}.")
    result(report.path)


def _search(model: str, asked: SearchOptions, as_json: bool, options: dict[str, Any]) -> None:
    """Search, showing each trial as it ends.

    Raises
    ------
    UsageError
        An option is given that the search sets.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import duration, number, result, result_json, say, size
    from modelgpt_cli.core.errors import UsageError
    from modelgpt_cli.core.option_fields import options_of
    from modelgpt_cli.model_generator.search.space import in_words

    usual = options_of(TuneOptions)
    for name in _SET:
        if options.pop(name) != usual[name].default:
            raise UsageError(f"--{name.replace('_', '-')} is what a search sets.", hint="Leave it out.")
    llm = None
    if asked.proposer == "llm":
        from modelgpt_cli.llm.client import LLM

        llm = LLM.from_settings(asked.llm, asked.base_url, None, asked.timeout, asked.retries, asked.provider)
    own = {name: value for name, value in asked.given().items() if name in _OWN}
    report = api.search(model, llm=llm, shown=_Table().add, **own, **options)
    if asked.dry_run:
        if report.prompt is None:
            say("Nothing would be sent: no LLM is involved.")
        else:
            result(report.prompt)
        return
    if as_json:
        result_json(report.to_dict())
        return
    metric = report.metric.replace("_", " ")
    done = sum(trial.state == "done" for trial in report.trials)
    ended = {"minutes": ", as the time is up", "exhausted": ", all there are", "interrupted": ", interrupted"}
    say(f"Tried {len(report.trials)} settings, {done} of them to the end{ended.get(report.stopped, '')}.")
    if report.best:
        say(
            f"On other divisions of the rows the best ({in_words(report.best)}) has a {metric} of "
            f"{number(report.best_score)}, the default {number(report.default_score)}: "
            f"better by {number(report.gain)}, standard error {number(report.noise)}."
        )
    say(f"Kept {'the best' if report.kept == 'best' else 'the default'}{_why(report.best, report.kept)}.")
    say(f"{size(report.size_bytes)}, {duration(report.seconds)}. The trials are in {report.journal}.")
    if report.plot is not None:
        say(f"The plot is in {report.plot}.")
    result(report.path)


_OWN = ("search", "minutes", "proposer", "plot", "dry_run", "redact")
"""Of `SearchOptions`, what `api.search` takes; the rest says which LLM is asked."""


class _Table:
    """The trials as they end, a line each."""

    def __init__(self) -> None:
        self._begun = False

    def add(self, trial: Trial, best: Trial) -> None:
        """Show one that has ended; a star marks the best so far."""
        from modelgpt_cli.commands.output import number, say
        from modelgpt_cli.model_generator.search.space import in_words

        if not self._begun:
            say("trial     score  seconds  setting")
            self._begun = True
        star = "*" if trial.number == best.number else " "
        score = {"done": number(trial.score), "stopped": f"({number(trial.score)})"}.get(trial.state, "-")
        words = f"{in_words(trial.changed)}{f': {trial.reason}' if trial.reason else ''}"
        say(f"{trial.number:5}{star} {score:>9}  {trial.seconds:7.1f}  {words}")


def _why(best: Any, kept: str) -> str:
    if not best:
        return ": no other setting was better"
    return "" if kept == "best" else ": what the best gains may be chance"
