"""Writing a result: all of it or nothing. Every file a command leaves behind goes through here.

And the hash that tells whether a file is the one that it should be.
"""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError, UsageError, damaged
from modelgpt_cli.core.temporary import remove_leftovers, removed_at_end, temporary_name

MODEL_NAME = "model.onnx"
"""What the model in a bundle is called."""
_ZIP = b"PK\x03\x04"
_NO_ROOM = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def check_destination(path: str | os.PathLike[str], force: bool = False) -> Path:
    """Make sure, before any long work, that `path` may be written.

    Parameters
    ----------
    path : path-like
        The file to be written later. A link is followed.
    force : bool
        Whether an existing file may be replaced.

    Returns
    -------
    Path
        The file that will be written, links resolved.

    Raises
    ------
    UsageError
        If the file exists and `force` is off, its folder does not exist, or `path` is a folder or a device.
    ModelGPTError
        If its folder can't be written.
    """
    shown, target = Path(path), Path(os.path.realpath(path))
    folder = target.parent
    if target.is_dir():
        raise UsageError(f"{shown} is a folder.", "A file is to be written.", f"Name a file, such as {shown / 'out'}.")
    if target.exists() and not target.is_file():
        # Renaming over /dev/null or a pipe would destroy it.
        raise UsageError(f"{shown} is not an ordinary file.", hint="Name a file to write, or - for stdout.")
    if target.exists() and not force:
        raise UsageError(f"{shown} already exists.", hint="Give another name, or --force to replace it.")
    if not folder.is_dir():
        raise UsageError(
            f"Can't write {shown}.", f"There is no folder {folder}.", f"Make it first: mkdir -p {shown.parent}"
        )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ModelGPTError(
            f"Can't write {shown}.", f"The folder {folder} is not writable.", "Choose another folder with -o."
        )
    # Permissions don't show a read-only disk, nor a place such as /proc: only trying does.
    probe = temporary_name(target)
    with removed_at_end(probe):
        _create(probe, shown)
    return target


def check_exists(path: object, hint: str = "") -> None:
    """Make sure, before anything is loaded, that what a user names to be read is there.

    Parameters
    ----------
    path : object
        A path-like; whatever else it is, such as a table in memory, passes, and so does ``-``, which is stdin.
    hint : str
        What to do where no file beside it has a similar name.

    Raises
    ------
    UsageError
        There is no such file or folder.
    """
    if not isinstance(path, (str, os.PathLike)):
        return
    text = os.fspath(path)
    # What follows a # may be a sheet of a workbook, or the like.
    for name in (text, *(text[:i] for i, sign in enumerate(text) if sign == "#")):
        if name == "-" or os.path.exists(os.path.expanduser(name)):
            return
    place = Path(path).expanduser()
    # What lies in an archive has no path of its own: the archive has.
    if os.path.lexists(place) or any(parent.is_file() for parent in place.parents):
        return
    names = os.listdir(place.parent) if place.parent.is_dir() else []
    near = difflib.get_close_matches(place.name, names, n=1)
    raise UsageError(f"There is no file {place}.", "", f"Did you mean {place.parent / near[0]}?" if near else hint)


def check_model_file(path: str | os.PathLike[str]) -> None:
    """Make sure that `path` is a file with something in it.

    Raises
    ------
    UsageError
        There is no such file, or it is a folder.
    ModelGPTError
        It is empty.
    """
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", "A model file is needed.")
    check_exists(path, "Build one: modelgpt build DATA -o model.onnx")
    if path.stat().st_size == 0:
        raise ModelGPTError(f"{path} is empty.", "", "Build the model again.")


def bundled_model(path: str | os.PathLike[str]) -> bytes | None:
    """Return the ``model.onnx`` in a bundle, as ``modelgpt bundle`` writes it; None where the file is no zip archive.

    Raises
    ------
    ModelGPTError
        It is an archive without a model, or damaged.
    """
    with open(path, "rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return None
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(MODEL_NAME)
            if member.compress_type != zipfile.ZIP_STORED:  # as bundles have it, so that none can unpack to more
                raise ModelGPTError(
                    f"{path} is not a bundle of modelgpt.",
                    f"{MODEL_NAME} in it is compressed.",
                    f"Unpack {MODEL_NAME}.",
                )
            return archive.read(member)
    except KeyError as error:
        raise ModelGPTError(
            f"{path} is a zip archive without a {MODEL_NAME}.", "", f"Name a {MODEL_NAME}, or a bundle."
        ) from error
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise damaged(str(path), error) from error


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """Yield a temporary file beside `path`; it becomes `path` if the block succeeds, and is removed if not.

    The temporary name ends like `path` does, so that writers that go by the suffix work. Such files that a killed
    process left in the folder are removed after a day.

    Parameters
    ----------
    path : path-like
        The file to write.
    force : bool
        Whether an existing file may be replaced.

    Raises
    ------
    ModelGPTError
        As `check_destination` does, or if the disk is full.
    """
    target = check_destination(path, force)
    remove_leftovers(target.parent)
    temporary = temporary_name(target)
    with removed_at_end(temporary):
        _create(temporary, path)
        mode = stat.S_IMODE(temporary.stat().st_mode)
        try:
            yield temporary
            check_destination(path, force)
            if target.exists():
                shutil.copymode(target, temporary)
            else:  # some writers, such as safetensors, make the file anew, for its owner only
                os.chmod(temporary, mode)
            os.replace(temporary, target)
        except Exception as error:
            if (reason := _no_room(error)) is not None:
                hint = "Free some space, or choose another disk with -o."
                raise ModelGPTError(f"Can't write {path}.", reason, hint) from error
            raise


def _no_room(error: Exception) -> str | None:
    """Say that the disk is full, if that is what an error says; libraries below Python put it into words only."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return error.strerror or ""
    words = " ".join(str(error).split())[:300]
    reasons = {os.strerror(number) for number in _NO_ROOM} | {f"os error {number}" for number in _NO_ROOM}
    return words if any(reason in words for reason in reasons) else None


def sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as 64 hex digits; read at constant memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _create(temporary: Path, shown: str | os.PathLike[str]) -> None:
    """Make the empty file that is to become `shown`."""
    try:
        # Not tempfile: its files are readable by the owner only, and the result should follow the umask.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise ModelGPTError(f"Can't write {shown}.", error.strerror or "", "Choose another place with -o.") from error
