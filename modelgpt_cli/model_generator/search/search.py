"""``tune --search``: try other settings of a model's build and tuning; keep the usual one unless another is better.

After `build` and `tune`, whose steps it takes.
"""

from __future__ import annotations

import logging
import signal
import tempfile
import time as clock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.artifacts.backends import check_model_destination
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.domain import default_domain, find_domain
from modelgpt_cli.core.errors import UsageError, VerificationError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.option_fields import make_options
from modelgpt_cli.core.options import SearchOptions, TuneOptions
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.core.signals import interruptible, signal_behind
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.model_generator.build import build
from modelgpt_cli.model_generator.search.bench import Bench, silenced
from modelgpt_cli.model_generator.search.plot import check_plot, plot_trials
from modelgpt_cli.model_generator.search.proposer import LLMProposer
from modelgpt_cli.model_generator.search.space import EPOCHS, Setting
from modelgpt_cli.model_generator.search.study import Study, Trial, check_library
from modelgpt_cli.training.tune import tune

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data
    from modelgpt_cli.llm.client import LLM

log = logging.getLogger("modelgpt")
CHECKS = 3
"""Fresh divisions of the rows that the best setting and the usual one are compared on. The best of many trials looks
better than it is on the division that it was chosen by."""
LEAST_GAIN = 2.92
"""Standard errors of the gain over these divisions by which the best must be better than the usual: the point that
Student's t, of three differences, exceeds in one of twenty cases by chance."""
FEW_ROWS = 100
"""Fewer tell little: of the 12 settings that searches on 64 texts or 30 to 40 images kept, 7 were worse than the usual
one on new rows. Fresh divisions are of the same rows, and don't see this."""
JOURNAL = ".search.jsonl"
"""What is put behind the output's stem: the trials, for a search that is continued."""
Shown = Callable[[Trial, Trial], object]
"""Told a trial that has ended, and the best so far."""


