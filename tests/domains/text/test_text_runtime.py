"""Text models at work: files and folders of texts in, predictions out; the window; raw texts into the graph."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from text_models import tiny_text_model, tiny_tokenizer
from tokenizers import normalizers, pre_tokenizers, processors

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.artifacts.model_file import load_model
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.metrics import regression_metrics
from modelgpt_cli.domains.text.model import TextModel
from modelgpt_cli.domains.text.onnx import to_onnx
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS, TextRows
from modelgpt_cli.domains.text.tokens import encode, prepare_tokenizer
from modelgpt_cli.domains.text.wordpiece_plan import plan_wordpiece
from modelgpt_cli.runtime.evaluate import evaluate
from modelgpt_cli.runtime.inspect import inspect
from modelgpt_cli.runtime.predict import predict
from modelgpt_cli.runtime.session import Model

LABELS = ("bad", "good", "none")
TEXTS = ["The film was good.", "a slow, bad book", "", "very " * 60, "quick!", "é и か ☕", "[SEP] the film"]


@pytest.fixture(scope="module")
def original() -> TextModel:
    return tiny_text_model(labels=LABELS)


@pytest.fixture(scope="module")
def model(original: TextModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "model.onnx"
    write_model(original, path)
    return path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A regressor of pairs, as ONNX and as safetensors."""
    path = tmp_path_factory.mktemp("pair") / "model.onnx"
    made = tiny_text_model(pair=True, columns=("one", "two"))
    write_model(made, path)
    write_model(made, path.with_suffix(".safetensors"))
    return path


def test_rows_are_tokenised_as_in_training() -> None:
    tokenizer = prepare_tokenizer(tiny_tokenizer(), 20)
    for pairs in (None, TEXTS[::-1]):
        got, expected = TextRows(tokenizer, TEXTS, pairs), encode(tokenizer, TEXTS, pairs)
        assert got.cut == expected.cut > 0
        order = np.array([4, 0, 3, 2])
        feed, tokens = got.feed(order), expected.padded(order)
        np.testing.assert_array_equal(feed[IDS], tokens.ids.numpy())
        np.testing.assert_array_equal(feed[MASK], tokens.mask.numpy())
        assert (SEGMENTS in feed) == (pairs is not None)
        if pairs is not None:
            np.testing.assert_array_equal(feed[SEGMENTS], tokens.segments.numpy())


