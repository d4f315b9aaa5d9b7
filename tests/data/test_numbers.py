"""Numbers as people write them: what one cell is worth, and the rule of a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.data.cells import to_arrow
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.numbers import find_number_rule, is_doubtful, measure_numbers, parse_numbers

CERTAIN = {
    "12": 12.0,
    "-0,007": -0.007,
    "0,512": 0.512,
    "12,5": 12.5,
    "54.302": 54.302,
    "1,234.5": 1234.5,
    "1.234,5": 1234.5,
    "1,234,567": 1234567.0,
    "1.234.567": 1234567.0,
    "12,34,567": 1234567.0,
    "1 234,5": 1234.5,
    "1\u202f234.5": 1234.5,
    "1'200": 1200.0,
    "1’200": 1200.0,
    "(1,200.50)": -1200.5,
    "\u22125": -5.0,
    "5-": -5.0,
    "1.5e3": 1500.0,
    "1,5e3": 1500.0,
    ".5": 0.5,
    "+7": 7.0,
}


def value(cell: str, rule: ReadingRule = PLAIN, bounds: tuple[float, float] | None = None) -> float:
    return float(parse_numbers(pa.array([cell]), rule, bounds)[0])


@pytest.mark.parametrize("rule", [PLAIN, ReadingRule(thousands=","), ReadingRule(decimal=",", thousands=".")])
@pytest.mark.parametrize("cell", [cell for cell in CERTAIN if cell != "54.302"])
def test_a_cell_that_can_be_read_in_one_way_is_so_by_every_rule(cell: str, rule: ReadingRule) -> None:
    assert value(cell, rule) == CERTAIN[cell]


def test_the_rule_settles_what_the_cell_leaves_open() -> None:
    assert value("1,234") == 1.234
    assert value("1,234", ReadingRule(thousands=",")) == 1234
    assert value("54.302") == 54.302
    assert value("54.302", ReadingRule(decimal=",", thousands=".")) == 54302
    assert value("54.302", ReadingRule(thousands=",")) == 54.302


def test_where_no_comma_was_ever_seen_the_range_tells_thousands_from_decimals() -> None:
    assert value("1,234", PLAIN, (200.0, 5000.0)) == 1234
    assert value("1,234", PLAIN, (0.0, 10.0)) == 1.234
    assert value("1,234", PLAIN, (0.0, 5000.0)) == 1.234  # both may be
    assert value("1,234", ReadingRule(decimal=","), (200.0, 5000.0)) == 1.234


@pytest.mark.parametrize("cell", ["abc", "1,2,3", "1.2.3", "12a", "1/2", "10-20", "--5", "5 6", "A12"])
def test_what_is_no_number_is_none(cell: str) -> None:
    assert np.isnan(value(cell))


GERMAN = {"decimal": ",", "thousands": "."}
RULES: dict[str, tuple[list[str], bool, dict[str, str], list[float]]] = {
    "dollars": (["$660.67", "$1,974.68", "($12.00)"], False, {"thousands": ",", "prefix": "$"}, [660.67, 1974.68, -12]),
    "euros": (["661 €", "1.975 €", "1.200.300 €"], True, GERMAN | {"suffix": "€"}, [661, 1975, 1_200_300]),
    "kilograms": (["660.7 kg", "12 kg"], False, {"suffix": "kg"}, [660.7, 12]),
    "percent": (["26.5%", "3 %"], False, {"suffix": "%"}, [26.5, 3]),
    "months": (["36 months", "60 months"], False, {"suffix": "months"}, [36, 60]),
    "speed": (["3 km/h", "5,5 km/h"], False, {"decimal": ",", "suffix": "km/h"}, [3, 5.5]),
    "grouped": (["1,200", "950", "2,350"], False, {"thousands": ","}, [1200, 950, 2350]),
    "grouped beside decimal commas": (["1.200", "950", "2.350"], True, GERMAN, [1200, 950, 2350]),
    "decimals beside decimal commas": (["52.096", "49.158", "47.3"], True, {}, [52.096, 49.158, 47.3]),
    "decimal commas": (["0,06", "-1,103"], False, {"decimal": ","}, [0.06, -1.103]),
    "not grouped, as others are not": (["1,200", "1500"], False, {}, [1.2, 1500]),
    "durations": (["1:30", "26:10:05", "2 days 01:00:00"], False, {"format": "duration"}, [5400, 94205, 176400]),
    "ISO durations": (["PT90M", "P1DT1H"], False, {"format": "duration"}, [5400, 90000]),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_the_rule_of_a_column(name: str) -> None:
    cells, comma_decimals, wanted, values = RULES[name]
    rule = find_number_rule(dict.fromkeys(cells, 1), comma_decimals)
    assert rule is not None
    assert rule.to_mapping() == wanted
    assert parse_numbers(pa.array(cells), rule).tolist() == pytest.approx(values)


@pytest.mark.parametrize("cells", [["A12", "B7"], ["Q1", "Q2"], ["1st", "2nd"], ["red", "blue"]])
def test_codes_are_no_numbers(cells: list[str]) -> None:
    assert find_number_rule(dict.fromkeys(cells, 1), False) is None


def test_house_numbers_have_no_unit() -> None:
    rule = find_number_rule({"12a": 1, "13": 5, "14": 5}, False)
    assert rule == PLAIN
    assert np.isnan(parse_numbers(pa.array(["12a"]), rule)[0])


def test_a_guess_is_told_and_certainty_is_not() -> None:
    guessed = {"1,200": 1, "950": 1}
    assert is_doubtful(guessed, find_number_rule(guessed, False) or PLAIN) == "1,200"
    certain = {"1,200": 1, "1,200,300": 1}
    assert is_doubtful(certain, find_number_rule(certain, False) or PLAIN) == ""


def test_markers_say_that_a_number_is_missing() -> None:
    cells = ["1", None, "NA", "-", "n/a", "k.A.", "None", ".", ":", "oops"]
    found = measure_numbers(to_arrow(pd.Series(cells, dtype=object)), PLAIN)
    assert found.missing.tolist() == [False, True, True] + [False] * 7
    assert found.marked.tolist() == [False] * 3 + [True] * 6 + [False]
    assert found.odd.tolist() == [False] * 9 + [True]


def test_native_numbers_among_texts_keep_their_value() -> None:
    rule = ReadingRule(decimal=",", thousands=".")
    mixed = to_arrow(pd.Series(["1.234,5", 1.234, 1234, 0.5, None], dtype=object))
    assert measure_numbers(mixed, rule).values.tolist()[:4] == [1234.5, 1.234, 1234.0, 0.5]


def test_ones_and_zeros_take_yes_and_no() -> None:
    rule = ReadingRule(true="1", false="0")
    assert parse_numbers(pa.array(["1", "0", "True", "no", "WAHR", "7"]), rule).tolist() == [1, 0, 1, 0, 1, 7]
    assert measure_numbers(to_arrow(pd.Series([True, False])), rule).values.tolist() == [1, 0]


def test_the_same_column_is_equal_however_its_numbers_are_marked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    amounts = (rng.lognormal(6.5, 0.7, 120)).round(2)
    target = np.where(amounts > np.median(amounts), "much", "little")

    def sample(cells: list[str], delimiter: str = ",") -> np.ndarray:
        path = tmp_path / "t.csv"
        pd.DataFrame({"amount": cells, "y": target}).to_csv(path, index=False, sep=delimiter)
        dataset = load_dataset(path, target="y")
        assert dataset.schema.columns[0].type == "numeric"
        return dataset.sample["amount"].to_numpy()

    forms = {
        "dollars": [f"${x:,.2f}" for x in amounts],
        "kilograms": [f"{x:.2f} kg" for x in amounts],
        "German": [f"{x:,.2f}".translate(str.maketrans(",.", ".,")) for x in amounts],
        "Swiss": [f"{x:,.2f}".replace(",", "'") for x in amounts],
        "French": [f"{x:,.2f}".replace(",", "\u202f").replace(".", ",") for x in amounts],
    }
    for name, cells in forms.items():
        np.testing.assert_array_equal(sample(cells), amounts, err_msg=name)
        np.testing.assert_array_equal(sample(cells, ";"), amounts, err_msg=name)


def test_missing_cells_are_missing_however_they_are_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=100).round(3)
    holes = rng.random(100) < 0.4
    for marker in ("", "-", "n/a", "None", "k.A.", "."):
        path = tmp_path / "t.csv"
        cells = [marker if hole else str(value) for hole, value in zip(holes, values, strict=True)]
        pd.DataFrame({"x": cells, "y": ["a", "b"] * 50}).to_csv(path, index=False)
        dataset = load_dataset(path, target="y")
        column = dataset.schema.columns[0]
        assert (column.type, column.missing) == ("numeric", pytest.approx(holes.mean())), marker
        assert not dataset.warnings
        np.testing.assert_array_equal(dataset.sample["x"].isna(), holes)


def test_a_target_with_a_unit_is_a_regression(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    pd.DataFrame({"x": range(0, 120, 2), "share": [f"{i % 37 + 0.5}%" for i in range(60)]}).to_csv(path, index=False)
    dataset = load_dataset(path, target="share")
    assert dataset.schema.task == "regression"
    assert dataset.schema.target_reading.suffix == "%"
    assert dataset.sample["share"].iloc[3] == 3.5
