"""Before and after each request: the key, the limits on size and time, the counts, the line in the access log.

Pure ASGI, around the application.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.errors import RequestError, overloaded, status_of, told
from modelgpt_cli.serving.metrics import Metrics

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

access = logging.getLogger("modelgpt.serve.access")
logger = logging.getLogger("modelgpt.serve")
_OPEN = ("/v2/health/live", "/v2/health/ready")
"""What needs no key: those who watch over a server ask for nothing else."""
_MOST_BODIES = 16
"""Bodies of the largest size that may be held at a time, in all; small ones may be many more."""


class Limits:
    """How much of requests' bodies is held now, and how much may be."""

    def __init__(self, options: ServeOptions) -> None:
        self.body = int(options.max_body * 1e6)
        self.most = max(_MOST_BODIES * self.body, 64_000_000)
        self.held = 0


class Guard:
    """An ASGI application around another.

    Parameters
    ----------
    app : ASGI application
    options : ServeOptions
    metrics : Metrics

    Notes
    -----
    What is known of a request in the course of it stands in ``scope["state"]``: ``model`` and ``rows``.
    """

    def __init__(self, app: App, options: ServeOptions, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        self._key = options.api_key.encode() if options.api_key else b""
        self._timeout = options.timeout
        self._limits = Limits(options)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let a request pass, or answer it with an error."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self._limits)
        start = time.perf_counter()
        try:
            if self._key and scope["path"] not in _OPEN and not _has_key(scope, self._key):
                raise RequestError(
                    401, "This needs the server's key.", "", "Send it as Authorization: Bearer KEY, or as X-API-Key."
                )
            await self._in_time(request)
        except asyncio.CancelledError:
            request.status = request.status or 499
            raise
        except Exception as error:
            await request.refuse(foreseen(error))
        finally:
            self._limits.held -= request.held
            seconds = time.perf_counter() - start
            state = scope["state"]
            self._metrics.count(state.get("model", ""), request.status, seconds, state.get("rows", 0))
            if access.isEnabledFor(logging.INFO):
                access.info(
                    "request",
                    extra={
                        "client": (scope.get("client") or ("",))[0],
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": request.status,
                        "ms": round(1000 * seconds, 2),
                        **{name: state[name] for name in ("model", "rows") if state.get(name)},
                    },
                )

    async def _in_time(self, request: _Request) -> None:
        """Run the application; end it when the time is up."""
        task, late = asyncio.current_task(), False
        assert task is not None

        def end() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = asyncio.get_running_loop().call_later(self._timeout, end)
        try:
            await self._app(request.scope, request.receive, request.send)
        except asyncio.CancelledError:
            if not late:
                raise
            if hasattr(task, "uncancel"):
                task.uncancel()
            if request.whole:
                raise RequestError(
                    504, f"No answer within {self._timeout:g} seconds.", "The server's --timeout.", "Send fewer rows."
                ) from None
            raise RequestError(
                408, f"The body did not arrive within {self._timeout:g} seconds.", "The server's --timeout."
            ) from None
        finally:
            timer.cancel()


class _Request:
    """A request's messages, counted."""

    def __init__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send, limits: Limits) -> None:
        scope.setdefault("state", {})
        self.scope = scope
        self._receive, self._send, self._limits = receive, send, limits
        self.status = 0
        self.held = 0
        self.whole = False
        self._checked = False

    async def receive(self) -> Message:
        """Give the application a part of the body.

        Raises
        ------
        RequestError
            It is too large, or all bodies together are.
        """
        if not self._checked:
            self._checked = True
            self._check_length()
        message = await self._receive()
        if message["type"] == "http.request":
            self._hold(len(message.get("body", b"")))
            self.whole = not message.get("more_body", False)
        return message

    def _check_length(self) -> None:
        length = _header(self.scope, b"content-length")
        if length.isdigit() and int(length) > self._limits.body:
            raise self._too_large()

    def _hold(self, size: int) -> None:
        self.held += size
        self._limits.held += size
        if self.held > self._limits.body:
            raise self._too_large()
        if self._limits.held > self._limits.most:
            raise overloaded()

    def _too_large(self) -> RequestError:
        most = self._limits.body / 1e6
        return RequestError(413, f"The body is larger than {most:g} MB.", "The server's --max-body.", "Send less.")

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def refuse(self, error: ModelGPTError) -> None:
        """Answer with an error, unless an answer has begun."""
        if self.status:
            return
        status, headers, content = error_reply(error, path=self.scope["state"].get("file"))
        pairs = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        if not self.whole:  # the rest of the body is not waited for
            pairs.append((b"connection", b"close"))
        pairs.append((b"content-length", str(len(content)).encode()))
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": content})


def foreseen(error: Exception) -> ModelGPTError:
    """Return an error as a client is told of it; one that nobody has foreseen is logged."""
    if isinstance(error, ModelGPTError):
        return error
    logger.error("unexpected %s: %s", type(error).__name__, error, exc_info=logger.isEnabledFor(logging.DEBUG))
    return RequestError(500, "The server has failed at this request.", "Its log says more.")


def error_reply(error: ModelGPTError, path: Path | None = None) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an error's answer."""
    status = status_of(error)
    headers = {"Content-Type": "application/json"}
    if isinstance(error, RequestError) and error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return status, headers, json.dumps(told(error, path), ensure_ascii=False).encode(errors="replace")


def _header(scope: MutableMapping[str, Any], name: bytes) -> bytes:
    return next((bytes(value) for key, value in scope["headers"] if key == name), b"")


def _has_key(scope: MutableMapping[str, Any], key: bytes) -> bool:
    """Whether a request brings the key; takes as long whatever it brings."""
    scheme, _, token = _header(scope, b"authorization").partition(b" ")
    bearer = token.strip() if scheme.lower() == b"bearer" else b""
    return hmac.compare_digest(bearer, key) | hmac.compare_digest(_header(scope, b"x-api-key"), key)