def test_tables_and_folders_of_texts(model: Path, original: TextModel, tmp_path: Path) -> None:
    rows = pd.DataFrame({"id": range(7), "text": TEXTS, "label": "good"})
    expected = original.predict(rows)
    rows.to_csv(tmp_path / "d.csv", index=False)
    rows.to_json(tmp_path / "d.jsonl", orient="records", lines=True)
    rows.to_parquet(tmp_path / "d.parquet")
    for name in ("d.csv", "d.jsonl", "d.parquet"):
        for chunk in (3, 1000):
            done = predict(model, tmp_path / name, chunk_rows=chunk)
            np.testing.assert_allclose(done.probabilities, expected, atol=1e-5)
            assert done.label is not None
            assert done.label.tolist() == [LABELS[k] for k in expected.argmax(1)]
    for row, text in zip(range(7), TEXTS, strict=True):
        folder = tmp_path / "texts" / LABELS[row % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.txt").write_text(text, encoding="utf-8")
    order = [0, 2, 4, 6, 1, 3, 5]
    done = predict(model, tmp_path / "texts")
    np.testing.assert_allclose(done.probabilities, expected[order], atol=1e-5)
    measured = evaluate(model, tmp_path / "texts")
    truth = [LABELS[row % 2] for row in order]
    assert measured["accuracy"] == pytest.approx(
        np.mean([LABELS[k] for k in expected[order].argmax(1)] == np.array(truth))
    )


def test_missing_texts_are_empty_ones(model: Path, pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    empty = Model(model).run({"text": [""]})["probabilities"]
    for cell in (None, np.nan):
        np.testing.assert_array_equal(Model(model).run({"text": [cell]})["probabilities"], empty)
    both = predict(pair, pd.DataFrame({"one": ["the film", None], "two": [None, None]})).prediction
    one = predict(pair, pd.DataFrame({"one": ["the film", ""]})).prediction
    assert "1 column of the model is missing, read as empty cells: two" in caplog.text
    np.testing.assert_array_equal(both, one)
    with pytest.raises(ModelGPTError, match="lacks 1 of the model's 1 columns: text"):
        predict(model, pd.DataFrame({"words": ["a"]}))


def test_the_second_text_is_told_from_the_first(pair: Path) -> None:
    loaded = Model(pair)
    there = loaded.run({"one": ["the film"], "two": ["a bad book"]})["prediction"]
    back = loaded.run({"two": ["the film"], "one": ["a bad book"]})["prediction"]
    assert abs(float(there[0, 0] - back[0, 0])) > 1e-3
    assert [i.name for i in loaded._session.get_inputs()] == [IDS, MASK, SEGMENTS]
    assert loaded.run({"one": [], "two": []})["prediction"].shape == (0, 1)


def test_texts_longer_than_the_window_are_counted_once(
    model: Path, pair: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = pd.DataFrame({"text": TEXTS * 4, "label": "good"})
    predict(model, rows, chunk_rows=5)
    words = "4 of 28 texts are longer than the model's window (24 tokens) and were cut."
    assert [record.message for record in caplog.records] == [words]
    caplog.clear()
    evaluate(model, rows, chunk_rows=5)
    assert [record.message for record in caplog.records] == [words]
    caplog.clear()
    predict(pair, pd.DataFrame({"one": ["a", "very " * 30], "two": ["b", "good"]}), output=tmp_path / "p.csv")
    assert "1 of 2 pairs of texts are longer" in caplog.text


def test_long_texts_and_many_rows(model: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["the", "good", "bad", "film", "quick"])
    texts = [" ".join(rng.choice(words, n)) for n in rng.integers(1, 30, 700)]
    texts[13] = "slow film " * 100_000
    together = Model(model).run({"text": texts})["probabilities"]
    some = [0, 13, 300, 699]
    alone = np.concatenate([Model(model).run({"text": [texts[i]]})["probabilities"] for i in some])
    np.testing.assert_allclose(together[some], alone, atol=1e-5)


def test_regression_has_correlations(pair: Path) -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"one": TEXTS, "two": TEXTS[::-1]})
    rows["label"] = predict(pair, rows).prediction.astype(float) ** 3 + rng.normal(size=7)  # type: ignore[union-attr]
    done = evaluate(pair, rows)
    predicted = predict(pair, rows).prediction
    assert predicted is not None
    frame = pd.DataFrame({"a": rows.label, "b": predicted.astype(float)})
    assert done["pearson"] == pytest.approx(frame.corr().loc["a", "b"])
    assert done["spearman"] == pytest.approx(frame.rank().corr().loc["a", "b"])


def test_correlations_of_equal_values() -> None:
    true, predicted = np.array([1.0, 2, 2, 3]), np.array([0.1, 0.4, 0.4, 0.2])
    expected = pd.DataFrame({"a": true, "b": predicted}).rank().corr().loc["a", "b"]
    assert regression_metrics(true, predicted)["spearman"] == pytest.approx(expected)
    flat = regression_metrics(true, np.ones(4))
    assert flat["pearson"] is flat["spearman"] is None


def test_the_runtime_needs_no_torch(model: Path) -> None:
    code = (
        "import sys; from modelgpt_cli.cli import main\n"
        f"code = main(['predict', {str(model)!r}, '-', '--proba'])\n"
        "heavy = {'torch', 'transformers', 'sklearn', 'onnx', 'onnxruntime_extensions'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else code)"
    )
    lines = "".join(json.dumps({"text": text}) + "\n" for text in TEXTS)
    done = subprocess.run([sys.executable, "-c", code], input=lines, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 of 7 texts are longer" in done.stderr
    assert list(pd.read_csv(io.StringIO(done.stdout))) == ["label", *(f"probability_{label}" for label in LABELS)]


def test_onnxruntime_and_tokenizers_are_enough(model: Path, original: TextModel) -> None:
    """In a fresh process, at onnxruntime's own settings: no warning, and no modelgpt needed."""
    script = (
        "import numpy as np, onnxruntime as ort, sys; from tokenizers import Tokenizer\n"
        "s = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])\n"
        "t = Tokenizer.from_str(s.get_modelmeta().custom_metadata_map['modelgpt_tokenizer'])\n"
        "t.enable_padding()\n"
        "found = t.encode_batch(['The film was good.', 'quick!'])\n"
        "label, p = s.run(None, {'input_ids': np.array([e.ids for e in found]),\n"
        "                        'attention_mask': np.array([e.attention_mask for e in found])})\n"
        "assert not {'torch', 'modelgpt_cli', 'onnx'} & set(sys.modules)\n"
        "print(label.tolist())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(model)], capture_output=True, text=True)
    assert done.stderr == ""
    expected = original.predict(pd.DataFrame({"text": ["The film was good.", "quick!"]})).argmax(1)
    assert done.stdout.strip() == str([LABELS[k] for k in expected])


def _changed(path: Path, target: Path, change: Callable[[dict[str, str]], None]) -> Path:
    proto = onnx.load(path)
    entries = {entry.key: entry.value for entry in proto.metadata_props}
    change(entries)
    onnx.helper.set_model_props(proto, entries)
    onnx.save(proto, target)
    return target


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.pop("modelgpt_tokenizer"), "tokenizer can't be read"),
        (lambda e: e.update(modelgpt_tokenizer="{"), "tokenizer can't be read"),
        (lambda e: e.update(modelgpt=e["modelgpt"].replace('"domain": "text"', '"domain": "tabular"')), "not those"),
        (
            lambda e: e.update(modelgpt=e["modelgpt"].replace('"tokenizer": "metadata"', '"tokenizer": "graph"')),
            "not t",
        ),
    ],
)
def test_a_file_that_contradicts_itself(
    model: Path, tmp_path: Path, change: Callable[[dict[str, str]], None], words: str
) -> None:
    with pytest.raises(ModelGPTError, match=words):
        Model(_changed(model, tmp_path / "m.onnx", change))


