"""Nothing is read that isn't there: sentences of real data sets, and invented ones, state no limit of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from modelgpt_cli.requirement_generator.parse import parse_request

CARDS = {"tabular": "tabular/*/*.yaml", "text": "text/*/*/card.yaml", "image": "image/*.yaml"}
TASKS = ("classification", "regression")

SENTENCES = """
Classify machines as faulty if vibration is over 5 mm/s for 20 ms.
Classify songs as fast or slow; songs under 3 minutes only.
Predict the accuracy of weather stations, which must be over 90 % to be certified.
Decide whether a breast mass is malignant or benign from thirty numbers that describe the cell nuclei in an image.
Files larger than 2 MB are rejected; predict which uploads pass.
Predict whether a courier arrives within 5 km.
Tell whether an upload is accepted: the file must be under 2 MB.
Flag queries as fast: latency under 100 ms.
Sort responses into fast (under 100 ms) and slow (over 100 ms).
Classify responses as fast, under 100 ms, or slow, over 100 ms.
Classify attachments as small, under 2 MB, or large.
Predict the response time of a web server, less than 200 ms on most days.
Predict whether a page loads within 2 seconds on a phone.
Grade exams into A (at least 90 % correct), B (at least 80 % correct) or C.
Predict whether a student gets at least 90 % of them right.
Tell if people are right or wrong, at least 90 % of them are right.
Classify phones as cheap or dear from screen, 4 GB of RAM, 64 GB of storage and camera.
Predict memory use of jobs, at most 4 GB.
Estimate the size of a file in MB from its type, below 10 MB.
Predict which phone model under 2 GB of memory crashes.
Tell models with less than 200 parameters from larger ones.
Predict whether a model under 2 MB sells better than others.
The old model had 90 % accuracy and took 20 ms.
Forecast the F1 race winner from grid, tyres and weather.
Predict AUC of the drug in plasma over 24 hours from dose, weight and age.
Detect blinks shorter than 300 ms in eye tracking data.
Is the network latency below 50 ms?
Predict battery life of sensors that send 8-bit values, 30 per second.
Classify 8-bit grey values of cells into healthy and ill.
Predict the error rate of a translator; less than 5 % is good.
Predict the yield of reactors run in batches of 16.
Tell speech from music in 20 ms windows.
Predict the score of a test taker out of 100, right answers at least 60.
Predict latency of calls. At least 50 ms is bad. Under 50 ms is good.
The file comes in ONNX format from the vendor; predict its licence.
Darts players hit 80 % of the time; predict winners.
Predict the relative speed of a computer of the 1980s from cycle time, memory, cache and channels.
Predict whether a tenant pays within 30 days.
"""


def cards(folder: Path, domain: str) -> Iterator[tuple[str, str]]:
    """The sentences of a domain's data sets, and the task."""
    for path in sorted(folder.glob(CARDS[domain])):
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        task = str(card.get("task", ""))
        yield card["description"], task
        if task not in TASKS:
            yield task, task


def readings(text: str) -> list[str]:
    """All that is read of limits, quality and deployment, or left out as if it were one."""
    found = parse_request(text)
    return [*map(str, found.applied), *map(str, found.proposed), *map(str, found.unclear)]


@pytest.mark.parametrize("domain", CARDS)
def test_sentences_of_data_sets_state_no_limit_and_no_other_domain(shared_data: Path, domain: str) -> None:
    sentences = [(text, task) for text, task in cards(shared_data, domain) if text]
    if not sentences:
        pytest.skip(f"no {domain} data sets at {shared_data}")
    assert len(sentences) >= {"tabular": 120, "text": 43, "image": 11}[domain]
    misread = {}
    for text, task in sentences:
        found = parse_request(text).requirement
        wrong = readings(text)
        wrong += [] if found.domain in (None, domain) else [f"domain {found.domain}"]
        wrong += [f"task {found.task}"] if task in TASKS and found.task not in (None, task) else []
        if wrong:
            misread[text] = wrong
    assert misread == {}


@pytest.mark.parametrize("text", SENTENCES.strip().splitlines())
def test_figures_of_the_domain_are_no_limits(text: str) -> None:
    assert readings(text) == []
    assert parse_request(text).requirement.domain in (None, "tabular")
