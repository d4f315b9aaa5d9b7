"""Cards of data sets: what somebody has written of their data, in YAML or JSON. First of its package.

A card needs a name (or title) and a description; of the rest, what is there is read, in the forms that are common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.core.yaml_text import parse_documents

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CARDS = (".yaml", ".yml")
_SHOWN = 12
MAX_BYTES = 100_000_000
"""Of a catalogue in one file."""


@dataclass(frozen=True)
class DataCard:
    """What is known of a data set.

    Attributes
    ----------
    columns, classes : tuple of str
        Names.
    rows : int, optional
        Rows, or images.
    source : str
        Where the data come from.
    data : Path, optional
        Where they are on this machine.
    url : str
        Where they are on the web.
    """

    name: str
    title: str = ""
    description: str = ""
    licence: str = ""
    task: str = ""
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    meaning: str = ""
    """What the target means."""
    rows: int | None = None
    source: str = ""
    data: Path | None = None
    url: str = ""

    def search_text(self) -> str:
        """What a search is held against."""
        parts = [self.title or self.name, self.description, self.meaning, ", ".join(self.classes[:_SHOWN])]
        return ". ".join(part.rstrip(". ") for part in parts if part)

    def words(self) -> str:
        """The card for a person, a few lines."""
        of = f" ({len(self.classes)} classes: {_listed(self.classes)})" if self.classes else ""
        facts = {
            "task": f"{self.task or 'not stated'}{of}",
            "rows": f"{self.rows:,}" if self.rows is not None else "",
            "columns": _listed(self.columns),
            "licence": self.licence or "not stated",
            "source": self.source,
            "data": str(self.data or self.url or ""),
        }
        lines = [
            self.title or self.name,
            self.description,
            *(f"{key}: {value}" for key, value in facts.items() if value),
        ]
        return "\n".join(f"  {_printable(line)}" for line in lines if line)

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        values = {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}
        return values | {"data": None if self.data is None else str(self.data)}


def read_catalogue(place: str | Path) -> list[DataCard]:
    """Read all cards of a folder (its .yaml files, at any depth), or of one YAML or JSONL file.

    Raises
    ------
    UsageError
        If there is no such place, no card in it, or a file of it can't be read.
    """
    path = Path(place)
    if not path.exists():
        raise UsageError(f"There is no catalogue {path}.", hint="Give --catalog a folder of cards, or a file of them.")
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in _CARDS and not p.name.startswith("."))
        found = [(values, file) for file in files for values in _mappings(file)]
    else:
        found = [(values, path) for values in _mappings(path)]
    cards = [card for values, file in found if (card := _card(values, file)) is not None]
    if not cards:
        raise UsageError(
            f"{path} holds no card of a data set.",
            "A card has a name or a title, and a description.",
            "Cards are .yaml files in a folder, or one YAML or JSONL file with one each.",
        )
    return cards


def _mappings(path: Path) -> Iterator[Mapping[str, Any]]:
    """The mappings of a file: its documents, a list of them, or a line each."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelGPTError(f"{path} is too large for cards.", f"It has more than {MAX_BYTES:,} bytes.")
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            documents: list[Any] = [parse_json(line) for line in text.splitlines() if line.strip()]
        else:
            documents = list(parse_documents(text, _Loader))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path} can't be read as cards.", " ".join(str(error).split())[:300]) from None
    for document in documents:
        for values in document if isinstance(document, list) else [document]:
            if isinstance(values, Mapping):
                yield values


def _card(values: Mapping[str, Any], file: Path) -> DataCard | None:
    """A card; None where a mapping is none."""
    name, title = _word(values.get("name")), _word(values.get("title"))
    description = _word(values.get("description"))
    if not (name or title) or not description:
        return None
    target = values.get("target")
    target = target if isinstance(target, Mapping) else {}
    rows = values.get("n_rows", values.get("rows", values.get("images")))
    columns = _names(values.get("columns"))
    return DataCard(
        name=name or title,
        title=title,
        description=description,
        licence=_word(values.get("licence", values.get("license"))),
        task=_word(values.get("task", values.get("output"))),
        columns=columns or tuple(part for part in [_word(values.get("input"))] if part),
        classes=_names(target.get("classes", values.get("labels", values.get("classes")))),
        meaning=_word(target.get("meaning")),
        rows=rows if isinstance(rows, int) else None,
        source=_source(values),
        data=_data(values, file),
        url=_word(values.get("url")),
    )


def _data(values: Mapping[str, Any], file: Path) -> Path | None:
    """Where the data are: as the card says, else the file beside it that is called train."""
    for key in ("data", "file", "archive"):
        if isinstance(values.get(key), str) and values[key]:
            return Path(file.parent, values[key])
    beside = sorted(file.parent.glob("train.*")) if file.stem in ("card", "README") else []
    return beside[0] if beside else None


def _source(values: Mapping[str, Any]) -> str:
    source = values.get("source")
    of = source if isinstance(source, list) else [source]
    parts = [_word(values.get("publication"))]
    for one in of:
        found = [_word(one.get(key)) for key in ("original", "repository", "url")] if isinstance(one, Mapping) else []
        parts.append(", ".join(filter(None, found)) if found else _word(one))
    return "; ".join(dict.fromkeys(filter(None, parts)))


def _names(value: Any) -> tuple[str, ...]:
    """Names of columns or classes: of a list of names or of mappings with a name, or of a mapping's keys."""
    if isinstance(value, Mapping):
        return tuple(str(key) for key in value)
    if not isinstance(value, list):
        return ()
    return tuple(
        filter(None, (_word(item.get("name")) if isinstance(item, Mapping) else _word(item) for item in value))
    )


def _word(value: Any) -> str:
    return " ".join(str(value).split()) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:_SHOWN]) + (f", … ({len(names)} in all)" if len(names) > _SHOWN else "")


def _printable(text: str) -> str:
    """A line without power over a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
