"""llms.txt: a line for each page of the documentation, from the page itself."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

from scripts.llms_txt import Doc, full, index, summary

PAGES = sorted(path.name for path in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_every_page_says_in_a_line_what_it_is_about(name: str) -> None:
    found = summary((ROOT / "docs" / name).read_text(encoding="utf-8"))
    assert 15 < len(found) <= 200
    assert "\n" not in found
    assert "](" not in found


def test_the_index_has_every_page_under_its_section() -> None:
    docs = [Doc("", "Home", "index.html", "# A\n\nOne. Two."), Doc("Guides", "B", "b.html", "# B\n\n```\nx\n```\n")]
    text = index("Name", "What it is.", docs)
    assert text.startswith(
        "# Name\n\n> What it is.\n\n- [Home](index.html): One.\n\n## Guides\n\n- [B](b.html)\n\n## Optional"
    )
    assert full("Name", "What it is.", docs).count("<!-- ") == 2


def test_the_navigation_names_every_page() -> None:
    nav = (ROOT / "docs" / "site" / "mkdocs.yml").read_text().partition("\nnav:")[2]
    assert sorted(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == PAGES
