"""``build``, from end to end: requirement and data in, a verified artifact out. One direction, no way back."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.clock import seconds_since_start
from modelgpt_cli.core.domain import Domain, find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.core.option_fields import domain_options, known_options, make_options, options_of
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.model_generator.builders import CardModels, builders
from modelgpt_cli.model_generator.candidates import Attempt, Body, Search, entries
from modelgpt_cli.model_generator.cards import shelf
from modelgpt_cli.model_generator.choice import Plan, plan_candidates
from modelgpt_cli.model_generator.costs import STORED
from modelgpt_cli.model_generator.measured_limits import ON_FILE
from modelgpt_cli.model_generator.messages import missed_words, taken_words
from modelgpt_cli.model_generator.source import Start, begin, check_domain, check_start
from modelgpt_cli.requirement_generator.build_words import add_words
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.domain import Claims, domain_of
from modelgpt_cli.requirement_generator.load import SAMPLE_ROWS, load_wanted

if TYPE_CHECKING:
    from modelgpt_cli.llm.client import LLM
    from modelgpt_cli.sources.generator.run import Wish

log = logging.getLogger("modelgpt")


@dataclass
class BuildReport:
    """What a build made."""

    path: Path
    size_bytes: int
    seconds: float
    """Of the build itself."""
    metrics: dict[str, dict[str, float]]
    n_rows: int
    data_used: bool
    notes: list[str] = field(default_factory=list)
    interval: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    """Limit or metric that the requirement sets → what was measured."""
    card: str = ""
    """The card that was taken; see ``modelgpt zoo``."""
    storage: str = ""
    """How its weights are stored: fp32, fp16 or int8."""
    missed: list[str] = field(default_factory=list)
    """With `best_effort`: limits and metrics that the model does not meet."""
    validated: str = ""
    """How rows were held out, where that was not at random: "by groups of 'patient'"."""
    nearest: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Class name → the nearest thing that the backbone can name, and how near it is; see `Blueprint`."""
    total_seconds: float = 0.0
    """Since this process first imported modelgpt: with the loading of libraries, and whatever it did before."""
    requirement: Path | None = None
    """The requirement that was written and kept, where the build began with data."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        kept = None if self.requirement is None else str(self.requirement)
        return asdict(self) | {"path": str(self.path), "requirement": kept}


def build(
    requirement: Data | Requirement,
    data: Data | None = None,
    *,
    output: str | Path,
    options: BuildOptions | None = None,
    force: bool = False,
    keep_requirement: bool = True,
    generate: Wish | None = None,
    llm: LLM | None = None,
    cache: bool = True,
    redact: bool = False,
    offline: bool = False,
    lenient: Collection[str] = (),
    provenance: Mapping[str, Any] | None = None,
    **more: Any,
) -> BuildReport:
    """Turn a requirement, and data if there is any, into a model.

    Parameters
    ----------
    requirement : path-like, Requirement or data
        A requirement file (``-`` for stdin), or one already read; or data, which are described first; or, as a str, a
        sentence.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d), optional
        The labelled data, as for `describe`; by default what the requirement names. Without either, the weights
        come from the words.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    options : BuildOptions, optional
        How to build; see `core.options.BuildOptions`, and the part ``options`` of each domain.
    force : bool
        Whether existing files may be replaced.
    keep_requirement : bool
        Whether the requirement that is written for data is kept beside the model, as ``<output stem>.req.txt``. It
        names no data where these are in memory.
    generate : Wish, optional
        Have an LLM write so many rows, and learn from them too, or from them alone where there is no data. They are
        kept beside the model, in ``<output stem>.generated.csv``.
    llm : LLM, optional
        Who writes them, and the sentence where the build begins with data; from the environment where not given.
    cache : bool
        Whether an answer that an LLM gave before serves again.
    redact, offline
        As for `describe`, where the build begins with data.
    lenient : collection of str
        Names of options that are passed over where they are not for the data's domain, as those of a whole batch.
    provenance : mapping, optional
        What the model card is to say of where the model comes from beside what it says by itself, as JSON values.
    **more
        Options by name, before those of `options`: ``members=4``.

    Returns
    -------
    BuildReport

    Raises
    ------
    VerificationError
        No card's model meets the requirement's limits, or it differs from its exported self; nothing is written.
    UsageError
        An option is unknown, off, or for another domain.
    ModelGPTError
        The requirement or the data can't be used.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris(as_frame=True)
    >>> flowers = iris.data.assign(species=iris.target_names[iris.target])
    >>> from modelgpt_cli import build
    >>> report = build(flowers, target="species", output="iris.onnx", one_pass=True)
    >>> report.path.name, report.requirement.name, report.card
    ('iris.onnx', 'iris.req.txt', 'tabular-1')
    >>> report.size_bytes < 200_000
    True
    """
    start = time.monotonic()
    output = Path(output)
    values = _values(options, {**more, "data": data})
    beside = check_start(requirement, values, output, keep_requirement=keep_requirement, force=force)
    begun = begin(requirement, values, beside=beside, force=force, llm=llm, cache=cache, redact=redact, offline=offline)
    if begun.data is not None:
        values["data"] = begun.data
    wanted = _wanted(begun, values)
    _check_format(wanted, output)
    source = with_sheet(values.get("data", wanted.data), values.get("sheet"))
    add = None
    if generate is not None:
        add = _generation(wanted, generate, llm, output, read_description(values.get("description")), cache, force)
    # What is wrong with the requirement or the data is told before the generator and the encoder are loaded.
    ready = _read(wanted, source, values, lenient, output, add)
    known = "data" not in values and source is not None
    models = CardModels(
        ready.domain, ready.wanted, ready.dataset, ready.options, check_fingerprint=known, provenance=provenance
    )
    with tempfile.TemporaryDirectory() as folder:
        search = _search(ready.plan, models, Path(folder) if _is_onnx(output) else None)
        taken = search.run(ready.options.best_effort)
        if search.asked:
            log.info(taken_words(taken, search.tried, search.asked))
        if taken.missed:
            log.warning("Written with --best-effort, it misses %s.", missed_words(taken, search.asked))
        size = _place(taken, output, bool(search.asked), force)
    begun.keep(force)
    body = taken.body
    assert body is not None
    return BuildReport(
        path=output,
        size_bytes=size,
        seconds=time.monotonic() - start,
        metrics=body.metrics,
        n_rows=body.n_rows,
        data_used=ready.dataset is not None,
        notes=body.model.blueprint.notes,
        interval=body.model.blueprint.interval,
        limits=taken.measured,
        card=taken.card_name,
        storage=STORED[taken.storage],
        missed=sorted(taken.missed),
        validated=body.model.blueprint.validated,
        nearest=body.model.blueprint.nearest,
        total_seconds=seconds_since_start(),
        requirement=begun.beside,
    )


def _values(options: BuildOptions | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """All options that are given, by name, each of its type and range.

    Raises
    ------
    UsageError
        One is unknown, or off.
    """
    known = known_options(BuildOptions)
    given = (options.given() if options is not None else {}) | {n: v for n, v in more.items() if v is not None}
    for name in given:
        if name not in known:
            raise UsageError(f"There is no option {name!r}.", f"There are {', '.join(known)}.")
    plain = {name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in given.items()}
    # What data are in memory their reader checks.
    return {n: v if n == "data" and not isinstance(v, str) else known[n].check(v) for n, v in plain.items()}


def _wanted(begun: Start, values: Mapping[str, Any]) -> Requirement:
    """The requirement with what its sentence says, more words, and the target that is given."""
    wanted = begun.requirement
    data = "data" in values or wanted.data is not None
    check_domain(values, data)
    if "domain" in values:
        wanted = replace(wanted, domain=values["domain"])
    if not data and "task" in values:  # else the data are read by it
        wanted = replace(wanted, task=values["task"])
    wanted = add_words(wanted, data=data, ignore=values.get("ignore_words", False))
    if not begun.described and (more := read_description(values.get("description"))):
        wanted = replace(wanted, sentence=f"{wanted.sentence} {more}")
    return wanted if "target" not in values else replace(wanted, target=values["target"])


def _is_onnx(output: Path) -> bool:
    return output.suffix.lower() == ".onnx"


def _check_format(wanted: Requirement, output: Path) -> None:
    """Make sure that the file to be written is of the format that the requirement asks for."""
    asked = wanted.deploy.format
    if asked is not None and output.suffix.lower() != f".{asked}":
        raise UsageError(f"deploy: format is {asked}, and {output} is none.", hint=f"End the name in .{asked}.")


@dataclass(frozen=True)
class _Ready:
    """All that a model is made of; `dataset` is None where there are only words."""

    wanted: Requirement
    domain: Domain
    dataset: Dataset | None
    options: BuildOptions
    plan: Plan


def _read(
    wanted: Requirement,
    source: Data | None,
    values: Mapping[str, Any],
    lenient: Collection[str],
    output: Path,
    add: Callable[[Dataset | None], Any] | None,
) -> _Ready:
    """Read the data, with the rows that `add` adds, or make sure that the requirement does without.

    With them the domain is known, and with it which options and cards there are; all are checked before rows are
    written and torch is loaded.
    """
    if source is None:
        domain = domain_of(wanted)
        if add is None:
            claims: Claims = domain.part("requirement")
            claims.require(wanted)
        options, plan = _choices(domain, wanted, values, lenient, output, data=add is not None)
        if add is None:
            return _Ready(wanted, domain, None, options, plan)
        source, add = add(None), None
        if not wanted.columns:  # else the columns' types and roles say what the rows are
            wanted = replace(wanted, domain=domain.name)
    assert source is not None
    known = known_options(BuildOptions)
    dataset = load_wanted(
        wanted,
        source,
        types=values.get("types"),
        merge_labels=values.get("merge_labels", False),
        keep_na=values.get("keep_na", False),
        all_columns=True,
        sample_rows=SAMPLE_ROWS,
        seed=values.get("seed", 0),
        **{name: value for name, value in values.items() if known[name].about.reading},
    )
    if dataset.schema.multi_label and not wanted.multi_label:
        wanted = replace(wanted, multi_label=True, classes=dataset.schema.classes)
    if add is not None:
        _check_one_label(wanted)
    wanted.quality.check_task(dataset.schema.task)
    domain = find_domain(dataset.schema.domain)
    options, plan = _choices(domain, wanted, values, lenient, output, data=True)
    dataset = builders(domain).prepare(dataset, wanted, options)
    return _Ready(wanted, domain, dataset if add is None else add(dataset), options, plan)


def _choices(
    domain: Domain,
    wanted: Requirement,
    values: Mapping[str, Any],
    lenient: Collection[str],
    output: Path,
    *,
    data: bool,
) -> tuple[BuildOptions, Plan]:
    """The domain's options and candidates; options for others are refused, or passed over where they are `lenient`."""
    own = options_of(domain_options(BuildOptions, domain))
    given = {name: value for name, value in values.items() if name in own or name not in lenient}
    given.pop("data", None)  # they are read, and may be no path
    options = make_options(BuildOptions, domain, given)
    shelf(domain).check(wanted, options, output)
    return options, plan_candidates(wanted, domain, options, data=data, onnx=_is_onnx(output))


