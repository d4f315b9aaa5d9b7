"""Are these texts rather than a table, and which columns are they? Between `data.infer` and `read`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.schema import FREE_TEXT, Column, Schema
from modelgpt_cli.data.readers import Table, no_such_column
from modelgpt_cli.data.scan import Scan
from modelgpt_cli.data.shapes import Shape
from modelgpt_cli.data.source import Source
from modelgpt_cli.domains.text.requirement import ROLES, texts_of

log = logging.getLogger("modelgpt")

PLAIN_TEXT_NAMES = frozenset({"text", "content", "body", "document", "paragraph", "passage", "sent"})
"""Words of a header that promise text and say nothing of what it is."""
_NOUNS_TEXT = """
abstract answer article caption claim command comment complaint description dialogue email headline hypothesis
instruction letter mail message phrase post premise prompt query question quote report request review sentence sms
snippet statement summary ticket title tweet utterance
"""
TEXT_NOUNS = frozenset(_NOUNS_TEXT.split())
"""Words of a header that promise text and say what it is."""
_FOREIGN_TEXT = """
文本 内容 评论 句子 标题 评价 留言 短信 消息 问题 正文 文章 文字 評論 內容 
テキスト 本文 レビュー コメント 文 文章 質問 텍스트 내용 리뷰 댓글 문장 질문 제목
texto reseña comentario mensaje opinión frase oración título pregunta avaliação comentário mensagem pergunta
texte avis commentaire phrase titre bewertung rezension kommentar nachricht satz titel frage beschreibung
текст отзыв комментарий сообщение предложение заголовок вопрос نص تعليق رسالة مراجعة سؤال 
पाठ टिप्पणी समीक्षा संदेश वाक्य प्रश्न
testo recensione commento messaggio domanda metin yorum mesaj cümle soru tekst opinia komentarz wiadomość pytanie
"""
_FOREIGN = frozenset(_FOREIGN_TEXT.split())
"""The same in other languages."""
_PAIRS = frozenset(
    frozenset(pair.split())
    for pair in (
        "premise hypothesis",
        "question sentence",
        "question answer",
        "question context",
        "question passage",
        "question paragraph",
        "claim evidence",
        "context response",
        "title body",
    )
)
_FOUND = frozenset({"context", "item", "keyword", "product", "result"})
_NUMBERED = re.compile(r"(.*?[^\W_])[ _.-]*([12AB])", re.IGNORECASE)
_ORDINALS = ({"1", "2"}, {"a", "b"})
_PARTS = re.compile(r"[\s\d_.-]+")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")

_SEVERAL_WORDS = 2
_PAIR_WORDS = 3
_SOME_SHARE = 0.1
"""Of a column called text or the like, so many cells have to be different: five titles in all are categories."""
_LETTERS = 0.5
_MOST_STRINGS = 2


def name_words(name: str) -> list[str]:
    """The words of a header in lower case, without numbers: "reviewText_1" has the words review and text."""
    return [word.lower() for word in _WORD.findall(name)]


def text_nouns(name: str) -> list[str]:
    """The words of a header that are among `TEXT_NOUNS`, as these are written: "reviews" is review."""
    found = [word if word in TEXT_NOUNS else _singular(word) for word in name_words(name)]
    return [word for word in found if word in TEXT_NOUNS]


def _singular(word: str) -> str:
    return f"{word[:-3]}y" if word.endswith("ies") else word.removesuffix("s")


def says_text(name: str) -> bool:
    """Whether a header has a word that promises text."""
    english = text_nouns(name) or {_singular(word) for word in name_words(name)} & PLAIN_TEXT_NAMES
    return bool(english or _FOREIGN & set(_PARTS.split(name.casefold())))


def is_pair(first: str, second: str) -> bool:
    """Whether two headers name the two texts of a pair: sentence1 and sentence2, premise and hypothesis, text_a and
    text_b, a query and what it may find."""
    a, b = (_NUMBERED.fullmatch(name.strip()) for name in (first, second))
    if a and b:
        return a[1].lower() == b[1].lower() and {a[2].lower(), b[2].lower()} in _ORDINALS
    one, other = (name.strip().lower() for name in (first, second))
    if "query" in (one, other):
        found = other if one == "query" else one
        return says_text(found) or bool(_FOUND & set(name_words(found)))
    return frozenset((one, other)) in _PAIRS


def asked_texts(source: Source) -> dict[str, Column]:
    """Return the columns that ``--text`` and ``--text-pair``, or else a requirement, make texts, by name.

    Raises
    ------
    UsageError
        There is no such column, one column is asked for twice, or it is the target.
    """
    table, target = source.table, source.target
    text, text_pair = source.options.get("text"), source.options.get("text_pair")
    if text_pair is not None and text is None:
        raise UsageError(
            f"--text-pair {text_pair} is the second text of a pair, and the first is not named.", "", "Give --text too."
        )
    if text is None:
        named = {c.name: c.role for c in source.columns or () if c.role in ROLES}
    else:
        named = {name: role for name, role in zip((text, text_pair), ROLES, strict=True) if name is not None}
    for name in named:
        if text is not None and name not in table.columns:
            raise no_such_column(name, table, "text column")
        if name == target:
            raise UsageError(
                f"The column {name!r} can't be both the target and a text.",
                "",
                "Name another column with --target, --text or --text-pair.",
            )
    if text is not None and text == text_pair:
        raise UsageError(
            f"The column {text!r} can't be both texts of a pair.",
            "--text and --text-pair name the same column.",
            "Name another with --text-pair, or leave it out.",
        )
    words = {column.name: column.description for column in source.columns or ()}
    return {name: Column(name, FREE_TEXT, words.get(name, ""), role=role) for name, role in named.items()}


def infer_roles(
    columns: Sequence[Column], shape: Callable[[str], Shape], fixed: Mapping[str, Column]
) -> dict[str, str]:
    """The roles of the columns where texts are all there is to learn from; empty where it is a table.

    Parameters
    ----------
    columns : sequence of Column
        As `infer_column` typed them.
    shape : callable
        Gives a column's shape.
    fixed : mapping
        The columns whose type was given: they are not taken for anything else.
    """
    strings = [c for c in columns if c.type == "categorical"]
    if any(c.used and c.type != "categorical" for c in columns) or len(strings) > _MOST_STRINGS:
        return {}
    names = _text_columns(columns, shape, fixed)
    if any(c.used and c.name not in names for c in columns) or len(names) > len(ROLES):
        return {}
    return dict(zip(names, ROLES, strict=False))


def wanted_roles(
    columns: Sequence[Column], shape: Callable[[str], Shape], fixed: Mapping[str, Column], table: Table
) -> dict[str, str]:
    """The roles of the columns where the text domain was asked for and they were not named.

    Raises
    ------
    UsageError
        No column holds text, or more than two do.
    """
    names = _text_columns(columns, shape, fixed)
    if not names:
        shown = ", ".join(c.name for c in columns[:30]) + (", …" if len(columns) > 30 else "")
        raise UsageError(
            f"{table.name} has no column of text.", f"Its columns: {shown}.", "Say which it is with --text COLUMN."
        )
    if len(names) > len(ROLES):
        raise UsageError(
            f"{table.name} has {len(names)} columns of text: {', '.join(names[:10])}.",
            "A model reads one, or a pair.",
            "Say which with --text COLUMN (and --text-pair COLUMN).",
        )
    return dict(zip(names, ROLES, strict=False))


def _text_columns(columns: Sequence[Column], shape: Callable[[str], Shape], fixed: Mapping[str, Column]) -> list[str]:
    """The names of the columns that hold texts, in the file's order."""
    strings = {c.name: c for c in columns if c.type in ("categorical", "identifier") and c.name not in fixed}
    names = {c.name for c in columns if c.is_text}
    # Typing calls nothing free text in a table of a few rows; here it counts, since there is nothing but texts.
    names |= {name for name in strings if _is_text_by_name(name, shape(name)) or shape(name).is_free_text}
    if not names:  # short texts, each of them different: without them there would be nothing to learn from
        short = [name for name, c in strings.items() if c.type == "identifier" and _is_short_text(name, shape(name))]
        if len(short) == 1 or (len(short) == len(ROLES) and is_pair(*short)):
            names = set(short)
    if not names and len(strings) == len(ROLES) and is_pair(*strings) and all(_recurs(shape(n)) for n in strings):
        names = set(strings)
    if len(names) == 1:
        (only,) = names
        partners = [name for name in strings if name != only and is_pair(only, name) and shape(name).letters > _LETTERS]
        if len(partners) == 1:
            names.add(partners[0])
    return [c.name for c in columns if c.name in names]


