"""What a WordPiece tokenizer of BERT's kind does to each character, for a graph to do the same: see `onnx_tokenizer`.

BERT's normaliser and word splitter look at one character at a time. So their whole work is four sets of characters
(dropped, blanks, words of their own, others) and a table of replacements, all asked of the tokenizer itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.json_text import parse_json

_MARK = "\u02ac"
"""A letter that is nothing's capital or part: it stays what it is between two characters under test."""
_FIRST_PLACEHOLDER = 0xF0000
_SURROGATES = range(0xD800, 0xE000)
_AT_A_TIME = 4096
_WITH_TABLE = ["Precompiled", "BertNormalizer"]


@dataclass
class WordPiecePlan:
    """What a graph needs to know.

    Attributes
    ----------
    vocabulary : dict of str to int
        Pieces, and the placeholders of special tokens.
    unknown, first, last : int
        Ids of the unknown word's token, and of those that open and close a text.
    window : int
        Tokens that are kept, these two (in pairs three) included.
    prefix : str
        What a piece within a word begins with.
    longest_word : int
        Characters; a longer one is unknown.
    special : dict of str to str
        Special token as it is written in a text → placeholder, one character.
    dropped, blanks, apart : list of int
        Code points.
    replaced : dict of str to str
        Character → what it becomes; several words, with blanks between them, only of one that stands apart.
    """

    vocabulary: dict[str, int]
    unknown: int
    first: int
    last: int
    window: int
    prefix: str
    longest_word: int
    special: dict[str, str] = field(default_factory=dict)
    dropped: list[int] = field(default_factory=list)
    blanks: list[int] = field(default_factory=list)
    apart: list[int] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)


def plan_wordpiece(tokenizer_json: str) -> WordPiecePlan:
    """Read a tokenizer.

    Raises
    ------
    UsageError
        It is of another kind, or does what can't be done by looking at one character at a time.
    """
    about = parse_json(tokenizer_json)
    model, steps = about["model"], [(about.get(part) or {}).get("type") for part in ("normalizer", "pre_tokenizer")]
    if steps[0] == "Sequence" and [part["type"] for part in about["normalizer"]["normalizers"]] == _WITH_TABLE:
        steps[0] = _WITH_TABLE[-1]  # a table of characters looks at one character at a time too
    if model.get("type") != "WordPiece" or steps != ["BertNormalizer", "BertPreTokenizer"]:
        kinds = ", ".join(str(kind) for kind in (model.get("type"), *steps))
        raise refused(f"It is none of BERT's kind (WordPiece, BertNormalizer, BertPreTokenizer), but: {kinds}.")
    truncation = about.get("truncation") or {}
    if (truncation.get("strategy"), truncation.get("direction", "Right")) != ("LongestFirst", "Right"):
        raise refused("It cuts long texts in another way than the longer one first, from the right.")
    first, last = _frame(about.get("post_processor") or {})
    special = {token: chr(_FIRST_PLACEHOLDER + i) for i, token in enumerate(_special(about["added_tokens"]))}
    ids = {token["content"]: token["id"] for token in about["added_tokens"]}
    unknown = model["vocab"].get(model["unk_token"])
    if unknown is None:
        raise refused(f"Its vocabulary lacks the unknown word's token {model['unk_token']}.")
    plan = WordPiecePlan(
        vocabulary=model["vocab"] | {place: ids[token] for token, place in special.items()},
        unknown=unknown,
        first=first,
        last=last,
        window=truncation["max_length"],
        prefix=model["continuing_subword_prefix"],
        longest_word=model["max_input_chars_per_word"],
        special=special,
    )
    _characters(plan, Tokenizer.from_str(tokenizer_json))
    return plan


def refused(cause: str) -> UsageError:
    """The error for a tokenizer that a graph can't follow exactly."""
    return UsageError(
        "This model's tokenizer can't be put into the graph.",
        cause,
        "Leave out --tokenizer-in-graph: the model then takes token ids, and carries its tokenizer in the metadata.",
    )


def character_class(points: Sequence[int]) -> str:
    """A regular expression's class of these characters, as RE2 reads it."""
    ranges: list[list[int]] = []
    for point in sorted(points):
        if ranges and point == ranges[-1][1] + 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    return "[" + "".join(f"\\x{{{low:X}}}-\\x{{{high:X}}}" for low, high in ranges) + "]"


def _special(added: Iterable[dict[str, Any]]) -> list[str]:
    """The tokens that are found in a text as they are written."""
    found = []
    for token in added:
        if token.get("normalized") or token.get("single_word") or token.get("lstrip") or token.get("rstrip"):
            raise refused(f"Its token {token['content']!r} takes in what stands around it.")
        found.append(token["content"])
    if any(a != b and a in b for a in found for b in found):
        raise refused("One of its special tokens is a part of another.")
    return found


def _frame(post: dict[str, Any]) -> tuple[int, int]:
    """The tokens that open and close a text: [CLS] A [SEP], and [CLS] A [SEP] B [SEP]."""
    if post.get("type") == "BertProcessing":
        return post["cls"][1], post["sep"][1]
    names = [[next(iter(piece.values()))["id"] for piece in post.get(kind, [])] for kind in ("single", "pair")]
    if len(names[0]) == 3 and len(names[1]) == 5:
        first, last = names[0][0], names[0][2]
        if names == [[first, "A", last], [first, "A", last, "B", last]]:
            ids = [post["special_tokens"][name]["ids"] for name in (first, last)]
            if all(len(found) == 1 for found in ids):
                return ids[0][0], ids[1][0]
    raise refused("It frames texts in another way than BERT's does.")


def _characters(plan: WordPiecePlan, tokenizer: Tokenizer) -> None:
    """Ask the tokenizer what becomes of every character there is."""
    points = [p for p in range(0x110000) if p not in _SURROGATES and chr(p) != _MARK]
    found: list[str] = []
    for start in range(0, len(points), _AT_A_TIME):
        text = _MARK + "".join(chr(p) + _MARK for p in points[start : start + _AT_A_TIME])
        pieces = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))
        found += "\n".join(piece for piece, _ in pieces).split(_MARK)[1:-1]
    if len(found) != len(points):
        raise refused("It joins or splits characters that stand beside each other.")
    places = {ord(place) for place in plan.special.values()}
    for point, result in zip(points, found, strict=True):
        character, whole = chr(point), result.strip("\n")
        if point in places or not result:
            plan.dropped.append(point)
        elif not whole:
            plan.blanks.append(point)
        elif result not in (whole, f"\n{whole}\n") or ("\n" in whole and result == whole):
            raise refused(f"It makes words of the character U+{point:04X} that don't stand apart.")
        else:
            if result != whole:
                plan.apart.append(point)
            if whole != character:
                plan.replaced[character] = whole.replace("\n", " ")
