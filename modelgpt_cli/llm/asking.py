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
from modelgpt_cli.llm.parameters import without
from modelgpt_cli.llm.template import Message, Prompt
from modelgpt_cli.llm.usage import Usage

logger = logging.getLogger("modelgpt")

T = TypeVar("T")
_SHOWN = 500


class UselessAnswerError(UnreachableError):
    """The LLM twice gave no answer that can be used.

    Attributes
    ----------
    reason : str
        What was wrong with the last one, as a sentence.
    """

    def __init__(self, problem: str, cause: str, hint: str, reason: str) -> None:
        super().__init__(problem, cause, hint)
        self.reason = reason


class BadAnswerError(Exception):
    """The answer can't be used; the message says why, in words the LLM can be told."""


@dataclass(frozen=True)
class Recalled(Generic[T]):
    """An answer from the cache that can be used."""

    value: T
    date: str
    """When the LLM gave it: ISO 8601, UTC."""
    model: str
    """Which model gave it."""


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
    answered: str = ""
    """Which model gave the last answer."""
    cut: bool = False
    """Whether the last answer was cut where it reached the most tokens."""
    _refused: frozenset[str] = frozenset()

    def request(
        self,
        prompt: Prompt,
        messages: list[Message],
        *,
        max_tokens: int | None = None,
        sure: bool = False,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Give the body of a request for an answer of the template's form.

        Parameters
        ----------
        max_tokens : int, optional
            Where the answer is cut.
        sure : bool
            Whether the likeliest words are wanted, the same ones each time.
        seed : int, optional
            Of the draw of words.
        """
        temperature, seed = (0.0, 0) if sure else (None, seed)
        form = prompt.response_format()
        return self.llm.request(messages, form, max_tokens=max_tokens, temperature=temperature, seed=seed)

    def recall(self, request: Mapping[str, Any], read: Callable[[str], T], *, dry: bool = False) -> Recalled[T] | None:
        """Look for a usable answer to a request in the cache; the request is not sent.

        Where the server is asked for whatever model it has, it has to have the one that answered then; in a dry run
        even that is not asked.
        """
        kept = self.cache.get(self.llm.server, request) if self.cache is not None else None
        if kept is None:
            return None
        if self.llm.anonymous and not dry and kept.model not in self.llm.models():  # the server has another one by now
            return None
        try:
            found = Recalled(read(kept.answer), kept.date, kept.model)
        except BadAnswerError:  # the checks have become stricter since
            return None
        self.answered, self.cut = kept.model, False
        return found

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
            value = self._read(answer, read)
        except BadAnswerError as error:
            logger.info("The answer can't be used: %s Asking once more.", error)
            answer = self._send({**request, "messages": prompt.again(request["messages"], answer.text, str(error))})
            try:
                value = self._read(answer, read)
            except BadAnswerError as again:
                raise self._useless(answer.text, str(again)) from None
        if self.cache is not None and not answer.cut:
            self.cache.put(self.llm.server, request, answer.text, answer.model)
        return value

    @staticmethod
    def _read(answer: Answer, read: Callable[[str], T]) -> T:
        try:
            return read(answer.text)
        except BadAnswerError:
            if answer.cut:
                raise BadAnswerError("it was cut off, as it became too long; write less.") from None
            raise

    def _send(self, request: Mapping[str, Any]) -> Answer:
        request = without(dict(request), self._refused)
        if self.allow is not None:
            self.allow(request)
        answer = self.llm.ask(request)
        self.spent += answer.usage
        self._refused |= answer.refused
        self.answered, self.cut = answer.model, answer.cut
        return answer

    def _useless(self, answer: str, reason: str) -> UselessAnswerError:
        return UselessAnswerError(
            f"{self.answered or self.llm.model} gave no usable answer, asked twice.",
            f"The last time, {reason} It answered: {_printable(self.llm.scrub(answer))}",
            self.llm.hint("Try another model with --llm"),
            f"The last time, {reason}",
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
