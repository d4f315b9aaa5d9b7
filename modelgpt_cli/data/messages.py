"""What is told of a dataset that was read: what is odd about it, and what was left out. After `dataset`'s parts."""

from __future__ import annotations

import logging

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.schema import Schema
from modelgpt_cli.data.readers import Table
from modelgpt_cli.data.scan import Scan
from modelgpt_cli.data.target import Target

log = logging.getLogger("modelgpt")
_SHOWN = 12


def header_warning(table: Table) -> list[str]:
    """A header of numbers with decimals is a row of data, in all likelihood."""
    decimals = sum(name.replace(".", "", 1).lstrip("-").isdigit() and "." in name for name in table.columns)
    if decimals < 0.3 * len(table.columns):
        return []
    shown = ", ".join(table.columns[:4])
    return [f"{table.name}: the first line ({shown}, …) looks like data, not like column names. Put a header line in."]


def skipped_warning(scan: Scan, plan: Target) -> list[str]:
    """Rows without a target."""
    if not plan.skipped:
        return []
    return [f"Skipped {plan.skipped:,} of {scan.n_rows + scan.skipped:,} rows without a target."]


def few(warnings: list[str]) -> list[str]:
    """The first warnings and how many more there are: a wide table must not flood the screen."""
    if len(warnings) <= _SHOWN:
        return warnings
    return [*warnings[:_SHOWN], f"{len(warnings) - _SHOWN} more columns have such cells."]


def tell(schema: Schema, warnings: list[str], table: Table) -> None:
    """Log what was found; a table without any usable column is an error."""
    dropped = [f"{column.name} ({column.note})" for column in schema.dropped]
    shown = ", ".join(dropped[:_SHOWN]) + (f" and {len(dropped) - _SHOWN} more" if len(dropped) > _SHOWN else "")
    if not schema.used:
        raise ModelGPTError(
            f"{table.name} has no column to predict {schema.target!r} from.",
            f"Left out: {shown}.",
            "Say what they are with --types FILE (lines like: age: numeric), or give a table with more columns.",
        )
    if dropped:
        log.info("Left out: %s.", shown)
    for warning in warnings:
        log.warning("%s", warning)
