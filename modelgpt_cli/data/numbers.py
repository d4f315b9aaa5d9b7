"""Text to numbers, by a column's reading rule; and the rule, from a column's cells. Between `cells` and `infer`.

What a cell is worth depends on the cell and on the rule alone. A sign that may separate decimals or thousands is read
by its place wherever that leaves one reading: "1.234,5", "1,234,567", "0,512", "12,5". What is left, a number of one to
three digits, the sign, and three digits more, the rule decides (`ReadingRule.thousands`).
Shapes: n cells.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.reading import DURATION, NO_NUMBER, ReadingRule
from modelgpt_cli.data.cells import float_array, is_text, stamps_to_days, texts, wall_clock
from modelgpt_cli.data.words import NO, YES

_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
_REWRITTEN = (
    ("[\u00a0\u2007\u2009\u202f]", " "),
    ("[\u2019\u02bc`´]", "'"),
    ("^[\u2212\u2013] ?([^ ])", r"-\1"),
    (r"^\(([^()-]+)\)$", r"-\1"),
    (r"^([\d.,' ]*\d)-$", r"-\1"),
    (r"^([+-]) +", r"\1"),
)
"""Signs that only look different, and the minus of accountants: (5), 5-."""
_LOOKS_DIFFERENT = "[\u00a0\u2007\u2009\u202f\u2019\u02bc`´\u2212\u2013()]|-$|^[+-] "
"""What cells have in which there is one of them."""
_BLANK_GROUPS = r"^[+-]?\d{1,3}([ '_]\d{3})+([.,]\d*)?$"
_POINT_GROUPS = r"^[+-]?\d{1,3}((\.\d{3}){2,}(,\d*)?|(\.\d{3})+,\d*)$"
_COMMA_GROUPS = r"^[+-]?\d{1,3}(,\d{2,3})*((,\d{3}){2,}(\.\d*)?|(,\d{2}),\d{3}(\.\d*)?|,\d{3}\.\d*)$"
"""Thousands, beyond doubt; with commas also as in India: 12,34,567."""
_POINT_DOUBT = r"^[+-]?[1-9]\d{0,2}\.\d{3}$"
_COMMA_DOUBT = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_COMMA_DECIMAL = r"^[+-]?\d*,\d+([eE][+-]?\d+)?$|^[+-]?\d+,$"

_SYMBOLS = "$€£¥₹₽₩₺₫₴₪¢"
_CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|BRL|CAD|AUD"
_CURRENCIES = rf"(?:(?:US|A|C|NZ|HK|R)?[$]|[{_SYMBOLS}]|kr\.?|Rs\.?|zł|(?:{_CODES})\b)"
_UNITS = (
    r" ?[^\W\d_]{1,10}\.?(?:/[^\W\d_]{1,7})?[²³]?",  # kg, km/h, m²
    rf" ?[%‰°{_SYMBOLS}](?:[CFK]\b)?",  # %, €, °C
)
_MARKED = re.compile(
    rf"(?P<minus>[+-]?)(?P<prefix>{_CURRENCIES})? ?(?P<number>[+-]?(?:\d[\d.,' ]*\d|\d|\.\d+)(?:[eE][+-]?\d+)?)"
    rf"(?P<suffix>{'|'.join(_UNITS)})?"
)
"""A number with a currency or a unit. Before a number only currencies count: A12 is a code."""
_DURATION = re.compile(
    r"(?:(?P<days>\d+) days?,? )?(?P<sign>[+-]?)(?P<hours>\d+):(?P<minutes>[0-5]\d)(?::(?P<seconds>[0-5]\d(?:\.\d+)?))?"
)
_ISO_DURATION = re.compile(
    r"P(?=.)(?:(\d+(?:\.\d+)?)D)?(?:T(?=.)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
_GOOD = 0.95
"""So many of a column's cells must be numbers with one and the same mark."""
_PROBE = 5_000


Bounds = tuple[float, float]


@dataclass(frozen=True)
class Measured:
    """The cells of a column, read as numbers or dates.

    Attributes
    ----------
    values : float64 (n,)
        NaN where there is none.
    missing : bool (n,)
        Cells that are empty, or a marker of the column's rule.
    marked : bool (n,)
        Cells that say in another way that a number is missing, such as "-".
    """

    values: np.ndarray
    missing: np.ndarray
    marked: np.ndarray

    @property
    def odd(self) -> np.ndarray:
        """Cells that hold something else, bool (n,)."""
        return np.isnan(self.values) & ~self.missing & ~self.marked


