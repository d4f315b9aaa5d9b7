"""Levels and labels, whatever a file spells them like."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.levels import Spelling, merge_spellings, yes_and_no


def test_a_level_is_found_by_whatever_differs_from_no_other() -> None:
    colours = Spelling(["rot", "blau", "Dunkel grün"], PLAIN)
    found = [colours.find(cell) for cell in ("ROT", "rot ", "dunkel  GRÜN", "gelb")]
    assert found == ["rot", "rot", "Dunkel grün", None]
    codes = Spelling(["1", "2.0", "007", "2.50"], PLAIN)
    assert [codes.find(cell) for cell in ("1.0", "2", "7", "2.5", "17")] == ["1", "2.0", "007", "2.50", None]
    apart = Spelling(["a", "A"], PLAIN)
    assert [apart.find(cell) for cell in ("a", "A", " a")] == ["a", "A", None]  # both are as near
    versions = Spelling(["1.1", "1.10"], PLAIN)
    assert [versions.find(cell) for cell in ("1.1", "1.10", "1.100")] == ["1.1", "1.10", None]


def test_yes_and_no_in_any_language() -> None:
    truth = Spelling(["True", "False"], ReadingRule(true="True", false="False"))
    assert {truth.find(cell) for cell in ("true", "1", "JA", "wahr", "Oui")} == {"True"}
    assert {truth.find(cell) for cell in ("FALSE", "0", "nein")} == {"False"}
    assert truth.find("maybe") is None
    assert yes_and_no(["no", "yes"]) == ("yes", "no")
    assert yes_and_no(["Nein", "Ja"]) == ("Ja", "Nein")
    assert yes_and_no(["no", "maybe"]) is None
    assert yes_and_no(["yes", "no", "na"]) is None


def test_spellings_are_merged_into_the_most_frequent_and_single_letters_are_not() -> None:
    assert merge_spellings({"rot": 5, "Rot ": 1, "a": 3, "A": 2, "2": 3, "2.0": 1}) == {"Rot ": "rot", "2.0": "2"}


def test_merged_spellings_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"c": ["rot", "Rot", "blau"] * 20, "y": ["a", "b"] * 30}).to_csv(path, index=False)
    dataset = load_dataset(path, target="y")
    assert dataset.schema.columns[0].levels == ("rot", "blau") or dataset.schema.columns[0].levels == ("Rot", "blau")
    assert any("spellings of one level" in warning for warning in dataset.warnings)
    assert dataset.sample["c"].nunique() == 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_classes_that_are_yes_and_no_fit_the_requirement_from_any_file(form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": range(0, 80, 2), "y": [True, False, True, False] * 10})
    path = tmp_path / f"t.{form}"
    frame.to_parquet(path) if form == "parquet" else frame.to_csv(path, index=False)
    dataset = load_dataset(path, target="y", classes=["False", "True"])
    assert dataset.class_counts == {"False": 20, "True": 20}
    assert dataset.sample["y"].tolist()[:2] == ["True", "False"]


def test_a_class_called_na_is_told_and_kept_if_so_asked(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": range(0, 120, 2), "y": ["EU", "NA", "AS"] * 20}).to_csv(path, index=False)
    dataset = load_dataset(path, target="y")
    assert dataset.schema.classes == ("AS", "EU")
    assert "20 say 'NA'. --keep-na" in dataset.warnings[0]
    kept = load_dataset(path, target="y", keep_na=True)
    assert kept.class_counts == {"AS": 20, "EU": 20, "NA": 20}
    assert kept.schema.target_reading.missing == ()
    again = load_dataset(path, target="y", target_reading=kept.schema.target_reading)
    assert again.schema.classes == kept.schema.classes


def test_few_numbers_that_hardly_repeat_are_measured(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": range(18), "price": [1000 + 37 * i for i in range(18)]}).to_csv(path, index=False)
    assert load_dataset(path, target="price").schema.task == "regression"
    pd.DataFrame({"x": range(18), "stars": [i % 5 for i in range(18)]}).to_csv(path, index=False)
    assert load_dataset(path, target="stars").schema.task == "classification"


def test_a_types_file_names_columns_that_yaml_takes_for_truth(tmp_path: Path) -> None:
    path, types = tmp_path / "t.csv", tmp_path / "types.yaml"
    pd.DataFrame({"no": [0, 1, 2] * 20, "on": range(60), "y": ["a", "b"] * 30}).to_csv(path, index=False)
    types.write_text("no: categorical\non: numeric\ny: categorical\n")
    dataset = load_dataset(path, target="y", types=types)
    assert {column.name: column.type for column in dataset.schema.columns} == {"no": "categorical", "on": "numeric"}


def test_a_word_for_nothing_is_a_level_and_a_marker_is_none(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"fence": ["None", "NA", "wood", "-"] * 15, "y": ["a", "b", "b"] * 20}).to_csv(path, index=False)
    column = load_dataset(path, target="y").schema.columns[0]
    assert set(column.levels) == {"None", "wood", "-"}
    assert column.missing == 0.25
