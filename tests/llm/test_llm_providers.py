"""Providers by name: those that come along, the user's own, where keys come from, and where they must not be."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from bad_input import Bench
from conftest import Cli
from fake_llm import FakeLLM, Reply, answer, fault, sentence

from modelgpt_cli.core.errors import UnreachableError, UsageError
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.providers import find_provider, load_providers, user_file
from modelgpt_cli.llm.usage import Prices
from modelgpt_cli.requirement_generator.describe import describe

KEY = "sk-test-0123456789abcdef"
GOOD = "Classify each iris flower as setosa, versicolor or virginica from the length and width of its petals."


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "MODELGPT_LLM", "MODELGPT_PROVIDERS", "MINE_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)  # as if it were not installed


@pytest.fixture
def providers(own_folders: Path) -> Path:
    """The user's own file; not there yet."""
    path = own_folders.parent / "config" / "modelgpt" / "providers.yaml"
    path.parent.mkdir(parents=True)
    assert user_file() == path
    return path


def keyring(monkeypatch: pytest.MonkeyPatch, held: dict[tuple[str, str], str], error: str = "") -> None:
    """Stand in for the keyring of the operating system."""
    errors = ModuleType("keyring.errors")
    kinds = {"KeyringError": type("KeyringError", (Exception,), {})}
    kinds |= {name: type(name, (kinds["KeyringError"],), {}) for name in ("NoKeyringError", "KeyringLocked")}
    vars(errors).update(kinds)

    def get_password(service: str, user: str) -> str | None:
        if error:
            raise kinds[error](f"about {KEY}")
        return held.get((service, user))

    module = ModuleType("keyring")
    vars(module).update(get_password=get_password, errors=errors)
    monkeypatch.setitem(sys.modules, "keyring", module)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)


def test_the_shipped_providers_are_whole() -> None:
    found = load_providers()
    assert list(found) == ["openai", "ollama", "vllm", "llamacpp"]
    assert found["openai"].api_key_env == "OPENAI_API_KEY"
    for local in ("ollama", "vllm", "llamacpp"):
        assert found[local].api_key_env is None
        assert "//localhost:" in found[local].base_url
    assert not any(provider.prices for provider in found.values())


