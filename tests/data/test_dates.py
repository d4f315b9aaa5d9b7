"""Dates as people write them: what one cell is, and the rule of a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import Column
from modelgpt_cli.data.cells import to_arrow
from modelgpt_cli.data.dataset import load_dataset
from modelgpt_cli.data.dates import days, find_date_rule, is_doubtful, parse_dates
from modelgpt_cli.data.typing import typed_and_odd

DAY = 19973.0  # 2024-09-07


def day(cell: str, rule: ReadingRule = PLAIN) -> float:
    return float(parse_dates(pa.array([cell]), rule)[0])


@pytest.mark.parametrize(
    "cell",
    [
        *("2024-09-07", "20240907", "2024/09/07", "7.9.2024", "07.09.24", "7. September 2024", "7 sept. 2024"),
        *("07-Sep-2024", "Sep 7, 2024", "September 7 2024", "7 de septiembre de 2024", "7 septembre 2024", "45542"),
    ],
)
@pytest.mark.parametrize("rule", [PLAIN, ReadingRule(format="%d/%m/%Y"), ReadingRule(format="%m/%d/%Y")])
def test_a_date_that_can_be_read_in_one_way_is_so_by_every_rule(cell: str, rule: ReadingRule) -> None:
    assert day(cell, rule) == DAY


def test_times() -> None:
    assert day("7.9.2024, 14:30") == DAY + 14.5 / 24
    assert day("2024-09-07T14:30:00") == day("2024-09-07 2:30 pm") == DAY + 14.5 / 24
    assert day("14:30") == pytest.approx(14.5 / 24)  # a time of day
    assert np.isnan(day("yesterday"))


def test_the_rule_settles_the_order_of_day_and_month() -> None:
    assert day("05/11/2024", ReadingRule(format="%d/%m/%Y")) == day("2024-11-05")
    assert day("05/11/2024", ReadingRule(format="%m/%d/%Y %H:%M")) == day("2024-05-11")
    assert day("25/11/2024") == day("2024-11-25")
    with pytest.raises(UsageError, match=r"'05/11/2024' may be 2024-11-05 or 2024-05-11") as caught:
        day("05/11/2024")
    assert "%d/%m/%Y" in caught.value.hint


def test_zones_are_applied_where_the_rule_has_one_and_passed_over_where_it_has_none() -> None:
    utc = ReadingRule(format="ISO8601", timezone="UTC")
    assert day("2024-09-07T12:00:00+02:00", utc) == DAY + 10 / 24
    assert day("2024-09-07T10:00:00Z", utc) == day("2024-09-07T10:00:00", utc) == DAY + 10 / 24
    assert day("2024-09-07T12:00:00", ReadingRule(timezone="+02:00")) == pytest.approx(DAY + 10 / 24)
    assert day("2024-09-07T12:00:00+02:00") == DAY + 0.5  # what the clock shows
    stamps = to_arrow(pd.Series(pd.to_datetime(["2024-09-07 12:00"]).tz_localize("Europe/Berlin")))
    assert days(stamps, utc)[0] == DAY + 10 / 24
    assert days(stamps, PLAIN)[0] == DAY + 0.5


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [
        (["05/11/2024", "03/04/2024"], {"format": "%m/%d/%Y"}),
        (["25/11/2024", "03/04/2024"], {"format": "%d/%m/%Y"}),
        (["5. März 2024", "7. Mai 2024"], {"format": "%d %b %Y"}),
        (["5.3.2024, 10:30", "7.12.2024, 9:05"], {"format": "%d.%m.%Y %H:%M"}),
        (["10:30", "11:45"], {"format": "%H:%M"}),
        (["2024-09-07T10:00:00Z", "2024-09-08T10:00:00+02:00"], {"format": "ISO8601", "timezone": "UTC"}),
        (["2024-09-07", "08.09.2024", "2024-09-09"], {"format": "%d.%m.%Y"}),  # a sheet with dates and texts
    ],
)
def test_the_rule_of_a_column(cells: list[str], wanted: dict[str, str]) -> None:
    rule = find_date_rule(cells)
    assert rule is not None
    assert rule.to_mapping() == wanted
    assert np.isfinite(parse_dates(pa.array(cells), rule)).all()


def test_words_and_numbers_are_no_dates() -> None:
    assert find_date_rule(["red", "blue"]) is None
    assert find_date_rule(["1.5", "2.5"]) is None
    assert find_date_rule([]) is None


def test_a_guess_is_told() -> None:
    rule = ReadingRule(format="%m/%d/%Y")
    assert is_doubtful(["05/11/2024", "03/04/2024"], rule) == ("05/11/2024", "%d/%m/%Y")
    assert is_doubtful(["05/25/2024", "03/04/2024"], rule) == ("", "")


def test_whole_numbers_that_are_all_dates_are_dates(tmp_path: Path) -> None:
    dates = pd.date_range("2023-01-01", periods=60, freq="11D")
    frame = pd.DataFrame({"d": dates.strftime("%Y%m%d").astype(int), "y": ["a", "b"] * 30})
    frame.insert(1, "n", 20_230_101 + np.arange(60) * 38)
    frame.to_csv(tmp_path / "t.csv", index=False)
    dataset = load_dataset(tmp_path / "t.csv", target="y")
    assert [column.type for column in dataset.schema.columns] == ["datetime", "numeric"]
    assert dataset.sample["d"].iloc[1] - dataset.sample["d"].iloc[0] == 11


def test_a_model_of_dates_reads_a_chunk_as_it_reads_the_file(tmp_path: Path) -> None:
    """The first 12 days of a month fit both orders; the 13th must not change what they are."""
    cells = [f"{d:02d}/11/2024" for d in range(1, 29)]
    path = tmp_path / "t.csv"
    pd.DataFrame({"d": cells, "y": ["a", "b"] * 14}).to_csv(path, index=False)
    dataset = load_dataset(path, target="y")
    assert dataset.schema.columns[0].reading.format == "%d/%m/%Y"
    assert np.diff(dataset.sample["d"]).tolist() == [1.0] * 27
    assert pd.concat(dataset.frames(rows=5))["d"].tolist() == dataset.sample["d"].tolist()


@pytest.mark.parametrize("cells", [["45542", "5", None], [45542, 5, None]], ids=["text", "numbers"])
def test_numbers_that_are_no_dates_are_odd_from_every_file(cells: list[object]) -> None:
    columns = [Column("day", "datetime"), Column("gone", "numeric"), Column("name", "text")]
    frame = pd.DataFrame({"day": pd.Series(cells, dtype=object), "name": list("abc")})
    found, odd = typed_and_odd(frame, columns)
    assert found["day"].fillna(-1).tolist() == [DAY, -1, -1]
    assert {name: cells.tolist() for name, cells in odd.items()} == {"day": [False, True, False]}
    assert found["gone"].isna().all()
    assert found["name"].tolist() == list("abc")
