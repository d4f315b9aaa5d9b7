"""Which image a mask belongs to: images and masks in folders of their own, or side by side. Nothing is opened here.

First step of the way, beside `image.layout`. Everything follows from the *places*: paths inside the folder, with
slashes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelgpt_cli.domains.image.layout import role_of

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "frames", "inputs", "input")
MASK_FOLDERS = (
    "masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass", "segmentations",
    "segmentation", "groundtruth", "gt",
)  # fmt: skip
MASK_ENDINGS = ("_mask", "-mask", "_masks", "_label", "_labels", "_gt", "_seg", "_segmentation", "_l")
"""What a mask's name may add to its image's; side by side only the first three."""
_BESIDE = MASK_ENDINGS[:3]
EXACT = (".png", ".gif", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".webp")
"""Formats that keep each pixel as it is; webp may."""
LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
_SHARE = 0.5
"""So large a share of the masks must have an image: of class folders that happen to be called so, few files agree."""


@dataclass(frozen=True)
class Pair:
    """An image and its mask; "" where it has none."""

    image: str
    mask: str = ""


@dataclass(frozen=True)
class Pairs:
    """What a folder holds.

    Attributes
    ----------
    pairs : list of Pair
        All images, those without a mask too.
    strays : list of str
        Masks without an image.
    lossy : bool
        Whether the masks are JPEG.
    """

    pairs: list[Pair]
    strays: list[str]
    lossy: bool = False

    def part(self, role: str) -> Pairs:
        """Return those that lie in the part "train" or "test"; all belong to "train" where nothing says more."""
        roles = {pair.image: role_of(pair.image) for pair in self.pairs}
        named = set(roles.values())
        learned = "train" if "train" in named else ""
        tested = next((name for name in ("test", "val") if name in named), None)
        wanted = learned if role == "train" else tested
        if role == "train" and learned not in named:  # a folder called test by itself
            return self
        kept = [pair for pair in self.pairs if roles[pair.image] == wanted]
        return Pairs(kept, [place for place in self.strays if role_of(place) == wanted], self.lossy)


def find_pairs(images: Sequence[str]) -> Pairs | None:
    """Pair the images of a folder with the masks among them; None where these are no images with masks.

    Parameters
    ----------
    images : sequence of str
        The places of all images.
    """
    found = _in_folders(images)
    return found if found is not None else _side_by_side(images)


def _in_folders(images: Sequence[str]) -> Pairs | None:
    """Images and masks in folders of their own, at any depth: train/images and train/masks, or images/train."""
    by_key: dict[tuple[str, str], str] = {}
    masks: dict[str, tuple[str, str]] = {}
    for place in images:
        parts = PurePosixPath(place).parts
        for i, part in enumerate(parts[:-1]):
            kind = part.lower()
            if kind in IMAGE_FOLDERS or kind in MASK_FOLDERS:
                # Where it lies apart from this folder, and its name.
                key = ("/".join((*parts[:i], "*", *parts[i + 1 : -1])), PurePosixPath(place).stem)
                if kind in IMAGE_FOLDERS:
                    by_key.setdefault(key, place)
                else:
                    masks[place] = key
                break
    if not by_key or not masks:
        return None
    of_image: dict[str, str] = {}
    strays = []
    for mask, (folder, stem) in masks.items():
        image = next((by_key[folder, name] for name in _image_stems(stem) if (folder, name) in by_key), None)
        if image is None:
            strays.append(mask)
        else:
            of_image.setdefault(image, mask)
    return _checked(list(by_key.values()), of_image, strays)


def _side_by_side(images: Sequence[str]) -> Pairs | None:
    """Masks beside their images: x.jpg and x_mask.png."""
    by_stem = {str(PurePosixPath(place).with_suffix("")): place for place in images}
    of_image: dict[str, str] = {}
    strays = []
    for stem, place in by_stem.items():
        ending = next((e for e in _BESIDE if stem.lower().endswith(e)), "")
        if not ending:
            continue
        image = by_stem.get(stem[: -len(ending)])
        if image is None:
            strays.append(place)
        else:
            of_image[image] = place
    masks = {*of_image.values(), *strays}
    others = [place for place in images if place not in masks]
    if len(of_image) < _SHARE * len(others):
        return None
    return _checked(others, of_image, strays)


def _image_stems(stem: str) -> Iterable[str]:
    """Names that the image of a mask may have, the mask's own first."""
    yield stem
    yield from (stem[: -len(ending)] for ending in MASK_ENDINGS if stem.lower().endswith(ending))


def _checked(images: Sequence[str], of_image: Mapping[str, str], strays: list[str]) -> Pairs | None:
    """The pairs, if enough of the masks have an image, and are of a format that masks have."""
    if not of_image or len(of_image) < _SHARE * (len(of_image) + len(strays)):
        return None
    masks = list(of_image.values())
    exact = sum(mask.lower().endswith(EXACT) for mask in masks)
    lossy = sum(mask.lower().endswith(LOSSY) for mask in masks)
    if max(exact, lossy) < len(masks) / 2:
        return None
    return Pairs([Pair(image, of_image.get(image, "")) for image in images], strays, lossy > exact)
