"""An LLM that proposes the next setting of a search, from the task in words, the space and the trials so far.

Between `study` and `search`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.llm.asking import BadAnswerError, Talk, read_object
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.llm.template import Prompt, read_prompt, wrong_template
from modelgpt_cli.model_generator.search.space import Setting, Space
from modelgpt_cli.model_generator.search.study import Trial
from modelgpt_cli.requirement_generator.prompt import fenced

log = logging.getLogger("modelgpt")
ANALYSIS, SETTING = "analysis", "setting"
OTHERWISE = "leave out --proposer llm"
_MOST_TOKENS = 800
_MOST_TRIALS = 40
"""Trials that it is shown: the best, and the last ones."""


def load_search_prompt(path: Path | None = None) -> Prompt:
    """Read the template for proposals.

    Raises
    ------
    ModelGPTError
        If it is no template, has other gaps than $search, or its answer has other keys than are read.
    """
    path = path or asset("prompts", "search.yaml")
    prompt = read_prompt(path, frozenset({"search"}))
    if set(prompt.schema["properties"]) != {ANALYSIS, SETTING}:
        raise wrong_template(path, f"Its answer must have the keys {ANALYSIS} and {SETTING}.")
    return prompt


@dataclass
class LLMProposer:
    """Proposes settings with an LLM; once it gives none that can be used, it is left alone for good.

    Attributes
    ----------
    about : mapping
        The task: sentence, rows, metric and the like, as JSON.
    """

    talk: Talk
    prompt: Prompt
    space: Space
    about: dict[str, Any]
    lost: bool = False

    @classmethod
    def of(cls, llm: LLM, space: Space, about: dict[str, Any], *, hide: bool = False) -> LLMProposer:
        """Make the proposer that asks an LLM; with `hide` it sees placeholders for e-mail addresses and numbers.

        Raises
        ------
        UsageError
            No server is named, or its key is missing.
        """
        prompt = load_search_prompt()
        shown = about | {"requirement": redact(str(about["requirement"]))} if hide else about
        return cls(Talk(replace(llm, otherwise=OTHERWISE)), _filled(prompt, space), space, shown)

    def check(self) -> None:
        """Make sure that there is a server to ask, and its key.

        Raises
        ------
        UsageError
            There isn't.
        """
        if not self.talk.llm.configured:
            raise UsageError(
                "Which server shall propose settings?",
                "There is no --provider, no --base-url and no OPENAI_API_KEY.",
                f"For instance: --provider ollama (docs/llm.md); or {OTHERWISE}.",
            )
        self.talk.llm.check_key()

    def propose(self, trials: Sequence[Trial], best: Trial) -> Setting | None:
        """Return a setting that was not tried yet; None where the LLM has none, which is said once."""
        if self.lost:
            return None
        try:
            return self.talk.ask(self.request(trials, best), self.prompt, partial(self._read, trials))
        except UnreachableError as error:
            self.lost = True
            reason = getattr(error, "reason", "") or error.cause
            log.warning("%s %s The sampler goes on by itself.", error.problem, reason)
            return None

    def request(self, trials: Sequence[Trial], best: Trial | None) -> dict[str, Any]:
        """Return the body of the request for the next setting."""
        last = [trial for trial in trials[-_MOST_TRIALS:] if best is None or trial.number != best.number]
        shown = [_shown(trial) for trial in ([best] if best is not None else []) + last]
        words = {one.name: one.words() for one in self.space.parameters}
        messages = self.prompt.messages(search=fenced({"task": self.about, "space": words, "trials": shown}))
        return self.talk.request(self.prompt, messages, max_tokens=_MOST_TOKENS, sure=True)

    def plan(self) -> str:
        """Return, as JSON, what would be sent first."""
        return json.dumps(self.request([], None), ensure_ascii=False, indent=2)

    def _read(self, trials: Sequence[Trial], answer: str) -> Setting:
        values = read_object(answer).get(SETTING)
        if not isinstance(values, dict):
            raise BadAnswerError(f"it must have the key {SETTING}, an object.")
        try:
            setting = self.space.check(values)
        except ValueError as error:
            raise BadAnswerError(f"{error}.") from None
        if any(trial.setting == setting for trial in trials):
            raise BadAnswerError("this setting was tried already.")
        return setting


def _filled(prompt: Prompt, space: Space) -> Prompt:
    """The template with the space's parameters in its schema."""
    forms = {one.name: one.form() for one in space.parameters}
    setting = {"type": "object", "properties": forms, "required": list(forms), "additionalProperties": False}
    properties = {**prompt.schema["properties"], SETTING: setting}
    return replace(prompt, schema={**prompt.schema, "properties": properties})


def _shown(trial: Trial) -> dict[str, Any]:
    """A trial as the LLM sees it."""
    values: dict[str, Any] = {"setting": trial.setting, "state": trial.state}
    if trial.score is not None:
        values["score"] = float(f"{trial.score:.5g}")
    return values
