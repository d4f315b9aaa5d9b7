"""Write ``llms.txt`` and ``llms-full.txt`` (https://llmstxt.org) from the pages of the documentation.

`docs/site/hooks.py` does so whenever the site is built; nothing of it is kept in the repository.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_SENTENCE = re.compile(r"(.+?[.:?!])(?=\s+[A-Z`*\[(]|\s*$)", re.DOTALL)
_MOST = 200


@dataclass(frozen=True)
class Doc:
    """A page.

    Attributes
    ----------
    section : str
        What it stands under in the navigation; "" for none.
    address : str
        From the site's top on.
    markdown : str
        As it is rendered: with what is made when the site is built.
    """

    section: str
    title: str
    address: str
    markdown: str


def summary(markdown: str) -> str:
    """Return the first sentence of a page's first paragraph, without markup; "" where there is none.

    Examples
    --------
    >>> summary("# Title\\n\\n```\\ncode\\n```\\n\\nIt *reads* [files](a.md)\\nof all kinds. And more.")
    'It reads files of all kinds.'
    """
    text = re.sub(r"^(```|~~~).*?^\1[^\n]*$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    for block in re.split(r"\n\s*\n", text):
        first = block.strip()
        if not first or first[0] in "#|-!<>" or re.match(r"\d+\. |\* |    ", block.strip("\n")):
            continue
        plain = _LINK.sub(r"\1", " ".join(first.split())).replace("**", "").replace("*", "").strip("()")
        found = _SENTENCE.match(plain)
        sentence = (found[1] if found else plain).rstrip(":")
        return sentence if len(sentence) <= _MOST else f"{sentence[: _MOST - 1].rsplit(' ', 1)[0]} …"
    return ""


def index(name: str, about: str, docs: Sequence[Doc]) -> str:
    """Return ``llms.txt``: what the project is, and a line for each page, by section."""
    parts = [f"# {name}", f"> {about}"]
    for section in dict.fromkeys(doc.section for doc in docs):
        lines = [_line(doc) for doc in docs if doc.section == section]
        parts += [f"## {section}", "\n".join(lines)] if section else ["\n".join(lines)]
    return "\n\n".join([*parts, "## Optional", "- [All pages in one](llms-full.txt)"]) + "\n"


def full(name: str, about: str, docs: Iterable[Doc]) -> str:
    """Return ``llms-full.txt``: all pages, one behind the other."""
    pages = [f"<!-- {doc.address} -->\n\n{doc.markdown.strip()}" for doc in docs]
    return "\n\n".join([f"# {name}", f"> {about}", *pages]) + "\n"


def _line(doc: Doc) -> str:
    said = summary(doc.markdown)
    return f"- [{doc.title}]({doc.address})" + (f": {said}" if said else "")
