"""From data to a requirement: profile → prompt → LLM, or the offline writer → checked sentence → requirement file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.domain import all_domains, default_domain, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.address import with_sheet, without_place
from modelgpt_cli.llm.asking import Talk, UselessAnswerError
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.messages import ask_aloud, redaction_words, tell_plan, would_be_sent
from modelgpt_cli.llm.redact import redact as redact_text
from modelgpt_cli.llm.usage import HOW, HOW_IMAGES
from modelgpt_cli.requirement_generator.answer import read_answer
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.profile import Profile, profile, profiler_of
from modelgpt_cli.requirement_generator.prompt import answer_key, load_prompt, profile_messages
from modelgpt_cli.requirement_generator.requirement_file import format_requirement

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data
    from modelgpt_cli.requirement_generator.domain import Claims

logger = logging.getLogger("modelgpt")

MAX_DESCRIPTION_BYTES = 1_000_000
_ANSWER_TOKENS = 200
"""Of an analysis, the longest sentence allowed, eighty words, and the JSON around them."""
_MOST_TOKENS = 600
"""An answer is cut there: three times what a good one has."""


@dataclass
class Description:
    """What `describe` made."""

    requirement: Requirement
    text: str
    """The requirement file's text."""
    path: Path | None = None
    """The file written, if any."""
    prompt: str | None = None
    """JSON of the request that was sent, or would be; None if no LLM has a part in it."""
    notes: list[str] = field(default_factory=list)
    """Words for the user; they were logged as well."""
    contact_sheet: bytes | None = None
    """What an LLM is shown beside the words, a JPEG, whether or not one has a part in it; `prompt` holds it too."""

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``: the requirement file's sentence and fields, where it was written, and the notes."""
        import yaml

        fields = yaml.safe_load(self.text.partition("\n---\n")[2]) or {}
        path = None if self.path is None else str(self.path)
        return {"sentence": self.requirement.sentence, **fields, "path": path, "notes": self.notes}


