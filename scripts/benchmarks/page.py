"""How soon an exported page gives its first answer, in Chromium.

    python -m scripts.benchmarks page --report docs/web.md

A model of images (flowers of the shared data, its weights in halves: about 6 MB) and one of a table (iris) are
exported with `export --for web` and opened from a local server, each in a browser of its own. `ready` is when the model
is loaded, `first answer` when the answer to the first image or row is shown; both count from the navigation on. `next`
is the median of five further ones, `load average` that of the machine in the last minute. On a busy machine the CPU
seconds of all of the browser's processes say more than the clock. Needs Chromium, playwright and scripts/vendor_web.sh.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import statistics
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
from PIL import Image

from modelgpt_cli import build, export
from modelgpt_cli.deployment.targets import export_for

from .common import data_folder, make_parser, provenance, table, write_section

NEXT = 5


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


def open_page(browser: Any, folder: Path, given: list[str | Path]) -> dict[str, float]:
    """Open a page, give its fields values, and return seconds; an image, as a path, is answered when it is given."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tab = browser.new_page()

    def ask() -> None:
        tab.evaluate("window.lastAnswer = null")
        for k, value in enumerate(given):
            place = tab.locator(f"#field-{k}")
            if isinstance(value, Path):
                place.set_input_files([])
                place.set_input_files(value)
            else:
                place.fill(value)
        if not any(isinstance(value, Path) for value in given):
            tab.click("#run")
        tab.wait_for_function("window.lastAnswer", timeout=60_000)

    try:
        start = time.perf_counter()
        tab.goto(f"http://127.0.0.1:{server.server_port}/")
        tab.wait_for_selector("body[data-ready=yes]", timeout=60_000)
        ready, used = time.perf_counter() - start, browsers_cpu()
        ask()
        first, cpu = time.perf_counter() - start, browsers_cpu() - used
        more = []
        for _ in range(NEXT):
            begun = time.perf_counter()
            ask()
            more.append(time.perf_counter() - begun)
    finally:
        tab.close()
        server.shutdown()
        server.server_close()
    return {"ready": ready, "first": first, "after": first - ready, "cpu": cpu, "next": statistics.median(more)}


def browsers_cpu() -> float:
    """Return the CPU seconds that all processes of the browser have used."""
    found = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "chrom" in process.name():
                found += sum(process.cpu_times()[:2])
    return found


def make_pages(folder: Path) -> list[tuple[str, Path, list[str | Path]]]:
    """Build and export the models: what each is, its page's folder, and what is asked."""
    from sklearn.datasets import load_iris

    iris = load_iris(as_frame=True)
    flowers = iris.data.assign(species=iris.target_names[iris.target])
    build(flowers, target="species", output=folder / "iris.onnx", offline=True, keep_requirement=False)
    source = data_folder("image") / "flowers5.zip"
    build(source, output=folder / "whole.safetensors", rows=40, offline=True, keep_requirement=False)
    export(folder / "whole.safetensors", output=folder / "images.onnx", quantize="fp16")
    photo = folder / "photo.jpg"
    with zipfile.ZipFile(source) as archive:
        name = next(one for one in archive.namelist() if one.lower().endswith((".jpg", ".jpeg")))
        content = io.BytesIO(archive.read(name))
    Image.open(content).convert("RGB").resize((1024, 768)).save(photo, quality=90)
    found: list[tuple[str, Path, list[str | Path]]] = []
    for name, given in (("images", [photo]), ("iris", ["5.1", "3.5", "1.4", "0.2"])):
        export_for(folder / f"{name}.onnx", "web", output=folder / f"{name}-page")
        size = (folder / f"{name}.onnx").stat().st_size
        found.append((f"{name}, {size / 1e6:.1f} MB", folder / f"{name}-page", [*given]))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the section."""
    parser = make_parser("page", __doc__, "--report")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args(arguments)
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        parser.error("there is no Chromium on this machine")
    cells = []
    with tempfile.TemporaryDirectory() as name, sync_playwright() as started:
        for what, folder, given in make_pages(Path(name)):
            for _ in range(args.repeats):
                browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
                cells.append({"model": what, "browser": browser.version, **open_page(browser, folder, given)})
                cells[-1]["load"] = os.getloadavg()[0]
                browser.close()
                print(cells[-1], flush=True)
    text = summarise(pd.DataFrame(cells))
    print(text)
    if args.report:
        head = f"{provenance('modelgpt-cli', 'playwright')} Chromium {cells[0]['browser']}."
        write_section(args.report, "page", f"{head}\n\n{text}")


def summarise(cells: pd.DataFrame) -> str:
    """Lay out the medians, and how busy the machine was."""
    rows = []
    for model, part in cells.groupby("model", sort=False):
        middle = part[["ready", "first", "after", "cpu", "next", "load"]].median()
        rows.append([str(model), *(f"{value:.2f}" for value in middle)])
    header = ["model", "loaded, s", "first answer, s", "of these after loading, s", "CPU of these, s"]
    header += ["next answer, s", "load average"]
    return table(header, rows)
