"""What a page has to know of a model: its fields, and how its answer is shown. A domain's part ``page`` says both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from modelgpt_cli.runtime.session import Model

FieldKind = Literal["number", "date", "choice", "tokens", "pixels"]
AnswerKind = Literal["classes", "labels", "number", "mask", "boxes", "points", "spans"]
_SHOWN_LEVELS = 200


@dataclass(frozen=True)
class Field:
    """One thing that a user gives.

    Attributes
    ----------
    name : str
        What users call it.
    kind : str
        "number" (float32), "date" (float32, days since 1970-01-01), "choice" (a string), "tokens" (of a text,
        with their mask), or "pixels" (of an image, uint8 (1, H, W, 3)).
    input : str
        The graph's input that takes it.
    mask : str
        Of text: the input of the attention mask.
    segments : str
        Of pairs of texts: the input that says which token is of the second one.
    """

    name: str
    kind: FieldKind
    input: str
    mask: str = ""
    segments: str = ""
    description: str = ""
    levels: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON, without what is empty."""
        values = {
            "name": self.name, "kind": self.kind, "input": self.input, "mask": self.mask, "segments": self.segments,
            "description": self.description, "levels": list(self.levels[:_SHOWN_LEVELS]), "low": self.low,
            "high": self.high,
        }  # fmt: skip
        return {name: value for name, value in values.items() if value not in ("", [], None)}


class Page(Protocol):
    """The module ``page`` of a domain whose models a page can run."""

    ANSWER: AnswerKind | None
    """How its answers are shown; None: as those of the usual tasks."""

    def fields(self, model: Model) -> list[Field]:
        """Return what a user gives, in order.

        Raises
        ------
        ModelGPTError
            The model reads something that a page can't.
        """

    def answer(self, model: Model) -> Mapping[str, Any]:
        """Return what else the page needs to show an answer, as JSON."""


def usual_answer(model: Model) -> AnswerKind:
    """Return how answers of the usual tasks are shown."""
    if model.task == "regression":
        return "number"
    return "labels" if model.multi_label else "classes"
