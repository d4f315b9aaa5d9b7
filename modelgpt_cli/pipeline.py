"""``build``, from end to end: requirement and data in, a verified artifact out. One direction, no way back."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.artifact.candidates import Attempt, Body, Search, entries
from modelgpt_cli.artifact.card import model_card
from modelgpt_cli.artifact.choice_words import missed_words, taken_words
from modelgpt_cli.artifact.export import write_onnx
from modelgpt_cli.artifact.limits import ON_FILE
from modelgpt_cli.artifact.model_file import check_model_destination, save_model
from modelgpt_cli.card_models import CardModels
from modelgpt_cli.data.dataset import Dataset, check_width
from modelgpt_cli.devices import pick_device
from modelgpt_cli.domains.build import BuildOptions
from modelgpt_cli.domains.image.requirement_only import requirement_only_classes
from modelgpt_cli.domains.tabular.intervals import check_coverage
from modelgpt_cli.domains.tabular.requirement_only import requirement_only_columns
from modelgpt_cli.domains.tabular.text_rows import check_text_mode, prepare_text, text_columns_allowed
from modelgpt_cli.domains.text.requirement_only import requirement_only_texts
from modelgpt_cli.errors import UsageError
from modelgpt_cli.files import atomic_write, check_destination
from modelgpt_cli.model_generator.choice import Plan, plan_candidates
from modelgpt_cli.model_generator.costs import STORED
from modelgpt_cli.requirement_generator.build_words import add_words
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.load import SAMPLE_ROWS, load_wanted
from modelgpt_cli.requirement_generator.requirement import Requirement, read_requirement

if TYPE_CHECKING:
    from modelgpt_cli.data_generator.run import Wish
    from modelgpt_cli.llm.client import LLM

log = logging.getLogger("modelgpt")


@dataclass
class BuildReport:
    """What a build made."""

    path: Path
    size_bytes: int
    seconds: float
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

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"path": str(self.path)}


def build(
    requirement: str | Path | Requirement,
    *,
    data: str | Path | None = None,
    description: str | None = None,
    output: str | Path,
    members: int | None = None,
    one_pass: bool = False,
    device: str = "auto",
    seed: int = 0,
    generator: str | None = None,
    encoder: str | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    coverage: float | None = None,
    text_columns: str = "embed",
    all_rows: bool = False,
    words: bool = False,
    ignore_words: bool = False,
    target: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    backbone: str | None = None,
    max_tokens: int | None = None,
    rows: int | None = None,
    backbone_weights: str | None = None,
    tokenizer_in_graph: bool = False,
    card: str | None = None,
    best_effort: bool = False,
    force: bool = False,
    generate: Wish | None = None,
    llm: LLM | None = None,
    cache: bool = True,
) -> BuildReport:
    """Turn a requirement, and data if there is any, into a model.

    Parameters
    ----------
    requirement : str, Path or Requirement
        A requirement file (``-`` for stdin), or one already read.
    data : str or Path, optional
        The labelled table or texts; by default what the requirement names. Without either, the weights come from the
        words.
    description : str, optional
        More words about the data, or ``@FILE``.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    members : int, optional
        Networks merged into the model; `DEFAULT_MEMBERS` where not given, or fewer where limits ask for it.
    one_pass : bool
        Tables: one member unless `members` says otherwise, and no cross-validation: several times faster, and nothing
        is known of how good the model is.
    device : {"auto", "cpu", "cuda", "mps"}
        Where the generator runs.
    seed : int
        Written into the artifact; same seed, same model.
    generator, encoder : str, optional
        A generator checkpoint (file or run directory) and a text encoder; the shipped ones by default.
    types, merge_labels, force
        As for `describe`.
    coverage : float, optional
        Regression: the share of true values that shall lie between ``lower`` and ``upper``; 0.9 where not given, 0 for
        no interval.
    text_columns : {"embed", "drop"}
        What to do with columns of free text: give the model the text encoder (some 24 MB), unless the requirement's
        limits forbid it, or leave them out.
    all_rows : bool
        Solve the head on every row of a table of more than `HEAD_ROWS`, instead of on so many drawn evenly.
    words : bool
        Show the generator the requirement's sentence and names beside the data. By default it reads them only where
        there is no data: on tables that it has never seen they cost accuracy (docs/requirement-only.md). Where texts
        are classified it always reads them.
    ignore_words : bool
        Take no limits, quality and deployment from the requirement's sentence, but from below its ``---`` alone.
    target, text, text_pair : str, optional
        The columns with the answer, the text, and the second text of a pair, where the requirement names none.
    backbone : str, optional
        Texts: an architecture card, a local folder or a hub name; the installed encoder by default. Pictures: an
        architecture card.
    max_tokens : int, optional
        Texts: the window; what is longer is cut off. By default the card's.
    rows : int, optional
        Texts and pictures: the head is solved on so many rows at most; 4,096 where not given.
    backbone_weights : str, optional
        Pictures: a file of weights for the card, under torchvision's names.
    tokenizer_in_graph : bool
        Texts: put the tokenizer into ``model.onnx`` (needs onnxruntime-extensions): strings in.
    generate : Wish, optional
        Have an LLM write so many rows, and learn from them too, or from them alone where there is no data. They are
        kept beside the model, in ``model.generated.csv``.
    llm : LLM, optional
        Who writes them; from the environment where not given.
    cache : bool
        Whether an answer that the LLM gave before serves again.
    card : str, optional
        The card, ``NAME`` or ``NAME/STORAGE`` (``tabular-2/int8``; see `find_cards`), which alone is tried. By default
        the best that keeps to the requirement's limits.
    best_effort : bool
        Where no card keeps to the limits, write the model that comes nearest, which says in its metadata what it
        misses.

    Raises
    ------
    VerificationError
        No card's model meets the requirement's limits, or it differs from its exported self; nothing is written.
    ModelGPTError
        The requirement or the data can't be used.
    """
    start = time.monotonic()
    output = Path(output)
    check_coverage(coverage or 0.0)
    check_text_mode(text_columns)
    check_model_destination(output, force)
    if tokenizer_in_graph and output.suffix.lower() != ".onnx":
        raise UsageError("--tokenizer-in-graph is for a model.onnx.", f"{output} is none.", "Leave it out.")
    wanted = requirement if isinstance(requirement, Requirement) else read_requirement(requirement)
    more = read_description(description)
    wanted = add_words(wanted, data=data is not None or wanted.data is not None, ignore=ignore_words)
    if more:
        wanted = replace(wanted, sentence=f"{wanted.sentence} {more}")
    if target is not None:
        wanted = replace(wanted, target=target)
    _check_format(wanted, output)
    if one_pass:
        members = members or 1
        _check_one_pass(wanted, coverage)
    source = data if data is not None else wanted.data
    add = _generation(wanted, generate, llm, output, more, cache, force) if generate is not None else None
    alone = add is not None and source is None
    if add is not None and source is None:
        source, add = add(None), None
        wanted = replace(wanted, domain="text" if wanted.is_text else wanted.domain)
    dataset = None
    if source is not None:
        dataset = _read_data(wanted, source, types, merge_labels, text_columns, seed, text, text_pair, add)
        wanted.quality.check_task(dataset.schema.task)
    elif wanted.is_text:
        requirement_only_texts(wanted)
    elif wanted.is_image:
        requirement_only_classes(wanted)
    elif not wanted.is_image:
        requirement_only_columns(wanted)
    # What is wrong with the requirement or the data is told before the generator and the encoder are loaded.
    options = BuildOptions(
        pick_device(device), seed, generator, encoder, members, one_pass, coverage, all_rows, words, backbone,
        max_tokens, rows, backbone_weights,
    )  # fmt: skip
    domain = _domain(wanted, dataset)
    _check_options(domain, options)
    onnx = output.suffix.lower() == ".onnx"
    plan = plan_candidates(wanted, domain, options, card, data=dataset is not None, onnx=onnx)
    models = CardModels(domain, wanted, dataset, options, check_fingerprint=data is None and not alone)
    with tempfile.TemporaryDirectory() as folder:
        search = _search(plan, models, tokenizer_in_graph, Path(folder) if onnx else None)
        taken = search.run(best_effort)
        if search.asked:
            log.info(taken_words(taken, [*search.left_out, *search.attempts], search.asked))
        if taken.missed:
            log.warning("Written with --best-effort, it misses %s.", missed_words(taken, search.asked))
        size = _place(taken, output, bool(search.asked), force)
    body = taken.body
    assert body is not None
    return BuildReport(
        path=output,
        size_bytes=size,
        seconds=time.monotonic() - start,
        metrics=body.metrics,
        n_rows=body.n_rows,
        data_used=source is not None,
        notes=body.model.blueprint.notes,
        interval=body.model.blueprint.interval,
        limits=taken.measured,
        card=taken.card.name,
        storage=STORED[taken.storage],
        missed=sorted(taken.missed),
    )


def _check_format(wanted: Requirement, output: Path) -> None:
    """Make sure that the file to be written is of the format that the requirement asks for."""
    asked = wanted.deploy.format
    if asked is not None and output.suffix.lower() != f".{asked}":
        raise UsageError(f"deploy: format is {asked}, and {output} is none.", hint=f"End the name in .{asked}.")


def _read_data(
    wanted: Requirement,
    source: str | Path,
    types: str | Path | None,
    merge_labels: bool,
    text_columns: str,
    seed: int,
    text: str | None,
    text_pair: str | None,
    add: Callable[[Dataset], Any] | None,
) -> Dataset:
    """The data, with the columns and classes that the requirement fixes, and the rows that `add` adds."""
    texts, reason = text_columns_allowed(wanted.limits, text_columns)
    dataset = load_wanted(
        wanted,
        source,
        types=types,
        merge_labels=merge_labels,
        text_columns=texts,
        sample_rows=SAMPLE_ROWS,
        seed=seed,
        text=text,
        text_pair=text_pair,
    )
    if add is not None:
        dataset = add(dataset)
    if dataset.schema.domain != "tabular":
        return dataset
    check_width(dataset)
    return prepare_text(dataset, reason, wanted.limits, seed)


def _generation(
    wanted: Requirement, wish: Wish, llm: LLM | None, output: Path, description: str, cache: bool, force: bool
) -> Callable[[Dataset | None], Any]:
    """What has an LLM write rows: given a dataset it adds them, given none it gives the file that they are in."""
    from modelgpt_cli.data_generator.generate import add_generated
    from modelgpt_cli.llm.client import LLM

    asked = replace(llm or LLM.from_settings(), otherwise="leave out --generate")
    path = output.with_name(f"{output.stem}.generated.csv")
    check_destination(path, force)
    return lambda dataset: add_generated(
        wanted, dataset, wish, asked, path, description=description, cache=cache, force=force
    )


def _domain(wanted: Requirement, dataset: Dataset | None) -> str:
    """Of the data where there are any, else of the words."""
    if dataset is not None:
        return dataset.schema.domain
    return "text" if wanted.is_text else "image" if wanted.is_image else "tabular"


def _check_one_pass(wanted: Requirement, coverage: float | None) -> None:
    """Make sure that nothing is asked for that takes rows which the model has not seen."""
    asked = next(iter(wanted.quality.to_mapping()), None)
    if asked is not None or coverage:
        what = f"quality: {asked}" if asked is not None else "--coverage"
        raise UsageError(f"{what} takes cross-validation, and --one-pass does without.", hint="Leave out one of them.")


def _check_options(domain: str, options: BuildOptions) -> None:
    """Make sure that a build is given nothing that is for another domain."""
    given = (options.backbone, options.backbone_weights, options.max_tokens, options.rows)
    if options.one_pass and domain != "tabular":
        raise UsageError("--one-pass is for tables.", f"This is of the domain {domain}.", "Leave it out.")
    if domain == "tabular" and any(value is not None for value in given):
        raise UsageError(
            "--backbone, --backbone-weights, --max-tokens and --rows are for texts and pictures.",
            "This is a table.",
            "Leave them out.",
        )


def _search(plan: Plan, models: CardModels, tokenizer_in_graph: bool, folder: Path | None) -> Search:
    """The search for the best candidate; without a `folder` no files are written."""
    wanted = models.wanted

    def write(body: Body, storage: str, path: Path) -> None:
        write_onnx(
            body.model,
            path,
            opset=wanted.deploy.opset,
            quantize=storage,
            rows=body.rows,
            tokenizer_in_graph=tokenizer_in_graph,
        )

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
        card = model_card(body.model.blueprint) | (entries(taken) if limited else {})
        save_model(body.model, output, card=card, force=force)
    else:
        with atomic_write(output, force=force) as temporary:
            temporary.write_bytes(taken.path.read_bytes())
    return output.stat().st_size
