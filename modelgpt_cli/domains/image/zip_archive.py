"""A zip archive of images, read where it lies. Below `image_folder` and `runtime.image_rows`; needs no pandas."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

from modelgpt_cli.core.errors import ModelGPTError, damaged
from modelgpt_cli.domains.image.layout import is_hidden


def split_zip(path: Path) -> tuple[Path, str] | None:
    """A zip archive, and the folder inside it ("" or ending in a slash) that a path such as pets.zip/train means."""
    for archive in (path, *path.parents):
        if archive.suffix.lower() == ".zip" and archive.is_file() and zipfile.is_zipfile(archive):
            inside = path.relative_to(archive).as_posix()
            return archive, "" if inside == "." else f"{inside}/"
    return None


def open_zip(archive: Path) -> zipfile.ZipFile:
    """Open an archive to be read.

    Raises
    ------
    ModelGPTError
        It is none, or damaged.
    """
    try:
        return zipfile.ZipFile(archive)
    except (OSError, zipfile.BadZipFile) as error:
        raise not_a_zip(archive.name) from error


def not_a_zip(name: str) -> ModelGPTError:
    """The error for a file that is called .zip and can't be read as one."""
    return damaged(name, "It is no ZIP archive, or not a whole one.")


def zip_members(archive: zipfile.ZipFile, name: str) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive that are not hidden, by place.

    Raises
    ------
    ModelGPTError
        One has a path that leads out of the archive, so that nothing in it can be trusted.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        place = member.filename.replace("\\", "/")
        parts = PurePosixPath(place).parts
        if place.startswith("/") or ".." in parts or ":" in (parts[0] if parts else "")[1:2]:
            raise ModelGPTError(
                f"The archive {name} holds a file whose path leads out of it: {member.filename[:80]!r}.",
                "Paths in an archive of images are relative and have no '..' in them.",
                "Make the archive anew from the folder of the images.",
            )
        if not member.is_dir() and not any(map(is_hidden, parts)):
            members["/".join(parts)] = member
    return members
