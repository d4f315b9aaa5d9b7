"""What a person would say of images, measured: for the requirement's sentence. Below `profile`.

Each image is measured by itself, made so small that what is found is about the image and not about its size; the
whole is called what the median image, or most of them, are. The thresholds were set on eleven public sets of
photographs, scans and drawings, so that each is called what one sees, with room on both sides; the numbers behind them
stand beside them. Paintings count as photographs: so simply, what is painted can't be told from what is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

# Size
TINY, LOW, HIGH = 96, 240, 720
"""Short side in pixels: thumbnails; below QVGA, the least that cameras give; HD video and above."""
# Sharpness: 0 sharp, 1 without detail
SOFT = 0.5
"""Enlarged thumbnails of flowers: .64; all other sets: .11 to .40."""
CRISP = 0.35
"""Said only of images that are not small."""
BLUR_SIDE = 256
"""About the size that an image is seen at; every photograph of some megapixels is soft if looked at pixel by pixel."""
_BLUR_WIDTH = 9
# Lighting: mean grey value, 0 to 255
DARK, BRIGHT = 85, 170
"""The lower and the upper third of the scale."""
EVEN, UNEVEN = 20, 41
"""Standard deviation among images: hands on a table 9, waste on a sheet 20; outdoors 25 to 38; steel under a changing
lamp 45."""
# Colour
_GREY_SATURATION = 16
"""Difference of the largest and smallest channel that JPEG's rounding can leave in a grey image's 95th percentile."""
_FEW, _MOST = 0.25, 0.75
# Background
_BORDER = 0.12
"""Share of the short side that the border is wide."""
_NEAR = 32
"""Levels in each channel that count as the same colour: an eighth of the scale, so that a shadow does no harm."""
_PLAIN = 0.6
"""Share of the border in its own median colour: hands, waste, drawings .7 to 1; outdoors .3 to .4."""
_LIT, _MOST_GAIN = 200, 8
"""Darker images are brightened to have their lightest parts at this level: eyes see contrast, not difference."""
_BUSY_STEP, _BUSY = 12, 0.4
"""Share of the border's pixels that differ from their neighbour: street and animal photographs .45 to .6, sky .26."""
_SURFACE_NEAR, _SURFACE_RATIO, _SURFACE_STEP = 0.5, 1.5, 2
"""A surface without an object: its middle is like its border in colour (steel .9, else below .5 or paper) and in
contrast (steel 1.1, objects on a plain ground 2 to 13), and it is not smooth (paper 0 to 1)."""
# Photograph or drawing
_FLAT = 0.3
"""Share of the pixels in the three commonest grey values: cartoons .5, sketches .9; photographs .05, cut out .25."""
_HARD = 0.25
"""Share of hard steps among the steps inside the figure: cartoons .35, sketches .9; photographs .1, cut out .2."""
_STEP, _HARD_STEP = 4, 60
_APART = 24
"""Levels in any channel by which the figure differs from the ground, the commonest grey."""
_INK, _PAPER, _LINED = 40, 215, 0.85
"""Black, white, and the share of both in a line drawing: sketches .95; cartoons .65."""

SIDE = 128
"""Images are measured at this short side; for the background at half of it."""


@dataclass(frozen=True)
class Marks:
    """The measures of one image."""

    short_side: float
    """Pixels, as it was stored."""
    blur: float
    """0 (sharp) to 1, after Crete et al., "The blur effect" (SPIE 6492, 2007)."""
    brightness: float
    """Mean grey value, 0 to 255."""
    grey: bool
    plain: bool
    busy: bool
    surface: bool
    drawn: bool
    lined: bool
    """A drawing in black and white."""


