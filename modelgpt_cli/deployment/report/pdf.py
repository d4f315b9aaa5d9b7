"""An HTML file as a PDF: printed by Chromium where there is one, else by WeasyPrint."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
VARIABLE = "MODELGPT_CHROMIUM"
"""Names a browser that is not on the path."""
_SECONDS = 120
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"


def find_printer() -> Callable[[Path, Path], None]:
    """Return what prints an HTML file into a PDF.

    Raises
    ------
    ModelGPTError
        There is nothing that could.
    """
    named = os.environ.get(VARIABLE)
    found = [named] if named else [shutil.which(name) for name in BROWSERS] + [_MAC]
    browser = next((path for path in found if path and os.access(path, os.X_OK)), None)
    if browser is not None:
        return lambda page, pdf: _by_browser(browser, page, pdf)
    if named:
        raise ModelGPTError(f"{VARIABLE} names {named}, which is no program.", "", "Correct it, or unset it.")
    if find_spec("weasyprint") is not None:
        return _by_weasyprint
    raise ModelGPTError(
        "--pdf needs Chromium or WeasyPrint, and there is neither.",
        f"Looked for {', '.join(BROWSERS)} on the path.",
        f'Install Chromium, name one with {VARIABLE}, or: pip install "modelgpt-cli[pdf]"',
    )


def _by_browser(browser: str, page: Path, pdf: Path) -> None:
    with tempfile.TemporaryDirectory() as profile:
        command = [
            browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions",
            "--disable-background-networking", f"--user-data-dir={profile}", "--no-pdf-header-footer",
            f"--print-to-pdf={pdf.resolve()}", page.resolve().as_uri(),
        ]  # fmt: skip
        if hasattr(os, "geteuid") and os.geteuid() == 0:  # its sandbox doesn't run as root
            command.insert(1, "--no-sandbox")
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ModelGPTError(f"{browser} can't print the report.", str(error)[:300]) from error
    if done.returncode or not pdf.is_file() or not pdf.stat().st_size:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise ModelGPTError(f"{browser} can't print the report.", "\n".join(words[-2:])[:300])


def _by_weasyprint(page: Path, pdf: Path) -> None:
    try:
        from weasyprint import HTML
    except OSError as error:  # it loads Pango and others when it is imported
        raise ModelGPTError(
            "WeasyPrint can't load a library that it needs.", str(error).splitlines()[0][:300], "Install Chromium."
        ) from error
    HTML(filename=os.fspath(page)).write_pdf(os.fspath(pdf))
