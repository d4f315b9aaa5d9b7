"""Tables in which a row has any number of labels: a column of lists, or several columns of 0 and 1.

Between `readers` and `source`: such a table becomes one whose target's cells are JSON lists of labels, sorted; every
later step knows these alone.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.reading import PLAIN
from modelgpt_cli.data.cells import texts, to_arrow
from modelgpt_cli.data.label_cells import JOINED, NO, YES, LabelSets, label_table, parse_labels, read_list, split_cell
from modelgpt_cli.data.numbers import numbers
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.scan import Scan
from modelgpt_cli.data.synthetic import SYNTHETIC
from modelgpt_cli.data.target import TARGET_NAMES, Target, list_words

if TYPE_CHECKING:
    from modelgpt_cli.data.source import Source

log = logging.getLogger("modelgpt")

OPTION = "multi_label"
"""The option of `load_dataset` that says whether a row may have several labels; without it, the cells do."""
SEPARATORS = (";", "|", ",")
TARGET = "labels"
"""What the target is called where the file has a column for each label."""
_PROBE = 2_000
"""Rows that are looked at."""
_LIST_SHARE = 0.9
_SEVERAL_SHARE = 0.02
"""So many rows must have several labels for a separator to be one."""
_LONGEST = 60
"""Characters of a label."""
_SURE_RECURRING, _SURE_MIXED, _LEAST_MIXED = 0.9, 0.8, 0.5
"""Parts of cells are labels where so many are in two rows or more, and in two combinations or more. Of "Bern,
Switzerland" and the like the first part is in one combination."""
_SURE_COLUMNS = 3
_MOST_OTHERS = 3
_MOST_SPELLINGS = 8
"""Of 0, 1, false, true and missing cells."""
Verdict = Literal["sure", "doubtful", "no"]


def with_label_sets(source: Source, detect: Callable[[], bool]) -> bool:
    """Return what `detect` says of a source, whose table is read as one of label sets where it is one.

    Parameters
    ----------
    source : Source
        Its table, target and label sets are replaced where `detect` takes the table so.
    detect : callable
        Whether the data are a domain's; it looks at `source`.

    Raises
    ------
    UsageError
        They may be label sets or not, and it isn't said; or they are said to be, and aren't.
    """
    asked = source.options.get(OPTION)
    found = None if source.label_sets is not None else find_label_sets(source)
    if found is None:
        return detect()
    plain = source.table, source.target
    source.use_table(label_table(source.table, found), found.target, found)
    if not detect():
        source.use_table(*plain, None)
        return detect()
    if found.doubt and asked is None:
        raise UsageError(
            f"{source.table.name} may be multi-label: {found.doubt}",
            "It isn't clear whether a row has any number of labels, or one.",
            "Say that it has several with --multi-label, or one with "
            + ("--target COLUMN." if found.columns else "--no-multi-label."),
        )
    if not (asked and source.classes):  # else the requirement says so
        log.info("%s%s", found.words(), "" if asked else " --no-multi-label reads it otherwise.")
    return True


def find_label_sets(source: Source) -> LabelSets | None:
    """Find out whether the rows of a source have any number of labels, and where these are; None where they have one.

    Raises
    ------
    UsageError
        It is said that they have, and there are none.
    """
    table, asked = source.table, source.options.get(OPTION)
    if asked is False:
        return None
    if table.is_folder or table.domain or source.task == "regression":
        if asked:
            what = "predicts a number" if source.task == "regression" else "holds a folder for each class"
            raise UsageError(
                f"--multi-label: {table.name} {what}.",
                "So each row has one target.",
                "Give a table with a column of labels, such as a;b.",
            )
        return None
    if OPTION not in source.found:  # several domains ask
        probe = next(table.frames(_PROBE), pd.DataFrame())
        source.found[OPTION] = _in_one_column(source, probe) or _in_many_columns(source, probe)
    found: LabelSets | None = source.found[OPTION]
    if found is None and asked:
        of = f" in {source.target!r}" if source.target is not None else ""
        raise UsageError(
            f"--multi-label: {table.name} has no row with several labels{of}.",
            "Labels are lists, or have one of ; | , between them, or are columns of 0 and 1.",
            "Leave --multi-label out, or name the column of labels with --target.",
        )
    return found