def describe(
    data: Data,
    *,
    target: str | None = None,
    description: str | None = None,
    llm: str | LLM | None = None,
    offline: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    output: str | Path | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    keep_na: bool = False,
    sheet: str | None = None,
    contact_sheet: str | Path | None = None,
    dry_run: bool = False,
    force: bool = False,
    timeout: float | None = None,
    retries: int | None = None,
    seed: int = 0,
    provider: str | None = None,
    cache: bool = True,
    redact: bool = False,
    **reading: Any,
) -> Description:
    """Write the requirement for some data.

    Parameters
    ----------
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        A file or folder of data; ``-`` for stdin; or a table in memory: a DataFrame, a dict of columns, a list of dicts
        (records), or an array of numbers, whose columns are called x0, x1 and so on.
    target : str, optional
        Column to predict; found if not given.
    description : str, optional
        What the data is about; ``@FILE`` reads it from a file.
    llm : str or LLM, optional
        Model to ask, or an `LLM`, which goes before all other settings of one; else ``MODELGPT_LLM``, else gpt-4o-mini.
    offline : bool
        Write the sentence without an LLM. So it is, too, where there is no provider, no key and no base URL.
    base_url, api_key : str, optional
        Server and key; else the provider's, else ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.
    output : path-like, optional
        The requirement file to write; nothing is written if absent or ``-``.
    types, merge_labels, keep_na
        Passed on to `load_dataset`.
    sheet : str, optional
        The name or number of a workbook's sheet; the first that looks like a table where not given.
    contact_sheet : path-like, optional
        Where to save the sheet of small images that an LLM is shown of images, also in a dry run.
    dry_run : bool
        Send nothing and write nothing but `contact_sheet`; `Description.prompt` is what would be sent.
    force : bool
        Whether an existing `output` or `contact_sheet` may be replaced.
    timeout : float, optional
        Seconds to wait for the LLM, at each try; else the provider's, else 60.
    retries : int, optional
        Tries after the first one; else the provider's, else 3.
    seed : int
        Seed of the sample of rows.
    provider : str, optional
        A server by name: see `modelgpt_cli.llm.providers`.
    cache : bool
        Whether an answer that was given before serves again, and a new one is kept.
    redact : bool
        Put placeholders for e-mail addresses, phone numbers and long numbers into what an LLM is shown.
    **reading
        Further options of `load_dataset`: of texts, ``text`` and ``text_pair``.

    Returns
    -------
    Description

    Raises
    ------
    UnreachableError
        If the LLM is out of reach. Where it twice gives no usable sentence, the one written offline is used.
    UsageError, ModelGPTError
        If the data can't be read, or the file not be written.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris(as_frame=True)
    >>> flowers = iris.data.assign(species=iris.target_names[iris.target])
    >>> from modelgpt_cli import describe
    >>> found = describe(flowers, target="species", offline=True)
    >>> found.requirement.classes
    ('setosa', 'versicolor', 'virginica')
    >>> print(found.requirement.sentence)
    Classify each row of the table by species into setosa, versicolor or virginica, from 4 numeric columns: ...
    """
    from modelgpt_cli.data.dataset import load_dataset

    destination = None if output is None or str(output) == "-" else Path(output)
    if destination and not dry_run:
        check_destination(destination, force)
    if contact_sheet is not None:
        check_destination(contact_sheet, force)
    data = with_sheet(data, sheet)
    asked = llm
    if not isinstance(asked, LLM):
        asked = LLM.from_settings(asked, base_url, api_key, timeout, retries, None if offline else provider)
    if not dry_run:
        asked.check_key()
    words = read_description(description)
    dataset = load_dataset(
        data,
        target=target,
        types=types,
        merge_labels=merge_labels,
        keep_na=keep_na,
        all_columns=True,
        seed=seed,
        **reading,
    )
    if contact_sheet is not None and not profiler_of(dataset.schema.domain).HAS_SHEET:
        titles = " and ".join(domain.title for domain in all_domains() if profiler_of(domain.name).HAS_SHEET)
        raise UsageError(
            f"--contact-sheet {contact_sheet} is for {titles}.", f"{dataset.name} holds none.", "Leave it out."
        )
    shown = profile(dataset, description=words, clean=redact_text if redact else None)
    answers = AnswerCache() if cache else None
    sentence, author, prompt, notes = write_sentence(
        shown, asked, offline=offline, dry_run=dry_run, cache=answers, redact=redact
    )
    domain = dataset.schema.domain
    part: Claims = find_domain(domain).part("requirement")
    requirement = Requirement(
        sentence=sentence,
        task=dataset.schema.task,
        target=dataset.schema.target,
        classes=dataset.schema.classes,
        multi_label=dataset.schema.multi_label,
        columns=dataset.schema.columns,
        target_reading=dataset.schema.target_reading,
        data=_data_path(data, destination),
        fingerprint=dataset.fingerprint,
        author=author,
        domain=None if domain == default_domain() else domain,
        **part.keys_of(dataset),
    )
    content = format_requirement(requirement)
    if destination and not dry_run:
        with atomic_write(destination, force=force) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")
    image = shown.sheet.content if shown.sheet is not None else None
    if contact_sheet is not None and image is not None:
        with atomic_write(contact_sheet, force=force) as temporary:
            temporary.write_bytes(image)
        _say(notes, f"The sheet of {find_domain(domain).title} was saved as {contact_sheet}.")
    return Description(requirement, content, None if dry_run else destination, prompt, notes, image)


