"""What there is to say of a table: its columns, and a few rows. Behind `profile` and `offline`."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.domains.tabular.read import check_width
from modelgpt_cli.requirement_generator.offline import counted, listed, plain_name
from modelgpt_cli.requirement_generator.profile import ROWS, Clean, Profile, Vocabulary, common_profile
from modelgpt_cli.requirement_generator.prompt import profile_json

PROMPT = "table"
ROLES: dict[str, str] = {}
HAS_SHEET = False
_TYPES = {"boolean": "yes-or-no", "datetime": "date"}


def profile(
    dataset: Dataset, *, description: str = "", rows: int = ROWS, seed: int = 0, clean: Clean | None = None
) -> Profile:
    """Summarise a table.

    Raises
    ------
    ModelGPTError
        It has more columns than a model can have.
    """
    check_width(dataset)
    return common_profile(dataset, description=description, rows=rows, seed=seed, clean=clean)


def shown(profile: Profile) -> dict[str, Any]:
    """Return the part of a profile that is shown: no cells of free text, where anything may be written."""
    return profile_json(profile)


def phrases(profile: Profile, n_names: int) -> tuple[str, str]:
    """Return what each row is, and which columns it is predicted from."""
    table = f"{plain_name(profile.name)!r} ({counted(profile.n_rows, 'row')})" if profile.name else "the table"
    return f"row of {table}", f", from {_columns(profile, n_names)}"


def _columns(profile: Profile, n: int) -> str:
    """How many columns there are of each type, with the names of `n` in all, each beside its own type."""
    used = [column for column in profile.columns if column.used]
    by_type: dict[str, list[str]] = {}
    for kind, _ in Counter(column.type for column in used).most_common():
        by_type[kind] = [plain_name(column.name) for column in used if column.type == kind]
    each = len(used) if len(used) <= n else max(1, n // max(1, len(by_type)))
    parts = []
    for kind, names in by_type.items():
        named = names[: min(each, n)]
        n -= len(named)
        examples = f"{'' if len(named) == len(names) else 'such as '}{listed(named, 'and')}" if named else ""
        count = counted(len(names), f"{_TYPES.get(kind, kind)} column")
        if len(by_type) > 1:
            examples = f" ({examples})" if examples else ""
        elif examples:
            examples = f": {examples}" if len(named) == len(names) else f" {examples}"
        parts.append(count + examples)
    return listed(parts, "and")


def vocabulary(profile: Profile) -> Vocabulary:
    """Return how sentences about a table are told."""
    return Vocabulary("name a column, or what the rows are about")
