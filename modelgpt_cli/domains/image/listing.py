"""The files of a folder or of a zip archive, and which of them are images. Between `source` and `folder`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelgpt_cli.domains.image.layout import list_folder
from modelgpt_cli.domains.image.source import Files, FolderImages, ZipImages, image_places
from modelgpt_cli.domains.image.zip_archive import open_zip, split_zip, zip_members


@dataclass(frozen=True)
class Listing:
    """Files that are not hidden.

    Attributes
    ----------
    places : list of str
        All of them, sorted.
    images : list of str
        Those that are images, by name or by content.
    source : Files
        Opens them.
    """

    places: list[str]
    images: list[str]
    source: Files

    @classmethod
    def of(cls, path: Path) -> Listing | None:
        """List a folder, a zip archive, or a folder inside one; None where the path is none of these.

        Raises
        ------
        ModelGPTError
            The archive can't be read, or is not to be trusted.
        """
        source: Files
        if inside := split_zip(path):
            archive, below = inside
            opened = open_zip(archive)
            members = {p[len(below) :]: m for p, m in zip_members(opened, archive.name).items() if p.startswith(below)}
            places, source = sorted(members), ZipImages(opened, members)
        elif path.is_dir():
            places, source = list_folder(path), FolderImages(path)
        else:
            return None
        return cls(places, image_places(places, source), source)

    def below(self, part: str) -> Listing:
        """Return what lies in a folder of it, `part`, which ends in a slash; all for ""."""
        if not part:
            return self
        places, images = (
            [place[len(part) :] for place in some if place.startswith(part)] for some in (self.places, self.images)
        )
        return Listing(places, images, self.source.below(part))
