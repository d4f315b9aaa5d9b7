"""Marks with classes by name, and points that stand alone, as tools for annotating write them: to objects.

For the formats that don't list what there is: classes and key points are gathered from all images first.
Shapes: K key points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.annotations.collect import Collector
from modelgpt_cli.domains.image.annotations.moves import Found
from modelgpt_cli.domains.image.annotations.objects import Annotations, PointNames
from modelgpt_cli.domains.image.annotations.points import numbered_names, point_names

THING = "object"
"""The class of what has named points, and nothing else that is named."""


@dataclass
class Mark:
    """A mark with its class's name.

    Attributes
    ----------
    name : str
    found : Found
        Its label says nothing yet.
    loose : bool
        Whether it is points that stand alone: one called `name`, or all of an object.
    own, group : str
        What the mark is known by, and the mark that a loose point belongs to; "" where nothing says.
    """

    name: str
    found: Found
    loose: bool = False
    own: str = ""
    group: str = ""


@dataclass
class _Image:
    place: str
    size: tuple[int, int]
    marks: Sequence[Mark]
    file: str
    part: str


class Marks:
    """Gathers images with marks, and hands them to a collector once all are known.

    Parameters
    ----------
    collector : Collector
    listed : sequence of str
        Classes that the files list, in their order.
    skeleton : sequence of str
        The names of key points, where the files list them.
    shares : bool
        Whether positions are shares of the image.
    """

    def __init__(
        self, collector: Collector, listed: Sequence[str] = (), skeleton: Sequence[str] = (), *, shares: bool = False
    ) -> None:
        self.collector, self._listed, self.skeleton, self._shares = collector, list(listed), list(skeleton), shares
        self._images: list[_Image] = []

    def add(self, place: str, size: tuple[int, int], marks: Sequence[Mark], *, file: str, part: str = "") -> None:
        """Add an image with its marks."""
        self._images.append(_Image(place, size, marks, file, part))

    def result(self) -> Annotations:
        """Return all that was added.

        Raises
        ------
        ModelGPTError
            Points that stand alone can't be made objects of; or as `Collector.result`.
        """
        loose = [mark for image in self._images for mark in image.marks if mark.loose]
        numbers = {len(mark.found.points) for mark in loose if mark.found.points is not None}
        points = point_names(self.skeleton) if self.skeleton else None
        named = numbers == {1} and points is None
        if named:
            used = dict.fromkeys(mark.name for mark in loose)
            points = point_names(sorted(used, key=self._rank))
        elif numbers and points is None:
            if len(numbers) > 1:
                few, many = min(numbers), max(numbers)
                first = next(m for m in loose if m.found.points is not None and len(m.found.points) == few)
                raise ModelGPTError(
                    f"{self.collector.name}: some objects have {many} key points, and others {few}.",
                    f"One of those with {few}: {first.found.where}.",
                    "Give all objects the same points in the same order, or name each point.",
                )
            points = point_names(numbered_names(numbers.pop()))
        for image in self._images:
            image.marks = list(self._gathered(image, points) if named and points is not None else image.marks)
        classes = self._classes(points.names if named and points is not None else ())
        index = {label: k for k, label in enumerate(classes)}
        for image in self._images:
            found = []
            for mark in image.marks:
                if mark.found.points is not None and points is not None and len(mark.found.points) != len(points.names):
                    self.collector.counts.add("kinds", mark.found.where)
                    continue
                found.append(replace(mark.found, label=index[mark.name]))
            self.collector.add(image.place, image.size, found, file=image.file, part=image.part, shares=self._shares)
        return self.collector.result(classes, points)

    def _rank(self, name: str) -> tuple[int, str]:
        """The order of names: as listed, then by the alphabet."""
        return (self._listed.index(name) if name in self._listed else len(self._listed), name)

    def _classes(self, points: Sequence[str]) -> list[str]:
        used = {mark.name for image in self._images for mark in image.marks}
        return sorted(used | {label for label in self._listed if label not in points}, key=self._rank)

    def _gathered(self, image: _Image, points: PointNames) -> Iterator[Mark]:
        """The marks of an image, its single points put together: to the mark that they belong to, or to one object."""
        index = {name: k for k, name in enumerate(points.names)}
        groups: dict[str, np.ndarray] = {}
        first: dict[str, Mark] = {}
        for mark in image.marks:
            if not mark.loose:
                continue
            assert mark.found.points is not None
            values = groups.setdefault(mark.group, np.zeros((len(index), 3)))
            first.setdefault(mark.group, mark)
            if values[index[mark.name], 2] > 0:
                raise ModelGPTError(
                    f"{mark.found.where}: the image has several points called {mark.name!r}.",
                    "Nothing says which object each belongs to.",
                    "Put the points of each object into its box, or mark objects as skeletons.",
                )
            values[index[mark.name]] = mark.found.points[0]
        for mark in image.marks:
            if not mark.loose:
                values_of = groups.pop(mark.own, None) if mark.own else None
                yield mark if values_of is None else replace(mark, found=replace(mark.found, points=values_of))
        for group, values in groups.items():
            yield Mark(THING, Found(0, first[group].found.where, points=values))
