"""The talk with an LLM: one Chat Completions request in, the text of one answer out, or an error for a person."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from modelgpt_cli.errors import UnreachableError, UsageError

DEFAULT_MODEL = "gpt-4o-mini"
DEFAULT_HOST = "api.openai.com"
_OFFLINE = "Try again later, or write the sentence without an LLM: --offline."


@dataclass(frozen=True)
class LLM:
    """Which model to ask, where, and how patiently."""

    model: str = DEFAULT_MODEL
    base_url: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    """Seconds to wait for an answer, at each try."""
    retries: int = 3
    """How often to try again after a time-out, a refusal for load (429), a server error or a lost connection."""

    def __post_init__(self) -> None:
        if self.api_key and not (self.api_key.isascii() and self.api_key.isprintable() and " " not in self.api_key):
            # The client would put such a key, whole, into its own error message.
            raise UsageError("The API key has blanks or special characters in it.", hint="Set OPENAI_API_KEY again.")
        if self.base_url and not (self.base_url.startswith(("http://", "https://")) and self.host):
            raise UsageError("The base URL is not a web address.", hint="For instance: http://localhost:11434/v1")
        if not self.timeout > 0:
            raise UsageError(f"--timeout can't be {self.timeout:g}.", "It is a number of seconds above 0.")
        if self.retries < 0:
            raise UsageError(f"--retries can't be {self.retries}.", "It is 0 or more.")

    @classmethod
    def from_settings(
        cls, model: str | None, base_url: str | None, api_key: str | None, timeout: float, retries: int
    ) -> LLM:
        """Fill what is not given from ``MODELGPT_LLM``, ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``."""

        def setting(value: str | None, variable: str) -> str | None:
            return (value or os.environ.get(variable, "")).strip() or None

        return cls(
            model=setting(model, "MODELGPT_LLM") or DEFAULT_MODEL,
            base_url=setting(base_url, "OPENAI_BASE_URL"),
            api_key=setting(api_key, "OPENAI_API_KEY"),
            timeout=timeout,
            retries=retries,
        )

    @property
    def configured(self) -> bool:
        """Whether there is anything to talk to: a key, or a server of the user's own."""
        return bool(self.api_key or self.base_url)

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

    def scrub(self, text: str) -> str:
        """Take the key, and a password in the address, out of a text."""
        password = urlsplit(self.base_url).password if self.base_url else None
        for secret in (self.api_key, password):
            text = text.replace(secret, "***") if secret else text
        return text

    def request(self, messages: list[dict[str, Any]], response_format: dict[str, Any]) -> dict[str, Any]:
        """Give the body of the request, all of it: what a dry run shows is what is sent."""
        return {"model": self.model, "messages": messages, "response_format": response_format}

    def ask(self, request: dict[str, Any]) -> str:
        """Send a request and give the answer's text; empty if the model said nothing.

        A server that turns the request down (400, 422) is asked again without the schema: not all know it.

        Raises
        ------
        UnreachableError
            If there is no answer: names the model, the server and the cause, never the key.
        """
        import openai

        with self._explained(), self._client() as client:
            try:
                answer = client.chat.completions.create(**request)
            except (openai.BadRequestError, openai.UnprocessableEntityError):
                answer = client.chat.completions.create(**{k: v for k, v in request.items() if k != "response_format"})
        try:
            message = answer.choices[0].message if answer.choices != [] else None
            content = message.content if message else None
        except (AttributeError, TypeError):
            raise UnreachableError(
                f"{self.host} does not speak the Chat Completions API.",
                "Its answer has another form.",
                "Look at the base URL: it usually ends in /v1.",
            ) from None
        return content if isinstance(content, str) else ""

    def _client(self) -> Any:
        import openai

        # Local servers ask for no key, but the client does.
        return openai.OpenAI(
            api_key=self.api_key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=self.retries
        )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the client raises into words; the original is dropped, as it may quote the key."""
        import openai

        who, tries = (
            f"{self.model} at {self.host}",
            f"after {self.retries + 1} tries" if self.retries else "at the first try",
        )
        try:
            yield
        except openai.APITimeoutError:
            raise UnreachableError(
                f"{who} gave no answer in time.", f"It took over {self.timeout:g} seconds, {tries}.", _OFFLINE
            ) from None
        except openai.APIConnectionError as error:
            cause = self.scrub(str(error.__cause__ or error))
            raise UnreachableError(f"{self.host} is out of reach.", f"{cause} ({tries}).", _OFFLINE) from None
        except openai.APIStatusError as error:
            raise self._refused(error.status_code, self.scrub(str(error.message))) from None
        except (openai.OpenAIError, ValueError) as error:
            cause = self.scrub(str(error))[:500]
            raise UnreachableError(f"{who} gave an answer that can't be read.", cause, _OFFLINE) from None

    def _refused(self, status: int, message: str) -> UnreachableError:
        hints = {
            401: "Set OPENAI_API_KEY to a valid key, or write the sentence without an LLM: --offline.",
            403: "Ask for access, choose another model with --llm, or use --offline.",
            404: "Choose another model with --llm, or look at the base URL: it usually ends in /v1.",
            429: "Wait a little, look at your quota, or use --offline.",
        }
        problem = f"{self.model} at {self.host} refused to answer (HTTP {status})."
        return UnreachableError(problem, message[:500], hints.get(status, _OFFLINE))
