"""What a build tells of a table before it learns: each finding in one line, with the option that changes it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from modelgpt_cli.core.schema import MAX_LEVELS, Column, Schema
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.leaks import Inspection, find_copies
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor

log = logging.getLogger("modelgpt")
_SHOWN = 5
FEW_PER_CLASS = 5
"""With fewer rows a class on average, whole numbers are likelier amounts than classes."""
MANY_CLASSES = 2
FEW_NUMBERS = 30


@dataclass(frozen=True)
class Finding:
    """A line for the user; `serious` where figures or the task itself may be wrong."""

    text: str
    serious: bool = False


def inspect_table(
    table: TableArrays, preprocessor: TablePreprocessor, schema: Schema, seed: int
) -> tuple[TableArrays, list[Finding]]:
    """Look at a table for what flatters its model.

    Returns
    -------
    table : TableArrays
        With copies of a row tied together, where there are some and nothing else ties rows.
    findings : list of Finding
    """
    found: list[Finding] = []
    given = table.split
    if given is None:
        copies, share = find_copies(table)
        table = replace(table, split=copies)
    inspection = Inspection(table, preprocessor, seed)
    group = "" if given is not None else inspection.group()
    for leak in inspection.leaks()[:_SHOWN]:
        of = f"{leak.score:.1%} of held-out rows" if table.n_classes else f"R2 {leak.score:.3f}"
        found.append(
            Finding(
                f"{leak.column!r} alone predicts {schema.target!r} almost perfectly ({of}). Where it isn't known "
                f"before the answer is, leave it out: a line '{leak.column}: identifier' in a --types FILE.",
                serious=True,
            )
        )
    if given is not None:
        return table, found
    if group:
        found.append(
            Finding(
                f"Rows of one {group!r} are alike, so metrics flatter the model where new rows are of new ones: "
                f"--group {group} keeps them in one fold.",
                serious=True,
            )
        )
    if name := inspection.drift():
        found.append(
            Finding(
                f"Rows that follow each other by {name!r} have like answers, whatever the other columns say: where the "
                f"future is to be predicted, --time {name} cross-validates forward in time.",
                serious=True,
            )
        )
    if copies is not None:
        found.append(
            Finding(
                f"{share:.1%} of the rows are copies of others. Copies stay in one fold; --group COLUMN keeps together "
                "what else belongs together.",
                serious=True,
            )
        )
    return table, found


def describe_schema(schema: Schema, dropped: Sequence[Column], n_rows: int) -> list[Finding]:
    """Say what has been decided about the columns and the target, and how to decide otherwise.

    Parameters
    ----------
    schema : Schema
    dropped : sequence of Column
        Columns that are no inputs, with their notes.
    n_rows : int
    """
    found = []
    kept = [c for c in dropped if not c.is_text]
    if kept:
        names = ", ".join(repr(c.name) for c in kept[:_SHOWN])
        more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
        found.append(
            Finding(
                f"No inputs: {names}{more}. A --types FILE with a line such as '{kept[0].name}: categorical' keeps one."
            )
        )
    found += _target(schema, n_rows)
    return found


def _target(schema: Schema, n_rows: int) -> list[Finding]:
    """Say whether whole numbers are classes."""
    classes = schema.classes
    if len(classes) <= MANY_CLASSES or not all(label.removeprefix("-").isdigit() for label in classes):
        return []
    return [
        Finding(
            f"{schema.target!r} holds {len(classes)} different whole numbers, which are taken as classes. A line "
            f"'{schema.target}: numeric' in a --types FILE has the number predicted.",
            serious=n_rows < FEW_PER_CLASS * len(classes),
        )
    ]


def many_levels(preprocessor: TablePreprocessor, columns: Sequence[Column]) -> list[Finding]:
    """Say what becomes of columns with more levels than have features of their own.

    Parameters
    ----------
    preprocessor : TablePreprocessor
        As the model has it.
    columns : sequence of Column
        As the data have them, with the number of their levels.
    """
    found = []
    seen = {column.name: column.n_levels for column in columns}
    for j, i in enumerate(preprocessor.categorical):
        name, known = preprocessor.columns[i].name, len(preprocessor.levels[j])
        n_levels = max(seen.get(name, 0), known)
        if n_levels <= MAX_LEVELS:
            continue
        text = f"{name!r} has {n_levels:,} levels: "
        if preprocessor.statistics and preprocessor.statistics[j] is not None:
            rest = "" if known == n_levels else ", rarer ones are as if unseen"
            text += f"{known:,} are told apart by what the target is there{rest}."
        else:
            text += f"the {known} most frequent are told apart, as the target differs between them by chance alone."
        found.append(Finding(f"{text} A line '{name}: identifier' in a --types FILE leaves the column out."))
    return found


def whole_numbers(schema: Schema, values: Sequence[float]) -> list[Finding]:
    """Say that a target of few different whole numbers is taken as a number.

    Parameters
    ----------
    values : sequence of float
        The target's.
    """
    different = set(values)
    if len(different) > FEW_NUMBERS or any(value != round(value) for value in different):
        return []
    return [
        Finding(
            f"{schema.target!r} holds {len(different)} different whole numbers, which are taken as a number. A line "
            f"'{schema.target}: categorical' in a --types FILE makes them classes."
        )
    ]


def tell(findings: Sequence[Finding], notes: list[str]) -> None:
    """Log findings, and add them to the notes."""
    for finding in findings:
        log.log(logging.WARNING if finding.serious else logging.INFO, "%s", finding.text)
        notes.append(finding.text)
