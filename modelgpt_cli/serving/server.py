"""`serve`: models behind an address, in one process or several, until a signal ends it. Last on the way of the data."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.serving.models import Models, name_models

if TYPE_CHECKING:
    from modelgpt_cli.serving.guard import App

_NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
_BACKLOG = 2048
_DRAIN_SECONDS = 5
"""Beyond --timeout, for the requests that are being answered when the server is to end."""


def serve(
    models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    ready: Callable[[Models, str], None] | None = None,
    **options: Any,
) -> None:
    """Answer requests with one model or several; return once Ctrl-C has ended it, and all of them are answered.

    SIGTERM ends it as well, and is then raised anew: unless the program handles it, it ends the program.

    Parameters
    ----------
    models : path-like or sequence of path-like
        Each a ``model.onnx``, called as its file is; or "NAME=FILE".
    ready : callable, optional
        Called with the models and the address once requests are taken.
    **options
        The fields of `core.options.ServeOptions`: ``host``, ``port``, ``api_key``, ``max_body`` and so on.

    Raises
    ------
    ModelGPTError
        A model can't be loaded, the address can't be listened on, or a library is absent.
    UsageError
        Two models have one name, or an option is out of range.
    """
    chosen = ServeOptions(**options)
    _check_libraries()
    named = name_models([models] if isinstance(models, (str, os.PathLike)) else models)
    if not named:
        raise UsageError("There is no model to serve.", hint="Name a model.onnx.")
    loaded = Models.load(named, chosen.threads)
    with _listen(chosen) as listening:
        if ready is not None:
            ready(loaded, _address(chosen, listening))
        from modelgpt_cli.serving.app import make_app, make_front

        app = make_app(loaded, chosen) if chosen.workers == 1 else make_front(named, chosen)
        del loaded  # which several processes have each for itself
        _serve(app, chosen, listening)


def _check_libraries() -> None:
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ModelGPTError(
            f"Serving needs {missing[0]}, which is not installed.", "", 'Install it: pip install "modelgpt-cli[serve]"'
        )


def _listen(options: ServeOptions) -> socket.socket:
    """Open the port, so that requests wait from now on."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listening = socket.socket(family, kind, protocol)
        try:
            if os.name != "nt":  # where it would let two servers share the port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(_BACKLOG)
        except BaseException:
            listening.close()
            raise
    except (OSError, OverflowError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise ModelGPTError(
            f"Can't listen on {options.host}, port {options.port}.", f"{cause}.", "Give another --port or --host."
        ) from error
    return listening


def _address(options: ServeOptions, listening: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    return f"http://{host}:{listening.getsockname()[1]}"


def _serve(app: App, options: ServeOptions, listening: socket.socket) -> None:
    import uvicorn

    set_up_log(options)
    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=int(options.timeout) + _DRAIN_SECONDS,
    )
    server = uvicorn.Server(config)
    try:
        server.run(sockets=[listening])
    except KeyboardInterrupt:  # which uvicorn raises anew once all is done
        if not server.started:
            raise


class _JsonLines(logging.Formatter):
    """A record as a line of JSON: time, level, message, and what is known beside it."""

    _OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "taskName", "color_message"}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        told = {"time": f"{stamp}.{record.msecs:03.0f}Z", "level": record.levelname.lower()}
        told["message"] = record.getMessage()
        told |= {name: value for name, value in vars(record).items() if name not in self._OWN}
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)


def set_up_log(options: ServeOptions) -> None:
    """Write what happens to stderr, a line of JSON each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name in ("modelgpt.serve", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
    level = options.log_level.upper()
    logging.getLogger("modelgpt.serve").setLevel(level)
    logging.getLogger("uvicorn").setLevel(level if level == "DEBUG" else "WARNING")
