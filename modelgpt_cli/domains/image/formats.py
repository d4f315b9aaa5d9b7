"""Which files are images: by their name where it says so, else by their first bytes. Below `decode` and `layout`.

What Pillow opens counts, whatever its name: names save looking into files that are certainly images, or certainly not.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from types import MappingProxyType

from modelgpt_cli.data.folder_names import TABLE_SUFFIXES

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".pjpeg", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif",
    ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpf", ".jpx", ".jpc", ".j2c", ".ppm", ".pgm", ".pbm",
    ".pnm", ".pfm", ".pcx", ".tga", ".qoi", ".sgi", ".psd", ".jxl", ".svg",
    ".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".orf", ".raf", ".rw2",
)  # fmt: skip
"""A file called so is meant as an image, even one that can't be read, which is then counted and named."""
_OTHER_TEXT = """
.txt .md .rst .tex .log .html .htm .xml .xmp .aae .yaml .yml .toml .ini .cfg .py .ipynb .js .c .h .cpp .sh .bat
.pdf .doc .docx .ppt .pptx .rtf .zip .gz .tgz .tar .bz2 .xz .7z .rar .db .sqlite .lnk .url
.npy .npz .h5 .hdf5 .mat .pt .pth .onnx .safetensors .pkl .tfrecord .bin .exe .dll .so
.mp3 .wav .flac .ogg .m4a .mp4 .m4v .avi .mov .mkv .webm .mpg .mpeg .wmv
"""
_OTHER_SUFFIXES = frozenset((*TABLE_SUFFIXES, *_OTHER_TEXT.split()))
"""A file called so is not looked into: there may be many, such as the labels of each image."""
HEAD = 64
"""So many of its first bytes tell a file's format."""
_LEAST = 16
"""Pillow's readers expect so many to tell whether a file is theirs."""
_PROBED = 1000
"""Of more files whose names say nothing, so many are looked into, evenly; where none is an image, none of the others
is taken for one."""
_COMMON = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
"""What Pillow is asked for first: loading its readers of all other formats takes 30 ms."""
_REFUSED = frozenset({"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5", "IPTC"})
"""What Pillow names, but doesn't decode itself; PostScript it would hand to Ghostscript, which runs it as a program."""
_SURE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"8BPS\0\1", b"qoif",
         b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n")  # fmt: skip
"""How files begin that are images beyond doubt; other beginnings are short, and the header has to agree."""
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs")
_AVIF_BRANDS = (b"avif", b"avis")

NO_HEIC = "HEIC, which needs pillow-heif"
NO_AVIF = "AVIF, which needs Pillow 11.3 or later"
SVG = "SVG, no image of pixels"
JPEG_XL = "JPEG XL, which Pillow can't read"
_INSTALL: Mapping[str, str] = MappingProxyType(
    {NO_HEIC: 'pip install "modelgpt-cli[heic]"', NO_AVIF: 'pip install --upgrade "pillow>=11.3"'}
)
"""Why a file can't be read → the command that helps."""


def is_image_name(place: str) -> bool:
    """Whether a file's name ends like an image's."""
    return place.lower().endswith(IMAGE_SUFFIXES)


def images_among(places: Sequence[str], head: Callable[[str], bytes], opens: Callable[[str], bool]) -> list[str]:
    """Return the places among some that are images, by name or else by content, in their order.

    Parameters
    ----------
    head : callable
        Gives the first `HEAD` bytes of a file; b"" where it can't be read.
    opens : callable
        Tells whether a file's header is an image's.
    """

    def is_image(place: str) -> bool:
        start = head(place)
        if begins_as_image(start):
            return True
        return _may_be_image(start, PurePosixPath(place).suffix.lower()) and opens(place)

    by_name = {place for place in places if is_image_name(place)}
    unclear = [p for p in places if p not in by_name and PurePosixPath(p).suffix.lower() not in _OTHER_SUFFIXES]
    probed = unclear[:: -(-len(unclear) // _PROBED)] if unclear else []
    found = set(filter(is_image, probed))
    if found and len(probed) < len(unclear):
        found |= set(filter(is_image, set(unclear) - set(probed)))
    return [place for place in places if place in by_name or place in found]


def begins_as_image(head: bytes) -> bool:
    """Whether a file with these first bytes is an image beyond doubt."""
    return head.startswith(_SURE) or head[8:12] == b"WEBP" or bool(brand(head))


def _may_be_image(head: bytes, suffix: str) -> bool:
    """Whether one of Pillow's readers would try a file that begins so, or that is called so and has no mark."""
    from PIL import Image

    if len(head) < _LEAST:
        return False

    named = Image.EXTENSION.get(suffix)
    for name in readable_formats():
        accepts = Image.OPEN[name][1]
        if (accepts(head[:_LEAST]) is True) if accepts else name == named:
            return True
    return False


def brand(head: bytes) -> str:
    """Return "HEIC" or "AVIF" for a file that begins like one, else ""."""
    if head[4:8] != b"ftyp":
        return ""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, length - 3, 4))]
    if brands[0] in _AVIF_BRANDS:
        return "AVIF"
    if any(one in _HEIC_BRANDS for one in brands):
        return "HEIC"
    return "AVIF" if any(one in _AVIF_BRANDS for one in brands) else ""


def lacking(content: bytes) -> str:
    """Return why a file that Pillow doesn't know can't be read: what it is, and what it needs; "" if unknown."""
    kind = brand(content[:HEAD])
    if kind == "HEIC" and not reads_heic():
        return NO_HEIC
    if kind == "AVIF" and not _reads_avif():
        return NO_AVIF
    if content.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")):
        return JPEG_XL
    start = content[:1000].lstrip()
    return SVG if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start) else ""


def advice(reasons: Iterable[str]) -> str:
    """Return what makes files readable that aren't for these reasons: "Run: pip install …"; "" for nothing known."""
    commands = dict.fromkeys(_INSTALL[reason] for reason in reasons if reason in _INSTALL)
    return f"Run: {' && '.join(commands)}" if commands else ""


def common_formats() -> list[str]:
    """Return Pillow's names of the formats that most images have, as far as it has a reader of them."""
    from PIL import Image

    Image.preinit()
    return [name for name in _COMMON if name in Image.OPEN]


@lru_cache
def readable_formats() -> tuple[str, ...]:
    """Return Pillow's names of all formats that it decodes itself."""
    from PIL import Image

    Image.init()
    return tuple(name for name in Image.ID if name not in _REFUSED)


@lru_cache
def reads_heic() -> bool:
    """Whether pillow-heif is installed; from then on Pillow opens HEIC."""
    if importlib.util.find_spec("pillow_heif") is None:
        return False
    import pillow_heif

    pillow_heif.register_heif_opener()
    readable_formats.cache_clear()
    return True


def _reads_avif() -> bool:
    return "AVIF" in readable_formats()
