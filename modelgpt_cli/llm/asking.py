"""One answer that can be used: asked for under a schema, checked, asked for once more if need be, kept. And the bill.

Everything that has an LLM write something goes through a `Talk`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM, Answer
from modelgpt_cli.llm.template import Message, Prompt
from modelgpt_cli.llm.usage import Usage

logger = logging.getLogger("modelgpt")

T = TypeVar("T")
_SHOWN = 500


class UselessAnswerError(UnreachableError):
    """The LLM twice gave no answer that can be used."""


class BadAnswerError(Exception):
    """The answer can't be used; the message says why, in words the LLM can be told."""


@dataclass(frozen=True)
class Recalled(Generic[T]):
    """An answer from the cache that can be used."""

    value: T
    date: str
    """When the LLM gave it: ISO 8601, UTC."""


@dataclass
class Talk:
    """A talk with one LLM: requests made from templates, and answers that passed their check."""

    llm: LLM
    cache: AnswerCache | None = None
    """Where answers are looked for and kept, if anywhere."""
    spent: Usage = field(default_factory=Usage)
    """What all requests so far took, answers that could not be used among them."""
    allow: Callable[[Mapping[str, Any]], None] | None = None
    """Called with each request before it is sent; what it raises keeps the request back."""
    _schema_refused: bool = False

    def request(self, prompt: Prompt, messages: list[Message]) -> dict[str, Any]:
        """Give the body of a request for an answer of the template's form."""
        return self.llm.request(messages, prompt.response_format())

    def recall(self, request: Mapping[str, Any], read: Callable[[str], T]) -> Recalled[T] | None:
        """Look for a usable answer to a request in the cache; nothing is sent."""
        kept = self.cache.get(self.llm.server, request) if self.cache is not None else None
        if kept is None:
            return None
        try:
            return Recalled(read(kept.answer), kept.date)
        except BadAnswerError:  # the checks have become stricter since
            return None

    def ask(self, request: Mapping[str, Any], prompt: Prompt, read: Callable[[str], T]) -> T:
        """Ask, and once more, saying what was wrong, if the answer can't be used; keep one that can.

        Parameters
        ----------
        request : mapping
            From `request`.
        prompt : Prompt
            The template behind it, which has the words to ask again.
        read : callable
            Makes of an answer what is wanted, or raises `BadAnswerError`.

        Raises
        ------
        UnreachableError
            If the LLM is out of reach; `UselessAnswerError` if it twice gives no usable answer.
        """
        answer = self._send(request)
        try:
            value = read(answer.text)
        except BadAnswerError as error:
            logger.info("The answer can't be used: %s Asking once more.", error)
            answer = self._send({**request, "messages": prompt.again(request["messages"], answer.text, str(error))})
            try:
                value = read(answer.text)
            except BadAnswerError as again:
                raise self._useless(answer.text, str(again)) from None
        if self.cache is not None:
            self.cache.put(self.llm.server, request, answer.text)
        return value

    def _send(self, request: Mapping[str, Any]) -> Answer:
        if self._schema_refused:
            request = {key: value for key, value in request.items() if key != "response_format"}
        if self.allow is not None:
            self.allow(request)
        answer = self.llm.ask(dict(request))
        self.spent += answer.usage
        self._schema_refused |= answer.schema_refused
        return answer

    def _useless(self, answer: str, reason: str) -> UselessAnswerError:
        return UselessAnswerError(
            f"{self.llm.model} gave no usable answer, asked twice.",
            f"The last time, {reason} It answered: {_printable(self.llm.scrub(answer))}",
            self.llm.hint("Try another model with --llm"),
        )


def read_object(answer: str) -> dict[str, Any]:
    """Give the JSON object that an answer is, possibly inside a code fence.

    Raises
    ------
    BadAnswerError
        If it is none.
    """
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        language, _, fenced = text[3:-3].partition("\n")
        text = fenced if re.fullmatch(r"[A-Za-z]*\s*", language) else text
    try:
        values = parse_json(text)
    except ValueError:
        raise BadAnswerError("it is empty." if not answer.strip() else "it is not JSON.") from None
    if not isinstance(values, dict):
        raise BadAnswerError("it must be a JSON object.")
    return values


def _printable(answer: str) -> str:
    """Show an answer without its power over a terminal."""
    text = "".join(
        char if char.isprintable() else "\\n" if char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in answer
    )
    return (text[:_SHOWN] + "…" if len(text) > _SHOWN else text) or "(nothing)"