def numbers(array: pa.Array, rule: ReadingRule, bounds: Bounds | None = None) -> np.ndarray:
    """An array from `to_arrow` as float64 (n,), NaN where a cell is missing or no number; timestamps as days."""
    return measure_numbers(array, rule, bounds).values


def measure_numbers(array: pa.Array, rule: ReadingRule, bounds: Bounds | None = None) -> Measured:
    """Read numbers, and tell cells that are missing from those that are none.

    Parameters
    ----------
    bounds : tuple of float, optional
        The smallest and the largest number that the rule was made from. If no comma was among these, a cell such as
        "1,234" is 1234 where only that lies within, and 1.234 elsewhere.
    """
    kind = array.type
    if is_text(array):
        return _measure_text(array, rule, bounds)
    if pa.types.is_null(kind):
        values = np.full(len(array), np.nan)
    elif pa.types.is_timestamp(kind):
        values = stamps_to_days(wall_clock(array).to_numpy(zero_copy_only=False))
    else:
        array = array.cast(pa.int8()) if pa.types.is_boolean(kind) else array
        values = float_array(array.cast(pa.float64(), safe=False))
    return _all_known(values)


def _all_known(values: np.ndarray) -> Measured:
    return Measured(values, np.isnan(values), np.zeros(len(values), dtype=bool))


def _measure_text(array: pa.Array, rule: ReadingRule, bounds: Bounds | None) -> Measured:
    if rule.thousands != "." and not rule.format:
        try:
            return _all_known(float_array(pc.cast(array, pa.float64())))
        except pa.ArrowInvalid:
            pass
    coded = texts(array, rule.markers).dictionary_encode()
    values = parse_numbers(coded.dictionary, rule, bounds)
    return spread(values, coded, rule)


def spread(values: np.ndarray, coded: pa.DictionaryArray, rule: ReadingRule) -> Measured:
    """What has been read of the different cells, for all cells."""
    is_marker = pc.is_in(coded.dictionary, value_set=pa.array(NO_NUMBER, coded.dictionary.type))
    marked = np.isnan(values) & is_marker.to_numpy(zero_copy_only=False) & (rule.missing is None)
    codes = coded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    return Measured(np.append(values, np.nan)[codes], codes == len(values), np.append(marked, False)[codes])


def parse_numbers(cells: pa.Array, rule: ReadingRule, bounds: Bounds | None = None) -> np.ndarray:
    """Text from `texts` to float64 (n,), cell by cell; NaN where it is no number."""
    if rule.format == DURATION:
        return np.array([math.nan if cell is None else duration(cell) for cell in cells.to_pylist()], dtype=np.float64)
    stripped = _stripped(cells, rule)
    plain = _plain(stripped, rule)
    plain = pc.if_else(pc.match_substring_regex(plain, _NUMBER), plain, pa.scalar(None, cells.type))
    try:
        values = float_array(pc.cast(pc.utf8_ltrim(plain, characters="+"), pa.float64()))
    except pa.ArrowInvalid:  # an exponent out of range, which Python reads as infinity or zero
        values = np.array([math.nan if cell is None else float(cell) for cell in plain.to_pylist()])
    if bounds is not None and (rule.decimal, rule.thousands) == (".", ""):
        doubtful = pc.match_substring_regex(stripped, _COMMA_DOUBT).fill_null(False).to_numpy(zero_copy_only=False)
        low, high = bounds
        grouped = 1000 * values
        is_grouped = doubtful & ~((low <= values) & (values <= high)) & (low <= grouped) & (grouped <= high)
        values = np.where(is_grouped, np.round(grouped), values)
    if rule.true == "1":  # a column of ones and zeros, so that a yes is one of them
        words = pd.Series(cells.to_pylist(), dtype=object).str.casefold()
        values = np.where(words.isin(YES), 1.0, np.where(words.isin(NO), 0.0, values))
    return values


