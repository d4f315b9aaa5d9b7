"""XML files of annotations: read without document types, in which entities could grow without end."""

from __future__ import annotations

from typing import NoReturn
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from modelgpt_cli.core.errors import ModelGPTError


class _RefusedError(Exception):
    """A file has a document type."""


class _Builder(TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        """Refuse it: called before anything in it is read."""
        raise _RefusedError


def read_xml(content: bytes, place: str) -> Element:
    """Return the root of an XML file.

    Raises
    ------
    ModelGPTError
        It is no whole XML, or has a document type.
    """
    parser = XMLParser(target=_Builder())  # the builder refuses what makes it unsafe
    try:
        parser.feed(content)
        root: Element = parser.close()
    except _RefusedError:
        raise ModelGPTError(
            f"{place} has a document type (<!DOCTYPE ...>), which files of annotations don't.",
            "Entities in it could fill the memory, so it isn't read.",
            "Take the line out.",
        ) from None
    except (ParseError, ValueError, LookupError) as error:
        raise ModelGPTError(f"{place} is no whole XML file.", str(error), "Export the annotations anew.") from error
    return root


def text_of(element: Element, path: str) -> str:
    """The text at a path below an element; "" where there is none."""
    return (element.findtext(path) or "").strip()


def number_of(text: str | None, where: str, what: str) -> float:
    """A number in a file.

    Raises
    ------
    ModelGPTError
        There is none.
    """
    try:
        return float(text or "")
    except ValueError:
        given = "is missing" if text is None or not text.strip() else f"is {text!r}"
        raise ModelGPTError(f"{where}: {what} {given}.", "A number is wanted.", "Mend the annotations.") from None
