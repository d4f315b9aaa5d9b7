"""ModelGPT-F: all-parameter finetuning of a generated model, kept only where it helps. The verb, for all domains.

How a domain's rows are read and its model finetuned stands in its part ``tune``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Any, Literal, Protocol

import numpy as np

from modelgpt_cli.artifacts.backends import check_model_destination
from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.option_fields import make_options
from modelgpt_cli.core.options import TuneOptions
from modelgpt_cli.data.address import with_sheet
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.readers import Table

log = logging.getLogger("modelgpt")


@dataclass(frozen=True)
class TuneSettings:
    """How a model is finetuned.

    Attributes
    ----------
    epochs : int
        Passes over the training rows.
    lr : float, optional
        The learning rate, falling linearly to zero; None for the domain's.
    batch_size : int, optional
        Rows of a step; None for the domain's.
    group, time : str, optional
        The column whose groups are held out whole, or by which the last rows are; as in the build where neither is
        given.
    weight_decay : float, optional
        Of the optimizer; None for the domain's.
    """

    epochs: int = 1
    lr: float | None = None
    batch_size: int | None = None
    seed: int = 0
    device: str = "cpu"
    group: str | None = None
    time: str | None = None
    weight_decay: float | None = None

    @property
    def split(self) -> dict[str, str | None]:
        """The columns that rows are to be held out by."""
        return {"group": self.group, "time": self.time}

    def decay(self, usual: float) -> float:
        """Return the weight decay, a domain's usual one where none is asked for."""
        return usual if self.weight_decay is None else self.weight_decay


@dataclass
class Tuned:
    """What finetuning did to a model, in place.

    Attributes
    ----------
    before, after : dict
        Metrics on the held-out rows, or `before` as the build cross-validated it.
    kept : {"before", "after"}
        Whose parameters the model has now.
    rows : int
        Labelled rows that were read.
    shown : sequence of uint8 (H, W, 3), optional
        Rows of the user's that the exported graph is verified on.
    validated : str
        How rows were held out, where that was not at random: "by groups of 'patient'".
    share : float
        How far `after` lies on the way from the parameters of before to those that finetuning ends with, 0 to 1.
    """

    before: dict[str, float]
    after: dict[str, float]
    kept: Literal["before", "after"]
    rows: int = 0
    shown: Sequence[np.ndarray] | None = field(default=None, repr=False)
    validated: str = ""
    share: float = 1.0


class Tuner(Protocol):
    """A domain's part ``tune``."""

    def tune(self, model: Any, data: Data, settings: TuneSettings) -> Tuned:
        """Finetune a model of the domain in place, on labelled data; keep the better of before and after.

        Raises
        ------
        ModelGPTError
            The data can't be used, or there are too few rows to hold some out.
        """


@dataclass
class TuneReport:
    """What `tune` did: `before` and `after` are measured on the same held-out rows, or `before` is cross-validated."""

    path: Path
    kept: Literal["before", "after"]
    before: dict[str, float]
    after: dict[str, float]
    rows: int
    seconds: float
    size_bytes: int
    validated: str = ""
    """How rows were held out, where that was not at random: "by groups of 'patient'"."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for ``--json``."""
        return asdict(self) | {"path": str(self.path)}


