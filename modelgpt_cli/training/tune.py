"""ModelGPT-F: all-parameter finetuning of a generated model, kept only where it helps. The verb, for all domains."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.errors import UsageError


@dataclass
class TuneReport:
    """What tuning did: `before` and `after` are measured on the same held-out rows, or `before` is cross-validated."""

    path: Path
    kept: Literal["before", "after"]
    before: dict[str, float]
    after: dict[str, float]
    rows: int
    seconds: float
    size_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"path": str(self.path)}


def tune(
    model: str | Path,
    *,
    data: str | Path,
    output: str | Path,
    epochs: int = 1,
    lr: float | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
) -> TuneReport:
    """Finetune all parameters of a model and keep the better of before and after (ModelGPT-F).

    A fifth of a table's rows, and a tenth of texts or images, are held out (stratified); the model from before or
    after is kept by its loss on these. A model of texts or images that was built from the same data has seen them
    all: of it, its cross-validated metrics count, and tuning starts from a head that is solved anew without the rows
    that are held out. Of a model of images, BatchNorm stays as it is, and each image is mirrored, cropped and lit
    at random whenever it comes up.

    Parameters
    ----------
    model : str or Path
        ``model.safetensors``, or an unquantised ``model.onnx``.
    data : str or Path
        The labelled table, texts or images; its classes must be among the model's.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    epochs : int
        Passes over the training rows.
    lr : float, optional
        The learning rate, falling linearly to zero; the domain's where not given (that of a model of texts or images
        is its encoder's or trunk's; the head learns faster).
    batch_size : int, optional
        Rows of a step; the domain's where not given.

    Raises
    ------
    ModelGPTError
        The model or the data can't be used.
    """
    from modelgpt_cli.artifacts.export import write_model
    from modelgpt_cli.artifacts.model_file import check_model_destination, load_model

    start = time.monotonic()
    output = Path(output)
    check_model_destination(output, force)
    target: Any = load_model(model)  # of any domain
    shown: list[np.ndarray] | None = None
    common: dict[str, Any] = {"epochs": epochs, "lr": lr, "seed": seed, "device": pick_device(device)}
    if batch_size is not None:
        common["batch_size"] = batch_size
    if target.blueprint.domain == "text":
        from modelgpt_cli.domains.text.tune import TextTuning, read_texts

        texts, y, known = read_texts(target, data, seed)
        (before, after, kept), rows = TextTuning(target).run(texts, y, known=known, **common), len(y)
    elif target.blueprint.domain == "image":
        from modelgpt_cli.domains.image.tune import ImageTuning, read_images

        images, y, shown, known = read_images(target, data, seed)
        (before, after, kept), rows = ImageTuning(target).run(images, y, known=known, **common), len(y)
    else:
        from modelgpt_cli.domains.tabular.tune import read_table, tune_arrays

        table = read_table(target, data, seed)
        (before, after, kept), rows = tune_arrays(target, table, **common), len(table.y)
    target.blueprint = _noted(target.blueprint, kept, before, after, epochs)
    size = write_model(target, output, force=force, rows=shown).size_bytes
    return TuneReport(output, kept, before, after, rows, time.monotonic() - start, size)


def cross_validated(blueprint: Blueprint, fingerprint: str) -> Mapping[str, float] | None:
    """A model's metrics as its build cross-validated them, where it is as built, from the data of this fingerprint."""
    made = blueprint.provenance
    as_built = made.get("tuned", {}).get("kept") != "after"
    same = (made.get("data") or {}).get("fingerprint") == fingerprint
    return blueprint.metrics.get("model") if as_built and same else None


def check_labels(blueprint: Blueprint, classes: Sequence[str]) -> None:
    """Make sure that the data's classes are the model's.

    Raises
    ------
    UsageError
        It names one that isn't.
    """
    unknown = sorted(set(classes) - set(blueprint.labels))
    if unknown:
        raise UsageError(
            f"The data has a class that the model doesn't know: {unknown[0]!r}.",
            f"The model's classes: {', '.join(blueprint.labels[:20])}.",
            "Build a new model from this data, or remove these rows.",
        )


def _noted(
    blueprint: Blueprint, kept: str, before: dict[str, float], after: dict[str, float], epochs: int
) -> Blueprint:
    """The blueprint, with what tuning did written into it."""
    tuned = {"epochs": epochs, "kept": kept, "before": before, "after": after}
    return replace(blueprint, provenance=blueprint.provenance | {"tuned": tuned})
