"""Melodies at work: files of notes to the graph's input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from melody.read import Melodies
from modelgpt_cli.runtime.feed import Chunk
from modelgpt_cli.runtime.findings import Findings

FILES = True
_NOTES = ("c", "d", "es", "e", "f", "g", "a", "b")


class MelodyFeed:
    graph_inputs: Mapping[str, str] = {"notes": "tensor(float)"}

    def batches(self, columns: Mapping[str, Any]) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        found = [[note in melody.split() for note in _NOTES] for melody in columns["melody"]]
        yield np.arange(len(found)), {"notes": np.array(found, np.float32).reshape(-1, len(_NOTES))}

    def report(self) -> None:
        pass


class MelodyFiles:
    name, target = "melodies", "mood"

    def __init__(self, folders: Sequence[Any]) -> None:
        self.findings = Findings()
        self.files = [file for folder in folders for file in Melodies(Path(folder)).files]
        self.total = len(self.files)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        truth = np.array([file.parent.name for file in self.files], dtype=object)
        melodies = {"melody": [file.read_text() for file in self.files]}
        yield Chunk(len(self.files), melodies, truth, names=[file.name for file in self.files])

    def report(self) -> None:
        pass


def make_feed(model: Any) -> MelodyFeed:
    return MelodyFeed()


def open_source(model: Any, data: Sequence[Any], *, labelled: bool, target: str | None) -> MelodyFiles:
    return MelodyFiles(data)


def reads(card: Mapping[str, Any]) -> str:
    return "melodies"