def tune(
    model: str | Path,
    *,
    data: Data,
    output: str | Path,
    sheet: str | None = None,
    epochs: int = 1,
    lr: float | None = None,
    batch_size: int | None = None,
    weight_decay: float | None = None,
    group: str | None = None,
    time: str | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
) -> TuneReport:
    """Finetune all parameters of a model and keep the better of before and after (ModelGPT-F).

    A fifth of a table's rows, a tenth of texts, and each third of images in turn, are held out: stratified, or as the
    build was cross-validated, by groups or forward in time, where the data have the column. The model from before or
    after is kept by its loss on these. A model that was built from the same data has seen them all. Of a table's model,
    before and after are therefore those of models that are built again without the rows held out (of 2,000 rows or
    fewer, each fifth in turn), and so is how far to go from before to after; what is kept is the model itself, tuned on
    all rows. Of texts, the cross-validated metrics count as before, and tuning starts from a head that is solved anew
    without the rows that are held out. Of a model of images the last blocks are tuned, BatchNorm stays as it is, and
    each image is mirrored, cropped and lit at random; the head is solved anew on what they then give, and what is kept
    has been tuned on all images. So are models of images with boxes or key points, whose network is tuned from its
    first map on, on three quarters of the images; the last quarter, in runs of names, judges. Models of images with
    masks are judged likewise; their head is trained with the network, on random crops, at last of all images.

    Parameters
    ----------
    model : str or Path
        ``model.safetensors``, or an unquantised ``model.onnx``.
    data : path-like, DataFrame, mapping of str to array-like (N,), sequence of mappings, or ndarray (N, d)
        Labelled data, as for `describe`; its classes must be among the model's.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    sheet : str, optional
        As for `describe`.
    epochs : int
        Passes over the training rows.
    lr : float, optional
        The learning rate, falling linearly to zero; the domain's where not given (that of a model with a backbone is
        the backbone's; the head learns faster).
    batch_size : int, optional
        Rows of a step; the domain's where not given.
    weight_decay : float, optional
        Of the optimizer; the domain's where not given.
    group, time : str, optional
        Hold out whole groups of this column, or the last rows by this one, rather than as in the build.

    Raises
    ------
    ModelGPTError
        The model or the data can't be used.

    Examples
    --------
    With the model of the example of `build`:

    >>> from sklearn.datasets import load_iris
    >>> iris = load_iris(as_frame=True)
    >>> flowers = iris.data.assign(species=iris.target_names[iris.target])
    >>> from modelgpt_cli import tune
    >>> report = tune("iris.onnx", data=flowers, output="tuned.safetensors", epochs=2)
    >>> report.rows, report.kept in ("before", "after")
    (150, True)
    """
    start = monotonic()
    output = Path(output)
    check_model_destination(output, force)
    data = with_sheet(data, sheet)
    target: Any = load_model(model)
    if target.blueprint.multi_label:
        raise UsageError(
            f"{model} is multi-label, and tune is for models of one answer a row.",
            hint="Build it from more rows instead; --all-rows takes all there are.",
        )
    domain = find_domain(target.blueprint.domain)
    make_options(TuneOptions, domain, {"group": group, "time": time})  # not every domain has them
    tuner: Tuner = domain.part("tune")
    settings = TuneSettings(epochs, lr, batch_size, seed, pick_device(device), group, time, weight_decay)
    done = tuner.tune(target, data, settings)
    target.blueprint = _noted(target.blueprint, done, epochs)
    size = write_model(target, output, force=force, rows=done.shown).size_bytes
    seconds = monotonic() - start
    return TuneReport(output, done.kept, done.before, done.after, done.rows, seconds, size, done.validated)


def cross_validated(blueprint: Blueprint, fingerprint: str, validated: str = "") -> Mapping[str, float] | None:
    """Return a model's metrics as its build cross-validated them, if it is as built, from data of this fingerprint.

    They are empty where rows were held out in another way than `validated` says.
    """
    made = blueprint.provenance
    as_built = made.get("tuned", {}).get("kept") != "after"
    same = (made.get("data") or {}).get("fingerprint") == fingerprint
    if not as_built or not same:
        return None
    metrics = blueprint.metrics.get("model")
    return {} if metrics is not None and blueprint.validated != validated else metrics


def load_rows(
    blueprint: Blueprint, data: Data | Table, *, sample_rows: int, seed: int, domain: str | None = None, **options: Any
) -> Dataset:
    """Read labelled rows in a model's own columns and spelling; say so where not all of them are held.

    Further options are those of `load_dataset`.

    Raises
    ------
    ModelGPTError, UsageError
        As `load_dataset`.
    """
    dataset = load_dataset(
        data,
        target=blueprint.target,
        task=blueprint.task,
        columns=blueprint.used,
        labels=blueprint.labels,
        target_reading=blueprint.target_reading,
        sample_rows=sample_rows,
        domain=domain,
        seed=seed,
        multi_label=False,  # the model has one answer a row, whatever its classes are called
        **options,
    )
    if dataset.n_rows > len(dataset.sample):
        log.warning("Tuning on a sample of %d of %d rows.", len(dataset.sample), dataset.n_rows)
    return dataset


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


def _noted(blueprint: Blueprint, done: Tuned, epochs: int) -> Blueprint:
    """Return the blueprint with what tuning did written into it."""
    tuned: dict[str, Any] = {"epochs": epochs, "kept": done.kept, "before": done.before, "after": done.after}
    tuned |= {"validated": done.validated} if done.validated else {}
    tuned |= {"share": done.share} if done.share < 1 else {}
    return replace(blueprint, provenance=blueprint.provenance | {"tuned": tuned})