@dataclass
class SearchReport:
    """What a search found.

    Attributes
    ----------
    metric : str
        What trials were judged by, on rows held out.
    trials : list of Trial
        In their order; the first is the build by itself.
    best : Setting
        Of the best trial; what is as usual is left out.
    default_score, best_score : float
        On fresh divisions of the rows, the means; on the trials' own where the best is the default.
    gain, noise : float
        By how much the best is better there, and the standard error of this.
    kept : {"default", "best"}
        Which of the two the model is of.
    stopped : str
        Why the search ended: "trials", "minutes", "interrupted" or "exhausted" (all settings have been tried).
    prompt : str, optional
        Of a dry run: what an LLM would be sent first.
    """

    path: Path
    metric: str
    trials: list[Trial] = field(default_factory=list)
    best: Setting = field(default_factory=dict)
    default_score: float = 0.0
    best_score: float = 0.0
    gain: float = 0.0
    noise: float = 0.0
    kept: str = "default"
    stopped: str = "trials"
    size_bytes: int = 0
    seconds: float = 0.0
    journal: Path | None = None
    plot: Path | None = None
    prompt: str | None = None

    def note(self, proposer: str, seed: int) -> dict[str, Any]:
        """Return what the model card says of the search."""
        best = {"best": self.best, "gain": self.gain, "standard_error": self.noise} if self.best else {}
        return {
            "trials": len(self.trials),
            "finished": sum(trial.state == "done" for trial in self.trials),
            "proposer": proposer,
            "metric": self.metric,
            **best,
            "kept": self.kept,
            "seed": seed,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for ``--json``."""
        values = {name: value for name, value in vars(self).items() if value is not None}
        return values | {"trials": [trial.to_dict() for trial in self.trials]}


def search(
    model: str | Path,
    *,
    data: Data,
    output: str | Path,
    llm: LLM | None = None,
    shown: Shown | None = None,
    sheet: str | None = None,
    group: str | None = None,
    time: str | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
    **options: Any,
) -> SearchReport:
    """Search for settings that make a better model of what a model is for, and write that, or the usual one.

    The first trial is a build by itself. Each other one is judged as that is: by the cross-validated metric of its
    build (log loss, R2, or that of the domain's own task), to which tuning adds what it gains on rows held out from it.
    The best is then compared with the usual one on other divisions of the rows, and kept if it is better by more
    than chance explains.

    Parameters
    ----------
    model : str or Path
        A ``model.onnx`` or ``model.safetensors`` of ours: it says what is to be predicted from which columns.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        Labelled data, as for `build`.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``. The trials are kept beside it, in ``<stem>.search.jsonl``: a search
        that was interrupted, or is to go on, takes them from there.
    llm : LLM, optional
        Who proposes settings where `proposer` is "llm"; from the environment where not given.
    shown : callable, optional
        Called with each trial that has ended, and the best so far.
    sheet, device, seed
        As for `build`.
    group, time : str, optional
        Hold out by groups of this column, or forward in its order; as in the model's build where not given.
    force : bool
        Whether existing files may be replaced; the trials are continued all the same.
    **options
        The fields of `core.options.SearchOptions` that are no LLM's: ``search``, ``minutes``, ``proposer``, ``plot``,
        ``dry_run``, ``redact``.

    Raises
    ------
    UsageError
        An option is off, or the trials beside the output are of another search.
    ModelGPTError
        The model or the data can't be used, or the rows are too few to hold some out.

    Examples
    --------
    With the model of the example of `build`:

    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris(as_frame=True)
    >>> flowers = iris.data.assign(species=iris.target_names[iris.target])
    >>> from modelgpt_cli import search
    >>> report = search("iris.onnx", data=flowers, output="best.onnx", search=2)
    >>> len(report.trials), report.kept in ("default", "best")
    (2, True)
    """
    start = clock.monotonic()
    output, asked = Path(output), SearchOptions(**options)
    if not asked.search and not asked.minutes:
        raise UsageError("How long is the search to go on?", hint="Give --search TRIALS, --minutes M, or both.")
    check_library()
    check_model_destination(output, force)
    if asked.plot is not None:
        check_plot(asked.plot, force)
    data = with_sheet(data, sheet)
    blueprint: Blueprint = load_model(model).blueprint
    base = split_options(blueprint, data, group, time)
    bench = Bench(requirement_of(blueprint), data, base, device)
    if bench.dataset.n_rows < FEW_ROWS:
        log.warning(
            "%d rows tell little of settings: on so few, what a search kept was worse on new rows as often as better.",
            bench.dataset.n_rows,
        )
    proposer = _proposer(asked, llm, bench)
    if asked.dry_run:
        return SearchReport(output, bench.metric, prompt=None if proposer is None else proposer.plan())
    if proposer is not None:
        proposer.check()
    journal = output.with_name(f"{output.stem}{JOURNAL}")
    about = {
        "data": bench.dataset.fingerprint,
        "target": bench.dataset.schema.target,
        "space": {one.name: one.words() for one in bench.space.parameters},
        "metric": bench.metric,
        "seed": seed,
        "split": [base.get("group"), base.get("time")],
    }
    study = Study(bench.space, journal, about, bench.is_error, seed, asked.proposer == "random")
    report = SearchReport(output, bench.metric, journal=journal)
    end = None if asked.minutes is None else start + 60 * asked.minutes
    with interruptible():
        report.stopped = try_all(study, bench, proposer, asked.search, end, seed, shown)
    decide(report, study, bench, seed)
    report.size_bytes = _write_kept(report, bench, output, asked.proposer, seed, force)
    if asked.plot is not None:
        report.plot = Path(asked.plot)
        plot_trials(report.trials, bench.metric, bench.is_error, report.plot, force=force)
    report.seconds = clock.monotonic() - start
    return report


def requirement_of(blueprint: Blueprint) -> Requirement:
    """Return the requirement that a model was built for, without its data."""
    return Requirement(
        sentence=blueprint.requirement,
        task=blueprint.task,
        target=blueprint.target,
        classes=blueprint.labels,
        columns=blueprint.columns,
        limits=Limits.from_mapping(blueprint.limits),
        quality=Quality.from_mapping(blueprint.quality),
        deploy=Deploy.from_mapping(blueprint.deploy),
        domain=None if blueprint.domain == default_domain() else blueprint.domain,
        target_reading=blueprint.target_reading,
        multi_label=bool(blueprint.multi_label),
    )


def split_options(
    blueprint: Blueprint, data: Data, group: str | None = None, time: str | None = None
) -> dict[str, Any]:
    """Return the options that all builds have: what rows are held out by, as asked, else as in the model's build."""
    domain = find_domain(blueprint.domain)
    given = {name: value for name, value in (("group", group), ("time", time)) if value is not None}
    make_options(TuneOptions, domain, given)  # not every domain has them
    made = blueprint.provenance.get("split") or {}
    if not given and made.get("by") in ("group", "time") and made.get("column") in open_table(data).columns:
        given = {made["by"]: made["column"]}
        log.info("Rows are held out %s, as in the build. --group or --time names another column.", blueprint.validated)
    return given


def _proposer(asked: SearchOptions, llm: LLM | None, bench: Bench) -> LLMProposer | None:
    if asked.proposer != "llm":
        return None
    from modelgpt_cli.llm.client import LLM

    schema = bench.dataset.schema
    about = {
        "requirement": bench.wanted.sentence,
        "data": f"{bench.dataset.n_rows} {bench.domain.rows}, {len(schema.used)} inputs",
        "classes": len(schema.classes),
        "metric": bench.metric,
        "better": "less" if bench.is_error else "more",
    }
    return LLMProposer.of(llm or LLM.from_settings(), bench.space, about, hide=asked.redact)


def try_all(
    study: Study,
    bench: Bench,
    proposer: LLMProposer | None,
    most: int | None,
    end: float | None,
    seed: int,
    shown: Shown | None,
) -> str:
    """Try settings until there were so many, or the time is up.

    Parameters
    ----------
    most : int, optional
        Trials, those of before included.
    end : float, optional
        When the time is up, as `time.monotonic` has it.

    Returns
    -------
    str
        Why it ended; see `SearchReport.stopped`.
    """
    if shown is not None:
        for before in study.trials:
            shown(before, study.best)
    try:
        while most is None or len(study.trials) < most:
            if end is not None and study.trials and clock.monotonic() >= end:
                return "minutes"
            first = not study.trials
            if proposer is not None and not first:
                setting = proposer.propose(study.trials, study.best)
                if setting is not None:
                    study.suggest(setting)
            with silenced(words=first):
                trial = study.run(lambda setting, go_on: bench.measure(setting, seed, go_on), clock.monotonic)
            if trial is None:
                return "exhausted"
            if shown is not None:
                shown(trial, study.best)
    except KeyboardInterrupt as error:
        if not study.trials or signal_behind(error) != signal.SIGINT:
            raise
        log.warning("Interrupted: the best so far is compared and written. Ctrl-C once more ends at once.")
        return "interrupted"
    return "trials"


def decide(report: SearchReport, study: Study, bench: Bench, seed: int) -> None:
    """Compare the best with the build by itself on fresh divisions of the rows, and say which is kept."""
    report.trials, best = study.trials, study.best
    default = report.trials[0]
    report.best = bench.space.changed(best.setting)
    report.default_score, report.best_score = default.score or 0.0, best.score or 0.0
    if best.number == default.number:
        return
    found = []
    for trial in (default, best):
        values = list(study.checked(trial.number))
        for turn in range(len(values), CHECKS):
            with silenced(words=False):
                values.append(bench.measure(trial.setting, seed + 1 + turn, lambda value, step: True))
            study.keep_checked(trial.number, values)
        found.append(values)
    gains = np.array([bench.gain(before, after) for before, after in zip(*found, strict=True)])
    report.default_score, report.best_score = (float(np.mean(values)) for values in found)
    report.gain, report.noise = float(gains.mean()), float(gains.std(ddof=1) / len(gains) ** 0.5)
    if report.gain > LEAST_GAIN * report.noise and report.gain > 0:
        report.kept = "best"


def _write_kept(report: SearchReport, bench: Bench, output: Path, proposer: str, seed: int, force: bool) -> int:
    """Write the model that is kept, or the usual one where that does not meet the requirement's limits; its bytes."""
    if report.kept == "best":
        try:
            setting = bench.space.complete(report.best)
            return write_setting(bench, setting, output, seed, force, report.note(proposer, seed))
        except VerificationError as error:
            log.warning("The best is not written, but the default: %s", error)
            report.kept = "default"
    return write_setting(bench, bench.space.default, output, seed, force, report.note(proposer, seed))


def write_setting(
    bench: Bench,
    setting: Setting,
    output: Path,
    seed: int,
    force: bool = False,
    note: Mapping[str, Any] | None = None,
) -> int:
    """Build a setting's model on all rows, tune it where the setting says so, and write it with a note; its bytes."""
    options = bench.build_options(setting, seed)
    if note is not None:
        options["provenance"] = {"search": note}
    if not setting.get(EPOCHS):
        made = build(bench.wanted, bench.data, output=output, keep_requirement=False, force=force, **options)
        return made.size_bytes
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / "model.safetensors"
        build(bench.wanted, bench.data, output=built, keep_requirement=False, **options)
        split: Mapping[str, Any] = {name: bench.options.get(name) for name in ("group", "time")}
        chosen = bench.tune_options(setting)
        tuned = tune(
            built, data=bench.data, output=output, device=bench.device, seed=seed, force=force, **chosen, **split
        )
    return tuned.size_bytes
