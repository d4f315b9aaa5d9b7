"""Mask files to class indices. Needs Pillow and numpy alone: the runtime reads the masks of `evaluate` with it.

A pixel's value is an index (grey, palette or 16 bits; 0 and 255 alone are nothing and the thing) or a colour. What the
values stand for is a `Coding`, which the model's card keeps.
Shapes: H, W pixels.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.data.folder_names import CLASS_LISTS
from modelgpt_cli.domains.image.decode import ImageError, opened

IGNORE = 255
"""Of class indices: a pixel that nobody has labelled. As a value of masks of indices it says the same."""
MOST_CLASSES = 254
MOST_COLOURS = 64
"""A mask of more colours is no mask: it was blurred, resized or saved as JPEG."""
UNLABELLED = ("void", "ignore", "ignored", "unlabelled", "unlabeled", "don't care")
"""What lists of classes call pixels that nobody has labelled."""
NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt", "names.txt")
COLOUR_FILES = (*CLASS_LISTS, "labelmap.txt", "label_colors.txt", "colormap.txt")
INDEX, COLOUR, BINARY = "index", "colour", "binary"


@dataclass(frozen=True)
class Coding:
    """What the values of masks stand for.

    Attributes
    ----------
    kind : str
        `INDEX`, `BINARY` (0 and 255) or `COLOUR` (values are 65536 r + 256 g + b).
    values : tuple of int
        Of each class, in the order of the classes.
    ignored : tuple of int
        Values of pixels that nobody has labelled.
    """

    kind: str
    values: tuple[int, ...]
    ignored: tuple[int, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {"kind": self.kind, "values": list(self.values), "ignored": list(self.ignored)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Coding:
        """Read back what `to_dict` gives."""
        return cls(str(values["kind"]), tuple(map(int, values["values"])), tuple(map(int, values["ignored"])))

    @cached_property
    def _index(self) -> dict[int, int]:
        return dict.fromkeys(self.ignored, IGNORE) | {value: k for k, value in enumerate(self.values)}

    def indices(self, values: np.ndarray, name: str) -> np.ndarray:
        """Turn a mask's values (H, W) into class indices, uint8 (H, W); `IGNORE` where nobody has labelled.

        Raises
        ------
        ModelGPTError
            It has a value that stands for no class; names the file.
        """
        found, places = np.unique(values, return_inverse=True)
        known = self._index
        odd = [int(v) for v in found if int(v) not in known]
        if odd:
            more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
            known_values = ", ".join(shown(self.kind, v) for v in self.values[:20])
            raise ModelGPTError(
                f"{name} has the {'colour' if self.kind == COLOUR else 'value'} "
                f"{', '.join(shown(self.kind, v) for v in odd[:3])}{more}, which stands for no class.",
                f"The classes have {known_values}{', ...' if len(self.values) > 20 else ''}.",
                "Mend the mask, or the list of classes beside it.",
            )
        table = np.array([known[int(v)] for v in found], dtype=np.uint8)
        indices: np.ndarray = table[places.reshape(values.shape)]
        return indices


def fitting(coding: Coding, masks: Iterable[np.ndarray]) -> Coding:
    """Return the coding that masks of two classes are in, which may be 0 and 1, or 0 and 255; else the coding as it is.

    A model's own masks have the indices 0 and 1, whatever those had that it was made from. The first mask with a 1 is
    of indices; where none has one and some a 255, that is the second class.

    Parameters
    ----------
    masks : iterable of ndarray
        Their values; no more are taken than tell.
    """
    two = {coding.values[k]: k for k in range(len(coding.values))}
    if coding.kind == COLOUR or len(two) != 2 or not (coding.kind == BINARY or set(two) == {0, 1}):
        return coding
    ground = two[0]
    found = False
    for values in masks:
        if (values == 1).any():
            return Coding(INDEX, (0, 1) if ground == 0 else (1, 0), (IGNORE,))
        found = found or bool((values == IGNORE).any())
    return Coding(BINARY, (0, IGNORE) if ground == 0 else (IGNORE, 0)) if found else coding


def shown(kind: str, value: int) -> str:
    """A value as users know it."""
    return f"#{value:06x}" if kind == COLOUR else str(value)


def read_mask(content: bytes) -> tuple[np.ndarray, bool]:
    """Read a mask's values.

    Returns
    -------
    ndarray
        int32 (H, W): indices, or colours as 65536 r + 256 g + b.
    bool
        Whether they are colours. Of red, green and blue that are equal everywhere, one is the index.

    Raises
    ------
    ImageError
        The bytes are no image, or one of a kind that masks don't have.
    """
    with opened(content) as image:
        image.load()
        if image.mode == "1":
            return np.asarray(image).astype(np.int32) * 255, False
        if image.mode in ("P", "L") or image.mode.startswith("I"):
            return np.asarray(image).astype(np.int32), False
        if image.mode == "LA":
            return np.asarray(image)[:, :, 0].astype(np.int32), False
        if image.mode in ("RGB", "RGBA"):
            parts = np.asarray(image)[:, :, :3].astype(np.int32)
            if (parts[:, :, 0] == parts[:, :, 1]).all() and (parts[:, :, 0] == parts[:, :, 2]).all():
                return parts[:, :, 0], False
            return (parts[:, :, 0] << 16) + (parts[:, :, 1] << 8) + parts[:, :, 2], True
        raise ImageError(f"pixels of the kind {image.mode}, which masks don't have")


def as_colour(values: np.ndarray) -> np.ndarray:
    """Grey values (H, W) as colours, for a mask without any among masks of colours."""
    found: np.ndarray = values * 0x010101
    return found


def upright_size(content: bytes) -> tuple[int, int]:
    """Width and height of an image as it is shown, turned as its EXIF data say.

    Raises
    ------
    ImageError
        The bytes are no image.
    """
    with opened(content) as image:
        width, height = image.size
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        return (height, width) if turned else (width, height)


class MaskReader:
    """Reads masks as class indices, by a coding.

    Parameters
    ----------
    open_file : callable
        A place to the file's bytes; raises `ImageError`.
    """

    def __init__(self, open_file: Callable[[str], bytes], coding: Coding) -> None:
        self._open, self._coding = open_file, coding

    def read(self, place: str, size: tuple[int, int]) -> np.ndarray:
        """Class indices of a mask, uint8 (H, W).

        Parameters
        ----------
        size : (int, int)
            Height and width of its image.

        Raises
        ------
        ImageError
            The file can't be read.
        ModelGPTError
            It has another size, or a value that stands for no class.
        """
        values, colours = read_mask(self._open(place))
        check_size(place, (values.shape[1], values.shape[0]), (size[1], size[0]))
        if self._coding.kind == COLOUR and not colours:
            values = as_colour(values)
        return self._coding.indices(values, place)


def check_size(place: str, mask: tuple[int, int], image: tuple[int, int]) -> None:
    """Make sure that a mask has its image's size; width and height.

    Raises
    ------
    ModelGPTError
        It hasn't.
    """
    if mask != image:
        raise ModelGPTError(
            f"The mask {place} has {mask[0]} x {mask[1]} pixels, and its image {image[0]} x {image[1]}.",
            "A mask says of each pixel of its image what it belongs to; resizing it would move that.",
            "Give masks of the images' own size.",
        )


# Lists of classes -----------------------------------------------------------------------------------------------------


def names_of(text: str) -> list[str]:
    """The names in a list of classes, one a line in the order of the indices; an empty line is an index without one."""
    return [line.strip() for line in text.strip().splitlines()]


def colours_of(text: str) -> dict[int, str]:
    """The names in a map of colours: lines of a name and three numbers, in either order, with commas, colons or blanks.

    Examples
    --------
    >>> colours_of("name,r,g,b\\nroad,128,64,128\\n")
    {8405120: 'road'}
    >>> colours_of("sky:70,130,180::")
    {4620980: 'sky'}
    """
    found: dict[int, str] = {}
    for row in csv.reader(io.StringIO(text)):
        line = ",".join(row).strip()
        numbers = [int(n) for n in re.findall(r"(?<![\w.])\d{1,3}(?![\w.])", line)]
        name = re.sub(r"(?<![\w.])\d{1,3}(?![\w.])", " ", line)
        name = re.sub(r"[,:;\t]+", " ", name).strip()
        if len(numbers) == 3 and max(numbers) <= 255 and name and not name.startswith("#"):
            found[(numbers[0] << 16) + (numbers[1] << 8) + numbers[2]] = name
    return found


def find_list(places: Sequence[str], names: Sequence[str]) -> str | None:
    """The place of a list of classes among the files of a folder, the one nearest to its top; None without one."""
    found = [p for p in places if PurePosixPath(p).name.lower() in names]
    return min(found, key=lambda p: (p.count("/"), names.index(PurePosixPath(p).name.lower())), default=None)