def mark_image(pixels: np.ndarray, short_side: int | None = None) -> Marks:
    """Measure one image.

    Parameters
    ----------
    pixels : ndarray
        uint8 [H, W, 3].
    short_side : int, optional
        Of the image as it was stored, where `pixels` are fewer.
    """
    medium = _reduced(pixels, SIDE)  # [h, w, 3]
    grey = _luma(medium)  # [h, w]
    spread = _largest(medium) + _largest(-medium)  # [h, w]
    saturation = float(np.percentile(spread, 95))
    drawn = _is_drawn(medium, grey)
    plain, busy, surface = _background(_reduced(pixels, SIDE // 2))
    two_tone = float(((grey > _PAPER) | (grey < _INK)).mean())
    return Marks(
        short_side=short_side or min(pixels.shape[:2]),
        blur=_blur(_luma(_reduced(pixels, BLUR_SIDE))),
        brightness=float(grey.mean()),
        grey=saturation <= _GREY_SATURATION,
        plain=plain,
        busy=busy,
        surface=surface and not drawn,
        drawn=drawn,
        lined=drawn and saturation <= 2 * _GREY_SATURATION and two_tone >= _LINED,
    )


def _reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """An image at a short side of `side` pixels at most, and some of it at least: float32 [h, w, 3]."""
    scale = min(1.0, side / min(pixels.shape[:2]))
    height, width = (max(4, round(n * scale)) for n in pixels.shape[:2])
    image = Image.fromarray(pixels)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(image, dtype=np.float32)


def _luma(pixels: np.ndarray) -> np.ndarray:
    """Grey values by ITU-R BT.601: [h, w]."""
    return pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def _largest(values: np.ndarray) -> np.ndarray:
    """The largest of three channels: [h, w]. Faster than numpy's own way along so short an axis."""
    largest: np.ndarray = np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])
    return largest


def _steps(values: np.ndarray) -> np.ndarray:
    """The larger of the differences to the right and the lower neighbour, in any channel: [h − 1, w − 1]."""
    right = np.abs(np.diff(values, axis=1))[:-1]
    down = np.abs(np.diff(values, axis=0))[:, :-1]
    steps = np.maximum(right, down)
    return steps if steps.ndim == 2 else _largest(steps)


