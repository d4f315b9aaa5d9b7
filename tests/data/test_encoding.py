"""Encodings: what the bytes say, and the same table from each of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from modelgpt_cli.data.encoding import decode_lines, read_facts
from modelgpt_cli.data.readers import open_table

WORDS = {
    "cp1252": ["klein – 20 €", "größe", "„schön“ weiß", "café déjà", "niño"],
    "cp1250": ["żółty", "gęś", "mały kůň", "příliš velký", "źródło"],
    "cp1254": ["kırmızı", "yeşil", "büyük şehir", "değil", "iyi ığdır"],
    "cp1251": ["красный", "зелёный", "город", "хорошо", "магазин"],
    "cp1253": ["κόκκινο", "πράσινο", "μεγάλο", "πόλη", "καλό"],
    "gb18030": ["红色", "蓝色城市", "很好", "价格不好", "商店质量"],
    "big5": ["紅色", "藍色城市", "很好", "價格不好", "商店品質"],
    "cp932": ["赤いカメラ", "青いラジオ", "みどり", "大きい", "わるいカメラ"],
    "cp949": ["빨강", "파랑 도시", "좋다", "나쁘다 가격", "초록"],
}


def cells_of(path: Path) -> list[str]:
    return pd.concat(list(open_table(path).frames()))["word"].tolist()


@pytest.mark.parametrize("encoding", WORDS)
def test_older_encodings_are_found_and_named(tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture) -> None:
    words = WORDS[encoding] * 5
    path = tmp_path / "data.csv"
    path.write_bytes(("x,word\n" + "".join(f"{i},{word}\n" for i, word in enumerate(words))).encode(encoding))
    assert cells_of(path) == words
    assert f"read as {encoding}" in caplog.text


def test_one_word_in_the_header_is_western(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes("x,größe\n1,a\n2,b\n".encode("cp1252"))
    assert open_table(path).columns == ["x", "größe"]


def test_a_broken_byte_leaves_the_rest_as_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data.csv"
    text = "x,word\n" + "1,grün\n2,weiß\n" * 1000
    path.write_bytes(text.encode() + b"3,wei\xdf\n")
    assert cells_of(path) == ["grün", "weiß"] * 1000 + ["wei\ufffd"]
    assert "UTF-8 with 1 broken character" in caplog.text


def test_a_replacement_character_of_the_file_is_no_broken_byte(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data.csv"
    path.write_text("x,word\n1,wei\ufffd\n2,grün\n", encoding="utf-8")
    assert cells_of(path) == ["wei\ufffd", "grün"]
    assert not caplog.text


def test_a_letter_cut_by_the_end_of_a_block(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "data.csv"
    head = "x,word\n1,"
    path.write_text(head + "a" * ((1 << 20) - len(head) - 1) + "ü\n2,b\n", encoding="utf-8")
    assert cells_of(path)[0].endswith("aü")
    assert not caplog.text


@pytest.mark.parametrize("n", [1, 4])
def test_a_few_lines_of_japanese(tmp_path: Path, n: int) -> None:
    lines = [
        "部屋が広くて清潔でした",
        "隣がうるさくて眠れなかった",
        "朝食がとてもおいしかった",
        "お湯が出ませんでした",
    ][:n]
    (tmp_path / "t.csv").write_bytes("\n".join(["text,label", *(f"{line},a" for line in lines)]).encode("cp932"))
    assert read_facts(tmp_path / "t.csv", "t.csv").encoding == "cp932"


def test_lines_of_a_stream() -> None:
    assert decode_lines([b"plain", "größe".encode()], "utf-8") == (["plain", "größe"], "utf-8")
    assert decode_lines([b"plain", "größe".encode("cp1252")], "utf-8") == (["plain", "größe"], "cp1252")
    assert decode_lines(["größe".encode()] * 2 + [b"\xff"], "utf-8") == (["größe", "größe", "\ufffd"], "utf-8")
    assert decode_lines(["größe".encode("cp1252")], "cp1252") == (["größe"], "cp1252")
