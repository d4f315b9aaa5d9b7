"""What a user is told of a request to an LLM: where it goes, what it takes, that its answer was kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from modelgpt_cli.llm.asking import Talk
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.redact import count_placeholders
from modelgpt_cli.llm.template import Prompt
from modelgpt_cli.llm.usage import HOW, estimate

T = TypeVar("T")
Say = Callable[[str], None]


def would_be_sent(llm: LLM, which: str = "") -> str:
    """What a dry run says of the request that it prints."""
    return f"This would be sent{which} to {llm.model} at {llm.host}; nothing was sent, nothing was written."


def redaction_words(request: Mapping[str, Any]) -> str:
    """How much gave way to placeholders in the last message of a request."""
    content = request["messages"][-1]["content"]
    text = content if isinstance(content, str) else content[0]["text"]
    counts = [f"{count} {mark}" for mark, count in count_placeholders(text).items()]
    return f"--redact: placeholders in what is sent: {', '.join(counts) or 'none, as nothing was found'}."


def tell_plan(
    talk: Talk, request: Mapping[str, Any], read: Callable[[str], object], say: Say, *, tokens_out: int, how: str = HOW
) -> None:
    """Say what a request would take, whether the cache holds its answer, and whether a key is lacking.

    Parameters
    ----------
    read : callable
        What the answer has to pass, as in `Talk.ask`.
    tokens_out : int
        What the answer will be, which the caller knows best.
    how : str
        How the tokens are estimated, for a person.
    """
    llm = talk.llm
    usage = estimate(request, tokens_out)
    say(f"It takes {usage.words(llm.prices)}, twice that if the first answer is no use. Estimated: {how}.")
    recalled = talk.recall(request, read, dry=True)
    if recalled is not None:
        say(f"The cache holds an answer to it, of {recalled.date[:10]}: without --no-cache, nothing will be sent.")
    if llm.lacks_key:
        say(f"There is no key for {llm.provider} yet: set {llm.key_env}, or keep one in the keyring.")


def ask_aloud(
    talk: Talk, request: Mapping[str, Any], prompt: Prompt, read: Callable[[str], T], say: Say, shown_too: str = ""
) -> T:
    """Give the answer from the cache, or ask for it (`Talk.ask`), saying which, and what the talk took.

    Parameters
    ----------
    shown_too : str
        What the LLM is shown beside words.
    """
    llm = talk.llm
    recalled = talk.recall(request, read)
    if recalled is not None:
        say(
            f"From the cache: {recalled.model} at {llm.host} answered this on {recalled.date[:10]}. "
            "--no-cache asks again."
        )
        return recalled.value
    say(f"Asking {llm.model} at {llm.host}; --dry-run shows what it is sent{shown_too}.")
    value = talk.ask(request, prompt, read)
    say(f"That took {talk.spent.words(llm.prices)}.")
    return value
