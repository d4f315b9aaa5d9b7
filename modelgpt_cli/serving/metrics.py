"""What a server counts, in Prometheus' format: requests, time, rows, batches and errors, by model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Counts(Protocol):
    """What counts that which only the process knows that scores."""

    def count_batch(self, model: str, requests: int) -> None:
        """Count requests that are scored together."""

    def count_reload(self, model: str) -> None:
        """Count a file that was loaded anew."""


class Metrics:
    """Counts of a server.

    Parameters
    ----------
    waiting : callable
        How many requests wait or run.
    """

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "modelgpt_requests", "Requests that were answered.", ("model", "status"), registry=registry
        )
        self._errors = Counter("modelgpt_errors", "Requests with an error.", ("model", "status"), registry=registry)
        self._seconds = Histogram(
            "modelgpt_request_seconds", "Time from a request's head to its answer.", ("model",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._rows = Counter("modelgpt_rows", "Rows that were scored.", ("model",), registry=registry)
        self._batches = Histogram(
            "modelgpt_batch_requests", "Requests that were scored together.", ("model",),
            buckets=_ROWS, registry=registry,
        )  # fmt: skip
        self._reloads = Counter("modelgpt_reloads", "Files that were loaded anew.", ("model",), registry=registry)
        Gauge("modelgpt_waiting_requests", "Requests that wait or run.", registry=registry).set_function(waiting)

    def count(self, model: str, status: int, seconds: float, rows: int = 0) -> None:
        """Count an answered request, and its rows."""
        self._requests.labels(model, status).inc()
        self._seconds.labels(model).observe(seconds)
        if rows:
            self._rows.labels(model).inc(rows)
        if status >= 400:
            self._errors.labels(model, status).inc()

    def count_batch(self, model: str, requests: int) -> None:
        """Count requests that are scored together."""
        self._batches.labels(model).observe(requests)

    def count_reload(self, model: str) -> None:
        """Count a file that was loaded anew."""
        self._reloads.labels(model).inc()

    def render(self) -> bytes:
        """Return all counts as text."""
        return generate_latest(self._registry)
