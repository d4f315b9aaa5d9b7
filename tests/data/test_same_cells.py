"""A cell means the same from every file: one table, written in many ways, gets the same answers from one model."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.benchmarks.same_cells import CHUNKS, IN_CHUNKS, ORIGINS, differences

TOLERANCE = 1e-6


# A regression from decimal commas; classes from OpenDocument.
@pytest.mark.parametrize("seed", [3, pytest.param(10, marks=pytest.mark.slow)])
def test_a_row_has_one_answer_whatever_file_chunk_and_neighbours_it_comes_with(seed: int, tmp_path: Path) -> None:
    _, largest, spread = differences(seed, tmp_path)
    assert spread > 1e-3
    assert len(largest) == len(ORIGINS) + 2 * len(IN_CHUNKS)
    assert CHUNKS[0] == 1
    assert {name: difference for name, difference in largest.items() if difference > TOLERANCE} == {}
