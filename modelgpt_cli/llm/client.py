"""The line to an LLM: one Chat Completions request out, one answer and its tokens back, or a plain error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.core.option_fields import options_of
from modelgpt_cli.core.options import LLMOptions
from modelgpt_cli.core.web import RefusedAnswerError
from modelgpt_cli.llm.keys import find_key, key_missing
from modelgpt_cli.llm.parameters import is_blind, is_too_long, refused_parameters, without
from modelgpt_cli.llm.providers import ANY_MODEL, RETRIES, TIMEOUT, Provider, SchemaMode, find_provider
from modelgpt_cli.llm.served import Served, ask_models, short_name
from modelgpt_cli.llm.usage import Prices, Usage, estimate, text_tokens

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_HOST = "api.openai.com"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    text: str
    """Empty if the model said nothing."""
    usage: Usage
    model: str = ""
    """Which model answered, as far as the server says."""
    cut: bool = False
    """Whether it ends where it had to, rather than where the model wanted it to."""
    refused: frozenset[str] = frozenset()
    """Parameters that the server would not hear of, and was asked without."""


@dataclass(frozen=True)
class LLM:
    """Which model to ask, where, and how patiently."""

    model: str = DEFAULT_MODEL
    base_url: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    timeout: float = TIMEOUT
    """Seconds of silence until an answer is given up, at each try."""
    retries: int = RETRIES
    """How often to try again after a time-out, a refusal for load (429), a server error or a lost connection."""
    provider: str | None = None
    """The name that it was found by, if any."""
    key_env: str | None = "OPENAI_API_KEY"
    """The environment variable that holds the key; None where none is sent."""
    schema: SchemaMode = "json_schema"
    """How the server is held to the form of an answer; the answer is checked all the same."""
    vision: bool = True
    """False where the model is known not to see images."""
    prices: Prices | None = None
    otherwise: str = "write the sentence without an LLM: --offline"
    """What a user can do without an LLM; ends the hints of errors. Empty where there is nothing."""

    def __post_init__(self) -> None:
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            # The client would put such a key, whole, into its own error message.
            hint = f"Set {self.key_env} again."
            raise UsageError("The API key has blanks or special characters in it.", hint=hint)
        if self.base_url and not (self.base_url.startswith(("http://", "https://")) and self.host):
            raise UsageError("The base URL is not a web address.", hint="For instance: http://localhost:11434/v1")
        for name in ("timeout", "retries"):
            options_of(LLMOptions)[name].check(getattr(self, name))

    @classmethod
    def from_settings(
        cls,
        model: str | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float | None = None,
        retries: int | None = None,
        provider: str | None = None,
    ) -> LLM:
        """Fill what is not given from the provider, or else from the environment.

        Without a provider: ``MODELGPT_LLM``, ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``. With one, the model and the
        address that are given or set by ``MODELGPT_LLM`` still win over its own; its key comes from the variable that
        it names, or from the keyring.

        Raises
        ------
        UsageError
            If there is no such provider, it names no model and none is given, or a setting makes no sense.
        """
        found = find_provider(provider) if provider else None
        model = _setting(model, "MODELGPT_LLM")
        if found is not None:
            return cls._of_provider(found, model, base_url, api_key, timeout, retries)
        return cls(
            model=model or DEFAULT_MODEL,
            base_url=_setting(base_url, "OPENAI_BASE_URL"),
            api_key=(api_key or "").strip() or find_key("OPENAI_API_KEY", None),
            timeout=TIMEOUT if timeout is None else timeout,
            retries=RETRIES if retries is None else retries,
        )

    @classmethod
    def _of_provider(
        cls,
        found: Provider,
        model: str | None,
        base_url: str | None,
        api_key: str | None,
        timeout: float | None,
        retries: int | None,
    ) -> LLM:
        if not (model or found.model):
            raise UsageError(
                f"Which model of {found.name} is to be asked?",
                "This provider names none.",
                "Say --llm MODEL, or write 'model:' beside it in the file of providers.",
            )
        # What is known of the provider's own model is not known of another.
        own = model in (None, found.model)
        return cls(
            model=model or found.model or "",
            base_url=(base_url or "").strip() or found.base_url,
            api_key=api_key or find_key(found.api_key_env, found.name),
            timeout=found.timeout if timeout is None else timeout,
            retries=found.retries if retries is None else retries,
            provider=found.name,
            key_env=found.api_key_env,
            schema=found.schema,
            vision=found.vision or not own,
            prices=found.prices if own else None,
        )

    @property
    def configured(self) -> bool:
        """Whether there is anything to talk to: a key, or a server of the user's own."""
        return bool(self.api_key or self.base_url)

    @property
    def lacks_key(self) -> bool:
        """Whether its provider wants a key and none was found."""
        return bool(self.provider and self.key_env and not self.api_key)

    def check_key(self) -> None:
        """Make sure that a key that is wanted is there.

        Raises
        ------
        UsageError
            If not.
        """
        if self.lacks_key:
            raise key_missing(self.key_env or "", self.provider or "", self.otherwise)

    @property
    def host(self) -> str:
        """Name of the server, without a password that may stand in its address."""
        if not self.base_url:
            return DEFAULT_HOST
        try:
            parts = urlsplit(self.base_url)
            return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
        except ValueError:
            return ""

    @property
    def server(self) -> str:
        """The whole address, without a password: what tells one server from another."""
        parts = urlsplit(self.base_url or f"https://{DEFAULT_HOST}/v1")
        return urlunsplit((parts.scheme, self.host, parts.path.rstrip("/"), parts.query, ""))

    def hint(self, words: str) -> str:
        """What to do next, and what without an LLM."""
        return f"{words}, or {self.otherwise}." if self.otherwise else f"{words}."

    def scrub(self, text: str) -> str:
        """Take the key, and a password in the address, out of a text."""
        password = urlsplit(self.base_url).password if self.base_url else None
        for secret in (self.api_key, password):
            text = text.replace(secret, "***") if secret else text
        return text

    def request(
        self,
        messages: list[dict[str, Any]],
        response_format: dict[str, Any],
        *,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Give the body of the request, all of it: what a dry run shows is what is sent.

        Parameters
        ----------
        messages : list of dict
            Of the chat.
        response_format : dict
            That of a JSON schema; sent as far as the server knows such.
        max_tokens : int, optional
            Where an answer is cut.
        temperature, seed
            Of the draw of words; the server's own where not given.
        """
        chosen = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
        request = {
            "model": self.model,
            "messages": messages,
            **{name: value for name, value in chosen.items() if value is not None},
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.schema == "none":
            return request
        return {**request, "response_format": response_format if self.schema == "json_schema" else _ANY_OBJECT}

    def ask(self, request: dict[str, Any]) -> Answer:
        """Send a request and give the answer.

        A server that turns the request down (400, 422) is asked again without what it names, or without the schema and
        the seed where it names nothing: not all know these.

        Raises
        ------
        UnreachableError
            If there is no answer: names the model, the server and the cause, never the key.
        UsageError
            If its provider wants a key and there is none.
        """
        import openai

        self.check_key()
        refused: frozenset[str] = frozenset()
        with self._explained(request), self._client() as client:
            while True:
                kept = without(request, refused)
                streamed = {key: kept.pop(key) for key in ("stream", "stream_options") if key in kept}
                try:
                    # Not the client's own streams: ours are put together below it.
                    answer = client.chat.completions.create(**kept, extra_body=streamed)
                    break
                except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                    told = str(error.message)
                    more = refused_parameters(kept | streamed, told) - refused
                    if not more or is_too_long(told) or is_blind(told, request):
                        raise
                    refused |= more
        try:
            choice: Any = answer.choices[0] if answer.choices != [] else None
            message = choice.message if answer.choices != [] else None
            content = message.content if message else None
        except (AttributeError, LookupError, TypeError):
            raise UnreachableError(
                f"{self.host} does not speak the Chat Completions API.",
                "Its answer has another form.",
                "Look at the base URL: it usually ends in /v1.",
            ) from None
        text = content if isinstance(content, str) else ""
        cut = getattr(choice, "finish_reason", None) == "length"
        model = self._answered(getattr(answer, "model", None))
        return Answer(text, _usage(answer, request, text), model, cut, refused)

    @property
    def anonymous(self) -> bool:
        """Whether the server is asked for whatever model it has."""
        return self.model == ANY_MODEL

    def _answered(self, told: object) -> str:
        """Which model answered: as the answer says, or else the server's list, where none was asked for by name."""
        name = short_name(told) if isinstance(told, str) else ""
        if name and name != ANY_MODEL:
            return name
        served = self.models() if self.anonymous else ()
        return served[0] if served else self.model

    def models(self) -> tuple[str, ...]:
        """Which models the server has, as far as it tells; nothing but the question is sent."""
        url = self.base_url or f"https://{DEFAULT_HOST}/v1"
        try:
            return ask_models(url, self.api_key, min(self.timeout, _LIST_SECONDS)).models
        except (OSError, ValueError):
            return ()

    def _client(self) -> Any:
        import openai

        from modelgpt_cli.llm.http_client import BoundedClient

        # Local servers ask for no key, but the client does.
        return openai.OpenAI(
            api_key=self.api_key or "none",
            base_url=self.base_url,
            max_retries=self.retries,
            timeout=self.timeout,
            http_client=BoundedClient(self.timeout),
        )

    @contextmanager
    def _explained(self, request: dict[str, Any]) -> Iterator[None]:
        """Turn what the client raises into words; the original is dropped, as it may quote the key."""
        import openai

        who, tries = (
            f"{self.model} at {self.host}",
            f"after {self.retries + 1} tries" if self.retries else "at the first try",
        )
        try:
            yield
        except openai.APITimeoutError:
            cause = f"Nothing came for {self.timeout:g} seconds, {tries}."
            hint = self.hint("Try again later, wait longer with --timeout")
            raise UnreachableError(f"{who} gave no answer in time.", cause, hint) from None
        except openai.APIConnectionError as error:
            if isinstance(error.__cause__, RefusedAnswerError):
                raise self._unreadable(str(error.__cause__)) from None
            cause = self.scrub(str(error.__cause__ or error))
            raise UnreachableError(f"{self.host} is out of reach.", f"{cause} ({tries}).", self._later) from None
        except openai.APIStatusError as error:
            raise self._refused(error, request) from None
        except Exception as error:  # an answer of another shape ends in whatever the client stumbles over
            raise self._unreadable(str(error)) from None

    def _unreadable(self, cause: str) -> UnreachableError:
        problem = f"{self.model} at {self.host} gave an answer that can't be read."
        return UnreachableError(problem, self.scrub(cause)[:500], self._later)

    def _refused(self, error: Any, request: dict[str, Any]) -> UnreachableError:
        status, message = error.status_code, self.scrub(str(error.message))
        if 300 <= status < 400:
            return UnreachableError(
                f"{self.host} sends requests on to another address (HTTP {status}).",
                "That is not followed: the key and the data are for this server alone.",
                self.hint("Give the server's own address as --base-url"),
            )
        who = f"{self.model} at {self.host}"
        if is_too_long(message):
            return UnreachableError(
                f"The request is longer than {who} can read.",
                message[:500],
                self.hint("Give the server a longer context (llama-server -c, ollama num_ctx), show it less"),
            )
        if is_blind(message, request):
            return UnreachableError(
                f"{who} sees no images.", message[:500], self.hint("Name a model that does: --llm MODEL")
            )
        return UnreachableError(f"{who} refused to answer (HTTP {status}).", message[:500], self._advice(status, error))

    def _advice(self, status: int, error: Any) -> str:
        """What to do about a refusal."""
        if status == 401:
            return self.hint(f"Set {self.key_env} to a valid key" if self.key_env else _NO_KEY)
        if status == 403:
            return self.hint("Ask for access, choose another model with --llm")
        if status == 404:
            known = Served(200, self.models()).words()
            there = f"It has {known}: choose one with --llm" if known else "Choose another model with --llm"
            return f"{there}, or look at the base URL: it usually ends in /v1."
        wait = error.response.headers.get("retry-after", "")
        if status in (429, 503) and re.fullmatch(r"\d{1,6}", wait):
            return self.hint(f"Try again in {wait} seconds, as it says")
        return self.hint("Wait a little, look at your quota") if status == 429 else self._later

    @property
    def _later(self) -> str:
        return self.hint("Try again later")


_ANY_OBJECT = {"type": "json_object"}
_LIST_SECONDS = 5.0
_NO_KEY = "Name the variable that holds its key, api_key_env, in the file of providers"


def _setting(value: str | None, variable: str) -> str | None:
    return (value or os.environ.get(variable, "")).strip() or None


def _usage(answer: Any, request: dict[str, Any], text: str) -> Usage:
    """The tokens as the server counted them; as estimated where it did not."""
    told = getattr(answer, "usage", None)
    read, written = getattr(told, "prompt_tokens", None), getattr(told, "completion_tokens", None)
    if isinstance(read, int) and isinstance(written, int) and read > 0 <= written:
        return Usage(read, written)
    return estimate(request, text_tokens(text))