def test_inspect(model: Path, pair: Path) -> None:
    card = inspect(model)
    assert (card["domain"], card["max_tokens"], card["tokenizer"]) == ("text", 24, "metadata")
    for path in (pair, pair.with_suffix(".safetensors")):
        names = [(i["name"], i["role"]) for i in inspect(path)["inputs"]]
        assert names == [("one", "text"), ("two", "pair")]


@pytest.fixture(scope="module")
def in_graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with single.onnx and pair.onnx, which take raw texts."""
    pytest.importorskip("onnxruntime_extensions")
    folder = tmp_path_factory.mktemp("graph")
    write_model(tiny_text_model(labels=LABELS), folder / "single.onnx", tokenizer_in_graph=True, opset=13)
    made = tiny_text_model(pair=True, columns=("label", "two"))
    write_model(made, folder / "pair.onnx", tokenizer_in_graph=True, quantize="int8")
    return folder


def test_raw_texts_into_the_graph(in_graph: Path, original: TextModel, caplog: pytest.LogCaptureFixture) -> None:
    rows = pd.DataFrame({"text": [*TEXTS, None, "Film\x00Book", "漢字 한국어 İ ǆ", "GOOD" * 40]})
    done = predict(in_graph / "single.onnx", rows, chunk_rows=4)
    np.testing.assert_allclose(done.probabilities, original.predict(rows), atol=1e-5)
    assert Model(in_graph / "single.onnx").run({"text": []})["label"].shape == (0,)
    assert inspect(in_graph / "single.onnx")["tokenizer"] == "graph"
    again = load_model(in_graph / "single.onnx")
    np.testing.assert_allclose(again.predict(rows), original.predict(rows), atol=1e-6)

    import onnxruntime_extensions

    options = ort.SessionOptions()
    options.register_custom_ops_library(onnxruntime_extensions.get_library_path())
    session = ort.InferenceSession(in_graph / "single.onnx", options, providers=["CPUExecutionProvider"])
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [("text", "tensor(string)", ["N"])]
    label, _ = session.run(None, {"text": np.array(["The film was good."], dtype=object)})
    assert label[0] == LABELS[original.predict(pd.DataFrame({"text": ["The film was good."]})).argmax()]


def test_raw_pairs_into_the_graph(in_graph: Path) -> None:
    rows = pd.DataFrame({"label": TEXTS, "two": TEXTS[::-1]})
    assert [i["input"] for i in inspect(in_graph / "pair.onnx")["inputs"]] == ["label_", "two"]
    predicted = predict(in_graph / "pair.onnx", rows).prediction
    assert predicted is not None
    assert len(predicted) == 7


def test_without_the_extensions_library_the_error_says_what_to_install(
    in_graph: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_extensions", None)
    with pytest.raises(ModelGPTError, match=r'pip install "modelgpt-cli\[tokenizer\]"'):
        Model(in_graph / "single.onnx")


def _unlike_bert(part: str) -> str:
    tokenizer = tiny_tokenizer()
    if part == "normalizer":
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    elif part == "splitter":
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    elif part == "frame":
        tokenizer.post_processor = processors.TemplateProcessing("$A [SEP]", "$A $B", [("[SEP]", 3)])
    elif part == "token":
        from tokenizers import AddedToken

        tokenizer.add_tokens([AddedToken("<br>", lstrip=True, normalized=False)])
    tokenizer = prepare_tokenizer(tokenizer, 20)
    if part == "side":
        tokenizer.enable_truncation(20, strategy="longest_first", direction="left")
    text: str = tokenizer.to_str()
    return text


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("normalizer", "none of BERT's kind"),
        ("splitter", "none of BERT's kind"),
        ("frame", "frames texts in another way"),
        ("token", "takes in what stands around it"),
        ("side", "cuts long texts in another way"),
    ],
)
def test_a_tokenizer_that_a_graph_cannot_follow_is_refused(part: str, words: str) -> None:
    with pytest.raises(UsageError, match="can't be put into the graph") as caught:
        plan_wordpiece(_unlike_bert(part))
    assert words in caught.value.cause
    assert "--tokenizer-in-graph" in caught.value.hint


def test_a_graph_that_gives_other_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime_extensions")
    from modelgpt_cli.domains.text import onnx_tokenizer

    plan = plan_wordpiece(prepare_tokenizer(tiny_tokenizer(), 20).to_str())
    plan.longest_word = 99
    monkeypatch.setattr(onnx_tokenizer, "plan_wordpiece", lambda _: plan)
    with pytest.raises(UsageError, match="can't be put into the graph") as caught:
        to_onnx(tiny_text_model(labels=LABELS, window=20), options={"tokenizer_in_graph": True})
    assert "other tokens" in caught.value.cause


def test_the_command_says_what_was_cut_and_what_it_costs(
    original: TextModel, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelgpt_cli.cli import main

    logger = logging.getLogger("modelgpt")
    monkeypatch.setattr(logger, "handlers", list(logger.handlers))
    monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.chdir(tmp_path)
    write_model(original, tmp_path / "m.safetensors")
    rows = pd.DataFrame({"text": TEXTS})
    rows.assign(label=[LABELS[k] for k in original.predict(rows).argmax(1)]).to_csv("d.csv", index=False)
    assert main(["export", "m.safetensors", "-o", "q.onnx", "--quantize", "int8", "--data", "d.csv"]) == 0
    said = capsys.readouterr().err
    assert "On d.csv: accuracy 1 before, " in said
    assert said.count("1 of 7 texts are longer") == 1
    assert main(["export", "m.safetensors", "-o", "q.onnx", "--quantize", "fp16", "-f"]) == 0
    assert "--data FILE" in capsys.readouterr().err
