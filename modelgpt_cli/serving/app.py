"""The application: addresses to models. Built on FastAPI, which writes ``/openapi.json``."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.options import ServeOptions
from modelgpt_cli.core.version import __version__
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.batcher import Batcher, Room
from modelgpt_cli.serving.bodies import read_body
from modelgpt_cli.serving.errors import RequestError
from modelgpt_cli.serving.guard import App, Guard, Receive, Send, error_reply
from modelgpt_cli.serving.jobs import FilesJob, Job, Scored, strictly
from modelgpt_cli.serving.metrics import Counts, Metrics
from modelgpt_cli.serving.model_pages import ModelPages, media_type
from modelgpt_cli.serving.models import Models, Served
from modelgpt_cli.serving.openapi import INFER, MODEL_PREDICT, PREDICT
from modelgpt_cli.serving.page import render_page
from modelgpt_cli.serving.protocol import infer_reply, model_metadata, read_infer, server_metadata
from modelgpt_cli.serving.replies import csv_reply, json_reply
from modelgpt_cli.serving.workers import Relay, begin_process

logger = logging.getLogger("modelgpt.serve")
T = TypeVar("T")
Handler = Callable[[Request], Awaitable[Response]]
_LOOK_SECONDS = 1.0
"""Between looks at the models' files."""
_READ_HERE = 64_000
"""Bytes of a body that the event loop reads itself; larger ones are read in a thread, and hold nobody up."""
_TYPE_OF_ENDING = {".csv": "text/csv", ".tsv": "text/csv", ".json": "application/json", ".txt": "text/plain",
                   ".jsonl": "application/x-ndjson", ".ndjson": "application/x-ndjson"}  # fmt: skip


class Server:
    """What the routes share.

    Parameters
    ----------
    models : Models
    options : ServeOptions
    counts : Counts
    """

    def __init__(self, models: Models, options: ServeOptions, counts: Counts) -> None:
        self.models, self.options, self.counts = models, options, counts
        cores = os.cpu_count() or 1
        jobs = options.jobs or max(1, cores // options.workers)
        self.room = Room(options.max_waiting, jobs)
        self.threads = ThreadPoolExecutor(jobs, thread_name_prefix="score")
        self.batchers = {served.name: self._batcher(served) for served in models}

    def _batcher(self, served: Served) -> Batcher:
        def score(jobs: Any) -> list[Scored | Exception]:
            self.counts.count_batch(served.name, len(jobs))
            return served.score(jobs)

        wait, most = self.options.batch_ms / 1000, self.options.max_batch
        return Batcher(score, self.room, self.threads, wait=wait, most_rows=most)

    def find(self, request: Request, name: str | None) -> Served:
        """Return the model that a request is for, and note it for the log.

        Raises
        ------
        RequestError
            There is none of the name; or none is named, and there are several.
        """
        if name is None:
            if len(self.models) > 1:
                several = f"There are several models: {', '.join(self.models.names)}."
                raise RequestError(404, several, "", f"Ask one: /models/{self.models.names[0]}/predict")
            served = next(iter(self.models))
        else:
            found = self.models.get(name)
            if found is None:
                raise RequestError(404, f"There is no model {name!r}.", f"There are: {', '.join(self.models.names)}.")
            served = found
        request.scope["state"] |= {"model": served.name, "file": served.path}
        return served

    async def score(self, request: Request, served: Served, job: Job) -> Scored:
        """Score a request's rows."""
        scored = await self.batchers[served.name].submit(job)
        request.scope["state"]["rows"] = scored.rows
        return scored

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch the models' files in the meantime."""
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            self.threads.shutdown(wait=False, cancel_futures=True)

    async def _look(self) -> None:
        """Load files anew that have been replaced, again and again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for served in self.models:
                try:
                    if await loop.run_in_executor(None, served.refresh):
                        self.counts.count_reload(served.name)
                except Exception as error:  # the next look may go well
                    logger.error("unexpected %s: %s", type(error).__name__, error, extra={"model": served.name})


class Routes:
    """An ASGI application beside which some addresses go straight to what answers them.

    Parameters
    ----------
    app : ASGI application
    direct : mapping of (str, str) to callable
        Method and path → what answers in place of `app`.
    """

    def __init__(self, app: App, direct: Mapping[tuple[str, str], Handler]) -> None:
        self._app, self._direct = app, direct

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request."""
        handler = self._direct.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if handler is None:
            await self._app(scope, receive, send)
            return
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)