def _stripped(cells: pa.Array, rule: ReadingRule) -> pa.Array:
    """Numbers without their marks, and without signs that only look different."""
    cells = _replaced_all(cells, _LOOKS_DIFFERENT, _REWRITTEN)
    if rule.prefix:
        pattern = rf"^([+-]?) *{re.escape(rule.prefix)} *([+-]?)"
        cells = pc.replace_substring_regex(cells, pattern, r"\1\2")
    if rule.suffix:
        cells = pc.replace_substring_regex(cells, rf"(?i)^(.*\d[.,]?) *{re.escape(rule.suffix)}$", r"\1")
    return cells


def _plain(cells: pa.Array, rule: ReadingRule) -> pa.Array:
    """Numbers as the rule has them, in digits with a decimal point; all other cells somehow."""
    cells = _replaced(cells, _BLANK_GROUPS, "[ '_]", "")
    cells = _replaced(cells, _COMMA_GROUPS, ",", "")
    cells = _replaced(cells, _POINT_GROUPS, r"\.", "")
    if rule.thousands == ",":
        cells = _replaced(cells, _COMMA_DOUBT, ",", "")
    if rule.thousands == ".":
        cells = _replaced(cells, _POINT_DOUBT, r"\.", "")
    return _replaced(cells, _COMMA_DECIMAL, ",", ".")


def _replaced(cells: pa.Array, where: str, pattern: str, instead: str) -> pa.Array:
    """Replace a pattern in the cells that match another."""
    return _replaced_all(cells, where, ((pattern, instead),))


def _replaced_all(cells: pa.Array, where: str, replacements: Sequence[tuple[str, str]]) -> pa.Array:
    """Replace patterns in the cells that match one; the others, mostly all, are left alone."""
    found = pc.match_substring_regex(cells, where).fill_null(False)
    if not pc.any(found).as_py():
        return cells
    some = cells.filter(found)
    for pattern, instead in replacements:
        some = pc.replace_substring_regex(some, pattern, instead)
    return pc.replace_with_mask(cells, found, some)


def duration(cell: str) -> float:
    """A duration such as "1:30", "26:10:05", "2 days 01:00:00", "PT90M" or "90 s", in seconds; NaN if it is none."""
    if match := _DURATION.fullmatch(cell):
        days, hours = int(match["days"] or 0), int(match["hours"])
        seconds = 86_400 * days + 3600 * hours + 60 * int(match["minutes"]) + float(match["seconds"] or 0)
        return -seconds if match["sign"] == "-" else seconds
    if match := _ISO_DURATION.fullmatch(cell):
        sizes = (86_400, 3600, 60, 1)
        return sum(size * float(part or 0) for size, part in zip(sizes, match.groups(), strict=True))
    if match := re.fullmatch(r"(-?\d+(?:\.\d+)?)(?: s)?", cell):
        return float(match[1])
    return math.nan


def find_number_rule(counts: Mapping[str, int], comma_decimals: bool) -> ReadingRule | None:
    """Find how the numbers of a column are written.

    Parameters
    ----------
    counts : mapping
        Different cells, as `texts` gives them, → rows.
    comma_decimals : bool
        Whether other columns of the data have decimal commas beyond doubt.

    Returns
    -------
    ReadingRule or None
        None where these are not mostly numbers.
    """
    cells = _probe(counts)
    if not cells:
        return None
    if is_duration(cells):
        return ReadingRule(format=DURATION)
    rule = _find_mark(cells)
    array = pa.array(list(cells), pa.string())
    values = parse_numbers(array, rule)
    if not np.isfinite(values).any():
        return None
    rows = np.array(list(cells.values()))
    if (rule.prefix or rule.suffix) and rows[~np.isnan(values)].sum() < _GOOD * rows.sum():
        rule = ReadingRule()
    signs = _signs(_stripped(array, rule).to_pylist())
    thousands = _thousands(signs, comma_decimals)
    is_comma = signs["comma"] > signs["point"] or (thousands == "." and not signs["point"])
    return replace(rule, decimal="," if is_comma else ".", thousands=thousands)


def _probe(counts: Mapping[str, int]) -> dict[str, int]:
    """The cells that are looked at for a rule, → rows: the first ones, without those that say that there is none."""
    return {cell: n for cell, n in islice(counts.items(), _PROBE) if cell not in NO_NUMBER}


def is_duration(cells: Mapping[str, int]) -> bool:
    """Whether cells are durations: hours beyond a day, days beside hours, or as ISO 8601 has them."""
    if not all(_DURATION.fullmatch(cell) or _ISO_DURATION.fullmatch(cell) for cell in cells):
        return False
    beyond = (duration(cell) >= 86_400 or cell[0] in "P-" or " day" in cell for cell in cells)
    return any(beyond)


