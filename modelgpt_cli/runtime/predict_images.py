"""`predict` for models of images: pictures in, a CSV row for each out, in the order of the files. Beside `predict`.

Shapes: N pictures, C classes, K classes shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelgpt_cli.data.pictures import SHARP, PictureError
from modelgpt_cli.errors import UsageError
from modelgpt_cli.runtime.image_rows import PictureFile, Truth, decoded, find_pictures, report_unreadable
from modelgpt_cli.runtime.session import IMAGE, Model


class Pictures:
    """The pictures of some files, folders, globs, zips or tables, as a model scores them.

    Parameters
    ----------
    model : Model
        Of the image domain.
    sources : sequence of str or Path
    truth : Truth, optional
        How true classes are found, where they are wanted.

    Attributes
    ----------
    files : list of PictureFile
    broken : list of (str, str)
        Pictures that could not be read so far: names with reasons.
    """

    def __init__(self, model: Model, sources: Sequence[str | Path], truth: Truth | None = None) -> None:
        self.model = model
        self.files = find_pictures(sources, truth)
        self.broken: list[tuple[str, str]] = []

    def scored(self) -> Iterator[tuple[list[PictureFile], np.ndarray, dict[str, np.ndarray]]]:
        """Portion by portion: files (N), whether each could be read, bool (N,), and the outputs for those."""
        least = SHARP * int(self.model.metadata["image"]["resize"])
        for part in decoded(self.files, least=least):
            found = [picture for picture in part.pictures if not isinstance(picture, PictureError)]
            for file, picture in zip(part.files, part.pictures, strict=True):
                if isinstance(picture, PictureError):
                    self.broken.append((file.name, picture.reason))
            good = np.array([not isinstance(picture, PictureError) for picture in part.pictures])
            yield part.files, good, self.model.run({IMAGE: found})

    def report(self, consequence: str) -> None:
        """Warn of unreadable pictures, once all are through; an error if none could be read."""
        report_unreadable(self.broken, len(self.files), consequence)


def check_topk(topk: int, model: Model) -> None:
    """Make sure that a model can name so many classes.

    Raises
    ------
    UsageError
        It can't.
    """
    if not 1 <= topk <= len(model.labels):
        raise UsageError(f"--topk can't be {topk}.", f"The model has {len(model.labels)} classes.")


def write_pictures(pictures: Pictures, stream: BinaryIO, *, topk: int, proba: bool) -> int:
    """Write the CSV: file, label and probability, those of the next best up to the K-th, and all where `proba`.

    A picture that can't be read has empty cells. Returns the number of rows.
    """
    from modelgpt_cli.runtime.predict import quoted

    labels = pictures.model.labels
    names = ["file"]
    for k in range(1, topk + 1):
        names += ["label", "probability"] if k == 1 else [f"label_{k}", f"probability_{k}"]
    names += [f"probability_{label}" for label in labels] if proba else []
    stream.write((",".join(map(quoted, names)) + "\n").encode())
    cells = [quoted(label) for label in labels]
    for files, good, outputs in pictures.scored():
        rows = iter(outputs["probabilities"])
        for file, readable in zip(files, good.tolist(), strict=True):
            line = [quoted(file.name)]
            if readable:
                p = next(rows)
                for k in np.argsort(-p, kind="stable")[:topk].tolist():
                    line += [cells[k], f"{p[k]:.7g}"]
                line += [f"{value:.7g}" for value in p.tolist()] if proba else []
            else:
                line += [""] * (len(names) - 1)
            stream.write((",".join(line) + "\n").encode(errors="surrogateescape"))
    return len(pictures.files)


def collect_pictures(pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,), "" where a picture can't be read, and probabilities (N, C) float32, NaN there."""
    label = np.full(len(pictures.files), "", dtype=object)
    probabilities = np.full((len(pictures.files), len(pictures.model.labels)), np.nan, dtype=np.float32)
    start = 0
    for files, good, outputs in pictures.scored():
        places = start + np.flatnonzero(good)
        label[places] = [str(name) for name in outputs["label"].tolist()]
        probabilities[places] = outputs["probabilities"]
        start += len(files)
    return label, probabilities
