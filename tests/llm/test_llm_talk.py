"""What a talk with an LLM costs, what of it is kept, and what a dry run knows beforehand."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from conftest import Cli
from fake_llm import FakeLLM, Reply, answer, sentence
from tiny_images import folder_of

from modelgpt_cli.llm.asking import BadAnswerError, Talk, read_object
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.usage import Prices, Usage, estimate, money, text_tokens
from modelgpt_cli.requirement_generator.describe import describe
from modelgpt_cli.requirement_generator.prompt import load_prompt

KEY = "sk-test-0123456789abcdef"
GOOD = "Classify each iris flower as setosa, versicolor or virginica from the length and width of its petals."


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODELGPT_LLM", "MODELGPT_PROVIDERS"):
        monkeypatch.delenv(variable, raising=False)


def counted(reply: Reply, tokens_in: Any, tokens_out: Any) -> Reply:
    """A reply whose server counts its tokens."""
    usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": 0}
    return Reply(body=json.dumps({**json.loads(reply.body), "usage": usage}))


def read(text: str) -> str:
    """A check that wants the word "good" under the key "word"."""
    word = read_object(text).get("word")
    if word != "good":
        raise BadAnswerError("the word is not good.")
    return word


def hello(talk: Talk) -> dict[str, Any]:
    prompt = load_prompt()
    return talk.request(prompt, prompt.messages(data="{}", task="classification"))


WORD, BAD = answer('{"word": "good"}'), answer('{"word": "bad"}')


def test_tokens_are_summed_over_all_requests_as_the_server_counts_them() -> None:
    with FakeLLM(counted(BAD, 100, 10), counted(WORD, 130, 12)) as fake:
        talk = Talk(LLM("m", fake.url))
        assert talk.ask(hello(talk), load_prompt(), read) == "good"
        assert talk.spent == Usage(230, 22)
        talk.ask(hello(talk), load_prompt(), read)
    assert talk.spent == Usage(360, 34)
    assert talk.spent.cost(Prices(1.0, 10.0)) == pytest.approx(360e-6 + 340e-6)


@pytest.mark.parametrize("counts", [(None, None), ("many", 3), (-1, 3), (0, 0)])
def test_where_the_server_does_not_count_tokens_are_estimated(counts: tuple[Any, Any]) -> None:
    with FakeLLM(counted(WORD, *counts)) as fake:
        talk = Talk(LLM("m", fake.url))
        request = hello(talk)
        talk.ask(request, load_prompt(), read)
    assert talk.spent == estimate(request, text_tokens('{"word": "good"}'))
    assert talk.spent.words().startswith(f"about {talk.spent.tokens_in:,} tokens in and ")


def test_a_server_that_refuses_the_schema_is_not_offered_it_again() -> None:
    with FakeLLM(answer('{"word": "good"}', refuse_schema=True)) as fake:
        talk = Talk(LLM("m", fake.url))
        for _ in range(3):
            talk.ask(hello(talk), load_prompt(), read)
    assert ["response_format" in request.body for request in fake.requests] == [True, False, False, False]


COUNTED = {
    "Classify each iris flower by the length and width of its petals into setosa, versicolor or virginica.": 23,
    '{"sepal_length": 5.1, "age": 37, "job": "self-employed", "when": "2021-03-10"}': 34,
    "ein Modell unter 2 MB, das Spam von Ham unterscheidet, gern in int8": 19,
    "模型小于5万参数,30毫秒以内,准确率90%以上": 16,
}
"""Texts, and the tokens that o200k_base makes of them."""


def test_the_estimate_is_near_a_tokenizers_count() -> None:
    assert sum(map(text_tokens, COUNTED)) == pytest.approx(sum(COUNTED.values()), rel=0.1)
    for text, tokens in COUNTED.items():
        assert text_tokens(text) == pytest.approx(tokens, rel=0.25)


def test_images_are_counted_by_tiles() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:,broken"}}
    content = [{"type": "text", "text": "word"}, image]
    assert estimate({"messages": [{"role": "user", "content": content}]}) == Usage(1 + 85 + 170, 0, estimated=True)


def test_money_is_said_however_small() -> None:
    assert [money(x) for x in (0, 0.00001, 0.00123, 0.5, 12.3456, 1234)] == [
        *("$0.00", "less than $0.0001", "$0.0012", "$0.5000", "$12.35", "$1,234.00")
    ]


def test_a_dry_run_estimates_tokens_and_cost(iris_csv: Path, own_folders: Path, cli: Cli, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("mine: {base_url: http://localhost:1/v1, model: m, price_in: 1000, price_out: 2000}\n")
    done = cli("describe", iris_csv, "--provider", "mine", "--dry-run", env={"MODELGPT_PROVIDERS": str(mine)})
    assert done.returncode == 0, done.stderr
    usage = estimate(json.loads(done.stdout), 200)
    assert 1000 < usage.tokens_in < 2000
    assert f"about {usage.tokens_in:,} tokens in and 200 out, ${usage.tokens_in / 1000 + 0.4:.2f}" in done.stderr
    assert "by words, numbers and signs of the text" in done.stderr
    assert "tile" not in done.stderr
    without = cli("describe", iris_csv, "--dry-run")
    assert "$" not in without.stderr


def test_a_dry_run_counts_the_sheet_of_images(tmp_path: Path) -> None:
    done = describe(folder_of(tmp_path / "pets"), dry_run=True)
    request = json.loads(done.prompt or "")
    request["messages"][1]["content"].pop()
    words = estimate(request).tokens_in
    # six images of each of two kinds: four to a row make three rows, 680 x 512 pixels
    assert f"about {words + 85 + 2 * 170:,} tokens in" in " ".join(done.notes)
    assert "170 per tile" in " ".join(done.notes)


def test_the_same_question_is_asked_once(iris_csv: Path, own_folders: Path, cli: Cli) -> None:
    with FakeLLM(counted(sentence(GOOD), 800, 30)) as fake:
        env = {"OPENAI_BASE_URL": fake.url, "OPENAI_API_KEY": KEY}
        first = cli("describe", iris_csv, env=env)
        assert "800 tokens in and 30 out" in first.stderr
        dry = cli("describe", iris_csv, "--dry-run", env=env)
        assert "The cache holds an answer" in dry.stderr
        again = cli("describe", iris_csv, env=env)
        assert len(fake.requests) == 1
        assert again.stdout == first.stdout
        assert "From the cache" in again.stderr
        assert "Asking" not in again.stderr
        anew = cli("describe", iris_csv, "--no-cache", env=env)
        assert len(fake.requests) == 2
        assert "cache" not in anew.stderr
        cli("describe", iris_csv, "--llm", "other", env=env)
        cli("describe", iris_csv, "--description", "Flowers of Gaspé.", env=env)
        assert len(fake.requests) == 4


def test_what_is_kept_is_the_answer_and_not_the_question(iris_csv: Path, own_folders: Path) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        describe(
            iris_csv, base_url=fake.url.replace("//", "//me:hidden@"), api_key=KEY, description="Secret background."
        )
    (entry,) = own_folders.iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert stat.S_IMODE(own_folders.stat().st_mode) == 0o700
    kept = json.loads(entry.read_text())
    assert set(kept) == {"answer", "model", "date"}
    assert json.loads(kept["answer"]) == {"requirement": GOOD}
    for secret in (KEY, "hidden", "Secret background", "petal_length", "127.0.0.1"):
        assert secret not in entry.read_text()


def test_another_server_is_another_question(own_folders: Path) -> None:
    cache = AnswerCache()
    with FakeLLM(WORD) as one, FakeLLM(WORD) as two:
        for fake in (one, two, one, two):
            talk = Talk(LLM("m", fake.url, KEY), cache)
            if talk.recall(hello(talk), read) is None:
                talk.ask(hello(talk), load_prompt(), read)
        assert (len(one.requests), len(two.requests)) == (1, 1)


def test_bad_answers_are_not_kept_and_one_that_was_mended_is(own_folders: Path) -> None:
    with FakeLLM(BAD, WORD) as fake:
        talk = Talk(LLM("m", fake.url), AnswerCache())
        talk.ask(hello(talk), load_prompt(), read)
        recalled = talk.recall(hello(talk), read)
    assert recalled is not None
    assert recalled.value == "good"
    assert len(list(own_folders.iterdir())) == 1


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"x"', '{"answer": 1, "model": "m", "date": "d"}', '{"answer": "{}"}', "\x00", "ÿ"]
)
def test_a_broken_entry_is_as_none(iris_csv: Path, own_folders: Path, content: str) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        describe(iris_csv, base_url=fake.url)
        (entry,) = own_folders.iterdir()
        entry.write_bytes(content.encode("latin-1"))
        assert describe(iris_csv, base_url=fake.url).requirement.sentence == GOOD
        assert len(fake.requests) == 2
        describe(iris_csv, base_url=fake.url)
    assert len(fake.requests) == 2


def test_a_kept_answer_that_no_longer_passes_is_asked_for_again(iris_csv: Path, own_folders: Path) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        describe(iris_csv, base_url=fake.url)
        (entry,) = own_folders.iterdir()
        kept = json.loads(entry.read_text())
        entry.write_text(json.dumps({**kept, "answer": '{"requirement": "hacked"}'}))
        assert describe(iris_csv, base_url=fake.url).requirement.sentence == GOOD
    assert len(fake.requests) == 2


def test_a_cache_that_can_t_be_written_is_done_without(iris_csv: Path, own_folders: Path) -> None:
    own_folders.write_text("a file where the folder should be")
    with FakeLLM(sentence(GOOD)) as fake:
        for _ in range(2):
            assert describe(iris_csv, base_url=fake.url).requirement.sentence == GOOD
    assert len(fake.requests) == 2


def test_without_an_llm_there_is_no_cache(iris_csv: Path, own_folders: Path) -> None:
    describe(iris_csv)
    describe(iris_csv, offline=True)
    describe(iris_csv, dry_run=True)
    assert not own_folders.exists()
