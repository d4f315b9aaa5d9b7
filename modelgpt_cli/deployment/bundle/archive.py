"""Bundles as files: the same byte for byte whenever they are written, and opened without trust."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from modelgpt_cli.core.conform import misfits
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.core.json_text import parse_json

FORMAT = 1
MANIFEST, SIGNATURE = "manifest.json", "model.sig"
APART = frozenset((MANIFEST, SIGNATURE))
"""Files that the manifest doesn't list."""
SUFFIX = ".zip"
_DAY = (1980, 1, 1, 0, 0, 0)
_MOST_FILES, _MOST_BYTES = 10_000, 16 << 30


def manifest(files: Mapping[str, bytes], version: str) -> bytes:
    """Return the manifest of some files: the SHA-256 and the size of each."""
    entries = {
        name: {"sha256": hashlib.sha256(files[name]).hexdigest(), "bytes": len(files[name])} for name in sorted(files)
    }
    return as_json({"format": FORMAT, "made_by": f"modelgpt {version}", "files": entries})


def as_json(value: Any) -> bytes:
    """Return a value as the bytes of a JSON file."""
    return (json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return files as a zip archive: sorted, dated 1980 and not compressed, so that equal files give equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name != MANIFEST, name)):
            entry = zipfile.ZipInfo(name, _DAY)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])
    return content.getvalue()


def read_bundle(path: str | os.PathLike[str]) -> dict[str, bytes]:
    """Return the files of a bundle: an archive, or a folder that it was unpacked into.

    Raises
    ------
    UsageError
        There is no such file.
    ModelGPTError
        It is no bundle, or damaged.
    """
    place = Path(path)
    check_exists(path, "Make one: modelgpt bundle model.onnx -o model.bundle.zip")
    try:
        files = _of_folder(place) if place.is_dir() else _of_zip(place)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelGPTError(
            f"{path} is damaged or cut short.", str(error), "Copy or download the file again."
        ) from error
    if MANIFEST not in files:
        raise ModelGPTError(
            f"{path} is not a bundle of modelgpt.", f"It has no {MANIFEST}.", "Make one: modelgpt bundle model.onnx"
        )
    return files


def _of_folder(folder: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.startswith(".") or path.is_dir():  # what git and hubs keep beside
            continue
        if not path.is_file():  # a link to one will do: so hubs keep what they have downloaded
            raise ModelGPTError(f"{path} is no ordinary file.", "A bundle holds nothing else.")
        found[name] = path.read_bytes()
    return found


def _of_zip(path: Path) -> dict[str, bytes]:
    if not path.is_file():
        raise UsageError(f"{path} is not an ordinary file.", hint="Name a bundle.")
    if not zipfile.is_zipfile(path):
        with open(path, "rb") as file:
            if file.read(2) == b"PK":
                raise zipfile.BadZipFile("Its end is missing.")
        raise ModelGPTError(
            f"{path} is not a bundle of modelgpt.", "It is no zip archive.", "Make one: modelgpt bundle model.onnx"
        )
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) > _MOST_FILES or sum(member.file_size for member in members) > _MOST_BYTES:
            raise ModelGPTError(f"{path} is not a bundle of modelgpt.", "It holds far more than one.")
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise ModelGPTError(f"{path} is not a bundle of modelgpt.", "It has two files of one name.")
        for member in members:
            check_name(member.filename, path)
            if member.compress_type != zipfile.ZIP_STORED:  # so that none can unpack to more than it is
                raise ModelGPTError(
                    f"{path} is not a bundle of modelgpt.",
                    f"{member.filename} in it is compressed, which bundles never are.",
                    "If it was packed anew, unpack it, and name the folder.",
                )
        return {member.filename: archive.read(member) for member in members}


def check_name(name: str, path: object) -> None:
    """Make sure that a file's name stays within its bundle.

    Raises
    ------
    ModelGPTError
        It doesn't.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0] or "\0" in name:
        raise ModelGPTError(f"{path} is not a bundle of modelgpt.", f"It has a file called {name!r}.")


def read_manifest(files: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    """Return what a manifest lists: of each file ``sha256`` and ``bytes``.

    Raises
    ------
    ValueError
        It can't be read, in words.
    """
    try:
        found = parse_json(files[MANIFEST])
    except ValueError as error:
        raise ValueError(f"{MANIFEST} is no JSON") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{MANIFEST} is not of format {FORMAT}")
    fault = next(misfits(found.get("files"), dict[str, dict[str, Any]], "files"), None)
    if fault is not None:
        raise ValueError(f"in {MANIFEST}, {fault}")
    entries: dict[str, dict[str, Any]] = found["files"]
    return entries
