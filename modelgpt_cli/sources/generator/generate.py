"""``generate``: requirement in, labelled rows out. And the same for `build --generate`, which goes on with them."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.llm.asking import Talk
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.messages import redaction_words, would_be_sent
from modelgpt_cli.llm.usage import HOW
from modelgpt_cli.requirement_generator.describe import read_description
from modelgpt_cli.requirement_generator.load import load_wanted
from modelgpt_cli.requirement_generator.requirement_file import read_requirement
from modelgpt_cli.sources.generator.examples import mean_chars, real_examples
from modelgpt_cli.sources.generator.form import form_of
from modelgpt_cli.sources.generator.journal import Journal, journal_path
from modelgpt_cli.sources.generator.plan import hidden, load_generate_prompt
from modelgpt_cli.sources.generator.run import Outcome, Run, Wish, none_usable
from modelgpt_cli.sources.generator.write import check_output, raw_frame, write_rows

log = logging.getLogger("modelgpt")
GO_ON = "go on later with --resume"


@dataclass
class Generated:
    """What `generate` made.

    Attributes
    ----------
    class_counts : dict
        Classification: rows per class.
    dropped : dict
        Reason → rows that were not kept.
    cost : float, optional
        US dollars, where prices are known.
    stopped : str
        Why there are fewer rows than wanted; empty where there are all.
    prompt : str, optional
        Dry run: JSON of the first request.
    """

    path: Path | None = None
    n_rows: int = 0
    class_counts: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None
    stopped: str = ""
    prompt: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        values = {key: value for key, value in vars(self).items() if key != "prompt"}
        return values | {"path": None if self.path is None else str(self.path)}


def generate(
    requirement: str | Path | Requirement,
    *,
    n: int,
    output: str | Path,
    data: Data | None = None,
    sheet: str | None = None,
    description: str | None = None,
    batch: int = 20,
    examples: int = 8,
    max_tokens: int | None = None,
    max_cost: float | None = None,
    resume: bool = False,
    dry_run: bool = False,
    force: bool = False,
    seed: int = 0,
    llm: str | None = None,
    provider: str | None = None,
    base_url: str | None = None,
    api_key: str | None = None,
    timeout: float | None = None,
    retries: int | None = None,
    cache: bool = True,
    redact: bool = False,
    types: str | Path | None = None,
) -> Generated:
    """Have an LLM write labelled rows for a requirement.

    Parameters
    ----------
    requirement : str, Path or Requirement
        A requirement file (``-`` for stdin), or one already read.
    n : int
        Rows wanted, in equal parts of each class.
    output : path-like
        ``.csv``, ``.jsonl``, or a folder for texts with classes.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d), optional
        Real rows, of which a few are shown; by default what the requirement names.
    sheet : str, optional
        Of these rows, as for `describe`.
    description : str, optional
        More words about the data, or ``@FILE``.
    batch, examples, max_tokens, max_cost, seed, redact
        See `Wish`. Without examples, data that the requirement names are not even read.
    resume : bool
        Go on with an interrupted run.
    dry_run : bool
        Send nothing and write nothing; `Generated.prompt` is the first request.
    force : bool
        Whether an existing output, or the rest of an interrupted run, may be replaced.
    llm, provider, base_url, api_key, timeout, retries, cache
        As for `describe`.
    types : path-like, optional
        Of the data: a YAML file of ``column: type``.

    Raises
    ------
    UnreachableError
        The LLM is out of reach, or no row could be used.
    UsageError, ModelGPTError
        The requirement does not say what a row is, is about images, or the rows can't be written.
    """
    output = Path(output)
    wish = Wish(n, batch, examples, max_tokens, max_cost, seed, redact)
    asked = replace(LLM.from_settings(llm, base_url, api_key, timeout, retries, provider), otherwise=GO_ON)
    wanted = requirement if isinstance(requirement, Requirement) else read_requirement(requirement)
    if wanted.multi_label:
        raise UsageError("generate writes rows of one label, and the task is multi-label.")
    source = data if data is not None else wanted.data if examples else None
    source = with_sheet(source, sheet)
    dataset = None
    if source is not None:
        dataset = load_wanted(wanted, source, types=types, all_columns=True, seed=seed)
    run = prepare(wanted, dataset, wish, asked, journal_path(output), description=description, cache=cache)
    check_output(output, run.form, force)
    if dry_run:
        return _planned(run, asked)
    outcome = complete(run, resume=resume, force=force)
    write_rows(output, run.form, outcome.rows, force)
    assert run.journal is not None
    run.journal.remove()
    return report(run, outcome, output)


def prepare(
    wanted: Requirement,
    dataset: Dataset | None,
    wish: Wish,
    llm: LLM,
    journal: Path,
    *,
    description: str | None = None,
    cache: bool = True,
) -> Run:
    """Make a run ready: form, template, examples; nothing is sent."""
    form = form_of(wanted, dataset, hide=wish.redact)
    template = load_generate_prompt(form.domain)
    template = replace(template, schema=form.schema(template.schema))
    shown, real = ([], []) if dataset is None else real_examples(form, dataset, wish.examples, wish.seed, wish.redact)
    words = read_description(description) or (dataset.description if dataset is not None else "")
    return Run(
        form,
        template,
        Talk(llm, AnswerCache() if cache else None),
        wish,
        shown=shown,
        real=real,
        description=hidden(words, wish.redact),
        embed=_embedder(),
        journal=Journal(journal, form),
        chars=mean_chars(form, real),
    )


def complete(run: Run, *, resume: bool, force: bool) -> Outcome:
    """Run it to its end, from its beginning or from where it was interrupted.

    Raises
    ------
    UsageError
        If no LLM is named, or there is an interrupted run that is neither to be gone on with nor forgotten.
    """
    llm, journal = run.talk.llm, run.journal
    assert journal is not None
    if not llm.configured:
        raise UsageError(
            "Which LLM shall write the rows?",
            "There is no --provider, no --base-url and no OPENAI_API_KEY.",
            "For instance: --provider ollama (docs/llm.md).",
        )
    llm.check_key()
    if resume:
        run.resume()
        log.info("Going on from %d rows.", len(run.outcome.rows))
    elif journal.path.exists() and not force:
        raise UsageError(
            f"{journal.path} holds the rows of an interrupted run.", hint="--resume goes on, --force begins anew."
        )
    else:
        journal.start()
    what = f" and {len(run.shown)} real rows as examples" if run.shown else ""
    log.info("Asking %s at %s for %d rows; it is sent the requirement%s.", llm.model, llm.host, run.wish.rows, what)
    outcome = run.run()
    _tell(outcome, run)
    if not outcome.rows:
        journal.remove()
        raise none_usable(outcome)
    return outcome


def report(run: Run, outcome: Outcome, path: Path) -> Generated:
    """What is to be told of a run that is through."""
    target, classes = run.form.target.name, run.form.classes
    counts = Counter(str(row[target]) for row in outcome.rows) if classes else Counter[str]()
    return Generated(
        path=path,
        n_rows=len(outcome.rows),
        class_counts={label: counts[label] for label in classes},
        dropped=dict(outcome.dropped),
        requests=outcome.requests,
        tokens_in=outcome.spent.tokens_in,
        tokens_out=outcome.spent.tokens_out,
        cost=outcome.spent.cost(run.talk.llm.prices),
        stopped=outcome.stopped,
    )


def add_generated(
    wanted: Requirement,
    dataset: Dataset | None,
    wish: Wish,
    llm: LLM,
    path: Path,
    *,
    description: str | None,
    cache: bool,
    force: bool,
) -> Dataset | Path:
    """Generate rows for a build: the dataset with them in it, or, without one, the file that they are in.

    Parameters
    ----------
    path : Path
        Where the rows are kept, whatever becomes of the build. A run that was interrupted is gone on with.
    """
    run = prepare(wanted, dataset, wish, llm, journal_path(path), description=description, cache=cache)
    check_output(path, run.form, force)
    assert run.journal is not None
    outcome = complete(run, resume=run.journal.path.exists() and not force, force=force)
    write_rows(path, run.form, outcome.rows, force)
    run.journal.remove()
    log.info("The generated rows are in %s.", path)
    return path if dataset is None else dataset.with_generated(raw_frame(run.form, outcome.rows))


def _planned(run: Run, llm: LLM) -> Generated:
    """A dry run: the first request, and what all of them will take."""
    request = run.request()
    requests, usage = run.estimate()
    log.info(would_be_sent(llm, " first"))
    if run.wish.redact:
        log.info(redaction_words(request))
    log.info(
        "%d rows take %d requests or more (rows that can't be used are asked for again): %s. Estimated: %s.",
        *(run.wish.rows, requests, usage.words(llm.prices), HOW),
    )
    return Generated(prompt=json.dumps(request, ensure_ascii=False, indent=2))


def _tell(outcome: Outcome, run: Run) -> None:
    for reason, count in outcome.dropped.most_common():
        log.info("Dropped: %d x %s.", count, reason)
    if run.recalled:
        log.info("%d answers came from the cache; --no-cache asks anew.", run.recalled)
    log.info("%d requests took %s.", outcome.requests, outcome.spent.words(run.talk.llm.prices))
    if outcome.stopped:
        log.warning("%d of %d rows: %s.", len(outcome.rows), run.wish.rows, outcome.stopped)


def _embedder() -> Any:
    """The default text encoder, loaded when it is first needed."""
    held: list[Any] = []

    def embed(texts: Sequence[str]) -> np.ndarray:
        if not held:
            from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

            held.append(TextEncoder())
        vectors: np.ndarray = held[0](texts)
        return vectors

    return embed
