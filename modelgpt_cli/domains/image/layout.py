"""The order in a folder or archive of images: which folders are classes and domains, which train and test.

First step of the way, below `image_folder`, and below `runtime.image_rows`, so that a model is measured on what it
would be built from. Nothing is opened here; everything follows from the *places*: paths inside it, with slashes.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.folder_names import ABOUT, TEST_NAMES, TRAIN_NAMES, VALIDATION_NAMES
from modelgpt_cli.domains.image.label_names import find_labels, known_labels, label_of

log = logging.getLogger("modelgpt")

_DEEPEST = 8
"""Folders within folders are not entered below: a name around all, train, domain, class, and some that say nothing."""
_STRAYS = 0.05
"""So small a share of texts among images, or the other way round, is passed over; more is a mistake."""
_LACKING = 0.2
"""So many of the classes a domain may lack, or one."""
_SHOWN = 3
_ROLES = {"train": ("train", "training"), "test": TEST_NAMES, "val": VALIDATION_NAMES}
_NAMED = 10


@dataclass(frozen=True)
class Placed:
    """An image and what its folders say of it."""

    place: str
    label: str = ""
    domain: str = ""


def list_folder(folder: Path) -> list[str]:
    """The places of all files in a folder that are not hidden, sorted.

    Links are followed, but never into a folder that they lie in.
    """
    found: list[str] = []
    too_deep: list[str] = []
    empty: list[str] = []
    root = Path(os.path.realpath(folder))
    _walk(folder, "", [*map(str, reversed(root.parents)), str(root)], found, too_deep, empty)
    if empty and found:
        more = f" and {len(empty) - _SHOWN:,} more" if len(empty) > _SHOWN else ""
        log.info("%s: nothing is in %s%s.", printable(folder.name), printable(", ".join(sorted(empty)[:_SHOWN])), more)
    if too_deep:
        shown = (
            f"{len(too_deep):,} folders, such as {too_deep[0]}," if len(too_deep) > 1 else f"The folder {too_deep[0]}"
        )
        log.warning("%s: more than %d levels down; not looked into.", printable(shown), _DEEPEST)
    return sorted(found)


def _walk(folder: Path, prefix: str, above: list[str], found: list[str], too_deep: list[str], empty: list[str]) -> None:
    """Add the files of a folder; `above` are the real paths of the folders around it, and its own."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise ModelGPTError(f"{folder} can't be read.", error.strerror or str(error), "Check the folder.") from error
    if not entries:
        empty.append(prefix)
    for entry in entries:
        if is_hidden(entry.name):
            continue
        if not is_folder(entry):
            found.append(prefix + entry.name)
            continue
        real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], entry.name)
        if real in above:
            continue
        if prefix.count("/") < _DEEPEST:
            _walk(Path(entry.path), f"{prefix}{entry.name}/", [*above, real], found, too_deep, empty)
        else:
            too_deep.append(entry.path)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a folder is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_hidden(name: str) -> bool:
    """Whether a file or folder is none of the user's own, such as what an archive from a Mac brings along."""
    return name.startswith(".") or name == "__MACOSX"


def printable(name: str) -> str:
    """A file's name as it can be shown and kept: bytes of it that are no UTF-8 become the replacement character."""
    return name.encode(errors="surrogateescape").decode(errors="replace")


def role_of(place: str) -> str:
    """Return "train", "test" or "val", as a folder of a place is called; "" where none is."""
    for part in PurePosixPath(place).parts[:-1]:
        if role := named_role(part.lower().rstrip("0123456789_-")):
            return role
    return ""


def named_role(name: str) -> str:
    """Return "train", "test" or "val", where a word in lower case says so; else ""."""
    return next((role for role, names in _ROLES.items() if name in names), "")


