"""The text domain's data: which columns are texts, and every odd text that may come."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.dataset import Dataset, load_dataset
from modelgpt_cli.data.readers import open_table
from modelgpt_cli.domains.text.requirement import texts_of
from modelgpt_cli.domains.text.roles import is_pair, says_text
from modelgpt_cli.requirement_generator.answer import check_sentence
from modelgpt_cli.requirement_generator.offline import write_offline
from modelgpt_cli.requirement_generator.profile import profile

GOOD = ("a warm and funny film", "I would see it again", "the best hour of my week", "wonderful acting all through")
BAD = ("dull from start to end", "I left before the end", "a waste of an evening", "the jokes fall flat here")
N = 40


def write(path: Path, **columns: object) -> Path:
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def films(n: int = N) -> tuple[list[str], list[str]]:
    """Short reviews, no two alike, and what they say."""
    texts = [f"{(GOOD, BAD)[i % 2][i // 2 % 4]}, number {i}" for i in range(n)]
    return texts, [("good", "bad")[i % 2] for i in range(n)]


def roles(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.role for column in dataset.schema.columns if column.role}


# Which columns ------------------------------------------------------------------------------------------------------


def test_a_text_and_a_label(tmp_path: Path) -> None:
    texts, labels = films()
    dataset = load_dataset(write(tmp_path / "t.csv", what_they_said=texts, label=labels))
    assert dataset.schema.domain == "text"
    (column,) = dataset.schema.used
    assert (column.name, column.type, column.role, column.components) == ("what_they_said", "text", "text", 0)
    assert dataset.sample["what_they_said"].tolist() == texts
    assert [len(frame) for frame in dataset.frames(rows=30)] == [30, 10]
    assert dataset.class_counts == {"bad": 20, "good": 20}


def test_identifiers_and_constants_do_not_make_it_a_table(tmp_path: Path) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", id=range(N), text=texts, source=["web"] * N, label=labels)
    dataset = load_dataset(path)
    assert roles(dataset) == {"text": "text"}
    assert {column.name: column.type for column in dataset.schema.dropped} == {"id": "identifier", "source": "constant"}
    assert all(column.note for column in dataset.schema.dropped)


@pytest.mark.parametrize(
    "more",
    [
        {"stars": np.arange(N) / 7},
        {"genre": ["war", "love"] * 20},
        {"seen": ["true", "false"] * 20},
        {"day": [f"2024-01-{i % 28 + 1:02d}" for i in range(N)]},
    ],
)
def test_any_other_column_makes_it_a_table_unless_asked_otherwise(tmp_path: Path, more: dict[str, object]) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", review=texts, **more, label=labels)
    assert load_dataset(path).schema.domain == "tabular"
    for options in ({"text": "review"}, {"domain": "text"}):
        dataset = load_dataset(path, **options)
        assert [column.name for column in dataset.schema.used] == ["review"], options
        (dropped,) = dataset.schema.dropped
        assert "not used beside the text" in dropped.note
        assert list(dataset.sample.columns) == ["review", "label"]


def test_two_texts_are_a_pair_in_the_order_of_the_file(tmp_path: Path) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", later=texts, earlier=[f"so they told us, {text}" for text in texts], label=labels)
    assert roles(load_dataset(path)) == {"later": "text", "earlier": "pair"}
    turned = load_dataset(path, text="earlier", text_pair="later")
    assert [column.name for column in texts_of(turned.schema.columns)] == ["earlier", "later"]
    assert list(turned.sample.columns) == ["later", "earlier", "label"]


def test_three_texts_are_a_table(tmp_path: Path) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", a=texts, b=texts, c=texts, label=labels)
    assert load_dataset(path, text_columns=3).schema.domain == "tabular"
    with pytest.raises(UsageError, match="3 columns of text: a, b, c") as caught:
        load_dataset(path, domain="text")
    assert "--text" in caught.value.hint
    assert roles(load_dataset(path, text="b")) == {"b": "text"}


def test_tabular_when_asked_for(tmp_path: Path) -> None:
    texts, labels = films()
    dataset = load_dataset(write(tmp_path / "t.csv", text=texts, label=labels), domain="tabular", text_columns=1)
    assert (dataset.schema.domain, roles(dataset)) == ("tabular", {})
    assert dataset.schema.used[0].components > 0


def test_what_a_model_of_tables_is_tuned_on_stays_a_table(tmp_path: Path) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", text=texts, label=labels)
    assert load_dataset(path, columns=[Column("text", "text", components=8)]).schema.domain == "tabular"


@pytest.mark.parametrize("n", [2, 4, 10, 19, 40])
@pytest.mark.parametrize("name", ["text", "sentence1", "Review", "tweet_text", "question", "title", "said"])
def test_small_files(tmp_path: Path, n: int, name: str) -> None:
    texts, labels = films(n)
    assert roles(load_dataset(write(tmp_path / "t.csv", **{name: texts}, label=labels))) == {name: "text"}


def test_a_header_that_promises_text_allows_short_and_repeated_ones(tmp_path: Path) -> None:
    orders = ["play jazz", "stop it", "next song", "louder please"] * 4
    for name, domain in (("message", "text"), ("kind", "tabular")):
        dataset = load_dataset(write(tmp_path / "t.csv", **{name: orders}, label=["a", "b"] * 8))
        assert dataset.schema.domain == domain
    few = load_dataset(write(tmp_path / "t.csv", title=["Vice President", "Sales Clerk"] * 50, label=["a", "b"] * 50))
    assert few.schema.domain == "tabular"  # two titles in a hundred rows are categories


def test_short_texts_no_two_alike_are_better_than_nothing(tmp_path: Path) -> None:
    names = [
        f"{first} {last}" for first in ("Ann", "Bo", "Cy", "Di", "Ed") for last in ("Lee", "Moe", "Nye", "Orr", "Poe")
    ]
    labels = [("a", "b")[i % 2] for i in range(25)]
    assert roles(load_dataset(write(tmp_path / "t.csv", who=names, label=labels))) == {"who": "text"}
    table = load_dataset(write(tmp_path / "u.csv", who=names, age=np.arange(25) ** 2, label=labels))
    assert {column.name: column.type for column in table.schema.columns} == {"who": "identifier", "age": "numeric"}


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("sentence1", "sentence2", True),
        ("text_a", "text_b", True),
        ("textA", "textB", True),
        ("doc 1", "doc 2", True),
        ("Premise", "hypothesis", True),
        ("sentence", "question", True),
        ("query", "product_title", True),
        ("query", "country", False),
        ("text1", "review2", False),
        ("sentence1", "sentence3", False),
        ("a", "b", False),
        ("text", "genre", False),
    ],
)
def test_headers_of_pairs(first: str, second: str, expected: bool) -> None:
    assert is_pair(first, second) is is_pair(second, first) is expected


@pytest.mark.parametrize(("pair", "domain"), [("sentence2", "text"), ("topic", "tabular")])
def test_the_second_text_may_be_one_of_a_few(tmp_path: Path, pair: str, domain: str) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", sentence1=texts, **{pair: ["The Acting", "Music"] * 20}, label=labels)
    dataset = load_dataset(path)
    assert dataset.schema.domain == domain
    if domain == "text":
        assert [column.name for column in texts_of(dataset.schema.columns)] == ["sentence1", "sentence2"]


def test_the_label_may_stand_first(tmp_path: Path) -> None:
    texts, labels = films()
    assert load_dataset(write(tmp_path / "t.csv", sentiment=labels, text=texts)).schema.target == "sentiment"
    said = load_dataset(write(tmp_path / "t.csv", v1=labels, v2=texts), text="v2")
    assert (said.schema.target, roles(said)) == ("v1", {"v2": "text"})


HOTEL = (
    ("房间很大而且干净，早餐也好吃", "隔壁太吵，一夜没睡好", "前台热情，下次还住这里", "热水不热，空调也坏了"),
    ("部屋が広くて清潔でした", "隣がうるさくて眠れなかった", "朝食がとてもおいしかった", "お湯が出ませんでした"),
    ("ห้องสะอาดและกว้างมาก", "ข้างห้องเสียงดังนอนไม่หลับ", "พนักงานต้อนรับใจดีมาก", "น้ำร้อนไม่ไหลแอร์ก็เสีย"),
)


@pytest.mark.parametrize("texts", HOTEL, ids=["Chinese", "Japanese", "Thai"])
@pytest.mark.parametrize(("n", "name"), [(8, "text"), (32, "x")])
def test_scripts_without_blanks_have_words(tmp_path: Path, texts: tuple[str, ...], n: int, name: str) -> None:
    cells = [f"{texts[i % 4]}{'一二三四五六七八'[i // 4]}" for i in range(n)]
    dataset = load_dataset(write(tmp_path / "t.csv", **{name: cells, "label": ["a", "b"] * (n // 2)}))
    assert roles(dataset) == {name: "text"}


@pytest.mark.parametrize("name", ["评论", "Kommentar", "отзыв_2", "レビュー", "댓글", "टिप्पणी", "Reseña aquí", "نص"])
def test_headers_of_other_languages_promise_text(name: str) -> None:
    assert says_text(name)


@pytest.mark.parametrize("name", ["城市", "Titan", "цена", "sentiment", "mensa"])
def test_headers_of_other_languages_that_promise_none(name: str) -> None:
    assert not says_text(name)


def test_emoji_are_words(tmp_path: Path) -> None:
    cells = ["👍👍", "so 😡", "😀🎉👍", "👎 👎", "❤️ it", "😡😡😡"] * 2
    dataset = load_dataset(write(tmp_path / "t.csv", comment=cells, label=["up", "down"] * 6))
    assert roles(dataset) == {"comment": "text"}


def test_one_emoji_a_cell_is_a_category(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", mood=["😀", "😡", "😴"] * 10, label=["up", "down"] * 15)
    assert load_dataset(path).schema.domain == "tabular"


def test_a_pair_whose_texts_come_again(tmp_path: Path) -> None:
    questions = ["When do you open?", "What does it cost?", "Where is my order?", "Can I return it?"]
    answers = ["We open at nine.", "It costs ten euros.", "It left us today.", "Within 30 days, yes."]
    rows = [(q, a, int(i == k)) for i, q in enumerate(questions) for k, a in enumerate(answers) if i == k or k == i - 1]
    path = tmp_path / "t.csv"
    pd.DataFrame(rows, columns=["q1", "q2", "fits"]).to_csv(path, index=False)
    assert roles(load_dataset(path, target="fits")) == {"q1": "text", "q2": "pair"}


def test_texts_in_the_last_column_are_not_the_target(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "modelgpt")
    texts, labels = films()
    path = tmp_path / "films.tsv"
    path.write_text("".join(f"{label}\t{text}\n" for text, label in zip(texts, labels, strict=True)))
    dataset = load_dataset(path)
    assert (dataset.schema.target, roles(dataset), dataset.n_rows) == ("column_1", {"column_2": "text"}, N)
    assert "Target: column_1, the last column that is no text (another with --target)." in caplog.text
    assert "films.tsv has no header line" in caplog.text


def test_without_a_column_of_classes_the_last_stays_the_target(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", number=range(N), words=films()[0])
    with pytest.raises(UsageError, match="'words' has a different value in each"):
        load_dataset(path)


def test_a_requirement_fixes_the_roles(tmp_path: Path) -> None:
    texts, labels = films()
    path = write(tmp_path / "t.csv", b=texts, n=np.arange(N) / 3, a=["Acting", "Music"] * 20, label=labels)
    fixed = (Column("a", "text", "what it is about", role="pair"), Column("b", "text", role="text"))
    dataset = load_dataset(path, columns=fixed, domain="text")
    assert [column.name for column in texts_of(dataset.schema.columns)] == ["b", "a"]
    assert texts_of(dataset.schema.columns)[1].description == "what it is about"
    assert load_dataset(path, columns=fixed).schema == dataset.schema
    assert roles(load_dataset(path, columns=fixed, text="b")) == {"b": "text"}  # what is asked for now goes first
    plain = load_dataset(path, columns=[Column("b", "text")], domain="text")
    assert roles(plain) == {"b": "text"}
    with pytest.raises(UsageError, match="lacks columns that the requirement names: gone"):
        load_dataset(path, columns=[Column("gone", "text", role="text")])
    with pytest.raises(UsageError, match="both the target and a text"):
        load_dataset(path, columns=fixed, target="b")


def test_types_keep_a_column_from_being_text(tmp_path: Path) -> None:
    texts, labels = films(16)
    (tmp_path / "types.yaml").write_text("text: categorical\n")
    path = write(tmp_path / "t.csv", text=texts, label=labels)
    assert load_dataset(path, types=tmp_path / "types.yaml").schema.domain == "tabular"


WRONG = {
    "no such text": ({"text": "txet"}, "no text column 'txet'", "Did you mean 'text'?"),
    "no such pair": ({"text": "text", "text_pair": "x"}, "no text column 'x'", "one of these"),
    "the same twice": ({"text": "text", "text_pair": "text"}, "can't be both texts of a pair", "--text-pair"),
    "the target": ({"text": "label", "target": "label"}, "both the target and a text", "--target"),
    "pair alone": ({"text_pair": "text"}, "the first is not named", "--text"),
    "no such domain": ({"domain": "audio"}, "no domain 'audio'", ""),
    "text of a table": ({"text": "text", "domain": "tabular"}, "is to be tabular", "Drop one"),
    "nothing left": ({"text": "text", "text_pair": "label"}, "no column but its texts", "labels or scores"),
}


@pytest.mark.parametrize("case", WRONG)
def test_columns_that_can_not_be_texts(tmp_path: Path, case: str) -> None:
    options, problem, hint = WRONG[case]
    texts, labels = films()
    with pytest.raises(UsageError) as caught:
        load_dataset(write(tmp_path / "t.csv", text=texts, label=labels), **options)
    assert problem in caught.value.problem
    assert hint in caught.value.hint


def test_no_text_though_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", age=np.arange(N) ** 2, job=["cook", "smith"] * 20, label=films()[1])
    with pytest.raises(UsageError, match="no column of text") as caught:
        load_dataset(path, domain="text")
    assert "age, job" in caught.value.cause
    assert "--text" in caught.value.hint


# Texts and targets --------------------------------------------------------------------------------------------------


def test_empty_texts_are_kept_and_counted(tmp_path: Path) -> None:
    texts, labels = films()
    texts[3:6] = ["", "   ", "\t\n"]
    dataset = load_dataset(write(tmp_path / "t.csv", text=texts, label=labels))
    assert dataset.n_rows == len(dataset.sample) == N
    assert dataset.sample["text"].isna().sum() == 3
    assert dataset.sample["text"].iloc[3] is None
    assert dataset.warnings == ["3 of 40 texts are empty."]
    pairs = write(tmp_path / "p.csv", premise=texts, hypothesis=[*films()[0][:-1], None], label=labels)
    warnings = load_dataset(pairs).warnings
    assert warnings == ["3 of 40 texts in 'premise' are empty.", "1 of 40 texts in 'hypothesis' is empty."]


def test_nothing_but_empty_texts(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", text=[" "] * N, label=films()[1])
    for options in ({"text": "text"}, {}, {"domain": "text"}):
        with pytest.raises(ModelGPTError) as caught:
            load_dataset(path, **options)
        assert "text" in str(caught.value)
        assert caught.value.hint


ODD = (
    "\U0001f600\U0001f44d\U0001f3fd\u200d so good \u2764\ufe0f",
    "\u05d6\u05d4 \u05e1\u05e8\u05d8 \u05d8\u05d5\u05d1 \u05de\u05d0\u05d5\u05d3",
    "\u0647\u0630\u0627 \u0641\u064a\u0644\u0645 \u062c\u0645\u064a\u0644 \u062c\u062f\u0627",
    "\u202eturned round\u202c and back again",
    "bell \x07 and escape \x1b[2J and delete \x7f here",
    "a zero \x00 in the middle of it",
    "\u8fd9\u90e8\u7535\u5f71\u5f88\u597d\u770b",
    "first line\nsecond line\r\n'third', \"quoted\"",
)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_odd_characters_are_kept(tmp_path: Path, suffix: str) -> None:
    texts, labels = films(80)
    texts[10 : 10 + len(ODD)] = ODD
    frame = pd.DataFrame({"text": texts, "label": labels})
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    dataset = load_dataset(path)
    assert dataset.schema.domain == "text"
    read = dataset.sample["text"].tolist()[10 : 10 + len(ODD)]
    assert [text.replace("\r\n", "\n") for text in read] == [text.replace("\r\n", "\n") for text in ODD]
    shown = "".join(row["text"] for row in profile(dataset, rows=80).sample)
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)


def test_halves_of_characters_in_json(tmp_path: Path) -> None:
    texts, labels = films()
    texts[0], texts[1] = "half \ud83d of a smile", "a whole \ud83d\ude00 smile"
    lines = (json.dumps({"text": text, "label": label}) for text, label in zip(texts, labels, strict=True))
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    read = load_dataset(tmp_path / "t.jsonl").sample["text"].tolist()
    assert read[:2] == ["half \ufffd of a smile", "a whole \U0001f600 smile"]
    assert read[2:] == texts[2:]


def test_zeros_all_over_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"text,label\n" + b"a\0b\0\1\2,x\n" * 50)
    with pytest.raises(ModelGPTError, match="not a table"):
        open_table(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_texts_of_a_megabyte(tmp_path: Path, suffix: str) -> None:
    long = ('word, "quoted" and\nmore; ' * 50_000)[:1_000_000].strip()
    texts, labels = films(24)
    texts[0] = texts[7] = texts[23] = long
    frame = pd.DataFrame({"text": texts, "label": labels})
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    dataset = load_dataset(path)
    assert dataset.schema.domain == "text"
    assert dataset.sample["text"].tolist() == texts
    assert max(len(row["text"]) for row in profile(dataset, rows=24).sample) == 200


def test_a_row_beyond_all_measure(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", text=[*films(30)[0], "word " * 4_000_000], label=[*films(30)[1], "good"])
    with pytest.raises(ModelGPTError, match="a row of more than 8 MB"):
        load_dataset(path)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_long_texts_come_in_small_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    for module in ("csv_file", "json_file", "parquet_file"):
        monkeypatch.setattr(f"modelgpt_cli.data.{module}._FRAME_BYTES", 1 << 20)
    frame = pd.DataFrame({"text": [f"{i} " + "word " * 60_000 for i in range(60)], "label": ["a", "b"] * 30})
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_parquet(path)
    frames = list(open_table(path).frames())
    assert max(len(piece) for piece in frames) < 60
    assert [text.split()[0] for piece in frames for text in piece["text"]] == [str(i) for i in range(60)]


def test_one_class_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="one class only: 'x'"):
        load_dataset(write(tmp_path / "t.csv", text=films()[0], label=["x"] * N))


@pytest.mark.parametrize("each", [1, 3])
def test_two_hundred_classes(tmp_path: Path, each: int) -> None:
    names = [f"{a}{b} order" for a in "abcdefghijklmnopqrst" for b in "klmnopqrst"]
    texts = [f"please see to the {name}, number {i}" for i in range(each) for name in names]
    dataset = load_dataset(write(tmp_path / "t.csv", text=texts, intent=names * each), target="intent")
    assert len(dataset.schema.classes) == 200
    assert set(dataset.class_counts.values()) == {each}


def test_one_row_per_class_has_to_be_classes(tmp_path: Path) -> None:
    texts = films(50)[0]
    path = write(tmp_path / "t.csv", text=texts, key=[f"k{i}" for i in range(50)])
    with pytest.raises(UsageError, match="different value in each"):
        load_dataset(path)
    named = tuple(sorted(f"k{i}" for i in range(50)))
    assert len(load_dataset(path, classes=named).schema.classes) == 50


def test_labels_of_one_letter(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path / "t.csv", text=films()[0], label=["y", "n", "t", "?"] * 10))
    assert dataset.schema.classes == ("n", "t", "y")
    assert dataset.n_rows == 30  # a question mark stands for a missing cell, as in any table


def test_regression_on_texts(tmp_path: Path) -> None:
    texts, _ = films()
    path = write(tmp_path / "t.csv", sentence1=texts, sentence2=texts[::-1], score=np.linspace(0, 5, N))
    dataset = load_dataset(path)
    assert (dataset.schema.domain, dataset.schema.task, dataset.schema.classes) == ("text", "regression", ())
    assert dataset.sample["score"].dtype == np.float64
    stars = write(tmp_path / "s.csv", text=texts, stars=[i % 5 for i in range(N)])
    assert load_dataset(stars, task="regression").schema.task == "regression"
    with pytest.raises(UsageError, match="nothing to regress"):
        load_dataset(write(tmp_path / "w.csv", text=texts, label=films()[1]), task="regression")


@pytest.mark.slow
def test_every_fifth_shared_text_set_is_known_and_described_for_what_it_is(shared_data: Path) -> None:
    files = sorted((shared_data / "text").glob("*/*/train.csv.gz"))[::5]  # each takes half a second
    if not files:
        pytest.skip("no shared texts")
    for path in files:
        dataset = load_dataset(path, sample_rows=500)
        texts = [name for name in open_table(path).columns if name != "label"]
        assert (dataset.schema.domain, dataset.schema.target) == ("text", "label"), path
        assert [column.name for column in texts_of(dataset.schema.columns)] == texts, path
        assert (dataset.schema.task == "regression") == (path.parent.name == "stsb")
        assert all(type(text) is str for name in texts for text in dataset.sample[name])
        shown = profile(dataset)
        check_sentence(write_offline(shown), shown)
