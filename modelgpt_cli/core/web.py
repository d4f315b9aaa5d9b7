"""What every talk with a server keeps to: no redirect to another host, a limit on the time and the size of an answer.

An address may hold a password, a header a key, and a body a prompt: another host must get none of them.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit

from modelgpt_cli.core.background import within

MAX_ANSWER_BYTES = 10_000_000
"""Of an answer, unpacked. The longest that a command asks for, some dozens of rows, has a few 10 kB."""
_PORTS = {"http": 80, "https": 443}


class RefusedAnswerError(ValueError):
    """An answer that is not read on: too long, or a redirect to another host."""


@dataclass(frozen=True)
class Reply:
    """What a server answered: the HTTP status, 200 or above, and the body."""

    status: int
    body: bytes


def get(url: str, headers: Mapping[str, str] | None = None, *, timeout: float) -> Reply:
    """Ask a server for a page.

    Parameters
    ----------
    url : str
    headers : mapping of str to str, optional
    timeout : float
        Seconds for the whole answer, redirects included.

    Raises
    ------
    OSError
        The server is out of reach, or the time is over (`TimeoutError`).
    ValueError
        The address is none, what comes back is not HTTP, it redirects to another host, or it is too long
        (`RefusedAnswerError`).
    """
    request = urllib.request.Request(url, headers=dict(headers or {}))

    def fetch() -> Reply:
        opener = urllib.request.build_opener(_SameHost)
        try:
            with opener.open(request, timeout=timeout) as answer:
                return Reply(answer.status, bounded(iter(lambda: answer.read(1 << 16), b"")))
        except HTTPError as error:
            with error:
                return Reply(error.code, b"")
        except HTTPException as error:
            raise ValueError(f"no HTTP: {type(error).__name__}") from error

    return within(timeout, fetch)


def bounded(chunks: Iterable[bytes], most: int = MAX_ANSWER_BYTES) -> bytes:
    """Return the chunks as one, as long as they are no longer than `most` bytes.

    Raises
    ------
    RefusedAnswerError
        They are; no more is read then.
    """
    parts, size = [], 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > most:
            raise RefusedAnswerError(f"the answer has more than {most:,} bytes")
    return b"".join(parts)


def same_host(url: str, other: str) -> bool:
    """Whether an address is on the same server as another, and no less encrypted.

    Examples
    --------
    >>> same_host("http://localhost:80/v1", "http://localhost/v2")
    True
    >>> same_host("https://localhost/v1", "http://localhost/v1")
    False
    """
    try:
        old, new = urlsplit(url), urlsplit(other)
        ports = [part.port or _PORTS.get(part.scheme) for part in (old, new)]
    except ValueError:  # a port that is no number
        return False
    if old.hostname != new.hostname:
        return False
    upgraded = (old.scheme, new.scheme) == ("http", "https") and ports == [80, 443]
    return upgraded or (old.scheme == new.scheme and ports[0] == ports[1])


class _SameHost(urllib.request.HTTPRedirectHandler):
    """Follow no redirect to another host."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the next request; see `urllib.request`."""
        if not same_host(req.full_url, urljoin(req.full_url, newurl)):
            raise RefusedAnswerError(f"it redirects to another host, {urlsplit(newurl).hostname}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
