"""Bad tables, for every command that reads one: one clear message, the right exit code, nothing half-written."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bad_input import Bench

from modelgpt_cli.domains.tabular import read

HEADER = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm),species"
ROWS = [
    f"{5 + i % 7 / 10},{3 + i % 5 / 10},{1 + i % 3},{0.2 + i % 3},{['setosa', 'virginica'][i % 2]}" for i in range(40)
]
TABLE = "\n".join([HEADER, *ROWS, ""])


def zipped(name: str, content: bytes) -> bytes:
    """A file as a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, content)
    return packed.getvalue()


# name → content, words of the error
UNREADABLE: dict[str, tuple[str | bytes, str]] = {
    "empty.csv": ("", "is empty"),
    "blank.csv": ("\n \n", "is empty"),
    "empty.jsonl": ("[]", "is empty"),
    "twice.csv": ("a,a,species\n1,2,x\n3,4,y\n", "duplicate column names: a"),
    "ragged.csv": ("\n".join([HEADER, *ROWS[:9], "1,2", *ROWS[9:]]), "line 11 has 2 cells where the header has 5"),
    "long_row.csv": (TABLE + "1,2,3,4,5,6\n", "line 42 has 6 cells"),
    "open_quote.csv": (TABLE + '"1,2,3,4,setosa\n' + "\n".join(ROWS), "close or remove it"),
    "open_quote_at_end.csv": (TABLE + '1,2,3,4,"setosa\n', "never closed"),
    "binary.csv": (bytes(range(256)) * 8, "is not a table that ModelGPT can read"),
    "cut.csv.gz": (gzip.compress(TABLE.encode())[:90], "damaged or cut short"),
    "no.parquet": (b"PAR1" + b"x" * 99, "damaged or cut short"),
    "no.xlsx": (b"PK\x03\x04" + b"x" * 99, "damaged or cut short"),
    "old.xls": (b"\xd0\xcf\x11\xe0" + b"\0" * 99, "damaged"),
    "cut.zip": (b"PK\x03\x04" + b"\0" * 99, "damaged or cut short"),
    "letter.zip": (zipped("letter.docx", b"a,species\n1,x\n"), "Unpack it"),
    "half.jsonl": ('{"a": 1, "species": "x"}\n{"a": 2,\n', "line 2 is not valid JSON"),
    "lists.jsonl": ('{"a": 1, "species": "x"}\n[1, 2]\n', "line 2 is not a JSON object"),
}
UNLEARNABLE: dict[str, tuple[str, str]] = {
    "header_only.csv": (HEADER + "\n", "has a header but no rows"),
    "one_row.csv": (f"{HEADER}\n{ROWS[0]}\n", "has one row with a target"),
    "one_column.csv": ("species\na\nb\na\n", "has one column only"),
    "one_class.csv": ("\n".join([HEADER, *ROWS[::2]]), "one class only: 'setosa'"),
    "no_target.csv": (
        "\n".join(line.rsplit(",", 1)[0] for line in TABLE.splitlines()),
        "has no target column 'species'",
    ),
    "empty_target.csv": (
        "\n".join([HEADER, *(row.rsplit(",", 1)[0] + "," for row in ROWS)]),
        "is empty in all 40 rows",
    ),
}


def readers(bench: Bench, iris_model: Path, data: Path, labelled_only: bool) -> list[list[str | Path]]:
    """The command lines that read `data`; without `predict` where only labelled rows are asked of it."""
    model = iris_model / "model.onnx"
    bare = bench.write("req.txt", "Classify irises.\n---\ntarget: species\n")
    lines: list[list[str | Path]] = [
        ["describe", data, "--target", "species", "--offline", "-o", "out.txt"],
        ["build", "--req", bare, "--data", data, "-o", "out.onnx"],
        ["tune", iris_model / "model.safetensors", "--data", data, "-o", "out.safetensors"],
    ]
    if not labelled_only:
        lines += [["predict", model, data, "-o", "out.csv"], ["evaluate", model, data]]
    return lines


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_table_is_refused_by_every_command(bench: Bench, iris_model: Path, name: str) -> None:
    content, words = UNREADABLE[name]
    for line in readers(bench, iris_model, bench.write(name, content), labelled_only=False):
        bench.refuse(1, words, *line)


@pytest.mark.parametrize("name", UNLEARNABLE)
def test_a_table_without_anything_to_learn(bench: Bench, iris_model: Path, name: str) -> None:
    content, words = UNLEARNABLE[name]
    code = 2 if name == "no_target.csv" else 1
    for line in readers(bench, iris_model, bench.write(name, content), labelled_only=True):
        bench.refuse(code, words, *line)