def test_ollama_needs_no_key_and_is_sent_none(iris_csv: Path, cli: Cli) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        done = cli(
            *("describe", iris_csv, "--provider", "ollama", "--base-url", fake.url), env={"OPENAI_API_KEY": "sk-mine"}
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(GOOD)
    assert "author: llama3.2" in done.stdout
    (request,) = fake.requests
    assert request.body["model"] == "llama3.2"
    assert "sk-mine" not in str(request.headers)


def test_the_providers_address_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    ollama = LLM.from_settings(provider="ollama")
    assert (ollama.base_url, ollama.api_key, ollama.timeout) == ("http://localhost:11434/v1", None, 300)
    assert LLM.from_settings(provider="ollama", base_url="http://gpu/v1", timeout=5, retries=0).timeout == 5
    assert LLM.from_settings(provider="openai").host == "api.openai.com"


def test_what_is_known_of_a_model_is_not_known_of_another(providers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers.write_text("mine: {base_url: http://x/v1, model: small, vision: false, price_in: 1, price_out: 2.5}\n")
    own, other = LLM.from_settings(provider="mine"), LLM.from_settings("large", provider="mine")
    assert (own.model, own.vision, own.prices) == ("small", False, Prices(1, 2.5))
    assert (other.model, other.vision, other.prices) == ("large", True, None)
    monkeypatch.setenv("MODELGPT_LLM", "medium")
    assert LLM.from_settings(provider="mine").model == "medium"
    monkeypatch.setenv("MODELGPT_LLM", "")
    with pytest.raises(UsageError, match=r"Which model of vllm(?s:.*)--llm"):
        LLM.from_settings(provider="vllm")


def test_a_providers_own_file_adds_and_replaces(
    providers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    providers.write_text("ollama: {base_url: http://gpu:1/v1}\nmine: {base_url: http://x/v1}\n")
    assert list(load_providers()) == ["openai", "ollama", "vllm", "llamacpp", "mine"]
    assert find_provider("ollama").model is None
    other = tmp_path / "other.yaml"
    other.write_text("")
    monkeypatch.setenv("MODELGPT_PROVIDERS", str(other))
    assert find_provider("ollama").model == "llama3.2"
    monkeypatch.setenv("MODELGPT_PROVIDERS", str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match=r"none\.yaml"):
        find_provider("ollama")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("- mine", "must hold providers by name"),
        ("mine: [1", "not valid YAML"),
        ("mine: http://x/v1", "must hold 'key: value' lines"),
        ("mine: {model: m}", "has no base_url"),
        ("mine: {base_url: x/v1}", "'mine: base_url' must be a web address"),
        ("mine: {base_url: http://x/v1, modl: m}", "Did you mean 'model'"),
        ("mine: {base_url: http://x/v1, model: 3}", "must be the name of a model"),
        ("mine: {base_url: http://x/v1, schema: xml}", "json_schema or json_object or none"),
        ("mine: {base_url: http://x/v1, vision: 1}", "true or false"),
        ("mine: {base_url: http://x/v1, timeout: 0}", "seconds above 0"),
        ("mine: {base_url: http://x/v1, retries: 1.5}", "whole number"),
        ("mine: {base_url: http://x/v1, price_in: 1}", "one price of two"),
        ("mine: {base_url: http://x/v1, price_in: .nan, price_out: 1}", "US dollars"),
    ],
)
def test_what_is_no_provider_is_named(providers: Path, content: str, words: str) -> None:
    providers.write_text(content)
    with pytest.raises(UsageError, match=words):
        find_provider("mine")


@pytest.mark.parametrize(
    "content",
    [
        f"mine: {{base_url: http://x/v1, api_key: {KEY}}}",
        "mine: {base_url: http://x/v1, API-Key: 0123456789abcdef}",
        "mine: {base_url: http://x/v1, token: 0123456789abcdef}",
        f"mine: {{base_url: http://x/v1, api_key_env: {KEY}}}",
        "mine: {base_url: http://x/v1, api_key_env: 0123456789abcdef}",
        f"mine: {{base_url: http://x/v1, model: {KEY}}}",
        "mine: {base_url: 'http://me:0123456789abcdef@x/v1'}",
        f"mine: {KEY}",
        f"mine: {{base_url: http://x/v1, api_key: {KEY}",
    ],
)
def test_a_file_with_a_key_in_it_is_refused_and_the_key_not_shown(providers: Path, content: str) -> None:
    providers.write_text(content)
    with pytest.raises(UsageError) as caught:
        find_provider("ollama")
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.parametrize("content", ["api_key: {}", "describe: {{openai-api-key: {}}}", "llm: {}"])
def test_so_is_a_configuration_file(bench: Bench, content: str) -> None:
    bench.write("t.csv", "x,y\n" + "1.5,a\n2.5,b\n" * 20)
    bench.write("c.yaml", content.format(KEY))
    done = bench.refuse(2, "keys are never read from files", "describe", "t.csv", "--config", "c.yaml")
    assert KEY not in done.err


def test_no_option_takes_a_key(bench: Bench) -> None:
    shown = bench.run("describe", "--help").out
    assert "--provider" in shown
    assert "--api" not in shown
    assert "--key" not in shown


def test_a_key_comes_from_the_environment_or_else_the_keyring(
    providers: Path, iris_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeLLM(sentence(GOOD)) as fake:
        providers.write_text(f"mine: {{base_url: '{fake.url}', model: m, api_key_env: MINE_KEY}}\n")
        with pytest.raises(UsageError, match=r"no key for mine(?s:.*)MINE_KEY(?s:.*)keyring set modelgpt mine"):
            describe(iris_csv, provider="mine")
        assert fake.requests == []
        keyring(monkeypatch, {("modelgpt", "mine"): KEY + "\n"})
        describe(iris_csv, provider="mine", cache=False)
        monkeypatch.setenv("MINE_KEY", "sk-env")
        describe(iris_csv, provider="mine", cache=False)
    assert [request.headers["authorization"] for request in fake.requests] == [f"Bearer {KEY}", "Bearer sk-env"]


def test_a_dry_run_needs_no_key_and_offline_no_provider(iris_csv: Path) -> None:
    done = describe(iris_csv, provider="openai", dry_run=True)
    assert done.prompt is not None
    assert any("no key for openai yet" in note for note in done.notes)
    assert describe(iris_csv, provider="nonsense", offline=True).requirement.author == "offline"


@pytest.mark.parametrize(("error", "words"), [("NoKeyringError", "no key for openai"), ("KeyringLocked", "Unlock it")])
def test_a_keyring_that_gives_nothing(monkeypatch: pytest.MonkeyPatch, error: str, words: str) -> None:
    keyring(monkeypatch, {}, error)
    with pytest.raises(UsageError, match=words) as caught:
        LLM.from_settings(provider="openai").check_key()
    assert KEY not in str(caught.value)


def test_without_a_provider_the_keyring_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring(monkeypatch, {}, "KeyringLocked")
    assert not LLM.from_settings().configured
    assert LLM.from_settings(provider="ollama").configured


@pytest.mark.parametrize(
    ("mode", "sent"), [("json_schema", "json_schema"), ("json_object", "json_object"), ("none", None)]
)
def test_the_form_is_asked_for_as_the_server_knows_it_and_checked(
    providers: Path, iris_csv: Path, mode: str, sent: str | None
) -> None:
    with FakeLLM(answer("no JSON at all"), sentence(GOOD)) as fake:
        providers.write_text(f"mine: {{base_url: '{fake.url}', model: m, schema: {mode}}}\n")
        assert describe(iris_csv, provider="mine").requirement.sentence == GOOD
    assert [request.body.get("response_format", {}).get("type") for request in fake.requests] == [sent, sent]


def test_a_request_that_is_too_long_is_told_as_such_and_not_sent_twice(providers: Path, iris_csv: Path) -> None:
    with FakeLLM(fault(400, "request (9031 tokens) exceeds the available context size (8192 tokens)")) as fake:
        providers.write_text(f"mine: {{base_url: '{fake.url}', model: m, schema: none}}\n")
        with pytest.raises(UnreachableError, match=r"longer than m at 127.0.0.1:\d+ can read(?s:.*)9031 tokens"):
            describe(iris_csv, provider="mine")
    assert len(fake.requests) == 1


def test_a_refused_key_names_where_it_came_from(
    providers: Path, iris_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE_KEY", KEY)
    with FakeLLM(fault(401, f"bad key {KEY}")) as fake:
        providers.write_text(f"mine: {{base_url: '{fake.url}', model: m, api_key_env: MINE_KEY}}\n")
        with pytest.raises(UnreachableError, match="Set MINE_KEY") as caught:
            describe(iris_csv, provider="mine")
        assert KEY not in str(caught.value)
        with pytest.raises(UnreachableError, match="api_key_env"):
            describe(iris_csv, provider="ollama", base_url=fake.url)


def test_a_model_that_sees_no_images_is_not_sent_any(tmp_path: Path) -> None:
    from tiny_images import folder_of

    with FakeLLM(Reply()) as fake, pytest.raises(UsageError, match=r"llama3\.2 of ollama sees no images"):
        describe(folder_of(tmp_path / "pets"), provider="ollama", base_url=fake.url)
    assert fake.requests == []


def test_a_mistyped_provider(bench: Bench, iris_csv: Path) -> None:
    bench.refuse(2, "Did you mean 'ollama'?", "describe", iris_csv, "--provider", "olama")
