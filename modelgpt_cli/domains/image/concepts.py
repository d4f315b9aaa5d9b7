"""What an ImageNet classifier can name: the thousand classes and groups of them, as concepts of image generators.

Shapes: K concepts, P head inputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.image.backbone import IMAGENET_CLASSES


@dataclass(frozen=True)
class ConceptList:
    """What a classifier can name.

    Attributes
    ----------
    names : list of str
        ImageNet's classes as torchvision calls them, then the groups.
    members : list of list of int
        The classes of each group.
    """

    names: list[str]
    members: list[list[int]]

    @classmethod
    def of(cls, groups: Mapping[str, Sequence[int | str]]) -> ConceptList:
        """ImageNet's classes, and groups of them by number; ``"151-268"`` is a range.

        Raises
        ------
        UsageError
            A group has no class, or one that is none.
        """
        from torchvision.models._meta import _IMAGENET_CATEGORIES

        members = [concept_numbers(name, parts) for name, parts in groups.items()]
        return cls([*_IMAGENET_CATEGORIES, *groups], members)

    def heads(self, weight: Tensor) -> Tensor:
        """Heads of all concepts (K, P) from those of the classes (1000, P): a group's is the mean of its members'."""
        return torch.cat([weight, *(weight[numbers].mean(0, keepdim=True) for numbers in self.members)])


def concept_numbers(name: str, parts: Sequence[int | str]) -> list[int]:
    """Return the numbers of a group's classes.

    Raises
    ------
    UsageError
        It has no class, or one that is none.
    """
    return sorted({n for part in parts for n in _numbers(name, part)})


def _numbers(name: str, part: int | str) -> range:
    first, _, last = str(part).partition("-")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        found = range(0)
    if not found or found[-1] >= IMAGENET_CLASSES:
        raise UsageError(
            f"The concept {name!r} has {part!r}.", f"Classes are numbers to {IMAGENET_CLASSES - 1}, or as '7-24'."
        )
    return found
