"""`predict` for models of images: images in, a CSV row for each out, in the order of the files. Beside `predict`.

Shapes: N images, C classes, K classes shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.decode import SHARP, ImageError
from modelgpt_cli.domains.image.files import ImageFile, Truth, decoded, find_images, report_unreadable
from modelgpt_cli.runtime.session import IMAGE, Model


class Images:
    """The images of some files, folders, globs, zips or tables, as a model scores them.

    Parameters
    ----------
    model : Model
        Of the image domain.
    sources : sequence of str or Path
    truth : Truth, optional
        How true classes are found, where they are wanted.

    Attributes
    ----------
    files : list of ImageFile
    broken : list of (str, str)
        Images that could not be read so far: names with reasons.
    """

    def __init__(self, model: Model, sources: Sequence[str | Path], truth: Truth | None = None) -> None:
        self.model = model
        self.files = find_images(sources, truth)
        self.broken: list[tuple[str, str]] = []

    def scored(self) -> Iterator[tuple[list[ImageFile], np.ndarray, dict[str, np.ndarray]]]:
        """Portion by portion: files (N), whether each could be read, bool (N,), and the outputs for those."""
        least = SHARP * int(self.model.metadata["image"]["resize"])
        for part in decoded(self.files, least=least):
            found = [image for image in part.images if not isinstance(image, ImageError)]
            for file, image in zip(part.files, part.images, strict=True):
                if isinstance(image, ImageError):
                    self.broken.append((file.name, image.reason))
            good = np.array([not isinstance(image, ImageError) for image in part.images])
            yield part.files, good, self.model.run({IMAGE: found})

    def report(self, consequence: str) -> None:
        """Warn of unreadable images, once all are through; an error if none could be read."""
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


def write_images(images: Images, stream: BinaryIO, *, topk: int, proba: bool) -> int:
    """Write the CSV: file, label and probability, those of the next best up to the K-th, and all where `proba`.

    An image that can't be read has empty cells. Returns the number of rows.
    """
    from modelgpt_cli.runtime.predict import quoted

    labels = images.model.labels
    names = ["file"]
    for k in range(1, topk + 1):
        names += ["label", "probability"] if k == 1 else [f"label_{k}", f"probability_{k}"]
    names += [f"probability_{label}" for label in labels] if proba else []
    stream.write((",".join(map(quoted, names)) + "\n").encode())
    cells = [quoted(label) for label in labels]
    for files, good, outputs in images.scored():
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
    return len(images.files)


def collect_images(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,), "" where an image can't be read, and probabilities (N, C) float32, NaN there."""
    label = np.full(len(images.files), "", dtype=object)
    probabilities = np.full((len(images.files), len(images.model.labels)), np.nan, dtype=np.float32)
    start = 0
    for files, good, outputs in images.scored():
        places = start + np.flatnonzero(good)
        label[places] = [str(name) for name in outputs["label"].tolist()]
        probabilities[places] = outputs["probabilities"]
        start += len(files)
    return label, probabilities