def _generation(
    wanted: Requirement, wish: Wish, llm: LLM | None, output: Path, description: str, cache: bool, force: bool
) -> Callable[[Dataset | None], Any]:
    """What has an LLM write rows: given a dataset it adds them, given none it gives the file that they are in."""
    from modelgpt_cli.llm.client import LLM
    from modelgpt_cli.sources.generator.generate import add_generated

    _check_one_label(wanted)
    asked = replace(llm or LLM.from_settings(), otherwise="leave out --generate")
    path = output.with_name(f"{output.stem}.generated.csv")
    check_destination(path, force)
    return lambda dataset: add_generated(
        wanted, dataset, wish, asked, path, description=description, cache=cache, force=force
    )


def _check_one_label(wanted: Requirement) -> None:
    if wanted.multi_label:
        raise UsageError("--generate writes rows of one label, and the task is multi-label.", hint="Leave it out.")


def _search(plan: Plan, models: CardModels, folder: Path | None) -> Search:
    """The search for the best candidate; without a `folder` no files are written."""
    wanted, extra = models.wanted, builders(models.domain).export_options(models.options)

    def write(body: Body, storage: str, path: Path) -> None:
        write_model(
            body.model, path,
            opset=wanted.deploy.opset, quantize=storage, runtime=wanted.deploy.version, rows=body.rows, **extra,
        )  # fmt: skip

    if folder is None:
        left = [key for key in ON_FILE if getattr(wanted.limits, key) is not None]
        if left:
            log.warning("limits: %s can be measured on a model.onnx only: not checked here.", ", ".join(left))
    return Search(
        wanted,
        models.task,
        plan.cards,
        plan.storages,
        models.make,
        models.costs,
        write if folder is not None else None,
        folder or Path(),
    )


def _place(taken: Attempt, output: Path, limited: bool, force: bool) -> int:
    """Put the model that was taken where it was asked for; its size in bytes."""
    body = taken.body
    assert body is not None
    if taken.path is None:
        write_model(body.model, output, entries=entries(taken) if limited else None, force=force)
    else:
        with atomic_write(output, force=force) as temporary:
            temporary.write_bytes(taken.path.read_bytes())
    return output.stat().st_size
