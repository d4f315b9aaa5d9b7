"""From a profile to the messages an LLM is sent. The words are in `prompts/`; here only the gaps are filled."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.profile import TEXT_CHARS, Profile
from modelgpt_cli.domains.image.profile import ImageProfile
from modelgpt_cli.llm.redact import PLACEHOLDERS
from modelgpt_cli.llm.template import Message, Prompt, read_prompt

MAX_COLUMNS = 60
MAX_CLASSES = 100
MAX_LEVELS = 10
MAX_DESCRIPTION = 4000
MAX_NAME = 120
MAX_TEXTS = 8
"""Texts that are shown in the text domain; a pair is two."""

_GAPS = frozenset({"data", "task"})


def load_prompt(path: Path | None = None, domain: str = "tabular") -> Prompt:
    """Read a template for the requirement's sentence: the domain's own unless told otherwise.

    Raises
    ------
    ModelGPTError
        If it is no template, has other gaps than $data and $task, or its answer has more than one key.
    """
    path = path or asset("prompts", f"{'table' if domain == 'tabular' else domain}.yaml")
    prompt = read_prompt(path, _GAPS)
    if len(prompt.schema["properties"]) != 1:
        raise ModelGPTError(
            f"{path} is not a template for a requirement.", "Its answer must have one key, the sentence."
        )
    return prompt


def answer_key(prompt: Prompt) -> str:
    """The one key of the answer."""
    return str(next(iter(prompt.schema["properties"])))


def profile_messages(prompt: Prompt, profile: Profile) -> list[Message]:
    """Fill a template with a profile, the sheet of images beside it where there are some."""
    system, user = prompt.messages(data=fenced(profile_json(profile)), task=profile.task)
    if profile.images is not None:
        user = {**user, "content": _with_image(user["content"], profile.images.sheet)}
    return [system, user]


def profile_json(profile: Profile) -> dict[str, Any]:
    """Give the part of a profile that is shown.

    No cells of columns the model won't use, nor of free text in a table, where anything may be written; long lists are
    cut. In the text domain the beginnings of up to `MAX_TEXTS` texts are shown: they are what the sentence is about. Of
    images their measures are told; the sheet of some goes beside this.
    """
    if profile.images is not None:
        return _image_json(profile, profile.images)
    used = [column for column in profile.columns if column.used]
    is_text = profile.domain == "text"
    shown = {column.name for column in used[:MAX_COLUMNS] if is_text or not column.is_text} | {profile.target}
    rows = profile.sample[: MAX_TEXTS // max(1, len(used))] if is_text else profile.sample
    values: dict[str, Any] = {
        "name": _cut(profile.name),
        "rows": profile.n_rows,
        "description": _cut(profile.description.strip(), MAX_DESCRIPTION),
        "task": profile.task,
        "target": _cut(profile.target),
        "columns": [_column(column) for column in used[:MAX_COLUMNS]],
        "columns_not_shown": max(0, len(used) - MAX_COLUMNS),
        "left_out": [_cut(column.name) for column in profile.columns if not column.used][:MAX_COLUMNS],
        "rows_per_label": {_cut(k): n for k, n in list(profile.class_counts.items())[:MAX_CLASSES]},
        "labels_not_shown": max(0, len(profile.class_counts) - MAX_CLASSES),
        "sample": [{_cut(k): _cut(v, TEXT_CHARS) for k, v in row.items() if k in shown} for row in rows],
    }
    if profile.mean_words:
        values["words_per_text"] = _short(profile.mean_words)
    if profile.target_range:
        values["target_range"] = dict(
            zip(("minimum", "median", "maximum"), map(_short, profile.target_range), strict=True)
        )
    return {key: value for key, value in values.items() if value not in ("", 0, [], {})}


def _image_json(profile: Profile, images: ImageProfile) -> dict[str, Any]:
    """The part of a profile of images that is shown in words."""
    values: dict[str, Any] = {
        "name": _cut(profile.name),
        "images": profile.n_rows,
        "description": _cut(profile.description.strip(), MAX_DESCRIPTION),
        "task": profile.task,
        "target": _cut(profile.target),
        "images_per_label": {_cut(k): n for k, n in list(profile.class_counts.items())[:MAX_CLASSES]},
        "labels_not_shown": max(0, len(profile.class_counts) - MAX_CLASSES),
        "measured": images.looks.phrase(),
        "median_short_side_in_pixels": _short(images.looks.short_side),
        "domains": {_cut(name): looks.phrase() for name, looks in list(images.domains.items())[:MAX_COLUMNS]},
        "sheet_row_by_row": [_cut(name) for name in images.shown],
    }
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


def _column(column: Column) -> dict[str, Any]:
    values: dict[str, Any] = {"name": _cut(column.name), "type": column.type, "description": _cut(column.description)}
    if column.role:
        values["role"] = "second text" if column.role == "pair" else "text"
    if column.levels:
        values["values"] = [_cut(level, 60) for level in column.levels[:MAX_LEVELS]]
        values["different_values"] = column.n_levels
    if column.type == "numeric" and column.mean is not None and column.std is not None:
        values |= {"mean": _short(column.mean), "standard_deviation": _short(column.std)}
    if column.missing:
        values["share_missing"] = _short(column.missing)
    return {key: value for key, value in values.items() if value not in ("", [])}


def _cut(text: str, length: int = MAX_NAME) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _short(number: float) -> float:
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