def test_no_such_file_names_the_nearest(bench: Bench, iris_model: Path) -> None:
    bench.write("iris.csv", TABLE)
    for line in readers(bench, iris_model, bench.folder / "irs.csv", labelled_only=False):
        assert f"Did you mean {bench.folder / 'iris.csv'}?" in bench.refuse(2, "There is no file", *line).err


def test_a_pipe_is_no_table(bench: Bench, iris_model: Path) -> None:
    for line in readers(bench, iris_model, Path("/dev/null"), labelled_only=False):
        bench.refuse(2, "is not an ordinary file", *line)


def test_rows_to_score_need_no_label_but_evaluate_does(bench: Bench, iris_model: Path) -> None:
    model = iris_model / "model.onnx"
    for name, words in [
        ("header_only.csv", "There are no rows"),
        ("empty_target.csv", "All 40 rows have an empty cell"),
    ]:
        data = bench.write(name, UNLEARNABLE[name][0])
        bench.refuse(1, words, "evaluate", model, data)
        assert bench.run("predict", model, data, "-o", f"{name}.out").code == 0
    assert (bench.folder / "header_only.csv.out").read_text() == "label\n"
    data = bench.write("no_target.csv", UNLEARNABLE["no_target.csv"][0])
    bench.refuse(2, "has no column 'species'", "evaluate", model, data)
    done = bench.run("predict", model, data)
    assert len(done.out.splitlines()) == 41


