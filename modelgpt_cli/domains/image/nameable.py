"""How near class names are to what the network can name: what words alone can do, and where images are needed.

Between the generator's concepts and the build, which says it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelgpt_cli.parameter_generator.adapter import AdapterGenerator, Words
from modelgpt_cli.parameter_generator.concepts import COVERED, KNOWN

MOST_SHOWN = 5
IMAGES_EACH = 8
"""Images of each class that are recommended: of steel defects, of which the network can name none, 4 of each class find
.93 and 16 find .98 (weights/image/card.yaml)."""


def nearest_concepts(
    generator: AdapterGenerator | None, words: Words, classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the nearest concept of each class name, and how near it is; empty where no concepts are known by name.

    Returns
    -------
    dict
        Class name → ``concept`` (str), ``likeness`` (float, 1 for the same).
    """
    if generator is None or not generator.concept_names or not words.names.any():
        return {}
    likeness, which = generator.concepts.nearest(words.names)
    return {
        name: {"concept": generator.concept_names[k], "likeness": round(near, 4)}
        for name, near, k in zip(classes, likeness.tolist(), which.tolist(), strict=True)
    }


def nameable_words(nearest: Mapping[str, Mapping[str, Any]], *, images: bool) -> tuple[str, bool]:
    """Return a line on what the network can name of the classes, and whether it is a warning.

    Parameters
    ----------
    nearest : mapping
        From `nearest_concepts`; not empty.
    images : bool
        Whether there are images, from which the rest is learned.
    """
    likeness = {name: float(near["likeness"]) for name, near in nearest.items()}
    far = sorted((name for name in nearest if likeness[name] < COVERED), key=likeness.__getitem__)
    C, known = len(nearest), len(nearest) - len(far)
    if not far:
        least = min(likeness.values())
        return f"The network can name {'both' if C == 2 else f'all {C}'} classes (likeness {least:.2f} or more).", False
    others = "them" if not known else "the other" if len(far) == 1 else "the others"
    shown = [f"{name!r} ≈ {nearest[name]['concept']} ({likeness[name]:.2f})" for name in far[:MOST_SHOWN]]
    more = f" and {len(far) - MOST_SHOWN} more" if len(far) > MOST_SHOWN else ""
    told = f"The network can name {known or 'none'} of the {C} classes. "
    told += f"Nearest to {others}: {', '.join(shown)}{more}. "
    if images:
        return f"{told}The images have to teach {'it' if len(far) == 1 else 'these'}.", False
    alone = f"it will hardly find {'it' if len(far) == 1 else 'these'}"
    if below := sum(likeness.values()) < KNOWN * C:
        alone = "expect no better than chance"
    advice = f"Give {IMAGES_EACH} images of each class or more (--data), or names of everyday things."
    return f"{told}From words alone, {alone}. {advice}", below or 2 * len(far) > C