def refuse_label_sets(source: Source) -> None:
    """Refuse a table whose target plainly is lists of labels: its models have one answer a row.

    Raises
    ------
    UsageError
        It is; or --multi-label says so.
    """
    found = find_label_sets(source)
    if found is not None and not found.doubt and (not found.columns or source.options.get(OPTION)):
        raise UsageError(
            f"{source.table.name} is multi-label, and models of tables have one answer a row.",
            found.words(),
            "Build a model for each label, or one class for each combination with --no-multi-label.",
        )


def _in_one_column(source: Source, probe: pd.DataFrame) -> LabelSets | None:
    """Label sets of one column, which is the target or may be."""
    asked, classes = source.options.get(OPTION), source.classes
    for name in _likely(source, [str(name) for name in probe]):
        present = texts(to_arrow(probe[name])).drop_null().to_pylist()
        if not asked and classes and set(present) <= set(classes):
            continue  # the requirement has each cell for a class
        lists = sum(read_list(cell) is not None for cell in present)
        if present and lists >= _LIST_SHARE * len(present):
            return LabelSets(name)
        rated = {sign: _verdict([split_cell(cell, sign) for cell in present]) for sign in SEPARATORS}
        for wanted in ("sure", "doubtful"):
            for sign, verdict in rated.items():
                if verdict == wanted:
                    example = next(cell for cell in present if sign in cell)
                    doubt = f"{example!r} and the like in the column {name!r}." if wanted == "doubtful" else ""
                    return LabelSets(name, separator=sign, doubt=doubt)
        if asked and source.target is not None:
            used = Counter(sign for cell in present for sign in SEPARATORS if sign in cell)
            if used or (classes and set(present) <= set(classes)):
                return LabelSets(name, separator=used.most_common(1)[0][0] if used else JOINED)
    return None


def _likely(source: Source, names: Sequence[str]) -> list[str]:
    """The columns that may be the target."""
    if source.target is not None:
        return [source.target] if source.target in names else []
    lower = {name.lower(): name for name in reversed(names)}
    told = [lower[name] for name in (*TARGET_NAMES, TARGET, "tags", "topics", "genres") if name in lower]
    return list(dict.fromkeys([*told[:1], *names[-1:]]))


def _in_many_columns(source: Source, probe: pd.DataFrame) -> LabelSets | None:
    """Label sets of several columns of 0 and 1, beside nothing but a text, an image or what names a row."""
    asked, table = source.options.get(OPTION), source.table
    names = [str(name) for name in probe]
    if source.target is not None and (source.target in names or not asked):
        return None
    if source.target is not None and source.classes:
        lacking = [label for label in source.classes if label not in names]
        if lacking:
            raise UsageError(
                f"{table.name} has neither a column {source.target!r} of labels nor one for each label.",
                f"It lacks {list_words(lacking)}.",
                "Give data that fit the requirement, or run modelgpt describe on these.",
            )
        return LabelSets(source.target, tuple(source.classes))
    ties = {source.options.get("group"), source.options.get("time"), SYNTHETIC}
    binary: list[str] = []
    others: list[str] = []
    for name in names:
        if name in ties:
            continue
        cells = to_arrow(probe[name])
        is_label = _is_binary(cells)
        if not asked and not is_label and (len(others) == _MOST_OTHERS or _is_number(cells)):
            return None
        (binary if is_label else others).append(name)
    if len(binary) < 2 or not others or (not asked and {name.lower() for name in binary} & set(TARGET_NAMES)):
        return None
    target = TARGET if TARGET not in names else f"{TARGET}_"
    ones = np.array([[(cell or "").lower() in YES for cell in texts(to_arrow(probe[n])).to_pylist()] for n in binary])
    doubt = ""
    if len(binary) < _SURE_COLUMNS:
        doubt = f"its columns {list_words(binary)} hold 0 and 1."
    elif (ones.sum(0) == 1).all():
        doubt = f"its columns {list_words(binary)} hold 0 and 1, and every row has one 1."
    return LabelSets(target, tuple(binary), doubt=doubt)


