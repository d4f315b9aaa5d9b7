"""From a profile to the messages an LLM is sent. The words are in `prompts/`; here only the gaps are filled."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.domain import default_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.llm.redact import PLACEHOLDERS
from modelgpt_cli.llm.template import Message, Prompt, read_prompt
from modelgpt_cli.requirement_generator.profile import Profile, profiler_of

MAX_COLUMNS = 60
MAX_CLASSES = 100
MAX_LEVELS = 10
MAX_DESCRIPTION = 4000
MAX_NAME = 120
MAX_CELL = 200
"""Of a cell that is longer with placeholders in it than it was."""

ANALYSIS = "analysis"
"""The key of an answer that comes before the sentence, for the LLM to think in; nobody reads it."""
_GAPS = frozenset({"data", "task"})


def load_prompt(path: Path | None = None, domain: str | None = None) -> Prompt:
    """Read a template for the requirement's sentence: the domain's own unless told otherwise.

    Parameters
    ----------
    domain : str, optional
        The name of a `Domain`; by default the one that takes what others leave.

    Raises
    ------
    ModelGPTError
        If it is no template, has other gaps than $data and $task, or its answer is anything but an analysis and a
        sentence.
    """
    path = path or asset("prompts", f"{profiler_of(domain or default_domain()).PROMPT}.yaml")
    prompt = read_prompt(path, _GAPS)
    if len(set(prompt.schema["properties"]) - {ANALYSIS}) != 1:
        raise ModelGPTError(
            f"{path} is not a template for a requirement.",
            f"Its answer must have one key, the sentence, and may have {ANALYSIS!r}.",
        )
    return prompt


def answer_key(prompt: Prompt) -> str:
    """The key of the sentence in an answer."""
    return next(str(key) for key in prompt.schema["properties"] if key != ANALYSIS)


def profile_messages(prompt: Prompt, profile: Profile) -> list[Message]:
    """Fill a template with a profile, its sheet beside it where it has one."""
    words = profiler_of(profile.domain).shown(profile)
    system, user = prompt.messages(data=fenced(words), task=profile.task)
    if profile.sheet is not None:
        user = {**user, "content": _with_image(user["content"], profile.sheet.content)}
    return [system, user]


def profile_json(
    profile: Profile,
    *,
    rows: int | None = None,
    free_text: bool = False,
    **more: Any,
) -> dict[str, Any]:
    """Return the part of a profile of rows with columns that is shown.

    No cells of columns the model won't use; long lists are cut.

    Parameters
    ----------
    rows : int, optional
        So many at most; all of the profile's by default.
    free_text : bool
        Whether cells of free text are shown, where anything may be written.
    **more
        What the domain tells besides.
    """
    used = [column for column in profile.columns if column.used]
    seen = {column.name for column in used[:MAX_COLUMNS] if free_text or not column.is_text} | {profile.target}
    values: dict[str, Any] = {
        "name": cut(profile.name),
        "rows": profile.n_rows,
        "description": cut(profile.description.strip(), MAX_DESCRIPTION),
        "task": "multi-label classification" if profile.multi_label else profile.task,
        "target": cut(profile.target),
        "columns": [_column(column, profiler_of(profile.domain).ROLES) for column in used[:MAX_COLUMNS]],
        "columns_not_shown": max(0, len(used) - MAX_COLUMNS),
        "left_out": [cut(column.name) for column in profile.columns if not column.used][:MAX_COLUMNS],
        "rows_per_label": {cut(k): n for k, n in list(profile.class_counts.items())[:MAX_CLASSES]},
        "labels_not_shown": max(0, len(profile.class_counts) - MAX_CLASSES),
        "sample": [{cut(k): cut(v, MAX_CELL) for k, v in row.items() if k in seen} for row in profile.sample[:rows]],
        **more,
    }
    if profile.target_range:
        values["target_range"] = dict(
            zip(("minimum", "median", "maximum"), map(short_number, profile.target_range), strict=True)
        )
    return without_empty(values)


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {key: value for key, value in values.items() if value not in ("", 0, [], {})}


def _with_image(text: str, image: bytes) -> list[dict[str, Any]]:
    """A message's content in two parts, as Chat Completions takes text and image together."""
    url = f"data:image/jpeg;base64,{base64.b64encode(image).decode()}"
    return [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]


def without_images(prompt: str) -> str:
    """A request as JSON with words in place of each image's bytes, for a person to read."""
    request = json.loads(prompt)
    for message in request["messages"]:
        for part in message["content"] if isinstance(message["content"], list) else ():
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                part["image_url"]["url"] = f"{head},… ({len(data):,} characters)"
    return json.dumps(request, ensure_ascii=False, indent=2)


def _column(column: Column, roles: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {"name": cut(column.name), "type": column.type, "description": cut(column.description)}
    if column.role:
        values["role"] = roles[column.role]
    if column.levels:
        values["values"] = [cut(level, 60) for level in column.levels[:MAX_LEVELS]]
        values["different_values"] = column.n_levels
    if column.type == "numeric" and column.mean is not None and column.std is not None:
        values |= {"mean": short_number(column.mean), "standard_deviation": short_number(column.std)}
    if column.missing:
        values["share_missing"] = short_number(column.missing)
    return {key: value for key, value in values.items() if value not in ("", [])}


def cut(text: str, length: int = MAX_NAME) -> str:
    """Cut a text that is longer than is shown."""
    return text if len(text) <= length else text[: length - 1] + "…"


def short_number(number: float) -> float:
    """Round to four significant digits."""
    return float(f"{number:.4g}")


def fenced(values: dict[str, Any]) -> str:
    """Encode the data so that nothing in it can close the fence around it: JSON, with the angle brackets escaped.

    All but those of placeholders, which are harmless, and which a person should recognise.
    """
    lines = [f"{json.dumps(key)}: {_lines(value)}" for key, value in values.items()]
    text = "{\n" + ",\n".join(lines) + "\n}"
    text = _escaped(text)
    for mark in PLACEHOLDERS:
        text = text.replace(_escaped(mark), mark)
    return text


def _escaped(text: str) -> str:
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("`", "\\u0060")


def _lines(value: Any) -> str:
    """Encode a value; a list of mappings gets one line each, so that a person can read the prompt too."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n  " + ",\n  ".join(json.dumps(item, ensure_ascii=False) for item in value) + "\n]"
    return json.dumps(value, ensure_ascii=False)
