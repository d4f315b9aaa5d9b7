"""Bad texts, words and backbones: one clear message, the right exit code, nothing half-written; and odd ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from bad_input import Bench
from conftest import ROOT, Cli
from tiny_texts import tiny_backbone, tiny_tokenizer, topics_frame, write_generator


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiny encoder, a generator for it, and texts about topics."""
    folder = tmp_path_factory.mktemp("world")
    write_generator(folder / "generator.safetensors", tiny_backbone(folder / "tiny"))
    topics_frame(40, ("sport", "food")).to_csv(folder / "topics.csv", index=False)
    return folder


def req(bench: Bench, below: str = "") -> Path:
    return bench.write("req.txt", "Say what a text is about.\n" + (f"---\n{below}\n" if below else ""))


def line(bench: Bench, world: Path, below: str = "", **changes: str | Path | None) -> list[str | Path]:
    """A ``build`` of the tiny encoder with `changes` to its options; None leaves one out."""
    tiny = world / "tiny"
    options: dict[str, str | Path | None] = {
        "req": req(bench, below),
        "data": world / "topics.csv",
        "backbone": tiny,
        "encoder": tiny,
        "generator": world / "generator.safetensors",
        "output": "m.safetensors",
    }
    options |= {key.replace("_", "-"): value for key, value in changes.items()}
    given = [(f"--{key}", value) for key, value in options.items() if value is not None]
    return ["build", *(part for pair in given for part in pair)]


# Data ---------------------------------------------------------------------------------------------------------------

ROWS = list(topics_frame(30).itertuples())
TEXTS = "\n".join(f"{row.text},{row.label}" for row in ROWS)
DATA: dict[str, tuple[str, str, dict[str, str], int, str]] = {
    # name → content, below the ---, options, exit code, words of the error
    "no text": ("age,job,label\n" + "31,cook,a\n42,smith,b\n" * 20, "domain: text", {}, 2, "has no column of text"),
    "no such text": (f"text,label\n{TEXTS}\n", "", {"text": "txet"}, 2, "no text column 'txet'"),
    "no such target": (f"text,label\n{TEXTS}\n", "", {"target": "lable"}, 2, "no target column 'lable'"),
    "three texts": (
        "a,b,c,label\n" + "\n".join(f"{row.text},{row.text},{row.text},{row.label}" for row in ROWS),
        "domain: text", {}, 2, "3 columns of text",
    ),
    "all empty": ("text,label\n" + '"",a\n"  ",b\n' * 9, "", {"text": "text"}, 1, "is empty in all 18 rows"),
    "one class": ("text,label\n" + "\n".join(f"some words {i},a" for i in range(9)), "", {}, 1, "one class only: 'a'"),
    "one row": ("text,label\nsome words here,a\n", "", {}, 1, "one row"),
    "no rows": ("text,label\n", "", {}, 1, "no rows"),
    "other classes": (f"text,label\n{TEXTS}\n", "classes: [sport, food]", {}, 2, "disagree on the classes"),
    "no numbers": (f"text,label\n{TEXTS}\n", "task: regression", {}, 2, "nothing to regress"),
}  # fmt: skip


@pytest.mark.parametrize("case", DATA)
def test_data_that_can_not_be_learnt_from(bench: Bench, world: Path, case: str) -> None:
    content, below, options, code, words = DATA[case]
    bench.refuse(code, words, *line(bench, world, below, data=bench.write("data.csv", content), **options))


WORDS = {
    "sentence alone": ("", 2, "names no classes"),
    "text without classes": ("domain: text", 2, "names no classes"),
    "one class": ("classes: [sport]", 2, "leaves nothing to tell apart"),
    "a class twice": ("classes: [sport, sport]", 2, "is there twice"),
    "no scale": ("domain: text\ntask: regression", 2, "doesn't tell the regression's scale"),
    "half a scale": ("domain: text\ntask: regression\ntarget_mean: 3", 2, "go together"),
    "two texts without a pair": (
        "classes: [a, b]\ncolumns:\n- {name: x, type: text, role: text}\n- {name: y, type: text, role: text}",
        2,
        "one column has the role text",
    ),
}


