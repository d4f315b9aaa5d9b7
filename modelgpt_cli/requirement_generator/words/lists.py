"""Lists that are seen by their form alone: "leaf scans, rust / mildew / healthy, 3 MB". Before `labels`.

A text is cut at full stops, colons, arrows, dashes and parentheses into segments, and these at commas into pieces. A
list is a piece whose phrases are joined by a slash, a bar, "vs" or "or", or a row of short pieces after a colon or an
arrow. What surrounds it is cut off: words up to a noun of data, a verb or a preposition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from modelgpt_cli.requirement_generator.words.vocabulary import (
    ADJECTIVE,
    ASPECTS,
    ATTRIBUTES,
    CLASS_NOUNS,
    COLUMN_NOUNS,
    DATA_NOUNS,
    MEDIA,
    are_labels,
)

_CUT = re.compile(
    r"(?P<colon>:)|(?P<arrow>→|-+>|=+>)|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<dash>\s[-–—]+\s)"
    r"|(?P<stop>(?<!\bvs)(?<!\betc)(?<!e\.g)(?<!i\.e)[.!?]+(?=\s|$)|[;\n…])"
)
_COMMA = re.compile(r",(?!\d)|(?<!\d),")
_JOINT = re.compile(
    r"(?P<slash>(?<=[^\s/|])[/|](?=[^\s/|]))|\s*(?P<bar>\||\s/\s?|/\s)\s*|[\s,]+(?P<vs>vs\.?|versus|against)(?=\s)\s+"
    r"|-(?P<hyphen>vs|or)\.?-|(?:^|(?<=\s))(?P<or>or)\s+(?:else\s+)?",
    re.IGNORECASE,
)
_BAR = re.compile(r" \| (?=[<>≤≥=]* ?\d)|(?<=\d[%a-zA-Z]) \| |(?<=\d[a-zA-Z]{2}) \| |(?<=\d [a-zA-Z]{2}) \| ")
"""A bar that parts figures from the rest of a request, rather than labels."""
_AND = re.compile(r"(?:^|\s+)(?:and|or|&)\s+", re.IGNORECASE)
_STOP_TEXT = """
a an the this that these those it its they them their we our us i me my mine you your he she his her who which what
whose is are was were be been being am do does did done have has had having can could may might must shall should
will would need needs want wants get gets got make makes made give gives tell tells know say says see sees look looks
take takes took use uses used using run runs keep please pls thanks into onto in on at by for from of with without
to as than then so because since while where when if whether only just also too very-much about after before between
under over above below within through via per each every either both any all some most least more less max min not no
never but and yet still already here there how why up off out one two three four five six seven eight nine ten
classify classifies classifying classified classification sort sorts sorting sorted detect detects detecting
recognise recognize recognises recognizes identify identifies label labels labelled labeled labelling labeling tag
tags tagging flag flags distinguish separate predict predicts predicting filter decide decides grade grades rate
categorise categorize categories route routes split splits mark marks find finds spot check checks like hi hello
output outputs return returns answer answers assign assigns show shows
"""
_STOP = frozenset(_STOP_TEXT.split())
_NOUNS_TOO = frozenset(
    ("grade", "label", "mark", "spot", "check", "filter", "split", "tag", "route", "rate", "output", "show")
)
"""Verbs that are nouns at the end of a phrase."""
_PLACES = frozenset(("with", "in", "by", "from", "on", "at", "using", "via", "without", "through", "per", "under"))
"""What stands before a list of sources, devices or places."""
_CHOOSERS_TEXT = """
want wants need needs output outputs return returns answer answers assign assigns give gives show shows
is are be it they them this that these those as into between of about either whether if one each say says see sees
tell tells mean means know decide decides predict predicts
classify sort label labels detect recognise recognize identify flag grade grades tag mark to be
"""
_CHOOSERS = frozenset(_CHOOSERS_TEXT.split())
"""What may stand before a list that "or" joins."""
_BACKGROUND = re.compile(
    r"\b(?:stack|tools|toolchain|frameworks?|supports?|supported|platforms?|written in|built (?:with|in|on)"
    r"|available (?:in|on"
    r"|for)|runs? on|works? (?:with|on|in)|(?:we|they|i|app|site|website) (?:\w+ )?uses?|database|versions?"
    r"|based in|offices)\b",
    re.IGNORECASE,
)
"""What is told of tools, places and versions, not of classes."""
_TOKEN = re.compile(r"\"[^\"\n]{1,40}\"|“[^”\n]{1,40}”|[^\W_][\w+&.'’°-]*(?<![.'’])")
_PLAIN = re.compile(r"[\s\"“”\w+&.'’°-]*")
_OPEN = re.compile(
    r"\b(?:etc|and so on|and others|and more|among others|or so|e\.?g|for example|such as|like)\b|\.\.\.|…"
)
_CLASSIFIERS = (
    rf"(?:(?:class?if|categor|recogni|detect|diagnos|filter|sort|triag|rout|label)\w*|{CLASS_NOUNS}|{ASPECTS})"
)
_MOST_WORDS = 3


@dataclass(frozen=True)
class Listed:
    """A list of phrases.

    Attributes
    ----------
    items : tuple of str
    start, end : int
        Where it stands.
    open : bool
        Whether it is said to go on.
    """

    items: tuple[str, ...]
    start: int
    end: int
    open: bool = False


@dataclass(frozen=True)
class _Span:
    """A stretch of the text; `opener` is the kind of cut before it."""

    start: int
    end: int
    opener: str = ""


def find_lists(text: str) -> list[Listed]:
    """Find the lists of a text that may be classes, the surest first."""
    found: list[tuple[int, Listed]] = []
    text = _BAR.sub(" ; ", text)
    for segment in _segments(text):
        pieces = list(_pieces(text, segment))
        for i, piece in enumerate(pieces):
            joints = list(_JOINT.finditer(text, piece.start, piece.end))
            if joints:
                choice = _choice(text, pieces, i, joints)
                if choice:
                    found.append(choice)
        row = _row(text, segment, pieces)
        if row:
            found.append((1, row))
    return [listed for _, listed in sorted(found, key=lambda pair: (pair[0], pair[1].start))]


def _segments(text: str) -> Iterator[_Span]:
    start, opener = 0, "stop"
    for cut in _CUT.finditer(text):
        yield _Span(start, cut.start(), opener)
        start, opener = cut.end(), str(cut.lastgroup)
    yield _Span(start, len(text), opener)


def _pieces(text: str, segment: _Span) -> Iterator[_Span]:
    start, opener = segment.start, segment.opener
    for cut in _COMMA.finditer(text, segment.start, segment.end):
        yield _Span(start, cut.start(), opener)
        start, opener = cut.end(), "comma"
    yield _Span(start, segment.end, opener)


def _choice(text: str, pieces: list[_Span], i: int, joints: list[re.Match[str]]) -> tuple[int, Listed] | None:
    """The phrases that slashes, bars, "vs" or "or" join in a piece, with the short pieces before an "or"."""
    kinds = {str(m.lastgroup) for m in joints}
    piece = pieces[i]
    parts = [_Span(a, b) for a, b in _between(piece, joints) if text[a:b].strip()]
    first = _first_piece(text, pieces, i, parts) if kinds == {"or"} else i
    parts = [*pieces[first:i], *parts]
    if len(parts) > 2 and kinds == {"bar"} and re.search(rf"\b{MEDIA}$", _words(text, parts[0]), re.IGNORECASE):
        parts = parts[1:]
    if len(parts) < 2:
        return None
    head, cut = _head(text, parts[0])
    if kinds == {"or"} and not cut and first and _is_talk(text, pieces[:first]):
        return None
    tail, after = _tail(text, parts[-1])
    of_data = tail is not None and re.match(rf" {DATA_NOUNS}\b", text[tail.end :], re.IGNORECASE) is not None
    if head is None or tail is None or not all(_is_phrase(text, part) for part in parts[1:-1]):
        return None
    spans = [head, *parts[1:-1], tail]
    if "or" in kinds and not _chosen(cut, after):
        return None
    if "or" in kinds and len(_words(text, head).split()) > 2 and all(" " not in _words(text, s) for s in spans[1:]):
        return None  # "the users speak English or French"
    if "vs" not in kinds and _BACKGROUND.search(text[pieces[0].start : piece.end]):
        return None
    if ("vs" not in kinds and cut in _PLACES) or re.fullmatch(ATTRIBUTES, cut):
        return None
    items = _even([_words(text, span) for span in spans], tight=of_data or kinds <= {"slash", "hyphen"})
    if cut and re.fullmatch(r"[\w-]+s [\w-]+", items[0]) and not any(" " in item for item in items[1:]):
        items[0] = items[0].split()[1]  # "grade apples A, B or C"
    described = all(re.fullmatch(ADJECTIVE, item.lower()) for item in items[:-1])
    if {"or", "vs"} & kinds and described and re.fullmatch(rf"{ADJECTIVE} \w+", items[-1].lower()):
        items[-1] = items[-1].split()[0]  # "good or bad weld"
    listed = _listed(text, items, spans[0].start, spans[-1].end)
    return (0 if kinds & {"vs", "bar"} else 1 if "slash" in kinds else 2, listed) if listed else None


def _first_piece(text: str, pieces: list[_Span], i: int, parts: list[_Span]) -> int:
    """The piece that a list begins with whose last phrases, `parts` of piece `i`, are joined by "or"."""
    described = all(re.fullmatch(ADJECTIVE, _words(text, part).lower()) for part in parts)
    first = i
    while first and pieces[first].opener == "comma" and _goes_before(text, pieces[first - 1]):
        said = _words(text, pieces[first - 1]).lower()
        if described and first == 1 and _is_phrase(text, pieces[0]) and not re.fullmatch(ADJECTIVE, said):
            break  # "carrots, straight or forked"
        first -= 1
        if not _is_phrase(text, pieces[first]):
            break
    return first


def _chosen(cut: str, after: str) -> bool:
    """Whether phrases that "or" joins are chosen from, by the words before and after them."""
    return (not cut or cut in _CHOOSERS or re.fullmatch(rf"{DATA_NOUNS}|{ASPECTS}", cut) is not None) and (
        not after or after in _PLACES or after in ("for", "of", "to", "please", "within", "and", "max")
    )


def _row(text: str, segment: _Span, pieces: list[_Span]) -> Listed | None:
    """Short pieces in a row after a colon, an arrow or a noun of data, up to a figure or the segment's end."""
    lead = re.search(r"([\w-]+)\W*$", text[: segment.start])
    noun = lead[1].lower() if lead else ""
    if re.fullmatch(COLUMN_NOUNS, noun) or segment.opener == "close":
        return None
    media = re.search(rf"\b{MEDIA}(?:(?: [\w-]+){{0,3}}|s of [\w-]+)\W*$", text[: segment.start], re.IGNORECASE)
    named = {
        "arrow": True,
        "colon": True,
        "dash": media is not None,
        "open": re.fullmatch(_CLASSIFIERS, noun) is not None or (media is not None and noun.endswith("s")),
        "stop": re.match(rf": ?(?:[\w-]+ )?{MEDIA}\b", text[segment.end :], re.IGNORECASE) is not None
        or re.search(rf"\b{MEDIA};\s*$", text[: segment.start], re.IGNORECASE) is not None,
    }
    if not named[segment.opener]:
        return None
    items: list[str] = []
    end = segment.start
    for piece in pieces:
        joints = list(_AND.finditer(text, piece.start, piece.end))
        parts = [_Span(a, b) for a, b in _between(piece, joints) if text[a:b].strip()]
        if not parts or not all(_is_phrase(text, part) for part in parts):
            break
        items += [_words(text, part) for part in parts]
        end = parts[-1].end
    unsure = segment.opener == "colon" and not (media or re.fullmatch(_CLASSIFIERS, noun))
    if unsure and not _after_title(text, segment, items, end):
        return None
    if segment.opener == "open" and (len(items) < 3 or end != segment.end):
        return None
    return _listed(text, items, segment.start, end) if len(items) > 1 else None


