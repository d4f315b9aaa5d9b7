"""A folder of .txt files, one sub-folder per class, as frames of raw cells. First step of the way, beside `formats`."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.encoding import BOMS
from modelgpt_cli.data.folder_names import TEST_NAMES, TRAIN_NAMES
from modelgpt_cli.data.readers import is_about
from modelgpt_cli.data.synthetic import MARKED, SYNTHETIC

log = logging.getLogger("modelgpt")

TEXT, LABEL = "text", "label"
"""The columns of such a folder; where files were generated, the column `SYNTHETIC` says which."""
_FRAME_BYTES = 64 << 20
_SHOWN = 3


def find_text_folder(folder: Path) -> tuple[Path, Path | None] | None:
    """The folder of the classes, and the one of the test texts where ``train/`` and ``test/`` lie side by side.

    None where there are no .txt files of this kind.
    """
    inside = {path.name.lower(): path for path in sorted(folder.iterdir()) if _is_folder(path)}
    train, test = (
        next((inside[name] for name in names if name in inside and _class_folders(inside[name])), None)
        for names in (TRAIN_NAMES, TEST_NAMES)
    )
    if train is not None:
        return train, test
    return (folder, None) if _class_folders(folder) or _text_files(folder) else None


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _is_text_file(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and not path.name.startswith(".") and path.is_file()


def _class_folders(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_folder(path) and any(map(_is_text_file, path.iterdir()))]


def _text_files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if _is_text_file(path) and not is_about(path)]


class TextFolder:
    """The .txt files of a folder: their text, and as label the name of the sub-folder they lie in.

    Files that lie in the folder itself are texts without a label, and count where there are no sub-folders of texts
    alone. Hidden files are passed over, files of other kinds with a word.

    Parameters
    ----------
    folder : Path
        Holds the classes' folders, or the files.
    name : str
        What messages call it.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.name = name
        self._told = False
        classes = _class_folders(folder)
        self.columns = [TEXT, LABEL] if classes else [TEXT]
        self._files = [(c.name, path) for c in classes for path in sorted(c.iterdir()) if _is_text_file(path)]
        if not classes:
            self._files = [("", path) for path in _text_files(folder)]
        self.expected_rows = len(self._files)
        if classes and any(path.name.startswith(MARKED) for _, path in self._files):
            self.columns.append(SYNTHETIC)
        self._tell_of_others([folder, *classes])

    def _tell_of_others(self, folders: Sequence[Path]) -> None:
        """Say which files and folders are no part of the data."""
        taken = {path for _, path in self._files}.union(folders)
        others = [path for folder in folders for path in sorted(folder.iterdir()) if path not in taken]
        others = [path for path in others if not path.name.startswith(".") and not is_about(path)]
        if others:
            shown = ", ".join(str(path.relative_to(self.folder)) for path in others[:_SHOWN])
            more = f" and {len(others) - _SHOWN:,} more" if len(others) > _SHOWN else ""
            log.info("%s: passed over %s%s: no .txt file of a class.", self.name, shown, more)

    def frames(self, rows: int, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The texts by class and file name, in frames of at most `rows` rows or some 64 MB."""
        texts: list[str] = []
        labels: list[str] = []
        marks: list[str] = []
        size = spoilt = 0
        for label, path in self._files:
            content = _read(path)
            text, whole = _decode(content)
            spoilt += not whole
            texts.append(text)
            labels.append(label)
            marks.append(str(path.name.startswith(MARKED)).lower())
            size += len(content)
            if len(texts) == rows or size > _FRAME_BYTES:
                yield _frame(texts, labels, marks, columns)
                texts, labels, marks, size = [], [], [], 0
        if texts:
            yield _frame(texts, labels, marks, columns)
        if spoilt and not self._told:
            self._told = True
            log.warning(
                "%s: %s of %s files are not UTF-8; the bytes that can't be read became \N{REPLACEMENT CHARACTER}.",
                self.name,
                f"{spoilt:,}",
                f"{len(self._files):,}",
            )

    def fingerprint(self) -> str:
        """The SHA-256 over the files' places and bytes as "sha256:<64 hex digits>"."""
        digest = hashlib.sha256()
        for _, path in self._files:
            content = _read(path)
            digest.update(f"{path.relative_to(self.folder).as_posix()}\0{len(content)}\0".encode(errors="replace"))
            digest.update(content)
        return f"sha256:{digest.hexdigest()}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelGPTError(f"{path} can't be read.", error.strerror or str(error), "Check the file.") from error


def _decode(content: bytes) -> tuple[str, bool]:
    """A file's text, and whether all of its bytes could be read; UTF-8 unless a mark says otherwise."""
    encoding = next((encoding for mark, encoding in BOMS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding), True
    except UnicodeDecodeError:
        return content.decode(encoding, "replace"), False


def _frame(texts: list[str], labels: list[str], marks: list[str], columns: Sequence[str]) -> pd.DataFrame:
    cells = {TEXT: texts, LABEL: labels, SYNTHETIC: marks}
    frame: pd.DataFrame = pd.DataFrame({name: pd.Series(cells[name], dtype=object) for name in columns})
    return frame