def _is_text_by_name(name: str, shape: Shape) -> bool:
    """Cells of several words below a header that promises text; a few of them may come again and again."""
    return says_text(name) and shape.words >= _SEVERAL_WORDS and shape.share > _SOME_SHARE


def _recurs(shape: Shape) -> bool:
    """Whether cells are texts of a pair that come several times, each time beside another."""
    return shape.words >= _PAIR_WORDS and shape.share > _SOME_SHARE


def _is_short_text(name: str, shape: Shape) -> bool:
    return shape.letters > _LETTERS and (says_text(name) or shape.words >= _SEVERAL_WORDS)


def as_texts(columns: Sequence[Column], roles: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns with their roles; all others are dropped, with a note."""
    found: list[Column] = []
    for column in columns:
        role = roles.get(column.name)
        if role:
            column = Column(column.name, FREE_TEXT, column.description, missing=column.missing, role=role)
        elif column.used or column.is_text:
            note = f"{'free text' if column.is_text else column.type}, not used beside the text"
            column = Column(column.name, "identifier", column.description, missing=column.missing, note=note)
        found.append(column)
    return tuple(found)


def with_others(columns: Sequence[Column], table: Table, target: str) -> tuple[Column, ...]:
    """The columns and, dropped without a look, all others of the table, in the file's order."""
    known = {column.name: column for column in columns}
    other = Column("", "identifier", note="not used beside the text")
    return tuple(known.get(name) or replace(other, name=name) for name in table.columns if name != target)


def check_texts(schema: Schema, scan: Scan, table: Table) -> list[str]:
    """Say what is read as text; the words about empty ones.

    Raises
    ------
    ModelGPTError
        A text column has nothing but empty cells.
    """
    texts = texts_of(schema.columns)
    names = [repr(column.name) for column in texts]
    log.info("Each row's text: %s (others with --text and --text-pair).", " and ".join(names))
    warnings = []
    for column in texts:
        empty, n = scan.facts[column.name].missing, scan.n_rows
        if empty == n:
            raise ModelGPTError(
                f"The text column {column.name!r} of {table.name} is empty in all {n:,} rows.",
                "There is nothing to learn from.",
                "Name another with --text, or give a file that holds the texts.",
            )
        if empty:
            where = f" in {column.name!r}" if len(names) > 1 else ""
            warnings.append(f"{empty:,} of {n:,} texts{where} {'is' if empty == 1 else 'are'} empty.")
    return warnings