def _after_title(text: str, segment: _Span, items: list[str], end: int) -> bool:
    """Whether a row after any colon may be classes: three after a title or a plural, or two with a word in common."""
    if len({item.split()[-1] for item in items}) == 1 and all(" " in item for item in items):
        return True
    whole = end == segment.end or re.match(r",? ?(?:[<>≤≥]|[\d.]+ ?[a-z%])", text[end:]) is not None
    title = re.search(r"(?:^|[.;!?])([^.;!?:,]*):\s*$", text[: segment.start])
    short = title is not None and _is_phrase(text, _Span(*title.span(1)))
    noun = re.search(rf"\b(?:[\w-]+s|{DATA_NOUNS})\W*$", text[: segment.start], re.IGNORECASE)
    return len(items) > 2 and whole and (short or noun is not None)


def _between(piece: _Span, joints: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    start = piece.start
    for joint in joints:
        yield start, joint.start()
        start = joint.end()
    yield start, piece.end


def _is_talk(text: str, before: list[_Span]) -> bool:
    """Whether phrases after a comma go on with a sentence that says what someone has or does: "we sell jam, ..."."""
    _, cut = _head(text, before[-1])
    said = text[before[0].start : before[-1].end]
    if re.search(r"\b(?:who|which|whether|what|if)\b", said, re.IGNORECASE):
        return False
    return cut in _PLACES or re.search(r"\b(?:we|i|they|he|she|you)\b", said, re.IGNORECASE) is not None


def _goes_before(text: str, span: _Span) -> bool:
    """Whether a piece belongs to the list that ends in an "or" behind it."""
    if re.search(rf"\b{MEDIA}\s*$|\s\d", text[span.start : span.end], re.IGNORECASE):
        return False
    if _is_phrase(text, span):
        return True
    head, cut = _head(text, span)
    return head is not None and (not cut or (cut in _CHOOSERS and cut != "of"))


def _is_phrase(text: str, span: _Span) -> bool:
    """Whether a stretch is one to three words that say what something is."""
    words = text[span.start : span.end].split()
    words = words[1:] if words and words[0].lower() in ("a", "an", "the", "not", "no", "very", "is", "are") else words
    if len(words) == 1 and words[0].lower() in ("done", "on", "off", "up", "down", "out", "for", "against"):
        return True
    if words and words[-1].lower() in _NOUNS_TOO:
        words = [*words[:-1], "thing"]
    alone = not any(word.lower() in _STOP and not word.isupper() for word in words)
    return 0 < len(words) <= _MOST_WORDS and alone and _PLAIN.fullmatch(text, span.start, span.end) is not None


def _head(text: str, span: _Span) -> tuple[_Span | None, str]:
    """What is left of a list's first phrase without the words before it, and the last of these words."""
    tokens = list(_TOKEN.finditer(text, span.start, span.end))
    while len(tokens) > 1 and re.fullmatch(DATA_NOUNS, tokens[-1][0], re.IGNORECASE):
        tokens.pop()
    cut = ""
    first = 0
    for i, token in enumerate(tokens):
        word = token[0].lower()
        stops = word in _STOP and not (token[0].isupper() and i == len(tokens) - 1)
        ahead = i + 1 < len(tokens) and word in ("not", "no")
        if (stops and not ahead) or (re.fullmatch(rf"{DATA_NOUNS}|{ASPECTS}", word) and i + 1 < len(tokens)):
            first, cut = i + 1, cut if word in ("a", "an", "the") and first == i and cut else word
    rest = tokens[first:]
    if not rest or len(rest) > _MOST_WORDS:
        return None, cut
    return _Span(rest[0].start(), rest[-1].end()), "" if cut in ("a", "an", "the") and first == 1 else cut


def _tail(text: str, span: _Span) -> tuple[_Span | None, str]:
    """What is left of a list's last phrase without the words after it, and the first of these words."""
    kept: list[re.Match[str]] = []
    after = ""
    for token in _TOKEN.finditer(text, span.start, span.end):
        word = token[0].lower()
        if not kept and word in ("a", "an", "the"):
            continue
        if word in _STOP and not token[0].isupper() and not (not kept and word in ("no", "not", "very")):
            after = word
            break
        if kept and re.fullmatch(DATA_NOUNS, word):
            break
        kept.append(token)
    no = len(kept) == 2 and kept[0][0].lower() in ("no", "not")
    while len(kept) > 1 and not no and re.fullmatch(rf"{DATA_NOUNS}|{CLASS_NOUNS}", kept[-1][0], re.IGNORECASE):
        kept.pop()
    if not kept or len(kept) > _MOST_WORDS:
        return None, after
    return _Span(kept[0].start(), kept[-1].end()), after


def _words(text: str, span: _Span) -> str:
    words = text[span.start : span.end].strip().strip("\"“”'‘’`").strip()
    return re.sub(r"^(?:an?|the|is|are) (?=\w)", "", words)


def _even(items: list[str], tight: bool) -> list[str]:
    """Items that a slash joins closely are of one word each, if all but the outer ones are."""
    inner = items[1:-1]
    first, last = items[0].split(), items[-1].split()
    if not tight or any(" " in item for item in inner):
        return items
    no = {"no", "not", "non", "very"}
    if len(first) > 1 and (inner or len(last) == 1 or last[0] in no) and not no & {*first}:
        items = [first[-1], *items[1:]]
    if len(last) > 1 and len(items[0].split()) == 1 and not no & {*last}:
        items = [*items[:-1], last[0]]
    return items


def _listed(text: str, items: list[str], start: int, end: int) -> Listed | None:
    """The list, unless one of its items can't be a label."""
    if not are_labels(items, text):
        return None
    found = Listed(tuple(items), start + len(text[start:end]) - len(text[start:end].lstrip()), end)
    around = text[end : end + 20].lower() + " " + text[max(0, start - 16) : start].lower()
    return replace(found, open=bool(_OPEN.search(around)))
