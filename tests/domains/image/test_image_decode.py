"""Files of images to pixels: every format and mode, upright, within limits; a short reason where there are none."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_images import encoded, scene

from modelgpt_cli.domains.image.decode import ImageError, decode_image, image_size

pytestmark = pytest.mark.filterwarnings(r"ignore::Warning:PIL\.")  # pytest sets aside the filter that users have

PIXELS = scene(0, 40)[:, :24]
"""Higher than wide."""


def grey_of(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(pixels[..., :1], 3, axis=2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("GIF", {}),
    ],
)
def test_formats(kind: str, options: dict[str, Any]) -> None:
    content = encoded(PIXELS, kind, **options)
    found = decode_image(content)
    assert (found.shape, found.dtype) == ((40, 24, 3), np.uint8)
    assert np.abs(found.astype(int) - PIXELS).mean() < {"JPEG": 3, "GIF": 15}.get(kind, 0.01)
    assert image_size(content) == (24, 40)


def test_grey_sixteen_bits_floats_and_black_and_white() -> None:
    grey = PIXELS[..., 0]
    for content in (
        encoded(grey, "PNG"),
        encoded(grey.astype(np.uint16) * 257, "PNG"),
        encoded(grey.astype(np.float32) / 255, "TIFF"),
        encoded(grey.astype(np.float32), "TIFF"),
    ):
        assert np.array_equal(decode_image(content), grey_of(PIXELS))
    assert set(np.unique(decode_image(encoded(grey > 100, "PNG")))) == {0, 255}


def test_cmyk_and_palette() -> None:
    for mode, kind in (("CMYK", "JPEG"), ("P", "PNG")):
        found = decode_image(saved(Image.fromarray(PIXELS).convert(mode), kind))
        assert np.abs(found.astype(int) - PIXELS).mean() < 25, mode


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def test_what_is_transparent_is_white() -> None:
    layer = np.concatenate([PIXELS, np.full((40, 24, 1), 255, np.uint8)], axis=2)
    layer[:20, :, 3] = 0
    found = decode_image(encoded(layer, "PNG"))
    assert (found[:20] == 255).all()
    assert np.array_equal(found[20:], PIXELS[20:])
    indexed = Image.new("P", (4, 4), 1)
    indexed.putpalette([9, 9, 9, 200, 0, 0])
    assert (decode_image(saved(indexed, "PNG", transparency=1)) == 255).all()
    assert (decode_image(saved(indexed, "PNG")) == (200, 0, 0)).all()


@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_images_are_turned_upright(orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG"):
        plain, turned = (decode_image(encoded(PIXELS, kind, **o)) for o in ({}, {"exif": exif}))
        assert np.array_equal(turned, np.rot90(plain, turns))


def test_of_an_animation_the_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        found = decode_image(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
        assert found[0, 0, 0] > 240, kind
        assert found[0, 0, 2] < 15, kind


def test_one_pixel() -> None:
    assert decode_image(encoded(np.full((1, 1, 3), 7, np.uint8), "PNG")).tolist() == [[[7, 7, 7]]]


def test_a_large_jpeg_may_come_smaller_but_not_too_small() -> None:
    large = np.asarray(Image.fromarray(scene(1)).resize((1200, 900)))
    found = decode_image(encoded(large), least=200)
    assert found.shape == (225, 300, 3)
    whole = Image.fromarray(decode_image(encoded(large))).resize((300, 225), Image.Resampling.BOX)
    assert np.abs(found.astype(int) - np.asarray(whole)).mean() < 3
    assert decode_image(encoded(large), least=5000).shape == (900, 1200, 3)
    assert decode_image(encoded(large, "PNG"), least=200).shape == (900, 1200, 3)


def header(width: int, height: int) -> bytes:
    """A PNG that claims a size."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    claimed = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", claimed) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


GIF = encoded(PIXELS, "GIF")
BAD = {
    "zero bytes": (b"", "empty file"),
    "a text": (b"Not an image at all. " * 20, "no image"),
    "a vector drawing": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "20,000 x 20,000": (header(20_000, 20_000), "more than the 100,000,000 pixels"),
    "10,001 x 10,000": (header(10_001, 10_000), "10,001 x 10,000 pixels, more than"),
    "half a JPEG": (encoded(scene(2))[:3000], "cut short"),
    "half a PNG": (encoded(scene(2), "PNG")[:9000], "cut short"),
    "half a header": (encoded(scene(2))[:12], ""),
    "half a GIF": (GIF[: len(GIF) * 3 // 4], ""),
    "half a WebP": (encoded(PIXELS, "WEBP")[:200], "damaged"),
    "lines missing": (header(10, 10), ""),
}


@pytest.mark.parametrize("case", BAD)
def test_what_can_not_be_read_has_a_short_reason(case: str) -> None:
    content, words = BAD[case]
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert words in caught.value.reason
    assert 0 < len(caught.value.reason) < 80


def test_a_limit_of_ones_own() -> None:
    with pytest.raises(ImageError, match="more than the 900 allowed"):
        decode_image(encoded(PIXELS), most_pixels=900)
    assert decode_image(encoded(PIXELS), most_pixels=960).shape == (40, 24, 3)


def test_spoilt_files_of_any_kind_never_raise_anything_else(capfd: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    reasons = set()
    for i in range(240):
        content = bytearray(encoded(PIXELS, ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")[i % 6]))
        for at in rng.integers(0, min(len(content), 200), 6):
            content[at] = rng.integers(256)
        try:
            decode_image(bytes(content), least=8 * (i % 2))
        except ImageError as error:
            reasons.add(error.reason)
    assert {"damaged", "no image in a known format"} <= reasons
    assert capfd.readouterr().err == ""


def test_decoding_needs_neither_torch_nor_pandas() -> None:
    code = "import sys; import modelgpt_cli.domains.image.decode; "
    code += "print(*sorted({'torch', 'pandas', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
