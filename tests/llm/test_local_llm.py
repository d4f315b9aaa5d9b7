"""A real LLM, if a very small one: nothing that it says wrong is used. Needs the extra local-llm; some minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.llm.asking import UselessAnswerError
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.requirement_generator.describe import describe
from modelgpt_cli.requirement_generator.parse import ContradictionError
from modelgpt_cli.requirement_generator.request_file import parse
from modelgpt_cli.runtime.doctor import check
from scripts.local_llm import MODEL, missing, serving

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing()), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving() as found:
        yield found


def test_the_doctor_names_it(url: str) -> None:
    assert check(base_url=url)[-1].detail.endswith(f"answers with {MODEL}")


def test_its_sentence_is_about_the_data_or_not_used(url: str, iris_csv: Path) -> None:
    done = describe(iris_csv, target="species", llm=LLM("default", url, timeout=600.0, retries=0))
    for label in ("setosa", "versicolor", "virginica"):
        assert label in done.requirement.sentence
    assert done.requirement.author in (MODEL, "offline")
    if done.requirement.author == "offline":
        assert done.notes[-1].endswith("So the sentence was written offline.")


def test_its_reading_is_what_the_words_say_or_not_used(url: str) -> None:
    try:
        found = parse("Ein Modell unter 2 MB, das Spam von Ham trennt", base_url=url, timeout=600, retries=0)
    except (ContradictionError, UselessAnswerError):
        return
    assert found.requirement.limits.size in (None, 2_000_000)
    assert found.requirement.limits.latency_ms is None
    assert set(found.requirement.classes) <= {"Spam", "Ham"}


def test_what_is_too_long_for_it_is_told_as_such(url: str) -> None:
    llm = LLM("default", url, timeout=600.0, retries=0)
    with pytest.raises(UnreachableError, match="longer than default at"):
        llm.ask({"model": "default", "messages": [{"role": "user", "content": "word " * 9000}]})