@pytest.mark.parametrize("case", WORDS)
def test_words_that_are_not_enough(bench: Bench, world: Path, case: str) -> None:
    below, code, words = WORDS[case]
    bench.refuse(code, words, *line(bench, world, below, data=None))


# Backbones and generators -------------------------------------------------------------------------------------------

OPTIONS = {
    "window of nothing": ({"max_tokens": "4"}, 2, "'--max-tokens': 4 is not in the range"),
    "window too wide": ({"max_tokens": "300"}, 2, "reads 160 tokens at most; 300 were asked for"),
    "no such folder": ({"backbone": "/no/such/folder"}, 2, "There is no folder /no/such/folder"),
    "no such folder here": ({"backbone": "./nowhere"}, 2, "There is no folder ./nowhere"),
    "no such generator": ({"generator": "nowhere"}, 2, "There is no file nowhere"),
    "another encoder": ({"encoder": None}, 2, "doesn't fit the generator"),
    "another backbone": ({"backbone": None}, 2, "doesn't fit the backbone 'minilm-l6'"),
    "what to write": ({"output": "m.bin"}, 2, "End the name in .onnx or .safetensors"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_that_do_not_fit(bench: Bench, world: Path, case: str) -> None:
    changes, code, words = OPTIONS[case]
    bench.refuse(code, words, *line(bench, world, **changes))


def test_a_generator_of_tables_is_refused(bench: Bench, world: Path) -> None:
    tables = ROOT / "weights" / "tabular"
    bench.refuse(1, "for the domain tabular, not for text", *line(bench, world, generator=tables))


def test_options_for_texts_are_not_for_tables(bench: Bench, iris_model: Path) -> None:
    for option, value, words in (
        ("--backbone", "distilbert", "--backbone is for images"),
        ("--max-tokens", "64", "--max-tokens is for"),
    ):
        bench.refuse(2, words, "build", "--req", iris_model / "req.txt", option, value, "-o", "m.safetensors")


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


def larger_tokenizer(folder: Path) -> None:
    tiny_backbone(folder, vocab_size=50)


def foreign_tokenizer(folder: Path) -> None:
    made = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(made | {"model": {"type": "Zeppelin"}}))


def damaged_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def unknown_architecture(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "zeppelin", "hidden_size": 32}))


def no_architecture(folder: Path) -> None:
    (folder / "config.json").write_text("{}")


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-500])


def configured(folder: Path, **values: object) -> None:
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(known | values))


def fewer_weights(folder: Path) -> None:
    configured(folder, num_hidden_layers=3)


def other_weights(folder: Path) -> None:
    configured(folder, hidden_size=48)


def own_code(folder: Path) -> None:
    configured(folder, model_type="zeppelin", auto_map={"AutoConfig": "zeppelin.Config", "AutoModel": "zeppelin.Model"})


