"""Marked images as a user gives them to a model: a folder, an archive, or a file of annotations in the place of images.

Imports neither torch nor pandas: behind each domain's part ``feed``.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

from modelgpt_cli.core.paths import expand
from modelgpt_cli.domains.image.annotations import SUFFIXES
from modelgpt_cli.domains.image.annotations.find import find_annotations, folder_of
from modelgpt_cli.domains.image.annotations.objects import Annotations, MarkedImage
from modelgpt_cli.domains.image.files import ImageFile, find_images
from modelgpt_cli.domains.image.zip_archive import split_zip


def annotations_at(given: Any) -> Annotations | None:
    """Return what is marked at a path; None where nothing is, or what is given is no path.

    Raises
    ------
    ModelGPTError
        As `find_annotations`.
    """
    return find_annotations(expand(os.fspath(given))) if isinstance(given, (str, os.PathLike)) else None


def marked_files(known: Annotations, images: Sequence[MarkedImage], given: str | os.PathLike[str]) -> list[ImageFile]:
    """Return the files of marked images, named as `find_images` names those of a folder or archive.

    Their labels are their places.

    Parameters
    ----------
    given : path-like
        Where the annotations were found.
    """
    path = expand(os.fspath(given))
    folder = folder_of(path) if is_annotation_file(given) else path
    inside = split_zip(folder)
    prefix = inside[1] if inside else f"{folder}{os.sep}"
    return [ImageFile(prefix + one.place, one.place, partial(known.files.open, one.place)) for one in images]


def is_annotation_file(given: Any) -> bool:
    """Whether something is a path that ends as files of annotations do."""
    return isinstance(given, (str, os.PathLike)) and os.fspath(given).lower().endswith(SUFFIXES)


def find_given(given: Any) -> list[ImageFile]:
    """Return the images of what a user gives, whatever is marked in them: of a file of annotations those that it names.

    Raises
    ------
    UsageError
        There are none.
    """
    known = annotations_at(given) if is_annotation_file(given) else None  # else a table may be meant
    return find_images([given]) if known is None else marked_files(known, known.images, given)
