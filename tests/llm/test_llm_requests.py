"""What a request holds, what of an answer is read, and how servers of all kinds are met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_llm import FakeLLM, Reply, answer, fault

from modelgpt_cli.core.errors import UnreachableError
from modelgpt_cli.llm.asking import BadAnswerError, Talk, read_object
from modelgpt_cli.llm.cache import AnswerCache
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.http_client import put_together
from modelgpt_cli.llm.parameters import refused_parameters, without
from modelgpt_cli.requirement_generator.prompt import load_prompt
from modelgpt_cli.runtime.doctor import check

WORD = '{"word": "good"}'


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODELGPT_LLM", "MODELGPT_PROVIDERS"):
        monkeypatch.delenv(variable, raising=False)


def read(text: str) -> str:
    word = read_object(text).get("word")
    if word != "good":
        raise BadAnswerError("the word is not good.")
    return word


def request_of(talk: Talk) -> dict[str, Any]:
    prompt = load_prompt()
    messages = prompt.messages(data="{}", task="classification")
    return talk.request(prompt, messages, max_tokens=77, sure=True)


def ask(fake: FakeLLM, model: str = "m", cache: AnswerCache | None = None, **options: Any) -> Talk:
    talk = Talk(LLM(model, fake.url, **{"retries": 0, **options}), cache)
    request = request_of(talk)
    if talk.recall(request, read) is None:
        talk.ask(request, load_prompt(), read)
    return talk


def test_a_request_says_how_much_and_how_surely() -> None:
    with FakeLLM(answer(WORD)) as fake:
        ask(fake)
    body = fake.requests[0].body
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (77, 0, 0)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("seed", {"temperature", "max_tokens", "stream", "response_format"}),
        ("temperature", {"seed", "max_tokens", "stream", "response_format"}),
        ("stream_options", {"stream", "seed", "response_format"}),
        ("stream", {"seed", "max_tokens", "response_format"}),
        ("max_tokens", {"seed", "temperature", "response_format"}),
        ("response_format", {"seed", "temperature", "max_tokens"}),
    ],
)
def test_a_server_that_does_not_know_a_parameter_is_asked_without_it(name: str, left: set[str]) -> None:
    with FakeLLM(answer(WORD, refuse=(name,))) as fake:
        talk = ask(fake)
        talk.ask(request_of(talk), load_prompt(), read)
    first, second, third = (set(request.body) for request in fake.requests)
    assert name in first
    assert name not in second
    assert left <= second
    assert third == second  # it is not offered it again


def test_what_a_server_refuses_is_found_in_its_words() -> None:
    request = {"model": "m", "messages": [], "seed": 0, "max_tokens": 5, "temperature": 0, "stream": True}
    form = {"response_format": {"json_schema": {"schema": {"a": {"maxItems": 3, "type": "array"}}}}}
    openai = "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."
    assert without(request, refused_parameters(request, openai)) == {
        **{key: value for key, value in request.items() if key != "max_tokens"},
        "max_completion_tokens": 5,
    }
    assert refused_parameters(request, "body.seed: Extra inputs are not permitted") == {"seed"}
    assert refused_parameters({**request, **form}, "'maxItems' is not permitted in a schema") == {"maxItems"}
    assert without(form, {"maxItems"}) == {"response_format": {"json_schema": {"schema": {"a": {"type": "array"}}}}}
    assert refused_parameters({**request, **form}, "bad request") == {"seed", "response_format"}
    assert refused_parameters({"model": "m", "messages": []}, "bad request") == frozenset()


def test_a_stream_is_put_together_and_one_that_is_none_is_read_as_it_is() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3}
    long = json.dumps({"word": "good", "more": "ä\u2028" * 1500})
    body = json.dumps({**json.loads(answer(long).body), "usage": usage})
    for plain in (False, True):
        with FakeLLM(Reply(body=body, plain=plain)) as fake:
            talk = ask(fake)
        assert (talk.spent.tokens_in, talk.spent.tokens_out, talk.spent.estimated) == (7, 3, False)


def test_a_slow_stream_is_not_given_up_while_words_keep_coming() -> None:
    """Eight events, a quarter of a second apart, within a time-out of one second."""
    with FakeLLM(answer(json.dumps({"word": "good", "more": "x" * 5500}), pause=0.25)) as fake:
        assert ask(fake, timeout=1.0).answered == "m"
    assert len(fake.requests) == 1


def test_silence_in_the_middle_of_a_stream_is_given_up() -> None:
    with FakeLLM(answer(WORD, pause=20)) as fake, pytest.raises(UnreachableError, match="in time") as caught:
        ask(fake, timeout=0.3)
    assert "Nothing came for 0.3 seconds" in caught.value.cause


def test_a_stream_that_breaks_off_is_asked_for_again() -> None:
    with FakeLLM(answer(WORD, break_off=1), answer(WORD)) as fake:
        ask(fake, retries=1)
    assert len(fake.requests) == 2


def test_an_error_in_a_stream_is_the_servers() -> None:
    content = (
        b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"error": {"code": 503, "message": "busy"}}\n\n'
    )
    status, body = put_together(content)
    assert (status, json.loads(body)["error"]["message"]) == (503, "busy")


def test_an_answer_that_was_cut_is_told_as_such_and_not_kept() -> None:
    cache = AnswerCache()
    with FakeLLM(answer('{"word": "go', finish="length"), answer(WORD)) as fake:
        talk = ask(fake, cache=cache)
    assert "it was cut off, as it became too long" in fake.requests[1].messages[-1]["content"]
    assert not talk.cut
    with FakeLLM(answer(WORD, finish="length")) as fake:
        assert ask(fake, model="other", cache=cache).cut
        ask(fake, model="other", cache=cache)
    assert len(fake.requests) == 2


def test_what_counts_is_the_model_that_answered() -> None:
    with FakeLLM(answer(WORD, model="/models/Qwen3-8B-Q4.gguf")) as fake:
        assert ask(fake, model="default").answered == "Qwen3-8B-Q4.gguf"
    with FakeLLM(answer(WORD)) as fake:  # it gives back the name that it was asked for
        fake.models = ["small-1"]
        assert ask(fake, model="default").answered == "small-1"


def test_an_answer_of_another_model_does_not_serve_again() -> None:
    cache = AnswerCache()
    with FakeLLM(answer(WORD)) as fake:
        for model, requests in (("small-1", 1), ("small-1", 1), ("large-2", 2)):
            fake.models = [model]
            assert ask(fake, model="default", cache=cache).answered == model
            assert len(fake.requests) == requests


@pytest.mark.parametrize(
    "words",
    [
        "request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it",
        "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.",
    ],
)
def test_a_context_that_is_full_is_told_as_such(words: str) -> None:
    with FakeLLM(fault(400, words)) as fake, pytest.raises(UnreachableError, match="longer than m at") as caught:
        ask(fake)
    assert "longer context" in caught.value.hint
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "image input is not supported - hint: you may need to provide the mmproj"),
        (400, "m is not a multimodal model"),
        (422, "messages.1.content: Input should be a valid string"),
    ],
)
def test_a_model_that_sees_no_images_is_told_as_such(status: int, words: str) -> None:
    parts = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,AA"}}]
    with FakeLLM(fault(status, words)) as fake:
        llm = LLM("m", fake.url, retries=0)
        with pytest.raises(UnreachableError, match=r"m at .* sees no images") as caught:
            llm.ask({"model": "m", "messages": [{"role": "user", "content": parts}]})
    assert "--llm MODEL" in caught.value.hint


def test_a_server_says_when_to_come_back_and_which_models_it_has() -> None:
    busy = fault(429, "slow down", headers={"retry-after": "120"})
    with FakeLLM(busy) as fake, pytest.raises(UnreachableError) as caught:
        ask(fake)
    assert "Try again in 120 seconds" in caught.value.hint
    with FakeLLM(fault(404, "model not found")) as fake:
        fake.models = ["qwen3:8b", "gemma3:4b"]
        with pytest.raises(UnreachableError) as caught:
            ask(fake, model="llama3.2")
    assert "It has qwen3:8b, gemma3:4b: choose one with --llm" in caught.value.hint


def test_the_doctor_names_the_models_and_finds_a_server_on_its_port(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with FakeLLM(answer(WORD)) as fake:
        fake.models = ["qwen3:8b", "gemma3:4b"]
        assert check(base_url=fake.url)[-1].detail.endswith("answers with qwen3:8b, gemma3:4b")
        mine = tmp_path / "mine.yaml"
        mine.write_text(f"ollama: {{base_url: '{fake.url}', model: llama3.2}}\n")
        monkeypatch.setenv("MODELGPT_PROVIDERS", str(mine))
        named = check(provider="ollama")[-1]
        assert "ollama has no llama3.2: choose one with --llm qwen3:8b" in named.hint
        found = check()[-1]
        assert found.hint == "ollama runs here, with qwen3:8b, gemma3:4b: --provider ollama --llm qwen3:8b"
        assert fake.requests == []
