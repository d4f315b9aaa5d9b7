"""What a server counts, in Prometheus' format: requests, time, rows, batches and errors, by model."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable that names the folder in which several processes count together; read by prometheus_client."""
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts of a process; `render` gives those of all processes of the server.

    Parameters
    ----------
    waiting : callable
        How many requests wait or run.
    """

    CONTENT_TYPE = CONTENT_TYPE_LATEST

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "modelgpt_requests", "Requests that were answered.", ("model", "status"), registry=registry
        )
        self.errors = Counter("modelgpt_errors", "Requests with an error.", ("model", "status"), registry=registry)
        self.seconds = Histogram(
            "modelgpt_request_seconds", "Time from a request's head to its answer.", ("model",),
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.rows = Counter("modelgpt_rows", "Rows that were scored.", ("model",), registry=registry)
        self.batches = Histogram(
            "modelgpt_batch_requests", "Requests that were scored together.", ("model",),
            buckets=_ROWS, registry=registry,
        )  # fmt: skip
        self.reloads = Counter("modelgpt_reloads", "Files that were loaded anew.", ("model",), registry=registry)
        self._waiting = Gauge(
            "modelgpt_waiting_requests", "Requests that wait or run.", registry=registry, multiprocess_mode="livesum"
        )
        self._count_waiting = waiting

    def count(self, model: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests.labels(model, status).inc()
        self.seconds.labels(model).observe(seconds)
        if status >= 400:
            self.errors.labels(model, status).inc()

    def render(self) -> bytes:
        """Return all counts as text."""
        self._waiting.set(self._count_waiting())
        if FOLDER not in os.environ:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        return generate_latest(together)
