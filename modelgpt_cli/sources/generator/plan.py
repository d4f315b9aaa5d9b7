"""What each request asks for: how many rows of which target, under which conditions. Between `form` and the prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.assets import asset
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.llm.template import Message, Prompt, check_words, fill, read_prompt, wrong_template
from modelgpt_cli.requirement_generator.profile import profiler_of
from modelgpt_cli.requirement_generator.prompt import fenced
from modelgpt_cli.sources.generator.form import TEXT, Form

_GAPS = frozenset({"data", "count", "batch", "share", "condition", "mended"})
_MORE = frozenset({"mended", "conditions"})


def load_generate_prompt(domain: str, path: Path | None = None) -> Prompt:
    """Read the template for rows of a table, or for texts.

    Raises
    ------
    ModelGPTError
        If it is no such template.
    """
    path = path or asset("prompts", f"generate-{profiler_of(domain).PROMPT}.yaml")
    prompt = read_prompt(path, _GAPS, _MORE)
    if list(prompt.schema["properties"]) != ["rows"]:
        raise wrong_template(path, "Its answer must have one key, rows.")
    check_words(path, "mended", prompt.more["mended"], frozenset({"reasons"}))
    conditions = prompt.more["conditions"]
    if (
        not isinstance(conditions, dict)
        or not conditions
        or not all(isinstance(v, list) and v for v in conditions.values())
    ):
        raise wrong_template(path, "Its conditions must be lists of sentences, each under a name.")
    for name, sentences in conditions.items():
        for sentence in sentences:
            check_words(path, f"conditions, {name},", sentence, frozenset())
    return prompt


@dataclass(frozen=True)
class Step:
    """One request's worth.

    Attributes
    ----------
    number : int
        From 0 on.
    counts : dict
        Classification: class → rows to write.
    size : int
        Rows to write.
    condition : str
    band : (float, float), optional
        Regression: where the targets shall lie.
    """

    number: int
    size: int
    condition: str
    counts: Mapping[str, int]
    band: tuple[float, float] | None = None


def quotas(n: int, classes: Sequence[str]) -> dict[str, int]:
    """So many rows of each class, as equal as can be; empty for regression."""
    return {label: n // len(classes) + (i < n % len(classes)) for i, label in enumerate(classes)}


def next_step(form: Form, prompt: Prompt, number: int, n: int, batch: int, have: Mapping[str, int], seed: int) -> Step:
    """Plan a request: the classes that lack most come first, conditions are drawn; the same seed draws the same.

    Parameters
    ----------
    n : int
        Rows wanted in all.
    have : mapping
        Class → rows that there are; for regression "" → all.
    """
    rng = np.random.default_rng([seed, 37, number])
    condition = " ".join(str(rng.choice(sentences)) for sentences in prompt.more["conditions"].values())
    if not form.classes:
        band = form.bands[number % len(form.bands)] if form.bands else None
        return Step(number, min(batch, n - have.get("", 0)), condition, {}, band)
    lacking = {label: quota - have.get(label, 0) for label, quota in quotas(n, form.classes).items()}
    counts: dict[str, int] = {}
    for _ in range(min(batch, sum(max(0, count) for count in lacking.values()))):
        label = max(lacking, key=lambda name: lacking[name])
        lacking[label] -= 1
        counts[label] = counts.get(label, 0) + 1
    return Step(number, sum(counts.values()), condition, counts)


def step_messages(
    form: Form,
    prompt: Prompt,
    step: Step,
    examples: Sequence[Mapping[str, Any]],
    description: str,
    mended: Sequence[str],
) -> list[Message]:
    """The messages of a request.

    Parameters
    ----------
    examples : sequence of mapping
        Real rows, as the LLM sees them.
    mended : sequence of str
        Why rows of earlier answers were dropped, as far as it has not been told.
    """
    words = fill(prompt.more["mended"], {"reasons": "; ".join(mended)}) if mended else ""
    return prompt.messages(
        data=fenced(_data(form, examples, description)),
        count=str(step.size),
        batch=str(step.number + 1),
        share=_share(form, step),
        condition=step.condition,
        mended=words,
    )


def _share(form: Form, step: Step) -> str:
    """What targets the rows shall have."""
    if step.counts:
        shown = {real: seen for seen, real in form.target.levels.items()}
        return ", ".join(
            f"{count} x {json.dumps(shown[label], ensure_ascii=False)}" for label, count in step.counts.items()
        )
    return "over its whole range" if step.band is None else f"between {step.band[0]:.4g} and {step.band[1]:.4g}"


def _data(form: Form, examples: Sequence[Mapping[str, Any]], description: str) -> dict[str, Any]:
    values = {
        "requirement": form.sentence,
        "description": description[:4000],
        "task": form.task,
        "columns": [_column(field) for field in form.inputs],
        "target": _column(form.target),
        "examples": list(examples),
    }
    return {key: value for key, value in values.items() if value not in ("", [])}


def _column(field: Any) -> dict[str, Any]:
    kinds = {
        "number": "number",
        "level": "one of its values",
        "word": "a word or a few",
        "date": "date",
        TEXT: "text",
    }
    values = {"name": field.shown, "type": kinds[field.kind], **field.about}
    values |= {"values": list(field.levels)} if field.levels else {}
    values |= {"may be missing": True} if field.missing else {}
    return {key: value for key, value in values.items() if value not in ("", None)}


def hidden(text: str, hide: bool) -> str:
    """A user's words, with placeholders where that is asked for."""
    return redact(text) if hide else text
