"""How many requests a second `modelgpt serve` answers, and how long each waits.

    python -m scripts.benchmarks serving --seconds 60 --report docs/serving.md

A model of a table (Adult: 14 columns), of texts (SST-2) and of images (flowers), of the shared data, is built from a
few hundred rows, and served in a process of its own. So many connections ask for one row each, again and again, from
this process; the server's CPU seconds say what a request costs by itself. `--kill` ends one of
several processes that answer in the middle, and counts the requests that are lost.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd
import psutil

from .common import command, data_folder, machine, make_parser, names, table, versions, write_section

KINDS = ("tables", "texts", "images")


@dataclass
class Load:
    """Connections that ask again and again, and what came back.

    Attributes
    ----------
    seconds : list of float
        Of each answered request.
    statuses : dict of int to int
        Status → requests; 0 is a connection that broke.
    """

    bodies: Sequence[bytes]
    end: float = 0.0
    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    sent: int = 0

    def next(self) -> bytes:
        """Return the next request."""
        self.sent += 1
        return self.bodies[self.sent % len(self.bodies)]

    def count(self, status: int) -> None:
        """Count an answer."""
        self.statuses[status] = self.statuses.get(status, 0) + 1


class Connection(asyncio.Protocol):
    """A connection that sends a request as soon as the one before is answered."""

    def __init__(self, load: Load, done: asyncio.Future[None]) -> None:
        self.load, self.done = load, done
        self.start = 0.0
        self.buffer = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.start = time.perf_counter()
        if self.start >= self.load.end:
            self._finish()
            return
        self.transport.write(self.load.next())

    def data_received(self, data: bytes) -> None:
        """Read answers; each has its length in its head."""
        self.buffer += data
        head_end = self.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = self.buffer[:head_end].lower()
        length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
        if len(self.buffer) < head_end + 4 + length:
            return
        self.buffer = b""
        self.load.seconds.append(time.perf_counter() - self.start)
        self.load.count(int(head[9:12]))
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        """Count a request that has no answer."""
        if not self.done.done():
            self.load.count(0)
            self.done.set_result(None)

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        self.transport.close()


async def keep_asking(host: str, port: int, load: Load) -> None:
    """One connection after the other, until the time is up."""
    loop = asyncio.get_running_loop()
    while time.perf_counter() < load.end:
        done: asyncio.Future[None] = loop.create_future()
        try:
            await loop.create_connection(lambda done=done: Connection(load, done), host, port)  # type: ignore[misc]
        except OSError:
            load.count(0)
            await asyncio.sleep(0.1)
            continue
        await done


async def ask(port: int, load: Load, connections: int, seconds: float) -> float:
    """Put a server under load; return the seconds that it took."""
    start = time.perf_counter()
    load.end = start + seconds
    await asyncio.gather(*(keep_asking("127.0.0.1", port, load) for _ in range(connections)))
    return time.perf_counter() - start


def request(path: str, kind: str, body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def make_model(kind: str, folder: Path) -> tuple[Path, list[bytes]]:
    """Build a model of a kind; return its file, and requests of one row each."""
    from modelgpt_cli import build, describe

    model = folder / f"{kind}.onnx"
    if kind == "images":
        with zipfile.ZipFile(data_folder("image") / "flowers5.zip") as archive:
            images = [name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg", ".png"))]
            chosen = images[:: max(1, len(images) // 60)]
            archive.extractall(folder / "flowers", chosen)
        build(folder / "flowers", output=model, offline=True)
        return model, [request("/predict", "image/jpeg", (folder / "flowers" / name).read_bytes()) for name in chosen]
    if kind == "texts":
        frame = pd.read_csv(data_folder("text") / "glue" / "sst2" / "train.csv.gz", nrows=800)
        frame = frame.rename(columns={frame.columns[0]: "text"}) if "text" not in frame else frame
        frame.iloc[:400].to_csv(folder / "texts.csv", index=False)
        build(folder / "texts.csv", target=frame.columns[-1], output=model, offline=True)
        bodies = [json.dumps({"text": text}).encode() for text in frame["text"].iloc[400:]]
        return model, [request("/predict", "application/json", body) for body in bodies]
    frame = read_adult()
    target = frame.columns[-1]
    frame.iloc[:2000].to_csv(folder / "tables.csv", index=False)
    describe(folder / "tables.csv", target=target, offline=True, output=folder / "req.txt")
    build(folder / "req.txt", output=model, members=1)
    rows = json.loads(frame.iloc[2000:2500].drop(columns=target).to_json(orient="records"))
    return model, [request("/predict", "application/json", json.dumps(row).encode()) for row in rows]


def read_adult() -> pd.DataFrame:
    """Return rows of the shared table Adult, its target last."""
    frame = pd.read_csv(data_folder("tabular") / "paper10" / "adult.csv.gz", nrows=3000)
    found: pd.DataFrame = frame[[*(name for name in frame if name != "target"), "target"]]
    return found


def start_server(model: Path, options: Sequence[str], log: IO[str]) -> tuple[subprocess.Popen[str], int]:
    """Serve a model in a process of its own, whose log goes into a file; return it with its port."""
    words = [sys.executable, "-m", "modelgpt_cli", "serve", str(model), "--port", "0", *options]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Serving on"):
            return process, int(line.rsplit(":", 1)[1])
    sys.exit("The server did not start.")


def cpu_seconds(process: psutil.Process) -> float:
    """CPU seconds of a process and its children."""
    found = 0.0
    for one in [process, *process.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found += times.user + times.system
    return found


async def kill_a_worker(server: psutil.Process, after: float) -> None:
    """End without a warning one of the processes that answer."""
    await asyncio.sleep(after)
    workers = [child for child in server.children() if "spawn_main" in " ".join(child.cmdline())]
    os.kill(workers[0].pid, signal.SIGKILL)


def measure(model: Path, bodies: Sequence[bytes], args: Any, log: IO[str]) -> dict[str, Any]:
    """Serve a model, put it under load, end it; return the figures."""
    options = [*args.serve.split()]
    process, port = start_server(model, options, log)
    server = psutil.Process(process.pid)
    try:
        # What the first requests load; with several processes, until the last one is there.
        asyncio.run(ask(port, Load(bodies), min(8, args.connections), 15 if "--workers" in args.serve else 2))
        load, before = Load(bodies), cpu_seconds(server)

        async def run() -> float:
            tasks = [ask(port, load, args.connections, args.seconds)]
            if args.kill:
                tasks.append(kill_a_worker(server, args.seconds / 2))  # type: ignore[arg-type]
            return (await asyncio.gather(*tasks))[0]

        seconds = asyncio.run(run())
        cpu = cpu_seconds(server) - before
    finally:
        process.terminate()
        code = process.wait(60)
    good = load.statuses.get(200, 0)
    times = np.array(load.seconds) * 1000
    return {
        "requests": sum(load.statuses.values()),
        "per_s": round(good / seconds),
        "per_cpu_s": round(good / cpu) if cpu else 0,
        "p50_ms": round(float(np.quantile(times, 0.5)), 1),
        "p99_ms": round(float(np.quantile(times, 0.99)), 1),
        "errors": {str(status): n for status, n in load.statuses.items() if status != 200},
        "exit": code,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, measure, print the figures and write them into the page."""
    parser = make_parser("serving", __doc__, "--report")
    parser.add_argument("--kinds", type=names, default=list(KINDS), help="tables,texts,images")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--serve", default="--log-level warning", help="further options of modelgpt serve")
    parser.add_argument("--kill", action="store_true", help="end a process in the middle; with --serve '--workers 2'")
    parser.add_argument("--models", type=Path, help="folder to keep the models in, and to take them from")
    args = parser.parse_args(arguments)
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        for kind in args.kinds:
            folder = (args.models or Path(temporary)) / kind
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / "requests.json"
            if kept.exists():
                model, bodies = folder / f"{kind}.onnx", [one.encode("latin-1") for one in json.loads(kept.read_text())]
            else:
                model, bodies = make_model(kind, folder)
                kept.write_text(json.dumps([one.decode("latin-1") for one in bodies]))
            with tempfile.TemporaryFile("w+") as log:
                found = measure(model, bodies, args, log)
                log.seek(0)
                print("".join(line for line in log if "has died" in line), end="", flush=True)
            print(kind, json.dumps(found), flush=True)
            errors = ", ".join(f"{n:,} × {status}" for status, n in found["errors"].items()) or "0"
            figures = (f"{found[name]:,}" for name in ("requests", "per_s", "per_cpu_s", "p50_ms", "p99_ms"))
            rows.append([kind, *figures, errors])
    if args.report:
        header = ["model of", "requests", "answered a second", "a CPU second", "p50, ms", "p99, ms", "errors"]
        on = f"{machine()}; {versions('fastapi', 'uvicorn', 'onnxruntime')}"
        how = f"    {command()}\n\n{date.today().isoformat()}; {on}."
        write_section(args.report, "serving", f"{table(header, rows)}\n\n{how}")


if __name__ == "__main__":
    main()
