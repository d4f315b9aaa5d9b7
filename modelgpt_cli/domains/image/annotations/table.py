"""Marked objects as opened data: one way for all domains that learn from them. Between `find` and their `read`.

A folder is opened once, by the domain that is asked first, and belongs to the one whose task its annotations are for;
``--task`` may give it to another.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.domain import all_domains, task_domain
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.annotations import TASKS
from modelgpt_cli.domains.image.annotations.find import find_annotations, task_of
from modelgpt_cli.domains.image.annotations.objects import Annotations, MarkedImage, Rle
from modelgpt_cli.domains.image.decode import ImageError

if TYPE_CHECKING:
    import pandas as pd

    from modelgpt_cli.data.readers import Table
    from modelgpt_cli.data.source import Source

IMAGE, OBJECTS = "image", "objects"


class ObjectCells:
    """Images with marked objects as frames: places, and how many objects each has. Follows `readers.RawCells`.

    Attributes
    ----------
    annotations : Annotations
    domain : str
        Of the task that the annotations are for.
    domains : tuple of str
        All that can learn from them.
    """

    def __init__(self, annotations: Annotations) -> None:
        self.annotations = annotations
        self.domains = domains_of_objects()
        own = task_domain(task_of(annotations))
        self.domain = own.name if own is not None else self.domains[0]
        self.columns = [IMAGE, OBJECTS]
        self.expected_rows = len(annotations.images)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The places, at most `rows` at a time."""
        import pandas as pd

        images = self.annotations.images
        for start in range(0, len(images), rows):
            part = images[start : start + rows]
            cells = {IMAGE: [image.place for image in part], OBJECTS: [str(len(image.objects)) for image in part]}
            yield pd.DataFrame({name: pd.Series(cells[name], dtype=object) for name in columns})

    def fingerprint(self) -> str:
        """The SHA-256 of all images, and of what is marked in them."""
        digest = hashlib.sha256()
        for image in self.annotations.images:
            try:
                content = self.annotations.files.open(image.place)
            except ImageError as error:
                content = error.reason.encode()
            digest_image(digest, image, content)
        return f"sha256:{digest.hexdigest()}"


def digest_image(digest: hashlib._Hash, image: MarkedImage, content: bytes) -> None:
    """Add an image's file, and what is marked in it, to a fingerprint."""
    digest.update(f"{image.place}\0{len(content)}\0".encode(errors="replace"))
    digest.update(content)
    for one in image.objects:
        digest.update(f"{one.label} {one.box} {one.crowd}\0".encode())
        if isinstance(one.outline, Rle):
            digest.update(repr(one.outline).encode())
        for array in (*(one.outline if isinstance(one.outline, tuple) else ()), one.points):
            if array is not None:
                digest.update(array.tobytes())


def domains_of_objects() -> tuple[str, ...]:
    """Return the names of the domains that learn from annotations."""
    return tuple(domain.name for domain in all_domains() if domain.task in TASKS)


def open_objects(path: Path) -> Table | None:
    """Open a folder or archive of images with marked objects; None where it holds none.

    What the part ``read`` of each domain gives as `Reader.open_path`.

    Raises
    ------
    ModelGPTError
        Its annotations can't be used.
    """
    from modelgpt_cli.data.readers import Table, readme

    annotations = find_annotations(path)
    if annotations is None:
        return None
    about = readme(path) if path.is_dir() else ""
    return Table(ObjectCells(annotations), annotations.name, path, path, about)


def open_objects_file(path: Path) -> ObjectCells | None:
    """Open a file of annotations that is given by itself; None where it is none. Gives `Reader.open_file`."""
    annotations = find_annotations(path)
    return None if annotations is None else ObjectCells(annotations)


def objects_for(source: Source, task: str) -> Annotations | None:
    """Return the annotations of data that a domain's task is to be learned from; None where it isn't.

    What the part ``read`` of each domain asks in `Reader.detect`. The task is the one that was asked for, else that
    which the annotations are for (`task_of`).
    """
    from modelgpt_cli.core.domain import find_domain

    table = source.table
    wanted = source.task or (find_domain(source.domain).task if source.domain else None)
    if isinstance(table.cells, ObjectCells):
        fits = (wanted or task_of(table.cells.annotations)) == task
        return table.cells.annotations if fits else None
    if wanted == task and table.path is not None and table.domain in _image_domains():
        return find_annotations(table.path)  # masks, or folders of classes, were found first
    return None


def _image_domains() -> tuple[str, ...]:
    """Return the names of the domains whose opened folders may hold annotations beside what they were opened for."""
    return tuple(domain.name for domain in all_domains() if "image" in domain.roles.values())


def refuse_other_task(annotations: Annotations, task: str, lacking: str) -> UsageError:
    """Return the error for annotations that hold nothing of what a task learns.

    Parameters
    ----------
    lacking : str
        What is missing: "outlines".
    """
    own = task_of(annotations)
    return UsageError(
        f"{annotations.name} ({annotations.format}) holds no {lacking}, and the task is to be {task}.",
        f"Its annotations are for {own}.",
        f"Leave --task out, or give annotations with {lacking}.",
    )
