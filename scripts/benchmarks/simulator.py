"""A deterministic stand-in for an LLM that writes rows: a server that speaks Chat Completions, and samples real rows.

It is no LLM. It draws a real training row of the class that it was asked for and changes it: numbers are jittered,
words dropped or swapped. Some rows get another class's label, some are repeated, some are invalid, as an LLM's are.

    with Simulator(rows, target="species", seed=0) as llm:
        generate(..., base_url=llm.url)
"""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Noise:
    """Its errors, as shares of the rows that it writes."""

    swapped: float = 0.1
    """Rows of another class than they say."""
    repeated: float = 0.1
    """Rows that it has written before."""
    invalid: float = 0.05
    """Rows with a label that there is not."""
    jitter: float = 0.1
    """Standard deviation of what is added to a number, in standard deviations of its column."""
    words: float = 0.1
    """Share of a text's words that are dropped or change places with the next."""


class Simulator:
    """The server; use it in a ``with`` statement.

    Parameters
    ----------
    rows : DataFrame
        Typed training rows: inputs and target.
    """

    def __init__(self, rows: pd.DataFrame, target: str, seed: int = 0, noise: Noise | None = None) -> None:
        self.rows, self.target, self.noise = rows, target, noise or Noise()
        self.rng = np.random.default_rng([seed, 41])
        self.labels = rows[target].astype(str).to_numpy()
        self.classes = sorted(set(self.labels))
        self.spread = rows.select_dtypes("number").std()
        self.written: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Simulator:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: str) -> str:
        """Return the answer to a request: rows of the classes that it names."""
        rows = []
        for count, label in re.findall(r'(\d+) x ("(?:[^"\\]|\\.)*")', asked):
            rows += [self._row(json.loads(label)) for _ in range(int(count))]
        return json.dumps({"rows": rows})

    def _row(self, label: str) -> dict[str, Any]:
        rng, noise = self.rng, self.noise
        again = [row for row in self.written if row[self.target] == label]
        if again and rng.random() < noise.repeated:
            return dict(again[rng.integers(len(again))])
        of = label if rng.random() >= noise.swapped else str(rng.choice([c for c in self.classes if c != label]))
        real = self.rows.iloc[int(rng.choice(np.flatnonzero(self.labels == of)))]
        row = {str(name): self._changed(str(name), value) for name, value in real.items() if name != self.target}
        row[self.target] = label if rng.random() >= noise.invalid else f"not {label}"
        self.written.append(row)
        return row

    def _changed(self, name: str, value: Any) -> Any:
        if value is None or pd.isna(value):
            return None
        if not isinstance(value, str):
            moved = float(value) + self.rng.normal() * self.noise.jitter * float(self.spread[name])
            column = self.rows[name].dropna()
            moved = float(np.clip(moved, column.min(), column.max()))
            return round(moved) if (column == column.round()).all() else float(f"{moved:.6g}")
        words = value.split()
        if len(words) < 4:
            return value
        for i in range(len(words) - 1):
            if self.rng.random() < self.noise.words / 2:
                words[i], words[i + 1] = words[i + 1], words[i]
        kept = [word for word in words if self.rng.random() >= self.noise.words / 2]
        return " ".join(kept or words)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        simulator = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                message = {"role": "assistant", "content": simulator.answer(asked["messages"][-1]["content"])}
                choice = {"index": 0, "finish_reason": "stop", "message": message}
                reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "simulator"}
                data = json.dumps({**reply, "choices": [choice]}).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Keep quiet."""

        return Handler