WRITTEN: dict[str, Callable[[str], bytes]] = {
    "latin-1": lambda text: text.replace("species", "größe").encode("latin-1"),
    "UTF-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16": lambda text: text.replace("species", "größe").encode("utf-16"),
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "semicolons and decimal commas": lambda text: text.replace(",", ";").replace(".", ",").encode(),
    "tabs": lambda text: text.replace(",", "\t").encode(),
    "Windows lines": lambda text: text.replace("\n", "\r\n").encode(),
    "quotes": lambda text: "".join('"' + line.replace(",", '","') + '"\n' for line in text.splitlines()).encode(),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_table_reads_the_same_however_it_is_written(bench: Bench, iris_model: Path, how: str) -> None:
    plain = (iris_model / "iris.csv").read_text()
    data = bench.write("other.csv", WRITTEN[how](plain))
    target = "größe" if b"species" not in data.read_bytes() else "species"
    done = bench.run("describe", data, "--target", target, "--offline", "-o", "req.txt")
    assert done.code == 0, done.err
    written = bench.folder / "req.txt"
    schema = [line for line in (iris_model / "req.txt").read_text().splitlines() if "{name:" in line or line[:1] == "-"]
    assert [
        re.sub(", reading: {decimal: ','}", "", line)
        for line in written.read_text().splitlines()
        if "{name:" in line or line[:1] == "-"
    ] == schema
    expected = bench.run("predict", iris_model / "model.onnx", iris_model / "iris.csv", "--proba").out
    assert bench.run("predict", iris_model / "model.onnx", data, "--proba").out == expected
    metrics = bench.run("evaluate", iris_model / "model.onnx", data, "--target", target, "--json")
    assert metrics.code == 0
    assert '"rows": 150' in metrics.out


def test_quoted_newlines_and_commas_stay_in_their_cell(bench: Bench) -> None:
    rows = [(f"line {i % 3}\nnext, {i % 3}", i % 5 + i / 100, "ab"[i % 2]) for i in range(40)]
    with (bench.folder / "q.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("note", "x", "target"), *rows])
    done = bench.run("describe", "q.csv", "--offline", "-o", "req.txt")
    assert done.code == 0, done.err
    assert "(40 rows)" in done.err
    assert "type: categorical" in (bench.folder / "req.txt").read_text()


def odd_iris(iris_model: Path) -> str:
    """Iris with an infinity, numbers beyond float32 and float64, and a word."""
    lines = [line.split(",") for line in (iris_model / "iris.csv").read_text().splitlines()]
    for row, column, cell in [
        (3, 0, "inf"),
        (4, 1, "1e308"),
        (5, 2, "-1e400"),
        (6, 3, "oops"),
        (7, 0, "-Infinity"),
        (8, 1, ""),
    ]:
        lines[row][column] = cell
    return "\n".join(",".join(line) for line in lines)


def test_huge_numbers_and_words_in_numeric_columns(bench: Bench, iris_model: Path) -> None:
    data = bench.write("odd.csv", odd_iris(iris_model))
    done = bench.run("describe", data, "--target", "species", "--offline", "-o", "req.txt")
    assert done.code == 0
    assert "'sepal length (cm)': 2 infinite or huge values clipped" in done.err
    assert "'petal width (cm)': 1 cell that is no number (such as 'oops'), taken as missing" in done.err
    assert (bench.folder / "req.txt").read_text().count("type: numeric") == 4
    assert bench.run("build", "--req", "req.txt", "--members", "1", "-o", "odd.onnx").code == 0
    for model in (bench.folder / "odd.onnx", iris_model / "model.onnx"):
        done = bench.run("predict", model, data, "--proba")
        assert "Column 'petal width (cm)': 1 cell is no number or date, taken as missing, such as 'oops'." in done.err
        rows = [line.split(",") for line in done.out.splitlines()[1:]]
        probabilities = np.array([row[1:] for row in rows], dtype=float)
        assert probabilities.shape == (150, 3)
        assert np.isfinite(probabilities).all()
        true = [line.rsplit(",", 1)[1] for line in data.read_text().splitlines()[1:]]
        assert np.mean([row[0] == label for row, label in zip(rows, true, strict=True)]) > 0.85
    line = ("tune", iris_model / "model.safetensors", "--data", data, "-o", "tuned.safetensors")
    tuned = bench.run(*line, "--epochs", "2")
    assert tuned.code == 0
    assert "nan" not in tuned.err


def test_a_column_of_words_is_no_numeric_column(bench: Bench, iris_model: Path) -> None:
    lines = [line.split(",") for line in (iris_model / "iris.csv").read_text().splitlines()]
    words = bench.write(
        "words.csv", "\n".join(",".join([line[0] if i == 0 else "word", *line[1:]]) for i, line in enumerate(lines))
    )
    for line in (
        ["build", "--req", iris_model / "req.txt", "--data", words, "-o", "out.onnx"],
        ["tune", iris_model / "model.safetensors", "--data", words, "-o", "out.onnx"],
    ):
        bench.refuse(2, "'sepal length (cm)' is said to be numeric, and most of its cells are not", *line)
    done = bench.run("predict", iris_model / "model.onnx", words)
    assert "Column 'sepal length (cm)': 150 cells are no number or date, taken as missing, such as 'word'." in done.err


def test_a_target_that_is_not_finite(bench: Bench) -> None:
    values = ["inf", "1e308", "", *(f"{i * 1.5}" for i in range(40))]
    data = bench.write("r.csv", "x,y\n" + "\n".join(f"{i % 7},{value}" for i, value in enumerate(values)))
    done = bench.run("describe", data, "--offline")
    assert done.code == 0
    assert "Left out 2 rows whose target 'y' is no finite number" in done.err
    assert "Skipped 1 of 43 rows without a target" in done.err
    assert "between 0 and 58.5" in done.out


def test_missing_columns(bench: Bench, iris_model: Path) -> None:
    lines = (iris_model / "iris.csv").read_text().splitlines()
    one = bench.write("one.csv", "\n".join(line.split(",", 1)[1] for line in lines))
    three = bench.write("three.csv", "\n".join(line.split(",", 3)[3] for line in lines))
    for line in (
        ["build", "--req", iris_model / "req.txt", "--data", one, "-o", "out.onnx"],
        ["tune", iris_model / "model.safetensors", "--data", one, "-o", "out.onnx"],
    ):
        bench.refuse(2, "sepal length (cm)", *line)
    done = bench.run("predict", iris_model / "model.onnx", one, "-o", "one.out")
    assert done.code == 0
    assert "1 column of the model is missing, read as empty cells: sepal length (cm)" in done.err
    for command in ("predict", "evaluate"):
        bench.refuse(1, "lacks 3 of the model's 4 columns", command, iris_model / "model.onnx", three)


@pytest.mark.slow
def test_more_columns_than_a_model_takes_are_refused_with_the_limit(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert read.MAX_COLUMNS == 2_000
    monkeypatch.setattr(read, "MAX_COLUMNS", 60)
    cells = np.random.default_rng(0).normal(size=(24, 61)).round(2).astype(str)
    rows = [",".join([*row, "ab"[i % 2]]) for i, row in enumerate(cells)]
    names = [f"measured concentration {i}" for i in range(61)]
    data = bench.write("wide.csv", "\n".join([",".join([*names, "target"]), *rows]))
    req = bench.write("req.txt", "Classify rows.\n")
    line = ("build", "--req", req, "--data", data, "-o", "out.onnx")
    done = bench.refuse(1, "has 61 columns to learn from; a model takes 60 at most", *line)
    assert "--types" in done.err
    assert len(done.err) < 600