def _blur(grey: np.ndarray) -> float:
    """How much of the variation between neighbours is still there after blurring once more; the worse direction's."""
    found = []
    for rows in (grey, grey.T):  # along the second axis: [h, w]
        padded = np.pad(rows, ((0, 0), (_BLUR_WIDTH // 2 + 1, _BLUR_WIDTH // 2)), mode="edge")
        summed = np.cumsum(padded, axis=1, dtype=np.float64)
        smooth = (summed[:, _BLUR_WIDTH:] - summed[:, :-_BLUR_WIDTH]) / _BLUR_WIDTH
        before, after = (np.abs(np.diff(values, axis=1)) for values in (rows, smooth))
        lost = np.maximum(0, before - after).sum()
        found.append(1 - lost / before.sum() if before.sum() else 0.0)
    return float(max(found))


def _background(pixels: np.ndarray) -> tuple[bool, bool, bool]:
    """Whether the border is plain, whether it is busy, and whether all is one rough surface."""
    height, width = pixels.shape[:2]
    light = np.percentile(_luma(pixels), 98)
    pixels = pixels * np.clip(_LIT / max(light, 1.0), 1.0, _MOST_GAIN)  # [h, w, 3]
    wide = max(1, round(_BORDER * min(height, width)))
    border = np.ones((height, width), dtype=bool)
    border[wide:-wide, wide:-wide] = False
    near = _largest(np.abs(pixels - np.median(pixels[border], axis=0))) < _NEAR  # [h, w]
    steps = _steps(_luma(pixels))
    outer, inner = steps[border[:-1, :-1]], steps[~border[:-1, :-1]]
    like = near[border].mean()
    busy = (outer > _BUSY_STEP).mean() > _BUSY and like < _PLAIN
    rough = np.median(outer) > _SURFACE_STEP
    alike = near[~border].mean() >= _SURFACE_NEAR and inner.mean() < _SURFACE_RATIO * outer.mean()
    return bool(like >= _PLAIN), bool(busy), bool(rough and alike)


def _is_drawn(pixels: np.ndarray, grey: np.ndarray) -> bool:
    """Whether there are flat areas with hard edges, which no lens makes."""
    levels = np.sort(np.bincount(grey.round().astype(int).ravel(), minlength=256))
    if levels[-3:].sum() < _FLAT * grey.size:
        return False
    ground = pixels[np.abs(grey - np.bincount(grey.round().astype(int).ravel()).argmax()) <= 1].mean(axis=0)
    figure = (_largest(np.abs(pixels - ground)) > _APART)[:-1, :-1]
    steps = _steps(pixels)[figure]
    hard, all_steps = (steps > _HARD_STEP).sum(), (steps > _STEP).sum()
    return bool(hard > _HARD * all_steps)


@dataclass(frozen=True)
class Looks:
    """What many images have in common."""

    short_side: float
    """Median, in pixels."""
    blur: float
    """Median."""
    brightness: float
    """Median of the images' means."""
    unlike: float
    """Standard deviation of the images' means."""
    grey: float
    """Share of the images, 0 to 1, as all below."""
    plain: float
    busy: float
    surface: float
    drawn: float
    lined: float

    @classmethod
    def of(cls, marks: Sequence[Marks]) -> Looks:
        """The looks of images, at least one, from their measures."""

        def median(name: str) -> float:
            return float(np.median([getattr(mark, name) for mark in marks]))

        def share(name: str) -> float:
            return float(np.mean([getattr(mark, name) for mark in marks]))

        return cls(
            short_side=median("short_side"),
            blur=median("blur"),
            brightness=median("brightness"),
            unlike=float(np.std([mark.brightness for mark in marks])),
            **{name: share(name) for name in ("grey", "plain", "busy", "surface", "drawn", "lined")},
        )

    @property
    def words(self) -> dict[str, str]:
        """What to say, by what it is about; "" where there is nothing to say."""
        photos = self.drawn < _FEW
        size = "very low-resolution" if self.short_side < TINY else "low-resolution" if self.short_side < LOW else ""
        size = "high-resolution" if self.short_side >= HIGH else size
        crisp = photos and self.blur <= CRISP and self.short_side >= LOW
        light = "dark" if self.brightness < DARK else "bright" if self.brightness > BRIGHT else ""
        even = "evenly lit" if self.unlike < EVEN else "of widely varying brightness" if self.unlike > UNEVEN else ""
        lined = self.lined > 0.5
        colour = "grey" if self.grey > _MOST else "colour" if self.grey <= _FEW else "colour and grey"
        kind = "photographs" if photos else "drawings" if self.drawn > 0.5 else "photographs and drawings"
        background = "with plain background" if self.plain > 0.5 else "with busy background" if self.busy > 0.5 else ""
        return {
            "size": size,
            "sharpness": "soft" if self.blur >= SOFT else "sharp" if crisp else "",
            "light": light if photos else "",
            "colour": "black-and-white" if lined else colour,
            "kind": "line drawings" if lined else kind,
            "background": "of a textured surface" if self.surface > 0.5 else background,
            "evenness": even if photos else "",
        }

    def phrase(self, known: Looks | None = None) -> str:
        """In words: "low-resolution, soft colour photographs with plain background".

        Parameters
        ----------
        known : Looks, optional
            What has been said already, and is not repeated; the kind always is.
        """
        said = known.words if known is not None else {}
        new = {about: "" if about != "kind" and said.get(about) == word else word for about, word in self.words.items()}
        before = ", ".join(new[about] for about in ("size", "sharpness", "light") if new[about])
        main = " ".join(part for part in (before, new["colour"], new["kind"], new["background"]) if part)
        return f"{main}, {new['evenness']}" if new["evenness"] else main