def make_app(models: Models, options: ServeOptions) -> App:
    """Make the ASGI application that answers for some models."""
    metrics = Metrics(lambda: server.room.taken)
    server = Server(models, options, metrics)
    return Guard(make_routes(server, metrics.render), options, metrics)


def make_front(named: Mapping[str, Path], options: ServeOptions) -> App:
    """Make the ASGI application that has several processes answer for some models."""
    metrics = Metrics(lambda: relay.taken)
    relay = Relay(begin_process(named, options), options, metrics)

    async def counts(_: Request) -> Response:
        return Response(metrics.render(), media_type=Metrics.CONTENT_TYPE)

    return Guard(Routes(relay, {("GET", "/metrics"): counts}), options, metrics)


def make_routes(server: Server, render: Callable[[], bytes]) -> App:
    """Make the ASGI application within `Guard`, or in a process among several.

    Parameters
    ----------
    server : Server
    render : callable
        What ``/metrics`` shows; among several processes the one that takes requests answers that.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with server.running():
            yield

    app = FastAPI(
        title="ModelGPT",
        version=__version__,
        description="Models answer requests: rows in, answers out.",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
    )
    _add_predict(app, server)
    _add_infer(app, server)
    _add_protocol(app, server)
    _add_pages(app, server, render)
    app.add_exception_handler(ModelGPTError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)
    app.add_exception_handler(Exception, _fail)
    return Routes(app, _direct(server))


def _direct(server: Server) -> dict[tuple[str, str], Handler]:
    """The addresses that are asked most, each with what answers: FastAPI's layers would take as long as the scoring."""
    found: dict[tuple[str, str], Handler] = {}
    for served in server.models:
        found["POST", f"/models/{served.name}/predict"] = partial(_predict, server, name=served.name)
        found["POST", f"/v2/models/{served.name}/infer"] = partial(_infer, server, name=served.name)
    if len(server.models) == 1:
        found["POST", "/predict"] = partial(_predict, server)
    return found


async def _predict(server: Server, request: Request, name: str | None = None) -> Response:
    served = server.find(request, name)
    query = _query(request, served.model)
    job = await _read_job(request, served.model)
    scored = await server.score(request, served, strictly(job) if query["strict"] else job)
    layout = served.layout(scored.model, query["topk"])
    if "text/csv" in request.headers.get("accept", ""):
        return Response(csv_reply(layout, scored), media_type="text/csv; charset=utf-8")
    return Response(json_reply(layout, scored, served.name), media_type="application/json")


async def _infer(server: Server, request: Request, name: str) -> Response:
    served = server.find(request, name)
    body = await request.body()
    length = request.headers.get("inference-header-content-length", "")
    job, asked = await _in_thread_if_large(body, lambda: read_infer(served.model, body, length))
    scored = await server.score(request, served, job)
    return Response(infer_reply(scored, served, asked), media_type="application/json")


def _add_predict(app: FastAPI, server: Server) -> None:
    @app.post("/predict", summary="Predict with the only model", openapi_extra=PREDICT)
    async def predict_alone(request: Request) -> Response:
        return await _predict(server, request)

    @app.post("/models/{name}/predict", summary="Predict with a model", openapi_extra=MODEL_PREDICT)
    async def predict_named(request: Request) -> Response:
        return await _predict(server, request, request.path_params["name"])


def _add_infer(app: FastAPI, server: Server) -> None:
    @app.post("/v2/models/{name}/infer", summary="Infer", openapi_extra=INFER)
    async def infer(request: Request) -> Response:
        return await _infer(server, request, request.path_params["name"])


def _add_protocol(app: FastAPI, server: Server) -> None:
    @app.get("/v2", summary="Server metadata")
    async def about_server() -> Response:
        return JSONResponse(server_metadata())

    @app.get("/v2/health/live", summary="Whether the server runs")
    async def live() -> Response:
        return JSONResponse({"live": True})

    @app.get("/v2/health/ready", summary="Whether all models can answer")
    async def ready() -> Response:
        notes = {served.name: served.note for served in server.models if served.note}
        return JSONResponse({"ready": True} | ({"notes": notes} if notes else {}))

    @app.get("/v2/models/{name}", summary="A model's tensors")
    async def about_model(request: Request, name: str) -> Response:
        return JSONResponse(model_metadata(server.find(request, name)))

    @app.get("/v2/models/{name}/ready", summary="Whether a model can answer")
    async def model_ready(request: Request, name: str) -> Response:
        served = server.find(request, name)
        return JSONResponse({"name": name, "ready": True} | ({"note": served.note} if served.note else {}))


