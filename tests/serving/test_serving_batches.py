"""Micro-batches: requests are scored together, each is told of its own rows alone, and no more wait than may."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from text_models import tiny_text_model
from tiny_server import GOOD, fruit_model

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.runtime.session import Model
from modelgpt_cli.serving.batcher import Batcher, Room
from modelgpt_cli.serving.bodies import json_rows
from modelgpt_cli.serving.errors import RequestError
from modelgpt_cli.serving.jobs import Job, Scored, score_jobs, strictly


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(fruit_model(tmp_path_factory.mktemp("fruit") / "fruit.onnx"))


def one_by_one(model: Model, jobs: Sequence[Job]) -> list[Scored | Exception]:
    return [score_jobs(model, [job])[0] for job in jobs]


def told(found: Scored | Exception) -> Any:
    """What a client gets to read of it."""
    if isinstance(found, Exception):
        return str(found)
    probabilities = np.concatenate([outputs["probabilities"] for _, outputs in found.parts])
    return probabilities.round(5).tolist(), found.findings.to_dict(), found.warnings


def test_a_batch_answers_as_each_request_alone_would_be(model: Model) -> None:
    rows: list[Any] = [
        GOOD,
        [{**GOOD, "size": 99}, {**GOOD, "colour": "blue"}],
        {**GOOD, "size": None},
        {**GOOD, "size": "x"},
        {**GOOD, "day": "yesterday"},
        [{**GOOD, "colour": "GREEN"}] * 3,
    ]
    jobs = [json_rows(model, one) for one in rows]
    assert list(map(told, score_jobs(model, jobs))) == list(map(told, one_by_one(model, jobs)))
    singles = [score_jobs(model, [job])[0] for job in jobs]
    slow = [job.score(model.fresh()) for job in jobs]  # as `predict` reads a table
    assert list(map(told, singles)) == list(map(told, slow))


def test_a_request_that_is_refused_leaves_the_others_their_answers(model: Model) -> None:
    jobs = [json_rows(model, GOOD), strictly(json_rows(model, {**GOOD, "colour": "blue"})), json_rows(model, GOOD)]
    first, refused, last = score_jobs(model, jobs)
    assert isinstance(first, Scored)
    assert isinstance(last, Scored)
    assert isinstance(refused, ModelGPTError)
    assert "blue" in refused.cause


def test_texts_are_told_of_their_own_lengths(tmp_path: Path) -> None:
    write_model(tiny_text_model(labels=("bad", "good")), tmp_path / "m.onnx")
    model = Model(tmp_path / "m.onnx")
    jobs = [json_rows(model, one) for one in ("a good film", ["very " * 60, "so bad"], "slow")]
    found = score_jobs(model, jobs)
    assert [len(one.warnings) for one in found if isinstance(one, Scored)] == [0, 1, 0]
    assert list(map(told, found)) == list(map(told, one_by_one(model, jobs)))


class Scorer:
    """Scores when it is let, and keeps what it was given."""

    def __init__(self, model: Model) -> None:
        self.model, self.batches = model, []  # type: ignore[var-annotated]
        self.begun, self.go = threading.Event(), threading.Event()

    def __call__(self, jobs: Sequence[Job]) -> list[Scored | Exception]:
        self.batches.append([job.rows for job in jobs])
        self.begun.set()
        assert self.go.wait(20)
        return score_jobs(self.model, jobs)


def in_loop(scorer: Scorer, work: Callable[[Batcher, Room], Any], *, most: int = 100, rows: int = 4) -> Any:
    async def run() -> Any:
        room = Room(most, 2)
        with ThreadPoolExecutor(2) as threads:
            try:
                return await work(Batcher(scorer, room, threads, wait=0, most_rows=rows), room)
            finally:
                scorer.go.set()

    return asyncio.run(run())


async def wait_for(event: threading.Event) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, event.wait, 20)


def test_what_arrives_while_a_batch_runs_is_scored_together(model: Model) -> None:
    scorer = Scorer(model)

    async def work(batcher: Batcher, room: Room) -> list[Scored]:
        first = asyncio.ensure_future(batcher.submit(json_rows(model, GOOD)))
        await wait_for(scorer.begun)
        others: list[Any] = [GOOD, [GOOD] * 2, {**GOOD, "size": "big"}, GOOD, GOOD]
        waiting = [asyncio.ensure_future(batcher.submit(json_rows(model, one))) for one in others]
        await asyncio.sleep(0)
        assert room.taken == 6
        scorer.go.set()
        return await asyncio.gather(first, *waiting)

    found = in_loop(scorer, work)
    # One of words where others have numbers is read by itself, and no batch has more than four rows.
    assert scorer.batches == [[1], [1, 2, 1], [1], [1]]
    assert [one.rows for one in found] == [1, 1, 2, 1, 1, 1]


def test_who_leaves_is_not_scored_and_no_more_wait_than_may(model: Model) -> None:
    scorer = Scorer(model)

    async def work(batcher: Batcher, room: Room) -> None:
        first = asyncio.ensure_future(batcher.submit(json_rows(model, GOOD)))
        await wait_for(scorer.begun)
        left = asyncio.ensure_future(batcher.submit(json_rows(model, [GOOD] * 2)))
        stays = asyncio.ensure_future(batcher.submit(json_rows(model, [GOOD] * 3)))
        await asyncio.sleep(0)
        with pytest.raises(RequestError, match="no room") as caught:
            await batcher.submit(json_rows(model, GOOD))
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        left.cancel()
        await asyncio.sleep(0)
        scorer.go.set()
        await asyncio.gather(first, stays)
        assert room.taken == 0

    in_loop(scorer, work, most=3)
    assert scorer.batches == [[1], [3]]


def test_a_failure_of_the_scorer_reaches_who_asked(model: Model) -> None:
    scorer = Scorer(model)

    def fail(jobs: Sequence[Job]) -> list[Scored | Exception]:
        raise MemoryError("no more")

    async def run() -> None:
        with ThreadPoolExecutor(1) as threads:
            batcher = Batcher(fail, Room(9, 1), threads, wait=0, most_rows=4)
            for _ in range(2):  # the slot is given back
                with pytest.raises(MemoryError):
                    await batcher.submit(json_rows(scorer.model, GOOD))

    asyncio.run(run())