def holds_images(images: Sequence[str], places: Sequence[str], name: str) -> bool:
    """Whether this is a folder of images, rather than of texts or of neither.

    Parameters
    ----------
    images : sequence of str
        Those of its files that are images.
    places : sequence of str
        All of its files.
    name : str
        What messages call it.

    Raises
    ------
    ModelGPTError
        There are many of both.
    """
    deep = any("/" in place for place in images)
    texts = [place for place in places if _is_text(place) and (not deep or "/" in place)]
    fewer = min(len(images), len(texts))
    if fewer > _STRAYS * (len(images) + len(texts)):
        raise ModelGPTError(
            f"{name} holds both images ({len(images):,}) and texts ({len(texts):,}).",
            f"For instance {images[0]} and {texts[0]}; a model reads one or the other.",
            "Put them into folders of their own, and give one.",
        )
    return len(images) > len(texts)


def _is_text(place: str) -> bool:
    name = place.rsplit("/", 1)[-1].lower()
    return name.endswith(".txt") and not name.startswith(ABOUT)


def find_split(images: Iterable[str]) -> tuple[str, str | None]:
    """The folder to learn from, and the one to test on, where ``train/`` and ``test/`` lie side by side.

    Both end in a slash; "" for everything, and None where there is no such folder. A ``val/`` serves as test where
    there is none.
    """
    deep = [PurePosixPath(place).parts for place in images if "/" in place]
    depth = 0
    while len({parts[: depth + 1] for parts in deep}) == 1 and all(len(parts) > depth + 2 for parts in deep):
        if deep[0][depth].lower() in TRAIN_NAMES:
            break
        depth += 1  # one folder around all
    inside = {parts[depth].lower(): parts[: depth + 1] for parts in deep if len(parts) > depth + 2}
    train, test = (
        next(("/".join(inside[name]) + "/" for name in names if name in inside), None)
        for names in (TRAIN_NAMES, (*TEST_NAMES, *VALIDATION_NAMES))
    )
    return _flat_split(deep, depth) if train is None else (train, test)


def _flat_split(images: Sequence[tuple[str, ...]], depth: int) -> tuple[str, str | None]:
    """As `find_split`, where ``train/`` and ``test/`` have no folders in them: such names are no classes.

    What lies in ``test/``, or ``test1/``, is to be tested on if its names say the classes as well.
    """
    if not images or any(len(parts) != depth + 2 for parts in images):
        return "", None
    folders: dict[str, list[str]] = {}
    for parts in images:
        folders.setdefault("/".join(parts[: depth + 1]) + "/", []).append(parts[-1])
    roles = {folder: _split_role(folder[:-1].rsplit("/", 1)[-1].lower()) for folder in folders}
    if len(folders) < 2 or not all(roles.values()):
        return "", None
    train, *others = sorted(folders, key=lambda folder: list(_ROLES).index(roles[folder]))
    if roles[train] != "train":
        return "", None
    labels = set(find_labels(folders[train]).values())
    named = [folder for folder in others if labels and all(label_of(name) in labels for name in folders[folder])]
    if unnamed := [folder for folder in others if folder not in named]:
        log.info("Not looked into, as nothing says the classes there: %s.", printable(", ".join(unnamed)))
    return train, next(iter(named), None)


_ROLES = {"train": TRAIN_NAMES[:2], "test": TEST_NAMES, "val": VALIDATION_NAMES}


def _split_role(folder: str) -> str:
    """Return whether a folder is called train, test, test1 or the like; "" where it isn't."""
    return next((role for role, names in _ROLES.items() if folder.rstrip("0123456789_-") in names), "")