def nothing(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


BROKEN = {
    "no tokenizer": (no_tokenizer, "no tokenizer that can be used"),
    "a tokenizer of more tokens": (larger_tokenizer, "no tokenizer that can be used"),
    "a tokenizer of another kind": (foreign_tokenizer, "no tokenizer that can be used"),
    "weights cut short": (cut_weights, "holds no encoder that transformers can load"),
    "weights of fewer layers": (fewer_weights, "Its weights lack encoder.layer.2."),
    "weights of other sizes": (other_weights, "holds no encoder that transformers can load"),
    "code of its own": (own_code, "holds no encoder that transformers can load"),
    "damaged tokenizer": (damaged_tokenizer, "no tokenizer that can be used"),
    "unknown architecture": (unknown_architecture, "holds no encoder that transformers can load"),
    "no architecture": (no_architecture, "holds no encoder that transformers can load"),
    "no configuration": (no_config, "holds no encoder that transformers can load"),
    "no weights": (no_weights, "holds no encoder that transformers can load"),
    "nothing": (nothing, "holds no encoder that transformers can load"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_folder_that_is_no_backbone(bench: Bench, world: Path, case: str) -> None:
    damage, words = BROKEN[case]
    folder = bench.folder / "broken"
    shutil.copytree(world / "tiny", folder)
    damage(folder)
    done = bench.refuse(2, words, *line(bench, world, backbone=folder))
    assert str(folder) in done.err


def test_a_model_that_translates_is_no_text_encoder(bench: Bench, world: Path) -> None:
    from transformers import PreTrainedTokenizerFast, T5Config, T5Model

    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
    T5Model(T5Config(vocab_size=200, **sizes)).save_pretrained(bench.folder / "t5")
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer()).save_pretrained(bench.folder / "t5")
    bench.refuse(2, "is no text encoder", *line(bench, world, backbone=bench.folder / "t5"))


def test_a_hub_out_of_reach_is_asked_once(bench: Bench, world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(bench.folder / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nobody listens there
    for key in ("https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(key, raising=False)
    huggingface_hub.close_session()
    done = bench.refuse(4, "The backbone 'distilbert-base-uncased'", *line(bench, world, backbone="distilbert"))
    assert "Retrying" not in done.err
    huggingface_hub.close_session()


def test_a_hub_name_while_offline(cli: Cli, world: Path, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text("Say what a text is about.\n")
    done = cli(
        *("build", "--req", "req.txt", "--data", world / "topics.csv", "--backbone", "distilbert", "-o", "m.onnx"),
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")},
    )
    assert done.returncode == 4, done.stderr
    assert done.stdout == ""
    assert "The backbone 'distilbert-base-uncased' can't be loaded." in done.stderr
    assert "Give --backbone a local model folder" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "m.onnx").exists()


# What is odd, and fine ----------------------------------------------------------------------------------------------

ODD = {
    "emoji": "\U0001f600\U0001f44d\U0001f3fd\u200d so good \u2764\ufe0f",
    "right to left": "\u05d6\u05d4 \u05e1\u05e8\u05d8 \u05d8\u05d5\u05d1 \u05de\u05d0\u05d5\u05d3",
    "turned round": "\u202eturned round\u202c and back again",
    "control characters": "bell \x07 and escape \x1b[2J and delete \x7f here",
    "empty": "",
    "a megabyte": "some goal, with a team; " * 45_000,
    "a word of a megabyte": "x" * 1_000_000,
    "lines": "first line\r\nsecond line",
}


def test_odd_texts_are_learnt_from(bench: Bench, world: Path) -> None:
    frame = topics_frame(40, ("sport", "food"))
    frame.loc[: len(ODD) - 1, "text"] = list(ODD.values())
    frame.to_csv(bench.folder / "odd.csv", index=False)
    done = bench.run(*line(bench, world, data=bench.folder / "odd.csv"))
    assert done.code == 0, done.err
    assert "1 of 40 texts is empty." in done.err
    assert "1 of 40 texts are longer than the window (128 tokens) and were cut." in done.err
    assert "\x1b[2J" not in done.err
    assert done.out == "m.safetensors\n"


def test_labels_of_one_letter_and_of_many_words(bench: Bench, world: Path) -> None:
    for labels in (["y", "t"], ["a", "b " * 300], ["0", "1"], ["\u00fc", "\u0430"]):
        frame = topics_frame(40, ("sport", "food")).assign(label=labels * 20)
        frame.to_csv(bench.folder / "labels.csv", index=False)
        done = bench.run(*line(bench, world, data=bench.folder / "labels.csv"), "--force", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["metrics"]["model"]["accuracy"] > 0.6
