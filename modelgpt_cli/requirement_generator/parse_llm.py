"""From free words in any language to a requirement, with an LLM: the same fields as `parse`, under a schema."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.llm.asking import Talk
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.messages import ask_aloud, redaction_words, tell_plan, would_be_sent
from modelgpt_cli.llm.redact import redact
from modelgpt_cli.llm.template import Prompt, read_prompt, wrong_template
from modelgpt_cli.requirement_generator.parse import ContradictionError, ParsedRequest
from modelgpt_cli.requirement_generator.parse_answer import ANSWER_KEYS, answer_schema, read_reading
from modelgpt_cli.requirement_generator.prompt import fenced

log = logging.getLogger("modelgpt")
OFFLINE = "read the words without an LLM: --offline"
_ANSWER_TOKENS = 250
"""Of a request with half a dozen figures, each of which quotes its words."""
_MOST_TOKENS = 1200
"""An answer is cut there: one with a dozen figures, and as many remarks, is shorter."""


def load_parse_prompt(path: Path | None = None) -> Prompt:
    """Read the template for requests in free words, and fill the requirement file's keys into its schema.

    Raises
    ------
    ModelGPTError
        If it is no template, has other gaps than $request, or its answer has other keys than are read.
    """
    path = path or asset("prompts", "parse.yaml")
    prompt = read_prompt(path, frozenset({"request"}))
    if set(prompt.schema["properties"]) != set(ANSWER_KEYS):
        raise wrong_template(path, f"Its answer must have the keys {', '.join(ANSWER_KEYS)}.")
    return replace(prompt, schema=answer_schema(prompt.schema))


@dataclass(frozen=True)
class LLMReader:
    """Reads requests with an LLM.

    Attributes
    ----------
    talk : Talk
    prompt : Prompt
        From `load_parse_prompt`.
    hide : bool
        Show the LLM placeholders for e-mail addresses and long numbers.
    """

    talk: Talk
    prompt: Prompt
    hide: bool = False

    @classmethod
    def of(cls, llm: LLM, *, cache: bool = True, hide: bool = False) -> LLMReader:
        """Make the reader that asks an LLM."""
        return cls(Talk(replace(llm, otherwise=OFFLINE), AnswerCache() if cache else None), load_parse_prompt(), hide)

    def check(self) -> None:
        """Make sure that there is a server to ask, and its key.

        Raises
        ------
        UsageError
            If not.
        """
        if not self.talk.llm.configured:
            raise UsageError(
                "Which server shall read the words?",
                "There is no --provider, no --base-url and no OPENAI_API_KEY.",
                f"For instance: --provider ollama (docs/llm.md); or {OFFLINE}.",
            )
        self.talk.llm.check_key()

    def read(self, text: str) -> ParsedRequest:
        """Give what the LLM understands of a request, checked against its words.

        Raises
        ------
        ContradictionError
            If the words contradict themselves.
        UnreachableError
            If the LLM is out of reach, or twice gives no usable answer.
        UsageError
            If no server is named, or its key is missing.
        """
        self.check()
        request, read = self.asked(text)
        if self.hide:
            log.info(redaction_words(request))
        found = ask_aloud(self.talk, request, self.prompt, read, log.info)
        if isinstance(found, ContradictionError):
            raise found
        return found

    def plan(self, text: str) -> str:
        """Give, as JSON, what would be sent for a request; say what it would take."""
        request, read = self.asked(text)
        log.info(would_be_sent(self.talk.llm))
        if self.hide:
            log.info(redaction_words(request))
        tell_plan(self.talk, request, read, log.info, tokens_out=_ANSWER_TOKENS)
        return json.dumps(request, ensure_ascii=False, indent=2)

    def asked(self, text: str) -> tuple[dict[str, Any], Callable[[str], ParsedRequest | ContradictionError]]:
        """Give the body of the request for some words, and what reads the answer to it."""
        shown = redact(text) if self.hide else text
        messages = self.prompt.messages(request=fenced({"request": shown}))
        request = self.talk.request(self.prompt, messages, max_tokens=_MOST_TOKENS, sure=True)
        return request, partial(read_reading, shown=shown, sentence=text)