def _verdict(rows: Sequence[tuple[str, ...]]) -> Verdict:
    """Whether the parts of cells are labels: they come again, in other combinations."""
    several = [row for row in rows if len(row) > 1]
    if len(several) < max(1, _SEVERAL_SHARE * len(rows)) or any(len(set(row)) < len(row) for row in several):
        return "no"
    counts: Counter[str] = Counter(part for row in rows for part in row)
    if max(map(len, counts)) > _LONGEST:
        return "no"
    combinations: defaultdict[str, set[frozenset[str]]] = defaultdict(set)
    for row in rows:
        for part in row:
            combinations[part].add(frozenset(row))
    recurring = sum(n > 1 for n in counts.values()) / len(counts)
    mixed = sum(len(found) > 1 for found in combinations.values()) / len(counts)
    if recurring >= _SURE_RECURRING and mixed >= _SURE_MIXED:
        return "sure"
    return "doubtful" if min(recurring, mixed) >= _LEAST_MIXED else "no"


def _is_binary(cells: pa.Array) -> bool:
    different = pc.unique(cells)
    if len(different) > _MOST_SPELLINGS:
        return False
    present = {cell.lower() for cell in texts(different).drop_null().to_pylist()}
    return bool(present) and present <= YES | NO


def _is_number(cells: pa.Array) -> bool:
    found = np.isfinite(numbers(cells, PLAIN)).sum()
    return bool(2 * found > len(cells) - cells.null_count)


def plan_label_sets(scan: Scan, table: Table, sets: LabelSets, classes: Sequence[str] | None, what: str) -> Target:
    """Find the labels of a scanned table; see `target.plan_target`.

    Raises
    ------
    ModelGPTError
        There is one label, or none.
    UsageError
        The data hold labels that `classes` lack, or one that can't be written.
    """
    name = sets.target
    counts: Counter[str] = Counter()
    for cell, n in (_counted(table, name) if scan.many_labels else scan.labels).items():
        counts.update(dict.fromkeys(parse_labels(cell), n))
    counts.update(dict.fromkeys(sets.columns, 0))
    if scan.n_rows < 2:
        raise ModelGPTError(f"{table.name} has fewer than two rows with labels.", "", "Give at least two rows.")
    if JOINED in "".join(counts):
        odd = next(label for label in counts if JOINED in label)
        raise UsageError(
            f"A label can't hold {JOINED!r}: {odd!r}.", "It stands between the labels of a row.", "Rename it."
        )
    new = sorted(set(counts) - set(classes)) if classes is not None else []
    if new:
        raise UsageError(
            f"The requirement and the target {name!r} disagree on the labels.",
            f"The data hold labels it does not name: {list_words(new)}.",
            "Change the classes in the requirement file, or run modelgpt describe again.",
        )
    ordered = tuple(sorted({*counts, *(classes or ())}))
    if len(ordered) < 2 or not +counts:
        raise ModelGPTError(
            f"The target {name!r} has {'one label only' if len(ordered) == 1 else 'no label'}.",
            "There is nothing to tell apart.",
            "Give rows of at least two labels.",
        )
    single = sorted(label for label, n in counts.items() if n == 1)
    warnings = (
        [f"{list_words(single)}: one {what} only, too little to learn this label or to test it."] if single else []
    )
    return Target(
        name,
        "classification",
        classes=ordered,
        counts={label: counts[label] for label in ordered},
        n_rows=scan.n_rows,
        skipped=scan.skipped,
        warnings=tuple(warnings),
        multi_label=True,
    )


def _counted(table: Table, name: str) -> Counter[str]:
    """The target's cells counted, however many different ones there are."""
    found: Counter[str] = Counter()
    for frame in table.frames(columns=[name]):
        found.update(frame[name].dropna())
    return found
