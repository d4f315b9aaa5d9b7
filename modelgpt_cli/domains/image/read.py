"""Images: a folder or zip archive of them, or a table with a column of their paths. Behind `load_dataset`.

What reads images is imported where there are some: a table is opened without Pillow.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.label_sets import OPTION as MULTI_LABEL
from modelgpt_cli.data.label_sets import with_label_sets
from modelgpt_cli.data.readers import Table, readme
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.image import DOMAIN
from modelgpt_cli.domains.image.formats import begins_as_image
from modelgpt_cli.domains.image.layout import find_split, holds_images
from modelgpt_cli.domains.image.zip_archive import not_a_zip, split_zip
from modelgpt_cli.domains.shared.split import OPTIONS as SPLITS

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset
    from modelgpt_cli.domains.image.listing import Listing

FILES = "images"
IMAGE = "image"
"""The column of a folder's images, and the only one where nothing says their classes."""
OPTIONS = dict.fromkeys((*SPLITS, MULTI_LABEL), False)


def open_path(path: Path) -> Table | None:
    """Open a folder of images, or an archive of them or a folder inside it; None where it holds none.

    Raises
    ------
    ModelGPTError
        It is an archive without images, or holds many texts as well.
    """
    if path.suffix.lower() == ".zip" and path.is_file() and split_zip(path) is None:
        raise not_a_zip(path.name)
    inside = split_zip(path)
    if not inside and not path.is_dir():
        return None
    from modelgpt_cli.domains.image.label_table import find_label_table, open_label_table
    from modelgpt_cli.domains.image.listing import Listing

    if table := open_label_table(path):
        return table
    files = Listing.of(path)
    assert files is not None
    if not holds_images(files.images, files.places, f"The folder {path}" if inside is None else path.name):
        if inside is None:
            return None
        raise ModelGPTError(
            f"{inside[0].name} is a ZIP archive without images.",
            "",
            "Unpack it and give the folder or the table in it.",
        )
    found = _open_folder(path, files, in_archive=inside is not None)
    if found.columns == [IMAGE] and (table := find_label_table(path)):
        return table
    return found


def _open_folder(path: Path, files: Listing, *, in_archive: bool) -> Table:
    """The images of a folder or an archive, of which a part may be to learn from and one to test on."""
    from modelgpt_cli.domains.image.folder import ImageFolder, about_zip

    train, test = find_split(files.images)
    folder = path / train
    name = os.path.basename(os.path.abspath(folder))
    about = about_zip(folder) if in_archive else readme(path)
    images = ImageFolder(files.below(train), name)
    return Table(
        images, name, folder, folder, about, None if test is None else path / test, None if in_archive else path,
        DOMAIN.name,
    )  # fmt: skip


def single_item(name: str, start: bytes) -> ModelGPTError | None:
    """Return the error for an image that is given by itself."""
    if not begins_as_image(start):
        return None
    return ModelGPTError(
        f"{name} is an image, not a table.",
        "Many are needed, and the class of each.",
        "Give a folder with a sub-folder of images per class, or a table of their paths and classes.",
    )


def detect(source: Source) -> bool:
    """Whether these are images in a folder or archive, or a column says where some are."""
    from modelgpt_cli.domains.image.path_column import find_images

    def look() -> bool:
        source.found[DOMAIN.name] = find_images(source)
        return source.found[DOMAIN.name] is not None

    # Label sets are looked for where there are images: their folders have none, and other tables are not opened twice.
    return look() and with_label_sets(source, look)


def read(source: Source) -> Dataset:
    """Read images.

    Raises
    ------
    ModelGPTError, UsageError
        As `Reader.read`.
    """
    from modelgpt_cli.domains.image.dataset import read_images_of

    if DOMAIN.name not in source.found:
        detect(source)
    return read_images_of(source, source.found[DOMAIN.name])
