"""What a build takes from the requirement's sentence, and says of it. Before a build looks at the data."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from modelgpt_cli.core.domain import find_domain, usual_domains
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.requirement_generator.parse import with_applied_words

log = logging.getLogger("modelgpt")


def add_words(requirement: Requirement, *, data: bool, ignore: bool = False) -> Requirement:
    """Add what the sentence says plainly of the model, where the file doesn't say it; log what is added and what not.

    Parameters
    ----------
    data : bool
        Whether there are data. Without, the sentence's classes and kind of data are added too.
    ignore : bool
        Take no limits, quality and deployment from the sentence.

    Raises
    ------
    ContradictionError
        If the words contradict themselves.
    UsageError
        If there are no data, and it isn't said whether they are images, texts or a table.
    """
    found = with_applied_words(requirement, data=data, ignore=ignore)
    if found.applied:
        log.info(
            "Found in the words, and applied: %s. --ignore-words leaves it out; what is written below a line --- goes "
            "before.",
            "; ".join(map(str, found.applied)),
        )
    if found.proposed:
        log.info(
            "Found in the words, not applied: %s. To apply it, write it below a line ---, as modelgpt parse does.",
            "; ".join(map(str, found.proposed)),
        )
    added = found.requirement
    if data:
        return added
    if (added.domain, added.classes) != (requirement.domain, requirement.classes):
        classes = f"classes {', '.join(added.classes)}; " if added.classes != requirement.classes else ""
        domain = f"domain {added.domain}" if added.domain != requirement.domain else ""
        log.info("Read from the words: %s.", f"{classes}{domain}".strip(" ;"))
    said = added.columns or added.domain is not None
    if not said and (added.classes or added.task == "regression"):
        titles = (find_domain(name).title for name in usual_domains())
        raise UsageError(
            f"Is this about {one_of(titles)}?",
            "There is no data, and neither the words nor the requirement's domain say it.",
            f"Give --domain {one_of(usual_domains())}, or --data PATH.",
        )
    return added


def one_of(names: Iterable[str]) -> str:
    """Return names as a choice: "a, b or c"."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
