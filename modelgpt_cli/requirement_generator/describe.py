"""From data to a requirement: profile → prompt → LLM, or the offline writer → checked sentence → requirement file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.data.contact_sheet import sheet_size
from modelgpt_cli.data.picture_profile import PictureProfile
from modelgpt_cli.data.profile import Profile
from modelgpt_cli.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.files import atomic_write, check_destination
from modelgpt_cli.requirement_generator.answer import BadAnswerError, read_answer
from modelgpt_cli.requirement_generator.llm import LLM
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.prompt import Prompt, load_prompt
from modelgpt_cli.requirement_generator.requirement import Requirement, format_requirement

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

logger = logging.getLogger("modelgpt")

MAX_DESCRIPTION_BYTES = 1_000_000
_SHOWN = 500


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
    sheet: bytes | None = None
    """Image domain: the sheet of pictures, a JPEG, whether or not an LLM has a part in it; `prompt` holds it too."""


def describe(
    path: str | Path,
    *,
    target: str | None = None,
    description: str | None = None,
    llm: str | None = None,
    offline: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    output: str | Path | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    text: str | None = None,
    text_pair: str | None = None,
    sheet: str | Path | None = None,
    dry_run: bool = False,
    force: bool = False,
    timeout: float = 60.0,
    retries: int = 3,
    seed: int = 0,
) -> Description:
    """Write the requirement for a table, for texts or for pictures.

    Parameters
    ----------
    path : path-like
        A file or folder of data; ``-`` for stdin.
    target : str, optional
        Column to predict; found if not given.
    description : str, optional
        What the data is about; ``@FILE`` reads it from a file.
    llm : str, optional
        Model to ask; else ``MODELGPT_LLM``, else gpt-4o-mini.
    offline : bool
        Write the sentence without an LLM. So it is, too, where there is neither a key nor a base URL.
    base_url, api_key : str, optional
        Server and key; else ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``.
    output : path-like, optional
        The requirement file to write; nothing is written if absent or ``-``.
    types, merge_labels, text, text_pair
        Passed on to `load_dataset`.
    sheet : path-like, optional
        Of pictures: where to save the sheet of small pictures that an LLM is shown, also in a dry run.
    dry_run : bool
        Send nothing and write nothing but `sheet`; `Description.prompt` is what would be sent.
    force : bool
        Whether an existing `output` or `sheet` may be replaced.
    timeout : float
        Seconds to wait for the LLM, at each try.
    retries : int
        Tries after the first one.
    seed : int
        Seed of the sample of rows.

    Returns
    -------
    Description

    Raises
    ------
    UnreachableError
        If the LLM is out of reach, or twice gives no usable sentence.
    UsageError, ModelGPTError
        If the data can't be read, or the file not be written.
    """
    from modelgpt_cli.data.dataset import check_width, load_dataset
    from modelgpt_cli.data.profile import profile
    from modelgpt_cli.data.schema import MAX_TEXT_COLUMNS

    destination = None if output is None or str(output) == "-" else Path(output)
    if destination and not dry_run:
        check_destination(destination, force)
    if sheet is not None:
        check_destination(sheet, force)
    asked = LLM.from_settings(llm, base_url, api_key, timeout, retries)
    words = read_description(description)
    dataset = load_dataset(
        path,
        target=target,
        types=types,
        merge_labels=merge_labels,
        text_columns=MAX_TEXT_COLUMNS,
        text=text,
        text_pair=text_pair,
        seed=seed,
    )
    check_width(dataset)
    if sheet is not None and dataset.pictures is None:
        raise UsageError(f"--sheet {sheet} is for pictures.", f"{dataset.name} holds none.", "Leave it out.")
    shown = profile(dataset, description=words)
    sentence, author, prompt, notes = write_sentence(shown, asked, offline=offline, dry_run=dry_run)
    domain = dataset.schema.domain
    mean, std = _target_scale(dataset) if domain == "text" and dataset.schema.task == "regression" else (None, None)
    requirement = Requirement(
        sentence=sentence,
        task=dataset.schema.task,
        target=dataset.schema.target,
        classes=dataset.schema.classes,
        columns=dataset.schema.columns,
        data=_data_path(path, destination),
        fingerprint=dataset.fingerprint,
        author=author,
        domain=None if domain == "tabular" else domain,
        target_mean=mean,
        target_std=std,
    )
    content = format_requirement(requirement)
    if destination and not dry_run:
        with atomic_write(destination, force=force) as temporary:
            temporary.write_text(content, encoding="utf-8", newline="\n")
    picture = shown.pictures.sheet if shown.pictures is not None else None
    if sheet is not None and picture is not None:
        with atomic_write(sheet, force=force) as temporary:
            temporary.write_bytes(picture)
        _say(notes, f"The sheet of pictures was saved as {sheet}.")
    return Description(requirement, content, None if dry_run else destination, prompt, notes, picture)


def _target_scale(dataset: Dataset) -> tuple[float, float]:
    """Mean and standard deviation of the target, over the sample."""
    values = dataset.sample[dataset.schema.target]
    return float(values.mean()), float(values.std(ddof=0))


def write_sentence(
    profile: Profile, llm: LLM, *, offline: bool = False, dry_run: bool = False
) -> tuple[str, str, str | None, list[str]]:
    """Write the sentence for a profile.

    Returns
    -------
    tuple
        The sentence; its author; the request as JSON (None if offline by choice, or without a key); notes.

    Raises
    ------
    UnreachableError
        As `describe` does.
    """
    notes: list[str] = []
    if offline or (not llm.configured and not dry_run):
        why = "as asked" if offline else "as there is no OPENAI_API_KEY and no base URL"
        _say(notes, f"The sentence was written offline, without an LLM, {why}.", offline)
        return write_offline(profile), "offline", None, notes
    template = load_prompt(domain=profile.domain)
    request = llm.request(template.messages(profile), template.response_format())
    shown = json.dumps(request, ensure_ascii=False, indent=2)
    if dry_run:
        _say(notes, f"This would be sent to {llm.model} at {llm.host}; nothing was sent, nothing was written.")
        if profile.pictures is not None:
            _say(notes, f"With it goes {sheet_words(profile.pictures)}; --sheet FILE saves it to be looked at.")
        if not llm.configured:
            _say(notes, "As there is no OPENAI_API_KEY and no base URL, the sentence would be written offline.")
        return write_offline(profile), "offline", shown, notes
    what = f" and shown {sheet_words(profile.pictures)}" if profile.pictures is not None else ""
    _say(notes, f"Asking {llm.model} at {llm.host}; --dry-run shows what it is sent{what}.")
    return _ask(profile, llm, template, request), llm.model, shown, notes


def _ask(profile: Profile, llm: LLM, template: Prompt, request: Mapping[str, Any]) -> str:
    """Ask, and once more if the answer can't be used."""
    answer = llm.ask(dict(request))
    try:
        return read_answer(answer, template.key, profile)
    except BadAnswerError as error:
        logger.info("The answer can't be used: %s Asking once more.", error)
        messages = template.again(request["messages"], answer, str(error))
    answer = llm.ask({**request, "messages": messages})
    try:
        return read_answer(answer, template.key, profile)
    except BadAnswerError as error:
        raise UnreachableError(
            f"{llm.model} gave no usable sentence, asked twice.",
            f"The last time, {error} It answered: {_printable(llm.scrub(answer))}",
            "Try another model with --llm, or write the sentence without one: --offline.",
        ) from None


def sheet_words(pictures: PictureProfile) -> str:
    """What the sheet of pictures is, for a person."""
    width, height = sheet_size(pictures.sheet)
    count = f"{len(pictures.shown)} pictures" if len(pictures.shown) != 1 else "one picture"
    return f"a sheet of {count} (JPEG, {width} x {height} pixels, {len(pictures.sheet):,} bytes)"


def _say(notes: list[str], note: str, quiet: bool = True) -> None:
    logger.log(logging.INFO if quiet else logging.WARNING, note)
    notes.append(note)


def _printable(answer: str) -> str:
    """Show an answer without its power over a terminal."""
    text = "".join(
        char if char.isprintable() else "\\n" if char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in answer
    )
    return (text[:_SHOWN] + "…" if len(text) > _SHOWN else text) or "(nothing)"


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


def _data_path(path: str | Path, destination: Path | None) -> str | None:
    """Give the data's path relative to the requirement file; in full if that is not known, or on another drive."""
    if str(path) == "-":
        return None
    full = Path(path).resolve()
    if destination is None:
        return str(full)
    try:
        return Path(os.path.relpath(full, destination.resolve().parent)).as_posix()
    except ValueError:
        return str(full)