def write_sentence(
    profile: Profile,
    llm: LLM,
    *,
    offline: bool = False,
    dry_run: bool = False,
    cache: AnswerCache | None = None,
    redact: bool = False,
) -> tuple[str, str, str | None, list[str]]:
    """Write the sentence for a profile.

    Returns
    -------
    tuple
        The sentence; its author; the request as JSON (None if offline by choice, or without an LLM); notes.

    Raises
    ------
    UnreachableError
        As `describe` does.
    UsageError
        If there is a sheet and the LLM is known to see no images.
    """
    notes: list[str] = []
    if offline or (not llm.configured and not dry_run):
        why = "as asked" if offline else "as there is no --provider, no base URL and no OPENAI_API_KEY"
        _say(notes, f"The sentence was written offline, without an LLM, {why}.")
        return write_offline(profile), "offline", None, notes
    if profile.sheet is not None and not llm.vision:
        raise UsageError(
            f"{llm.model} of {llm.provider} sees no images (vision: false).",
            f"{profile.name} holds {find_domain(profile.domain).title}.",
            llm.hint("Name a model that does: --llm MODEL"),
        )
    template = load_prompt(domain=profile.domain)
    talk = Talk(llm, cache)
    seen = profile.redacted() if redact else profile
    request = talk.request(template, profile_messages(template, seen), max_tokens=_MOST_TOKENS, sure=True)
    read = partial(read_answer, key=answer_key(template), profile=seen, prompt=template)
    shown = json.dumps(request, ensure_ascii=False, indent=2)
    if dry_run:
        _say(notes, would_be_sent(llm))
    if redact:
        _tell_redaction(notes, profile, request)
    if dry_run:
        _tell_plan(notes, profile, talk, request, read)
        return write_offline(profile), "offline", shown, notes
    what = f" and shown {profile.sheet.words}" if profile.sheet is not None else ""
    try:
        sentence = ask_aloud(talk, request, template, read, partial(_say, notes), what)
    except UselessAnswerError as error:
        logger.debug("%s", error)
        _say(notes, f"{error.problem} {error.reason} So the sentence was written offline.", quiet=False)
        return write_offline(profile), "offline", shown, notes
    return sentence, talk.answered, shown, notes


def _tell_plan(
    notes: list[str], profile: Profile, talk: Talk, request: Mapping[str, Any], read: Callable[[str], str]
) -> None:
    """Say what a dry run knows beside the request itself."""
    if profile.sheet is not None:
        _say(notes, f"With it goes {profile.sheet.words}; --contact-sheet FILE saves it to be looked at.")
    how = f"{HOW}, {HOW_IMAGES}" if profile.sheet is not None else HOW
    tell_plan(talk, request, read, partial(_say, notes), tokens_out=_ANSWER_TOKENS, how=how)
    if not talk.llm.configured:
        without = "no --provider, no base URL and no OPENAI_API_KEY"
        _say(notes, f"As there is {without}, the sentence would be written offline.")


def _tell_redaction(notes: list[str], profile: Profile, request: Mapping[str, Any]) -> None:
    """Say how much gave way to placeholders; the words that are sent are counted, not those that were read."""
    _say(notes, redaction_words(request))
    if profile.sheet is not None:
        title = find_domain(profile.domain).title
        _say(notes, f"--redact changes words alone: the sheet of {title} is sent as it is.", quiet=False)


def _say(notes: list[str], note: str, quiet: bool = True) -> None:
    logger.log(logging.INFO if quiet else logging.WARNING, note)
    notes.append(note)


def read_description(description: str | None) -> str:
    """Give the description's text, from its file if it names one."""
    if description is None or not description.startswith("@"):
        return (description or "").strip()
    name = description[1:]
    try:
        with open(name, "rb") as file:
            return file.read(MAX_DESCRIPTION_BYTES).decode("utf-8-sig", errors="replace").strip()
    except FileNotFoundError:
        raise UsageError(f"There is no description file {name}.", hint="Give --description TEXT or @FILE.") from None
    except OSError as error:
        raise ModelGPTError(f"Can't read the description file {name}.", error.strerror or "") from None


def _data_path(data: Data, destination: Path | None) -> str | None:
    """Give the data's path relative to the requirement file; in full if that is not known, or on another drive."""
    if not isinstance(data, (str, os.PathLike)) or without_place(os.fspath(data)) == "-":
        return None
    full = Path(data).resolve()
    if destination is None:
        return str(full)
    try:
        return Path(os.path.relpath(full, destination.resolve().parent)).as_posix()
    except ValueError:
        return str(full)
