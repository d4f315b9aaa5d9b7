"""Images: a folder or zip archive of them, or a table with a column of their paths. Behind `load_dataset`.

What reads images is imported where there are some: a table is opened without Pillow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.readers import Table, readme
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image import DOMAIN
from modelgpt_cli.domains.image.layout import find_split, holds_images, list_folder
from modelgpt_cli.domains.image.zip_archive import not_a_zip, split_zip
from modelgpt_cli.domains.shared.split import OPTIONS as SPLITS

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset

FILES = "images"
OPTIONS = dict.fromkeys(SPLITS, False)


def open_path(path: Path) -> Table | None:
    """Open a folder of images, or an archive of them or a folder inside it; None where it holds none.

    Raises
    ------
    ModelGPTError
        It is an archive without images, or holds many texts as well.
    """
    if inside := split_zip(path):
        return _open_zip(path, *inside)
    if path.suffix.lower() == ".zip" and path.is_file():
        raise not_a_zip(path.name)
    if not path.is_dir():
        return None
    places = list_folder(path)
    return _open_folder(path, *find_split(places)) if holds_images(places, f"The folder {path}") else None


def _open_folder(path: Path, train: str, test: str | None) -> Table | None:
    from modelgpt_cli.domains.image.folder import open_image_folder

    folder = path / train
    name = os.path.basename(os.path.abspath(folder))
    images = open_image_folder(folder, name)
    if images is None:
        return None
    test_path = None if test is None else path / test
    return Table(images, name, folder, folder, readme(path), test_path, path, DOMAIN.name)


def _open_zip(path: Path, archive: Path, inside: str) -> Table:
    """The images of an archive, or of a folder inside it."""
    from modelgpt_cli.domains.image.folder import about_zip, find_image_zip, open_image_zip

    found = (path, None) if inside else find_image_zip(archive)
    if found is None:
        raise ModelGPTError(
            f"{archive.name} is a ZIP archive without images.",
            "",
            "Unpack it and give the folder or the table in it.",
        )
    folder, test = found
    below = folder.relative_to(archive).as_posix()
    images = open_image_zip(archive, "" if below == "." else f"{below}/", folder.name)
    return Table(images, folder.name, folder, folder, about_zip(archive), test, domain=DOMAIN.name)


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return the error for an image that is given by itself."""
    if not start.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        return None
    return ModelGPTError(
        f"{name} is an image, not a table.",
        "Many are needed, and the class of each.",
        "Give a folder with a sub-folder of images per class, or a table of their paths and classes.",
    )


def detect(source: Source) -> bool:
    """Whether these are images in a folder or archive, or a column says where some are."""
    from modelgpt_cli.domains.image.dataset import find_images

    source.found[DOMAIN.name] = find_images(source)
    return source.found[DOMAIN.name] is not None


def read(source: Source) -> Dataset:
    """Read images.

    Raises
    ------
    ModelGPTError, UsageError
        As `Reader.read`.
    """
    from modelgpt_cli.domains.image.dataset import find_images, read_images_of

    if DOMAIN.name not in source.found:
        source.found[DOMAIN.name] = find_images(source)
    return read_images_of(source, source.found[DOMAIN.name])
