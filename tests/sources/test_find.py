"""Looking for data: cards in all their forms, the search in other words, its cache, the hub, building with a card."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from bad_input import Bench
from conftest import Cli, clean_environment

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.sources.catalogue.cards import read_catalogue
from modelgpt_cli.sources.catalogue.find import find
from modelgpt_cli.sources.catalogue.search import embed_cached

IRIS = """name: iris
title: Iris
description: Tell three species of iris flower apart from measurements of sepals and petals.
task: classification
file: iris.csv
n_rows: 60
target: {meaning: species of the plant, classes: {setosa: 30, virginica: 30}}
columns:
- {name: petal length, type: numeric, description: cm}
- {name: petal width, type: numeric}
source: {repository: example/flowers, original: UCI 53}
licence: CC BY 4.0
"""
SPAM = """name: sms_spam
description: Decide whether a text message on a phone is unwanted advertising.
output: classification
input: single text (sentence1)
labels: [ham, spam]
source:
- {repository: example/sms}
publication: Almeida 2011
licence: CC BY 4.0
"""


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """Two cards in a folder, the data of one beside it."""
    folder = tmp_path / "cards"
    (folder / "sms").mkdir(parents=True)
    (folder / "iris.yaml").write_text(IRIS)
    rows = [f"{1 + i / 50 + 3 * (i % 2)},{0.2 + i / 90 + i % 2},{['setosa', 'virginica'][i % 2]}" for i in range(60)]
    (folder / "iris.csv").write_text("petal length,petal width,target\n" + "\n".join(rows) + "\n")
    (folder / "sms" / "card.yaml").write_text(SPAM)
    (folder / "sms" / "train.csv").write_text("sentence1,label\nhello,ham\n")
    (folder / "notes.yaml").write_text("just: notes\n")
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGPT_CACHE", str(tmp_path / "cache"))


def test_cards_are_read_in_their_forms(catalogue: Path) -> None:
    iris, spam = read_catalogue(catalogue)
    assert (iris.name, iris.rows, iris.licence, iris.task) == ("iris", 60, "CC BY 4.0", "classification")
    assert iris.columns == ("petal length", "petal width")
    assert iris.classes == ("setosa", "virginica")
    assert iris.source == "UCI 53, example/flowers"
    assert iris.data == catalogue / "iris.csv"
    assert spam.classes == ("ham", "spam")
    assert spam.source == "Almeida 2011; example/sms"
    assert spam.data == catalogue / "sms" / "train.csv"


@pytest.mark.parametrize("name", ["cards.jsonl", "cards.yaml", "several.yaml"])
def test_a_catalogue_can_be_one_file(tmp_path: Path, name: str) -> None:
    cards = [{"name": "a", "description": "First."}, {"title": "B", "description": "Second.", "license": "MIT"}]
    texts = {
        "cards.jsonl": "\n".join(map(json.dumps, cards)) + "\n\n",
        "cards.yaml": json.dumps(cards),
        "several.yaml": "---\n".join(json.dumps(card) + "\n" for card in cards),
    }
    (tmp_path / name).write_text(texts[name])
    assert [(card.name, card.licence) for card in read_catalogue(tmp_path / name)] == [("a", ""), ("B", "MIT")]


@pytest.mark.parametrize(
    ("content", "words"), [("name: x\n", "holds no card"), ("a: [", "can't be read as cards"), ("", "holds no card")]
)
def test_what_is_no_catalogue_is_said(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "cards.yaml").write_text(content)
    with pytest.raises(ModelGPTError, match=words):
        read_catalogue(tmp_path / "cards.yaml")
    with pytest.raises(UsageError, match="--top can't be 0"):
        find("flowers", catalog="cards", k=0)
    with pytest.raises(UsageError, match="There is no catalogue"):
        read_catalogue(tmp_path / "none")


def test_other_words_find_the_card(catalogue: Path) -> None:
    assert [card.name for card, _ in find("which flower is it", catalog=catalogue)] == ["iris", "sms_spam"]
    (best, score) = find("junk mail on mobile phones", catalog=catalogue, k=1)[0]
    assert best.name == "sms_spam"
    assert 0.2 < score < 1


def test_a_card_is_embedded_once_and_again_when_it_changes(
    catalogue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "cache" / "cards"
    find("flower", catalog=catalogue)
    kept = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert len(kept) == 3
    find("flower", catalog=catalogue)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == kept
    (catalogue / "iris.yaml").write_text(IRIS.replace("three species", "kinds"))
    find("flower", catalog=catalogue)
    assert len(list(folder.iterdir())) == 4


def test_a_damaged_vector_is_as_none(tmp_path: Path) -> None:
    (first,) = embed_cached(["a flower"], tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(b"x")
    (again,) = embed_cached(["a flower"], tmp_path)
    assert again == pytest.approx(first)
    assert path.stat().st_size > 1000


def test_the_command_shows_licence_columns_and_score(cli: Cli, catalogue: Path) -> None:
    done = cli("find", "which flower is it", "--catalog", catalogue, "-k", "1", fresh=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("iris  0.")
    assert "  licence: CC BY 4.0" in lines
    assert "  columns: petal length, petal width" in lines
    assert "  task: classification (2 classes: setosa, virginica)" in lines
    told = json.loads(cli("find", "which flower is it", "--catalog", catalogue, "--json").stdout)["results"]
    assert [one["name"] for one in told] == ["iris", "sms_spam"]
    assert told[0]["score"] > told[1]["score"]
    assert told[0]["data"] == str(catalogue / "iris.csv")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("find", "x"), "Where shall be looked?"), (("find", " ", "--hub"), "There are no words")],
)
def test_nowhere_to_look_is_exit_2(cli: Cli, arguments: tuple[str, ...], words: str) -> None:
    done = cli(*arguments)
    assert done.returncode == 2
    assert words in done.stderr


class FakeHub(BaseHTTPRequestHandler):
    """Answers as the hub's list of data sets does."""

    asked: list[str]
    status = 200

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        assert parts.path == "/api/datasets"
        query = parse_qs(parts.query)["search"][0]
        self.asked.append(query)
        found: list[dict[str, Any]] = []
        if query == "flower":
            tags = ["license:mit", "task_categories:image-classification", "region:us"]
            found = [
                {"id": "someone/iris-flowers", "tags": tags, "description": "Flowers of\n three iris species."},
                {"id": "someone/flour", "tags": [], "description": "Prices of flour."},
            ]
        data = json.dumps(found).encode()
        self.send_response(self.status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeHub]]:
    handler = type("Handler", (FakeHub,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    yield handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_hub_is_searched_by_words_and_ranked_by_meaning(hub: type[FakeHub]) -> None:
    found = find("which flower is it", hub=True)
    assert hub.asked == ["which flower is it", "flower"]
    assert [card.name for card, _ in found] == ["someone/iris-flowers", "someone/flour"]
    best = found[0][0]
    assert (best.licence, best.task) == ("mit", "image-classification")
    assert best.description == "Flowers of three iris species."
    assert best.url == f"{os.environ['HF_ENDPOINT']}/datasets/someone/iris-flowers"


def test_a_hub_out_of_reach_is_exit_4(bench: Bench, hub: type[FakeHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the hub's client tries again, later and later
    hub.status = 500
    with pytest.raises(UnreachableError, match="out of reach"):
        find("flower", hub=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    done = bench.run("find", "flower", "--hub")
    assert done.code == 4
    assert "The hub at http://127.0.0.1:9 is out of reach." in done.err


BUILD = ("build", "--req", "req.txt", "--data-from", "iris", "-o", "m.safetensors", "--members", "1")


@pytest.fixture
def requirement(tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text("Classify each iris flower by its petals.\n")


@pytest.mark.usefixtures("requirement")
def test_a_build_uses_a_cards_data_after_yes(cli: Cli, catalogue: Path, tmp_path: Path) -> None:
    refused = cli(*BUILD, "--catalog", catalogue)
    assert refused.returncode == 2
    assert "There is no terminal to ask on." in refused.stderr
    assert "licence: CC BY 4.0" in refused.stderr
    assert "source: UCI 53" in refused.stderr
    assert not (tmp_path / "m.safetensors").exists()
    done = cli(*BUILD, "--catalog", catalogue, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert "licence: CC BY 4.0" in done.stderr
    assert json.loads(done.stdout)["metrics"]["model"]["accuracy"] > 0.9


@pytest.mark.usefixtures("requirement")
@pytest.mark.parametrize(("typed", "code"), [("n\n", 130), ("y\n", 0)])
def test_on_a_terminal_it_asks(modelgpt_path: str, catalogue: Path, tmp_path: Path, typed: str, code: int) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [modelgpt_path, *BUILD, "--catalog", str(catalogue)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=clean_environment(),
    )
    os.write(ours, typed.encode())
    _, err = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, err
    assert "Use these data? [y/N]" in err
    assert (tmp_path / "m.safetensors").exists() == (code == 0)


@pytest.mark.usefixtures("requirement")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("--data-from", "irises"), "Did you mean iris?"),
        (("--data", "x.csv"), "--data and --data-from both name data."),
    ],
)
def test_a_card_that_is_not_there_is_said(cli: Cli, catalogue: Path, change: tuple[str, ...], words: str) -> None:
    done = cli(*BUILD, "--catalog", catalogue, *change)
    assert done.returncode == 2
    assert words in done.stderr
    assert cli(*BUILD).returncode == 2


@pytest.mark.usefixtures("requirement")
def test_data_that_are_elsewhere_are_said(cli: Cli, catalogue: Path) -> None:
    (catalogue / "iris.csv").unlink()
    done = cli(*BUILD, "--catalog", catalogue, "--yes")
    assert done.returncode == 2
    assert "The data of 'iris' are not here." in done.stderr
    assert "Get them: UCI 53, example/flowers" in done.stderr
