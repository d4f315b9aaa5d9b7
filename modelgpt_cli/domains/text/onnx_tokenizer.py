"""Raw texts to token ids as nodes of a graph: a WordPiece tokenizer with onnxruntime-extensions' operators.

The library's own BERT operator knows no accents beyond Latin, reads one text at a time and cuts pairs in another way,
so the tokenizer's steps are written out, from what `wordpiece_plan` learns of it, and held against it before use.
Shapes: N texts, M words, K characters, P pieces, T tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from onnx import TensorProto, helper

from modelgpt_cli.artifacts.graph import GraphWriter
from modelgpt_cli.artifacts.verify import graph_session
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.text.token_rows import IDS, MASK, SEGMENTS, TextRows
from modelgpt_cli.domains.text.wordpiece_plan import WordPiecePlan, character_class, plan_wordpiece, refused
from modelgpt_cli.runtime.session import EXTENSIONS

_PAIR_WORDS = 4096
"""Words of a text of a pair that are looked at: which of two longer ones is cut first, no one will notice."""
_PROOF_TEXTS, _PROOF_CHARACTERS, _PROOF_BATCH = 400, 40, 50
_SOME_TEXTS = (
    "",
    " ",
    "The café's menu — naïve, “quoted”, 10/10!",
    "hello☕ world🙂🙂 ok",
    "[CLS] said [SEP][MASK] and [UNK], then [sep]",
    "漢字かな交じり文 한국어 हिन्दी ไทย שלום عليكم ЁЖИК İstanbul",
    "tab\tline\r\nbell\x07 zero\u200bwidth\ufeff nb\u00a0sp",
    "x" * 100 + " " + "x" * 101 + " " + "é" * 101,
)


@dataclass(frozen=True)
class _Pieces:
    """The pieces of all texts, one text after the other.

    Attributes
    ----------
    ids : str
        int64 (P,)
    count, start : str
        int64 (N,): pieces of each text, and where its first one lies.
    """

    ids: str
    count: str
    start: str


def tokenize(g: GraphWriter, tokenizer_json: str, texts: list[str]) -> tuple[str, ...]:
    """Write the nodes.

    Parameters
    ----------
    g : GraphWriter
    tokenizer_json : str
        Of a tokenizer that cuts at the model's window.
    texts : list of str
        The graph's inputs, string (N,): texts, or the two of pairs. A NUL character ends a text.

    Returns
    -------
    tuple of str
        Token ids, attention mask, and for pairs segments: int64 (N, T).

    Raises
    ------
    UsageError
        The tokenizer does what these nodes can't do exactly.
    """
    plan = _proved_plan(tokenizer_json)
    return _write(g, plan, texts)


@lru_cache(maxsize=1)
def _proved_plan(tokenizer_json: str) -> WordPiecePlan:
    """A tokenizer's plan, held against the tokenizer on odd and on random texts, alone and in pairs."""
    plan = plan_wordpiece(tokenizer_json)
    tokenizer = load_tokenizer(tokenizer_json)
    texts = list(_proof_texts(plan))
    for pair in (False, True):
        names = ["first", "second"][: 1 + pair]
        g = GraphWriter({}, [*names, IDS, MASK, SEGMENTS])
        outputs = [IDS, MASK, SEGMENTS][: 2 + pair]
        for inner, name in zip(_write(g, plan, names), outputs, strict=True):
            g.op("Identity", inner, output=name)
        proto = g.model(
            [helper.make_tensor_value_info(name, TensorProto.STRING, ["N"]) for name in names],
            [helper.make_tensor_value_info(name, TensorProto.INT64, ["N", "T"]) for name in outputs],
            {},
        )
        session = graph_session(proto.SerializeToString(), extensions=True)
        columns = [texts, texts[::-1]][: 1 + pair]
        rows = TextRows(tokenizer, *columns)
        for start in range(0, len(texts), _PROOF_BATCH):
            place = np.arange(start, min(start + _PROOF_BATCH, len(texts)))
            feed = {name: np.array(c, dtype=object)[place] for name, c in zip(names, columns, strict=True)}
            found = dict(zip(outputs, session.run(None, feed), strict=True))
            expected = rows.feed(place)
            if any(not np.array_equal(found[name], expected[name]) for name in outputs):
                raise refused("Its nodes give other tokens than the tokenizer does, on texts made to try it.")
    return plan