def _add_pages(app: FastAPI, server: Server, render: Callable[[], bytes]) -> None:
    pages = ModelPages()

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return HTMLResponse(render_page(server.models, str(request.base_url).rstrip("/"), pages))

    @app.get("/models/{name}/page", include_in_schema=False)
    async def model_page(name: str) -> Response:
        return RedirectResponse("page/")

    @app.get("/models/{name}/page/{file:path}", include_in_schema=False)
    async def page_file(request: Request, name: str, file: str) -> Response:
        file = file or "index.html"
        content = pages.files(server.find(request, name)).get(file)
        if content is None:
            raise RequestError(404, f"The page of {name} has no {file}.", "", "See the models at /")
        kind = media_type(file)
        if isinstance(content, Path):
            return FileResponse(content, media_type=kind)
        return Response(content, media_type=kind)

    @app.get("/models", summary="The models' names and cards")
    async def list_models() -> Response:
        return JSONResponse({"models": [model_metadata(served) for served in server.models]})

    @app.get("/metrics", summary="Counts, in Prometheus' format")
    async def metrics() -> Response:
        return Response(render(), media_type=Metrics.CONTENT_TYPE)


def _query(request: Request, model: Model) -> dict[str, Any]:
    """What stands behind the address: ``?strict=true&topk=3``."""
    found: dict[str, Any] = {"strict": False, "topk": 1}
    raw = request.scope.get("query_string", b"")
    for name, values in parse_qs(raw.decode("latin-1"), keep_blank_values=True).items() if raw else ():
        value = values[-1]
        if name == "strict" and value.lower() in ("", "1", "true", "yes", "0", "false", "no"):
            found["strict"] = value.lower() in ("", "1", "true", "yes")
        elif name == "topk" and model.feeds.FILES and model.answers is None and not model.multi_label:
            if not value.isdigit() or not 1 <= int(value[:9]) <= len(model.labels):
                raise RequestError(422, f"topk can't be {value!r}.", f"The model has {len(model.labels)} classes.")
            found["topk"] = int(value)
        else:
            raise RequestError(
                422, f"The address can't have {name}={value}.", "There are strict, and, where rows are files, topk."
            )
    return found


async def _read_job(request: Request, model: Model) -> Job:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request, model)
    body = await request.body()
    return await _in_thread_if_large(body, lambda: read_body(model, kind, body))


async def _in_thread_if_large(body: bytes, read: Callable[[], T]) -> T:
    if len(body) <= _READ_HERE:
        return read()
    return await asyncio.get_running_loop().run_in_executor(None, read)


async def _read_form(request: Request, model: Model) -> Job:
    """The files of a form: all of them where rows are files, else the one."""
    parts = []
    try:
        async with request.form() as form:
            for _, part in form.multi_items():
                if isinstance(part, UploadFile):
                    name = Path(part.filename or "body").name
                    kind = (part.content_type or "").partition(";")[0].strip().lower()
                    parts.append((name, kind, await part.read()))
    except (MultiPartException, HTTPException) as error:
        words = error.message if isinstance(error, MultiPartException) else error.detail
        raise RequestError(400, "The form can't be read.", words) from error
    if not parts:
        raise RequestError(422, "The form holds no file.", "", "Send one: curl -F file=@NAME")
    if model.feeds.FILES:
        return FilesJob([(name, content) for name, _, content in parts])
    if len(parts) > 1:
        raise RequestError(422, f"The form holds {len(parts)} files.", f"{model.domain.title} come in one.")
    name, kind, content = parts[0]
    kind = _TYPE_OF_ENDING.get(Path(name).suffix.lower(), kind)
    return await _in_thread_if_large(content, lambda: read_body(model, kind, content, name))


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ModelGPTError)
    status, headers, content = error_reply(error, path=request.scope["state"].get("file"))
    return Response(content, status, headers)


async def _refuse_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status, headers, content = error_reply(RequestError(error.status_code, f"{error.detail}."))
    return Response(content, status, headers | dict(error.headers or {}))


async def _fail(_: Request, error: Exception) -> Response:
    status, headers, content = error_reply(RequestError(500, "The server has failed at this request.", "See its log."))
    return Response(content, status, headers)
