"""`report`: a model file, and labelled rows where there are some, to one HTML file, a PDF, a model card.

What a model's card says comes from `about`, what labelled rows say from `measured`.
"""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination, check_exists
from modelgpt_cli.deployment.licences import check_licence
from modelgpt_cli.deployment.report.about import about
from modelgpt_cli.deployment.report.card import card_text
from modelgpt_cli.deployment.report.learning import LearningCurve, build_curve
from modelgpt_cli.deployment.report.measured import measured
from modelgpt_cli.deployment.report.pdf import find_printer
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class Report:
    """A report that was written."""

    path: Path
    size_bytes: int
    seconds: float
    pdf: Path | None = None
    model_card: Path | None = None
    learning_curve: LearningCurve | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        written = {"path": self.path, "pdf": self.pdf, "model_card": self.model_card}
        paths = {name: None if path is None else str(path) for name, path in written.items()}
        curve = None if self.learning_curve is None else self.learning_curve.to_dict()
        return asdict(self) | paths | {"seconds": round(self.seconds, 3), "learning_curve": curve}


def report(
    model: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    data: Data | None = None,
    target: str | None = None,
    importance: bool = False,
    learning_curve: Data | None = None,
    pdf: str | os.PathLike[str] | None = None,
    model_card: str | os.PathLike[str] | None = None,
    licence: str | None = None,
    seed: int = 0,
    force: bool = False,
) -> Report:
    """Write what there is to know of a model into one HTML file that needs nothing else.

    Parameters
    ----------
    model : path-like
        A ``model.onnx``.
    output : path-like
        The file to write.
    data : optional
        Labelled rows, as for `evaluate`: measured with bootstrap intervals, and drawn. Some of them are shown.
    target : str, optional
        The column of true values.
    importance : bool
        Measure each column's permutation importance, too.
    learning_curve : optional
        Labelled rows to build from, as for `build`: the model's card is built anew on an eighth, a quarter, half and
        all of them, and each model measured on `data`. It takes these four builds.
    pdf : path-like, optional
        Print it into this PDF as well; takes Chromium, or the library WeasyPrint.
    model_card : path-like, optional
        Write a Hugging Face model card (README.md) as well.
    licence : str, optional
        The model's own, as an SPDX identifier, for the model card.
    seed : int
        Of the bootstrap and the shuffles.
    force : bool
        Replace existing files.

    Raises
    ------
    UsageError
        A file exists, or importance or a learning curve is asked for without data.
    ModelGPTError
        The model or the data can't be read; or Jinja2, or what prints a PDF, is not installed.

    Examples
    --------
    With the model of the example of `build`:

    >>> from modelgpt_cli import report
    >>> report("iris.onnx", output="iris.html").size_bytes > 5_000
    True
    """
    start = time.perf_counter()
    environment = _environment()
    for path in (output, pdf, model_card):
        if path is not None:
            check_destination(path, force)
    check_licence(licence)
    if data is None and importance:
        raise UsageError("--importance needs labelled rows.", "", "Give --data FILE.")
    if data is None and learning_curve is not None:
        raise UsageError("A learning curve needs labelled rows to measure on, too.", "", "Give --data FILE.")
    for given in (data, learning_curve):
        if isinstance(given, (str, os.PathLike)):
            check_exists(given, "Check the path.")
    printer = find_printer() if pdf is not None else None
    loaded = Model(model)
    found = None if data is None else measured(loaded, data, target=target, importance=importance, seed=seed)
    curve = None
    if data is not None and learning_curve is not None:
        curve = build_curve(loaded, learning_curve, data, target=target, seed=seed)
    values = about(loaded) | {"measured": found, "learning": None if curve is None else curve.to_page()}
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(**values)
    with atomic_write(output, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")
    if printer is not None and pdf is not None:
        with atomic_write(pdf, force=force) as temporary:
            printer(Path(output), temporary)
    if model_card is not None:
        with atomic_write(model_card, force=force) as temporary:
            temporary.write_text(card_text(loaded, found, licence), encoding="utf-8")
    path = Path(output)
    return Report(
        path,
        path.stat().st_size,
        time.perf_counter() - start,
        None if pdf is None else Path(pdf),
        None if model_card is None else Path(model_card),
        curve,
    )


def _environment() -> Any:
    try:
        from jinja2 import Environment
    except ImportError as error:
        raise ModelGPTError(
            "A report needs Jinja2, which is not installed.", "", "Install it: pip install jinja2"
        ) from error
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