def _proof_texts(plan: WordPiecePlan) -> Iterator[str]:
    """Odd texts, texts of characters of each kind, and texts around the window's length."""
    yield from _SOME_TEXTS
    rng = np.random.default_rng(0)
    replaced = [ord(c) for c in plan.replaced]
    common = [ord(c) for piece in list(plan.vocabulary)[:3000] for c in piece.removeprefix(plan.prefix)]
    anything = [*range(1, 0xD800), *range(0xE000, 0x30000)]
    reserved = [0, *(ord(place) for place in plan.special.values())]
    kinds = [
        np.setdiff1d(np.array(points, dtype=np.int64), reserved)
        for points in (common, replaced, plan.apart, plan.dropped, plan.blanks, anything)
    ]
    kinds = [kinds[0], *(points for points in kinds if len(points))]  # common ones more often
    for _ in range(_PROOF_TEXTS):
        found = [rng.choice(kinds[k], 1)[0] for k in rng.integers(0, len(kinds), _PROOF_CHARACTERS)]
        yield "".join(map(chr, found))
    for length in (*range(plan.window - 4, plan.window + 2), plan.window // 2, plan.window * 3):
        yield "a " * length


def _write(g: GraphWriter, plan: WordPiecePlan, texts: list[str]) -> tuple[str, ...]:
    most = _PAIR_WORDS if len(texts) == 2 else plan.window
    pieces = [_pieces(g, plan, text, most) for text in texts]
    return _framed_pair(g, plan, *pieces) if len(pieces) == 2 else _framed(g, plan, pieces[0])


def _pieces(g: GraphWriter, plan: WordPiecePlan, text: str, most: int) -> _Pieces:
    """The pieces of texts (N,)."""
    words, offsets = _words(g, plan, text)
    words, row = _first_words(g, words, offsets, most)  # (M,) each
    normal, within = _split(g, _normalised(g, plan, words), "( +)", "")  # an emoji's name may be several words
    row = g.op("Gather", row, _group(g, g.op("Slice", within, g.index(0), g.index(-1), g.index(0)), normal), axis=0)
    pieces, _, begin, end = g.ops(
        "WordpieceTokenizer",
        normal,
        g.index(),
        count=4,
        domain=EXTENSIONS,
        vocab=json.dumps(plan.vocabulary, ensure_ascii=False),
        suffix_indicator=plan.prefix,
        unknown_token=_unknown_piece(plan),
        max_input_chars_per_word=plan.longest_word,
    )
    ids = g.op(
        "LabelEncoder",
        pieces,
        keys_strings=list(plan.vocabulary),
        values_int64s=list(plan.vocabulary.values()),
        default_int64=plan.unknown,
    )
    last = g.op("Sub", end, g.index(1))  # (M,)
    # The operator gives the pieces it found before it gave up; the tokenizer calls the whole word unknown.
    spoilt = g.op("Equal", g.op("Gather", ids, last, axis=0), g.index(plan.unknown))
    word = _group(g, begin, ids)  # (P,)
    place = _range(g, ids)
    is_last = g.op("Equal", place, g.op("Gather", last, word, axis=0))
    kept = g.op("Or", is_last, g.op("Not", g.op("Gather", spoilt, word, axis=0)))
    # The last word is none of a text's.
    kept = g.op("And", kept, g.op("Less", word, g.op("Sub", g.op("Shape", normal), g.index(1))))
    ids = g.op("Compress", ids, kept, axis=0)
    row = g.op("Compress", g.op("Gather", row, word, axis=0), kept, axis=0)
    rows = g.op("Unsqueeze", _range(g, text), g.index(0))  # (1, N)
    same = g.op("Cast", g.op("Equal", g.op("Unsqueeze", row, g.index(1)), rows), to=TensorProto.INT64)
    count = g.reduce("ReduceSum", same, 0, keep=False)
    start = g.op("CumSum", count, g.const(0, np.int64), exclusive=1)
    return _Pieces(ids, count, start)


def _words(g: GraphWriter, plan: WordPiecePlan, text: str) -> tuple[str, str]:
    """Texts (N,) to words (M,), and where each text's begin, (N + 1,); characters are replaced later."""
    places = [ord(place) for place in plan.special.values()]
    text = _replace(g, text, character_class(places), "") if places else text
    for token, place in plan.special.items():
        text = _replace(g, text, re.sub(r"([^\w])", r"\\\1", token), f" {place} ")
    text = _replace(g, text, character_class([p for p in plan.dropped if p and p not in set(places)]), "")
    text = _replace(g, text, character_class(plan.apart), r" \0 ")
    return _split(g, text, f"({character_class(plan.blanks)}+)", "")


def _first_words(g: GraphWriter, words: str, offsets: str, most: int) -> tuple[str, str]:
    """The first words of each text, and one more at the end, so that there is one: words and texts' numbers (M,)."""
    begin = g.op("Slice", offsets, g.index(0), g.index(-1), g.index(0))  # (N,)
    end = g.op("Slice", offsets, g.index(1), g.index(np.iinfo(np.int64).max), g.index(0))
    place = _range(g, words)
    ended = g.op("LessOrEqual", g.op("Unsqueeze", end, g.index(0)), g.op("Unsqueeze", place, g.index(1)))  # (M, N)
    row = g.reduce("ReduceSum", g.op("Cast", ended, to=TensorProto.INT64), 1, keep=False)
    kept = g.op("Less", g.op("Sub", place, g.op("Gather", begin, row, axis=0)), g.index(most))
    words = g.op("Concat", g.op("Compress", words, kept, axis=0), g.strings(["."]), axis=0)
    return words, g.op("Concat", g.op("Compress", row, kept, axis=0), g.index(-1), axis=0)


def _normalised(g: GraphWriter, plan: WordPiecePlan, words: str) -> str:
    """Words (M,) with their characters replaced; the end of overlong ones is cut off, they are unknown anyway."""
    characters, offsets = _split(g, words, "((?s).)", "((?s).)")
    keys, values = list(plan.replaced), list(plan.replaced.values())
    known = g.op("LabelEncoder", characters, keys_strings=keys, values_int64s=[1] * len(keys), default_int64=0)
    other = g.op("LabelEncoder", characters, keys_strings=keys, values_strings=values, default_string="")
    characters = g.op("Where", g.op("Cast", known, to=TensorProto.BOOL), other, characters)  # (K,)
    begin = g.op("Slice", offsets, g.index(0), g.index(-1), g.index(0))  # (M,)
    end = g.op("Slice", offsets, g.index(1), g.index(np.iinfo(np.int64).max), g.index(0))
    longest = g.reduce("ReduceMax", g.op("Sub", end, begin), 0)
    longest = g.op("Squeeze", g.op("Min", longest, g.index(plan.longest_word + 1)), g.index(0))
    steps = g.op("Range", g.const(0, np.int64), longest, g.const(1, np.int64))
    place = g.op("Add", g.op("Unsqueeze", begin, g.index(1)), steps)
    inside = g.op("Less", place, g.op("Unsqueeze", end, g.index(1)))
    place = g.op("Where", inside, place, g.op("Shape", characters))  # (M, longest)
    grid = g.op("Gather", g.op("Concat", characters, g.strings([""]), axis=0), place, axis=0)
    return g.op("StringJoin", grid, g.strings([""]), g.index(1), domain=EXTENSIONS)


def _framed(g: GraphWriter, plan: WordPiecePlan, pieces: _Pieces) -> tuple[str, str]:
    """Pieces to token ids and attention mask (N, T)."""
    count = g.op("Unsqueeze", g.op("Min", pieces.count, g.index(plan.window - 2)), g.index(1))  # (N, 1)
    length = g.op("Add", count, g.index(2))
    place = _places(g, length)  # (1, T)
    ids = _laid(g, pieces, g.op("Sub", place, g.index(1)))
    ids = g.op("Where", g.op("Equal", place, g.index(0)), g.index(plan.first), ids)
    ids = g.op("Where", g.op("Equal", place, g.op("Sub", length, g.index(1))), g.index(plan.last), ids)
    present = g.op("Less", place, length)
    return g.op("Where", present, ids, g.index(0)), g.op("Cast", present, to=TensorProto.INT64)


def _framed_pair(g: GraphWriter, plan: WordPiecePlan, one: _Pieces, two: _Pieces) -> tuple[str, str, str]:
    """Pieces of pairs to token ids, attention mask and segments (N, T)."""
    count1, count2 = (g.op("Unsqueeze", c, g.index(1)) for c in _shares(g, plan.window - 3, one.count, two.count))
    second = g.op("Add", count1, g.index(2))  # (N, 1): where the second text begins
    end = g.op("Add", second, count2)
    length = g.op("Add", end, g.index(1))
    place = _places(g, length)
    ids = g.op(
        "Where",
        g.op("Less", place, second),
        _laid(g, one, g.op("Sub", place, g.index(1))),
        _laid(g, two, g.op("Sub", place, second)),
    )
    ids = g.op("Where", g.op("Equal", place, g.index(0)), g.index(plan.first), ids)
    for closed in (g.op("Sub", second, g.index(1)), end):
        ids = g.op("Where", g.op("Equal", place, closed), g.index(plan.last), ids)
    present = g.op("Less", place, length)
    # Of an empty second text, not even its end counts as the second's.
    there = g.op("And", g.op("Not", g.op("Less", place, second)), g.op("Less", g.index(0), count2))
    segments = g.op("Cast", g.op("And", there, present), to=TensorProto.INT64)
    return g.op("Where", present, ids, g.index(0)), g.op("Cast", present, to=TensorProto.INT64), segments


def _shares(g: GraphWriter, room: int, first: str, second: str) -> tuple[str, str]:
    """How many pieces of each text of a pair are kept, (N,) each: the longer one is cut first, then both to a half."""
    short = g.op("Min", first, second)
    rest = g.op("Max", short, g.op("Sub", g.index(room), short))
    both = g.op("Less", g.index(room), g.op("Add", short, rest))
    short = g.op("Where", both, g.index(room // 2), short)
    long = g.op("Where", both, g.index(room - room // 2), rest)
    swap = g.op("Less", second, first)
    fits = g.op("Not", g.op("Less", g.index(room), g.op("Add", first, second)))
    one = g.op("Where", fits, first, g.op("Where", swap, long, short))
    return one, g.op("Where", fits, second, g.op("Where", swap, short, long))


def _places(g: GraphWriter, length: str) -> str:
    """0, 1, 2, ... up to the longest row: (1, T), of lengths (N, 1)."""
    longest = g.op("Squeeze", g.reduce("ReduceMax", length, 0), g.index(0, 1))
    return g.op("Unsqueeze", g.op("Range", g.const(0, np.int64), longest, g.const(1, np.int64)), g.index(0))


def _laid(g: GraphWriter, pieces: _Pieces, place: str) -> str:
    """The pieces at places within their texts, (N, T); anything at places that have none."""
    at = g.op("Add", g.op("Unsqueeze", pieces.start, g.index(1)), place)
    at = g.op("Max", g.op("Min", at, g.op("Shape", pieces.ids)), g.index(0))
    return g.op("Gather", g.op("Concat", pieces.ids, g.index(0), axis=0), at, axis=0)


def _group(g: GraphWriter, begin: str, items: str) -> str:
    """Which group each item belongs to, of groups that begin at these places, none of them empty."""
    zeros = g.op("ConstantOfShape", g.op("Shape", items), value=helper.make_tensor("", TensorProto.INT64, [1], [0]))
    ones = g.op("ConstantOfShape", g.op("Shape", begin), value=helper.make_tensor("", TensorProto.INT64, [1], [1]))
    marked = g.op("ScatterElements", zeros, begin, ones, axis=0)
    return g.op("Sub", g.op("CumSum", marked, g.const(0, np.int64)), g.index(1))


def _range(g: GraphWriter, items: str) -> str:
    """0, 1, 2, ... for each item."""
    size = g.op("Squeeze", g.op("Shape", items), g.index(0))
    return g.op("Range", g.const(0, np.int64), size, g.const(1, np.int64))


def _replace(g: GraphWriter, text: str, pattern: str, by: str) -> str:
    return g.op("StringRegexReplace", text, g.strings([pattern]), g.strings([by]), domain=EXTENSIONS)


def _split(g: GraphWriter, text: str, pattern: str, kept: str) -> tuple[str, str]:
    """Strings split at a pattern: the parts, and where each string's begin."""
    parts, _, _, offsets = g.ops(
        "StringRegexSplitWithOffsets", text, g.strings([pattern]), g.strings([kept]), count=4, domain=EXTENSIONS
    )
    return parts, offsets


def _unknown_piece(plan: WordPiecePlan) -> str:
    return next(piece for piece, i in plan.vocabulary.items() if i == plan.unknown)