def has_comma_decimals(counts: Mapping[str, int]) -> bool:
    """Whether a column has numbers with a decimal comma beyond doubt, and none with a decimal point."""
    cells = _probe(counts)
    signs = _signs(_stripped(pa.array(list(cells), pa.string()), _find_mark(cells)).to_pylist())
    return signs["comma"] > 0 and signs["comma"] >= 0.5 * max(
        1, signs["number"] - signs["whole"] - signs["comma doubt"]
    )


def _signs(cells: list[str]) -> Counter[str]:
    """Count what the cells say of the signs in them."""
    found: Counter[str] = Counter()
    for cell in cells:
        if re.match(_COMMA_GROUPS, cell):
            found["comma groups"] += 1
            found["point"] += "." in cell
        elif re.match(_POINT_GROUPS, cell):
            found["point groups"] += 1
            found["comma"] += "," in cell
        elif re.match(_BLANK_GROUPS, cell):
            found["comma"] += "," in cell
            found["point"] += "." in cell
        elif re.match(_COMMA_DOUBT, cell):
            found["comma doubt"] += 1
            found["comma doubt zeros"] += cell.endswith("0")
        elif re.match(_POINT_DOUBT, cell):
            found["point doubt"] += 1
            found["point doubt zeros"] += cell.endswith("0")
        elif re.match(_COMMA_DECIMAL, cell):
            found["comma"] += 1
        elif re.match(_NUMBER, cell):
            found["point"] += "." in cell
            found["whole"] += "." not in cell
            found["long"] += "." not in cell and len(cell.lstrip("+-")) > 3
        else:
            continue
        found["number"] += 1
    return found


def _thousands(signs: Counter[str], comma_decimals: bool) -> str:
    """What the doubtful cells have between thousands."""
    if signs["comma groups"]:
        return ","
    if signs["point groups"]:
        return "."
    if signs["comma doubt"]:
        if signs["comma"]:
            return ""
        # 1,234 beside 950 or 1,234.5, none as 1234, is how thousands are written; beside 1234, or in data that have
        # decimal commas elsewhere, it is not.
        return "" if comma_decimals or signs["long"] else ","
    # A point is the decimal sign of most files. Thousands it separates where decimals have commas elsewhere in the
    # data, and these are whole numbers: none of four digits, some below a thousand, and zeros that no program writes.
    grouped = comma_decimals and not signs["point"] and signs["whole"] and not signs["long"]
    return "." if signs["point doubt"] and grouped and signs["point doubt zeros"] else ""


def is_doubtful(counts: Mapping[str, int], rule: ReadingRule) -> str:
    """A cell whose sign nothing but the rule's guess decides, where no other cell of the column settles it; else ""."""
    cells = list(_probe(counts))
    bare = _stripped(pa.array(cells, pa.string()), rule).to_pylist()
    signs = _signs(bare)
    if signs["comma groups"] or signs["point groups"] or signs["comma"]:
        return ""
    pattern = _COMMA_DOUBT if signs["comma doubt"] else _POINT_DOUBT if rule.thousands == "." else ""
    return next((cell for cell, text in zip(cells, bare, strict=True) if pattern and re.match(pattern, text)), "")


def _find_mark(cells: Mapping[str, int]) -> ReadingRule:
    """The currency or unit that the numbers of a column have in common; a rule without one where there is none."""
    marks: Counter[tuple[str, str]] = Counter()
    total = sum(cells.values())
    for cell, n in cells.items():
        plain = re.sub(r"^\((.+)\)$", r"-\1", re.sub("[\u00a0\u2007\u2009\u202f]", " ", cell).replace("\u2212", "-"))
        if match := _MARKED.fullmatch(plain):
            marks[match["prefix"] or "", (match["suffix"] or "").strip()] += n
    marked = [(mark, n) for mark, n in marks.most_common() if any(mark)]
    if not marked:
        return ReadingRule()
    (prefix, suffix), n = marked[0]
    # Some numbers may stand without the mark, but not most: 12a among 13, 14 and 15 is no number with a unit.
    if 2 * n <= total or n + marks["", ""] < _GOOD * total:
        return ReadingRule()
    return ReadingRule(prefix=prefix, suffix=suffix)
