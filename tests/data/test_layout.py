"""Header and footer: found where they are, named when something is left out, and clean tables never touched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.data.readers import open_table

ROWS = [f"{1.5 * i + 3},{['red', 'blue'][i % 2]},{['no', 'yes'][i % 3 == 0]}" for i in range(60)]
CLEAN = "\n".join(["amount,colour,bought", *ROWS]) + "\n"


def read(path: Path, text: str, place: str = "") -> pd.DataFrame:
    path.write_text(text, encoding="utf-8")
    return pd.concat(list(open_table(f"{path}{place}").frames()), ignore_index=True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.csv"


ODD = {
    "titles": ("Report: stock,,\nMade: 2024-05-01,,\n" + CLEAN, "2 lines above the header: Report: stock"),
    "ragged title": ("Report of May\n\n" + CLEAN, "a line above the header: Report of May"),
    "comment": ("# exported, by hand, in May, 2024\n" + CLEAN, "a line above the header"),
    "units": (CLEAN.replace("bought\n", "bought\n[kg],[-],[-]\n", 1), "the row below the header"),
    "total": (CLEAN + "Total,,60\n", "the last row, which is a total or a remark: Total,,60"),
    "named total": (CLEAN + "9999,Total,\n", "the last row, which is a total or a remark: 9999,Total,"),
    "remark": (CLEAN + "\nSource: the stock office\n", "the last row, which is a total or a remark: Source"),
    "repeated header": (CLEAN + CLEAN, "60 rows"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_is_no_data_is_left_out_and_named(path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    text, words = ODD[case]
    clean = read(path, CLEAN)
    caplog.clear()
    found = read(path, text)
    if case == "repeated header":
        assert "a row that repeats the header" in caplog.text
        clean = pd.concat([clean, clean], ignore_index=True)
    else:
        assert words in caplog.text
    pd.testing.assert_frame_equal(found, clean)


def test_a_header_in_two_rows(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    body = "".join(f"{i}.5,{2 * i},{'ab'[i % 2]}\n" for i in range(20))
    found = read(path, "sales,,kind\nspring,autumn,\n" + body)
    assert list(found.columns) == ["sales spring", "sales autumn", "kind"]
    assert len(found) == 20
    assert "joined the two rows" in caplog.text


HEADLESS = {
    "numbers and levels": "".join(
        f"{100 + 7 * i % 50}, {'red' if i % 2 else 'blue'}, {'a' if i % 3 else 'b'}\n" for i in range(40)
    ),
    "numbers": "".join(f"{i * 37 % 91 / 10},{i * 53 % 71},{i % 2}\n" for i in range(1, 40)),
    "texts": "".join(f"{i % 2}\tthis is text number {i} of them all\n" for i in range(30)),
}


@pytest.mark.parametrize("case", HEADLESS)
def test_no_header_is_noticed(path: Path, case: str, caplog: pytest.LogCaptureFixture) -> None:
    text = HEADLESS[case]
    found = read(path, text)
    assert len(found) == text.count("\n")
    assert found.columns[0] == "column_1"
    assert "If that row is a header, give data.csv#header=1" in caplog.text
    assert len(read(path, text, "#header=1")) == len(found) - 1


def test_the_header_can_be_named(path: Path) -> None:
    assert read(path, CLEAN, "#header=none").columns.tolist() == ["column_1", "column_2", "column_3"]
    found = read(path, "a,b,c\n" + CLEAN, "#header=2")
    assert found.columns.tolist() == ["amount", "colour", "bought"]
    assert len(found) == 60
    with pytest.raises(UsageError, match="no header 'x'"):
        read(path, CLEAN, "#header=x")


def test_a_second_table_is_refused(path: Path) -> None:
    with pytest.raises(ModelGPTError, match="holds two tables: line 63"):
        read(path, CLEAN + "\n" + CLEAN.replace("amount,colour,bought", "weight,shape,sold"))


KEPT = {
    "numbered columns": "0,1,2\n" + "".join(f"{i % 3},{i % 2},{i % 5}\n" for i in range(40)),
    "years": "country,2019,2020\n" + "".join(f"c{i},{1900 + 5 * i},{2000 + i}\n" for i in range(40)),
    "wavelengths": "400.0,400.5,401.0\n" + "".join(f"{i}.1,{i + 200}.2,{i + 400}.3\n" for i in range(40)),
    "categories": "colour,size,class\n" + "".join(f"{'rb'[i % 2]},{'sml'[i % 3]},{'xy'[i % 2]}\n" for i in range(40)),
    "a level called Total": "region,n\n" + "".join(f"{['north', 'Total'][i % 2]},{i}\n" for i in range(40)),
    "an odd first cell": "n,k\nunknown,a\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)),
    "missing in the first row": "n,m,k\nNA,-,a\n" + "".join(f"{i},{i + 1},{'ab'[i % 2]}\n" for i in range(40)),
    "infinite in the first row": "n,k\ninf,a\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(40)),
    "a blank name": ",b\n" + "".join(f"{i},{i * 7 % 5}\n" for i in range(40)),
    "names in some columns": "id,,\n" + "".join(f"{i},{i * 7 % 5},{i % 2}\n" for i in range(40)),
    "sparse last row": "n,m,k\n" + "".join(f"{i},{i + 1},{'ab'[i % 2]}\n" for i in range(40)) + "41,,\n",
    "texts that repeat": "text,label\n" + "".join(f"good{i % 3},{'pn'[i % 2]}\n" for i in range(40)),
    "one column": "n\n" + "".join(f"{i}\n" for i in range(40)),
    "two rows": "a,b\n1,x\n2,y\n",
}


@pytest.mark.parametrize("case", KEPT)
def test_the_first_row_stays_the_header_where_signs_disagree(
    path: Path, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    text = KEPT[case]
    found = read(path, text)
    assert len(found) == text.count("\n") - 1
    names = [name or f"unnamed_{i + 1}" for i, name in enumerate(text.split("\n")[0].split(","))]
    assert found.columns.tolist() == names
    assert not caplog.text


def test_tables_made_at_random_are_never_touched(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n, d = int(rng.integers(1, 80)), int(rng.integers(1, 7))
        columns = {}
        for j in range(d):
            kind = rng.integers(4)
            levels = [f"{rng.choice(['red', 'sum of', 'x', 'kg'])}{k}" for k in range(rng.integers(2, 9))]
            columns[f"{rng.choice(['v', 'year', 'Total', '2x'])}_{j}"] = (
                rng.normal(size=n).round(3) if kind == 0
                else rng.integers(0, 99, n) if kind == 1
                else rng.choice(levels, n) if kind == 2
                else [" ".join(rng.choice(levels, 6)) for _ in range(n)]
            )  # fmt: skip
        frame = pd.DataFrame(columns)
        found = read(path, frame.to_csv(index=False))
        assert found.columns.tolist() == frame.columns.tolist()
        assert found.to_numpy().tolist() == frame.astype(str).to_numpy().tolist()
    assert not caplog.text


def test_quotes_that_are_never_closed_in_a_tsv(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = [f"{'np'[i % 2]}\ttext {i}" for i in range(12)]
    lines[3] = 'n\t"so they said'
    for strays in (1, 2):
        lines[7] = 'p\t"and again' if strays == 2 else lines[7]
        found = read(path, "label\ttext\n" + "\n".join(lines) + "\n")
        assert found["text"].tolist() == [line.split("\t")[1] for line in lines]
    assert "never closed" in caplog.text


def test_a_tie_between_delimiters(path: Path) -> None:
    found = read(path, "Weight, kg;Price, EUR;Class\n" + "8,6;27,97;A\n9,1;15,19;B\n" * 9)
    assert found.columns.tolist() == ["Weight, kg", "Price, EUR", "Class"]
    assert found.iloc[0].tolist() == ["8,6", "27,97", "A"]


def test_a_line_that_names_the_delimiter(path: Path) -> None:
    assert read(path, "sep=;\na;b\n1,5;x\n2,5;y\n").to_numpy().tolist() == [["1,5", "x"], ["2,5", "y"]]


def test_lines_of_text(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read(tmp_path / "lines.txt", "What a fine radio\nGood, and cheap, thank you\nThe handle broke\n")
    assert found["text"].tolist() == ["What a fine radio", "Good, and cheap, thank you", "The handle broke"]
    assert "each line is a text" in caplog.text