def arrange(images: Sequence[str], name: str, known: Collection[str] = ()) -> list[Placed]:
    """Some images, by place, with class and domain.

    The folder that an image lies in is its class, the one above that its domain; a level of folders that has one name
    only, such as ``images``, says nothing. Images in the folder itself count where there are no others. Where all lie
    in one folder, their own names may say the classes: cat.0.jpg.

    Parameters
    ----------
    name : str
        What messages call the folder.
    known : collection of str
        Classes that are looked for: the level of folders that has most of them is the classes'.

    Raises
    ------
    ModelGPTError
        The folders are nested in some other way.
    """
    folders = {place: PurePosixPath(place).parts[:-1] for place in images}
    deep = {place: parts for place, parts in folders.items() if parts}
    if not deep:
        return _by_names(images, name, known)
    _check_depths(deep, name)
    n_levels = len(next(iter(deep.values())))
    hits = [sum(printable(parts[i]) in known for parts in deep.values()) for i in range(n_levels)]
    if any(hits):
        level = max(range(n_levels), key=lambda i: (hits[i], i))
        return [_placed(place, parts[level]) for place, parts in deep.items()]
    telling = [i for i in range(n_levels) if len({parts[i] for parts in deep.values()}) > 1]
    if not telling and (named := _by_names(list(deep), name, known)) and named[0].label:
        return named
    telling = telling or [n_levels - 1]
    if len(telling) == 1:
        return [_placed(place, parts[telling[0]]) for place, parts in deep.items()]
    if len(telling) > 2:
        example = "/".join(next(iter(deep.values())))
        raise _nested(name, f"For instance {example}: {len(telling)} levels of folders with different names.")
    outer, inner = telling
    placed = [_placed(place, parts[inner], parts[outer]) for place, parts in deep.items()]
    _check_domains(placed, name)
    return placed


def _by_names(images: Sequence[str], name: str, known: Collection[str]) -> list[Placed]:
    """Images in one folder, with the classes that their own names say, if they do."""
    if printable(name).casefold() in {label.casefold() for label in known}:
        return [Placed(place) for place in images]  # the folder's own name says more
    labels = find_labels(images)
    if known and (not labels or not set(labels.values()) & set(known)):
        labels = known_labels(images, known)
        labels = labels if len(labels) == len(images) else {}
    if labels:
        counts = Counter(labels.values())
        first = {label: place.rsplit("/", 1)[-1] for place, label in reversed(labels.items())}
        some = ", ".join(f"{label} ({first[label]}, …: {counts[label]:,})" for label in sorted(counts)[:_NAMED])
        more = f" and {len(counts) - _NAMED} more" if len(counts) > _NAMED else ""
        log.info("%s: classes by the names of the files: %s%s.", name, printable(some), more)
    return [_placed(place, labels.get(place, "")) for place in images]


def _placed(place: str, label: str, domain: str = "") -> Placed:
    return Placed(place, printable(label), printable(domain))


def _check_depths(folders: dict[str, tuple[str, ...]], name: str) -> None:
    """All images lie equally deep."""
    examples = {len(parts): place for place, parts in folders.items()}
    if len(examples) > 1:
        some = " and ".join(examples[depth] for depth in sorted(examples)[:2])
        raise _nested(name, f"For instance {some}: not equally deep.")


def _check_domains(placed: Sequence[Placed], name: str) -> None:
    """Every domain has nearly all classes."""
    by_domain: dict[str, set[str]] = {}
    for image in placed:
        by_domain.setdefault(image.domain, set()).add(image.label)
    classes = set().union(*by_domain.values())
    allowed = max(1, int(_LACKING * len(classes)))
    odd = [d for d, some in by_domain.items() if len(some) < 2 or len(classes) - len(some) > allowed]
    if odd:
        others = [domain for domain in by_domain if domain != odd[0]]
        parts = [f"{d} holds {_few(sorted(by_domain[d]))}" for d in (odd[0], *others[:1])]
        raise _nested(name, f"{', and '.join(parts)}: not the same classes.")


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _nested(name: str, cause: str) -> ModelGPTError:
    return ModelGPTError(
        f"The images of {name} lie in folders within folders whose meaning is not clear.",
        printable(cause),
        "Sort them as class/image, or as domain/class/image with the same classes in every domain.",
    )
