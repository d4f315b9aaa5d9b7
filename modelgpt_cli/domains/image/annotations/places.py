"""Which image of a folder a file of annotations means, and which part of the data it says that it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.layout import named_role, role_of


class ImageFinder:
    """Finds images by what annotations call them.

    Parameters
    ----------
    images : sequence of str
        The places of all images.
    """

    def __init__(self, images: Sequence[str]) -> None:
        self._places = frozenset(images)
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for place in images:
            path = PurePosixPath(place)
            self._by_name.setdefault(path.name.lower(), []).append(place)
            self._by_stem.setdefault(path.stem.lower(), []).append(place)

    def find(self, name: str, folder: str, part: str = "", *, file: str) -> str | None:
        """Return an image's place; None where there is none of the name.

        Below the folder or in images/ beside it, else anywhere: the one whose path ends so, or that is called so.

        Parameters
        ----------
        name : str
            A file's name or path, as the annotations have it.
        folder : str
            The folder of the annotations, "" or ending in a slash.
        part : str
            "train", "test" or "val", where the annotations say: of several images of a name the one of that part.
        file : str
            The annotations' own name, for messages.

        Raises
        ------
        ModelGPTError
            Several are called so.
        """
        name = re.sub(r"^(\./)+", "", name.replace("\\", "/"))
        above = folder[: folder.rstrip("/").rfind("/") + 1]
        for base in (folder, f"{folder}images/", f"{above}images/", above):
            if base + name in self._places:
                return base + name
        called = self._by_name.get(PurePosixPath(name).name.lower(), [])
        return self._one(name, called, folder, part, file)

    def beside(self, place: str, folders: Sequence[tuple[str, str]]) -> str | None:
        """Return the image that a file of annotations of one image belongs to, of the same stem; None without one.

        Parameters
        ----------
        place : str
            The file of annotations.
        folders : sequence of (str, str)
            What the folder of annotations is called, and that of their images: first of all the file's own folder,
            then those with one name in the place of the other.
        """
        path = PurePosixPath(place)
        found = self._by_stem.get(path.stem.lower(), [])
        parents = [path.parent.parts]
        for ours, theirs in folders:
            parents += [
                (*path.parent.parts[:i], theirs, *path.parent.parts[i + 1 :])
                for i, part in enumerate(path.parent.parts)
                if part.lower() == ours
            ]
        for parent in parents:
            for image in found:
                if tuple(map(str.lower, PurePosixPath(image).parent.parts)) == tuple(map(str.lower, parent)):
                    return image
        return None

    def called(self, stem: str, folder: str, part: str = "", *, file: str) -> str | None:
        """Return the image whose name without its ending is `stem`, wherever it lies; as `find`."""
        return self._one(stem, self._by_stem.get(stem.lower(), []), folder, part, file)

    def _one(self, name: str, called: Sequence[str], folder: str, part: str, file: str) -> str | None:
        wanted = name.lower()
        for some in (
            called,
            [place for place in called if place.lower().endswith(f"/{wanted}")],
            [place for place in called if part and role_of(place) == part],
            [place for place in called if place.startswith(folder)] if folder else (),
        ):
            if len(some) == 1:
                return some[0]
        if called:
            raise ModelGPTError(
                f"{file} names the image {name}, and several are called so: {', '.join(called[:3])}.",
                "Which one is meant cannot be told.",
                "Put the annotations into the folder of their images, or rename the images.",
            )
        return None


def part_of(place: str) -> str:
    """Return "train", "test" or "val", as a file of annotations is called or its folder is; "" where neither is.

    Examples
    --------
    >>> part_of("annotations/instances_val2017.json"), part_of("test/annotations.json"), part_of("labels.json")
    ('val', 'test', '')
    """
    words = re.split(r"[^a-z]+", PurePosixPath(place).stem.lower())
    return next((role for word in words if (role := named_role(word))), "") or role_of(place)
