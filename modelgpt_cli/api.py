"""The verbs, as typed Python functions: what the commands call. Each imports what it needs when it is called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.artifact.export import ExportReport
    from modelgpt_cli.pipeline import BuildReport
    from modelgpt_cli.requirement_generator.describe import Description
    from modelgpt_cli.requirement_generator.requirement import Requirement
    from modelgpt_cli.runtime.evaluate import Evaluation
    from modelgpt_cli.runtime.predict import Prediction
    from modelgpt_cli.training.meta_train import MetaTrainReport
    from modelgpt_cli.training.tune import TuneReport

CHUNK_ROWS = 16_384


def describe(
    path: str | Path,
    *,
    target: str | None = None,
    description: str | None = None,
    llm: str | None = None,
    offline: bool = False,
    base_url: str | None = None,
    api_key: str | None = None,
    output: str | Path | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    dry_run: bool = False,
    force: bool = False,
    timeout: float = 60.0,
    retries: int = 3,
    seed: int = 0,
) -> Description:
    """Look at the data and write the requirement: one sentence, and the schema.

    Parameters
    ----------
    path : str or Path
        A table, a folder of tables, or ``-`` for stdin.
    target : str, optional
        The column to predict; guessed where not given.
    description : str, optional
        The user's own words, or ``@FILE``.
    llm, base_url, api_key, timeout, retries
        Which LLM writes the sentence, where it is, and how long and how often to try (seconds, further attempts).
    offline : bool
        Ask no LLM: write the sentence from the profile.
    output : str or Path, optional
        Where to write the requirement file.
    types : str or Path, optional
        YAML file of column types.
    merge_labels : bool
        Merge labels that differ only in case, blanks or final punctuation.
    dry_run : bool
        Send and write nothing; `Description.prompt` holds what would be sent.
    force : bool
        Replace `output` if it exists.
    seed : int
        Same seed, same sample of rows.

    Raises
    ------
    UnreachableError
        The LLM was out of reach, or gave no usable answer twice.
    ModelGPTError
        The data can't be read or can't be learned from.
    """
    from modelgpt_cli.requirement_generator.describe import describe as run

    return run(
        path,
        target=target,
        description=description,
        llm=llm,
        offline=offline,
        base_url=base_url,
        api_key=api_key,
        output=output,
        types=types,
        merge_labels=merge_labels,
        dry_run=dry_run,
        force=force,
        timeout=timeout,
        retries=retries,
        seed=seed,
    )


def build(
    requirement: str | Path | Requirement,
    *,
    data: str | Path | None = None,
    description: str | None = None,
    output: str | Path,
    members: int | None = None,
    device: str = "auto",
    seed: int = 0,
    generator: str | None = None,
    encoder: str | None = None,
    types: str | Path | None = None,
    merge_labels: bool = False,
    force: bool = False,
) -> BuildReport:
    """Turn a requirement, and data if there is any, into a model.

    Parameters
    ----------
    requirement : str, Path or Requirement
        A requirement file (``-`` for stdin), or one already read.
    data : str or Path, optional
        The labelled table; by default the one the requirement names.
    description : str, optional
        More words about the data, or ``@FILE``.
    output : str or Path
        ``model.onnx`` or ``model.safetensors``.
    members : int, optional
        Networks merged into the model; chosen where not given.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    seed : int
        Written into the artifact.
    generator, encoder : str, optional
        A generator checkpoint and a text encoder; the shipped ones by default.
    types, merge_labels, force
        As for `describe`.

    Raises
    ------
    VerificationError
        The model meets no limit of the requirement's, or differs from its exported self.
    ModelGPTError
        The requirement or the data can't be used.
    """
    from modelgpt_cli.pipeline import build as run

    return run(
        requirement,
        data=data,
        description=description,
        output=output,
        members=members,
        device=device,
        seed=seed,
        generator=generator,
        encoder=encoder,
        types=types,
        merge_labels=merge_labels,
        force=force,
    )


def tune(
    model: str | Path,
    *,
    data: str | Path,
    output: str | Path,
    epochs: int = 1,
    lr: float | None = None,
    batch_size: int = 64,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
) -> TuneReport:
    """Finetune all parameters of a ``model.safetensors`` and keep the better of before and after (ModelGPT-F).

    Raises
    ------
    ModelGPTError
        The model or the data can't be used.
    """
    from modelgpt_cli.training.tune import tune as run

    return run(
        model,
        data=data,
        output=output,
        epochs=epochs,
        lr=lr,
        batch_size=batch_size,
        device=device,
        seed=seed,
        force=force,
    )


def export(
    model: str | Path,
    *,
    output: str | Path,
    opset: int = 17,
    quantize: str = "none",
    force: bool = False,
) -> ExportReport:
    """Turn a ``model.safetensors`` into a verified ``model.onnx``.

    Raises
    ------
    VerificationError
        The exported model differs from the original.
    """
    from modelgpt_cli.artifact.export import export as run

    return run(model, output=output, opset=opset, quantize=quantize, force=force)


def meta_train(
    *,
    domain: str = "tabular",
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/tabular",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
) -> MetaTrainReport:
    """Train the generator on synthetic tasks and, where given, on the real ones in the folder `tasks`.

    `config` is a YAML file of the training's settings; `steps`, `minutes`, `seed` and `update` ("backprop", or "delta"
    for the paper's Algorithm 1) go before what it says.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C, once the state is saved.
    """
    from modelgpt_cli.training.meta_train import meta_train as run

    return run(
        domain=domain,
        tasks=tasks,
        config=config,
        steps=steps,
        minutes=minutes,
        out=out,
        resume=resume,
        device=device,
        seed=seed,
        update=update,
    )


def predict(
    model: str | Path,
    data: str | Path | pd.DataFrame,
    *,
    output: str | Path | None = None,
    proba: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    threads: int | None = None,
    force: bool = False,
) -> Prediction:
    """Score a table with a ``model.onnx``.

    Parameters
    ----------
    model : str or Path
        The ``model.onnx``.
    data : str, Path or DataFrame
        Any table that `describe` can read, ``-`` for stdin, or a data frame.
    output : str or Path, optional
        The CSV file to write (``-`` for stdout), in constant memory; without it the arrays are returned.
    proba : bool
        Write a column ``probability_<label>`` for each class too.
    chunk_rows : int
        Rows held in memory at a time.
    threads : int, optional
        CPU threads; all cores by default.
    force : bool
        Replace `output` if it exists.
    """
    from modelgpt_cli.runtime.predict import predict as run

    return run(model, data, output=output, proba=proba, chunk_rows=chunk_rows, threads=threads, force=force)


def evaluate(
    model: str | Path,
    data: str | Path | pd.DataFrame,
    *,
    target: str | None = None,
    plot: str | Path | None = None,
    chunk_rows: int = CHUNK_ROWS,
    threads: int | None = None,
    force: bool = False,
) -> Evaluation:
    """Measure a ``model.onnx`` on a labelled table.

    Parameters
    ----------
    model, data, chunk_rows, threads
        As for `predict`; of a folder, its test file is measured where there is one.
    target : str, optional
        The column of true values; the model's own target by default.
    plot : str or Path, optional
        Draw the confusion matrix and the calibration, or predicted against true values, into this file.
    force : bool
        Replace `plot` if it exists.
    """
    from modelgpt_cli.runtime.evaluate import evaluate as run

    return run(model, data, target=target, plot=plot, chunk_rows=chunk_rows, threads=threads, force=force)


def inspect(model: str | Path) -> dict[str, Any]:
    """Read the card of a ``model.onnx`` or ``model.safetensors``: schema, labels, metrics, provenance, size."""
    from modelgpt_cli.runtime.card import inspect as run

    return run(model)
