"""The classes that a text lists. Beside `readings`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelgpt_cli.requirement_generator.words.lists import find_lists
from modelgpt_cli.requirement_generator.words.numerals import ONES
from modelgpt_cli.requirement_generator.words.readings import Fact, Unclear
from modelgpt_cli.requirement_generator.words.vocabulary import CLASS_NOUNS, COLUMN_NOUNS, DATA_NOUNS, MEDIA, are_labels

_STOP = (
    r"(?:within|in|under|with|for|from|on|at|that|which|who|by|based|using|given|so|because|where|when|if|must|should"
    r"|has|have|needs?|is|are|to|of|the|keep|we|i|it|they|but|then|than|as|please|max|maximum|less|more|below|over"
    r"|above|up|not|no(?! ?(?:[,.)/;?\n]|$))|can|will|would|whose|into|without|per|via|while|each|every|about|after"
    r"|before|between|our|my|your|their|his|her|its|I|[Ii]t|(?:[Ii]|[Ww]e|[Yy]ou|[Tt]hey|[Hh]e|[Ss]he|[Ii]t"
    r"|[Tt]hat)['’]\w+)"
)
_LATER = r"(?:running|runs?|fast|quickly|keep|plus|also|all|only|today|now|instead|please|automatically|there|here)"
"""Words that may be a class of their own, but don't go on with one."""
_QUOTED = r"\"[^\"\n]{1,40}\"|“[^”\n]{1,40}”|‘[^’\n]{1,40}’|`[^`\n]{1,40}`|(?<!\w)'[^'\n]{1,40}'(?!\w)"
_WORD = rf"(?!(?-i:{_STOP})\b)(?!(?:and|or|vs|versus|etc)\b)[^\W_][\w&+.'’-]*(?<!\.)"
_ITEM = re.compile(
    rf"(?:(?:an?|the|either|both|being|as) )*(?:({_QUOTED})"
    rf"|((?:not )?{_WORD}(?:[ ](?!(?-i:{_LATER})\b){_WORD}){{0,3}}))",
    re.IGNORECASE,
)
_COMMA = re.compile(r" ?[,/|] ?(?!(?:and|or)\b)", re.IGNORECASE)
_LAST = re.compile(r" ?,? ?(?:\b(and|or|versus|from|vs)\b\.?|&) ?", re.IGNORECASE)
_OPEN = re.compile(
    r" ?[,;]? ?(?:and )?(?:\.\.\.|…|etc\b|and so on|among others|and (?:others|more|the like"
    r"|similar)\b|or so\b|others?\b ?\.\.\.)",
    re.IGNORECASE,
)
_SAMPLE = re.compile(
    r"\b(?:such as|like|e\.?g\.?|for example|for instance|including|include[sd]?|(?<=, )say)[\s,:]*$", re.IGNORECASE
)
_NUMBERS = {word: value for word, value in ONES.items() if 2 <= value <= 12} | {"a dozen": 12}
_COUNT = rf"(?:\b(?:\d+|{'|'.join(_NUMBERS)})\b)"
_ANNOUNCED = re.compile(
    rf"({_COUNT}) (?:(?:(?!{DATA_NOUNS}\b)[\w-]+ ){{0,2}}?{CLASS_NOUNS}(?: of [\w-]+)?(?: are| is|,? namely)?,?"
    rf" ?[(\[{{:–—-]*"
    rf"|(?:(?!{DATA_NOUNS}\b)[\w-]+ ){{0,2}}?(?!{DATA_NOUNS}\b)[\w-]*[^\Ws]s(?: of [\w-]+)?(?:,? namely:?|"
    rf" ?[(\[{{:–—-]+)) ?$"
    rf"|({_COUNT}) {CLASS_NOUNS}(?: of [\w-]+)? (?:into|as) $",
    re.IGNORECASE,
)
_CLASSES = re.compile(rf"({_COUNT})[ -](?:class(?:es)?|categories|labels)\b()", re.IGNORECASE)
_NO_COUNT = re.compile(
    r"(?:most|least|than|to|about|around|roughly|or|under|over|max\.?|min\.?|the|other|not|no) $", re.IGNORECASE
)
"""So many of something, right before the list of them."""

_LEADS: dict[str, list[str]] = {
    # Said to be classes, then a colon, a dash, an "are" or a parenthesis.
    "classes": [
        rf"\b{CLASS_NOUNS} ?(?:\(|:|=|[-–—]\s|\s(?:are|being|is|namely|called|named|(?:will|should|must|shall) be)\b:?"
        rf"|, ?namely) ?\[?|{_COUNT} {CLASS_NOUNS}(?: of [\w-]+)? ?, ?|\b{CLASS_NOUNS} (?=[\w-]+/[\w-])"
        r"|\b(?:classes|labels|categories) (?=[\w-]+(?: [\w-]+)?,)",
    ],
    # So many of something, then the list.
    "counted": [
        rf"{_COUNT} (?!{DATA_NOUNS}\b)(?:[\w-]+ ){{0,3}}?[\w-]+ ?(?:\(|:|\s[-–—]\s| ?,? ?namely:?) ?",
        rf"{_COUNT} ?(?:\(|:) ?",
    ],
    # Verbs and other words of telling apart.
    "verb": [
        r"\b(?:tell(?:s|ing)?|distinguish(?:es|ing)?|separat(?:e|es|ing)|discriminat(?:e|es|ing)"
        r"|differentiat(?:e|es|ing)) (?:apart ?:? ?)?(?:between )?",
        r"\b(?:into|(?:sort|rout|assign|dispatch|forward|direct|send|map|tickets?|e?-?mails?|messages?"
        r"|requests?|calls?)\w* (?:[\w-]+ ){0,4}?to) (?:either |one of )?(?:the )?",
        r"\b(?:go(?:es)?|belongs?) (?:[\w-]+ ){0,2}?to (?:either )?(?:the )?",
        r"\bas (?:being )?(?:either )?",
        r"\bbetween ",
        r"\bnamely:? (?:either )?",
        r"\bknow(?:s|ing)? (?=(?:the |an? )?[\w-]+ from (?:the |an? )?[\w-]+)",
        r"\b(?:keep(?:s|ing)?|set(?:s|ting)?) apart ",
        r"\b(?:one|which(?: one)?|any|either) of(?: the)?(?: following)? ?:? ",
        r"\b(?:whether|if) (?:[\w'’-]+ ){0,5}?(?:is|are|was|were|shows?|contains?|means?|sounds?|looks?|goes to"
        r"|belongs? to) (?:(?:going to be|likely|about|probably) )?(?:an? |the )?(?:either )?",
        r"\b(?:whether|if) (?:it|he|she|they|that|there|this|who)['’](?:s|re) ",
        r"\b(?:whether|if) (?:(?:the|an?|my|our|this) )?[\w-]+ (?=[\w-]+, [\w-]+,? or |[\w-]+s or [\w-]+s\b)",
        r"\b(?:know|say|see|decide|tells?(?: \w+)?|says?)(?: that)? (?:it['’]s|it is|they are|they['’]re)"
        r" (?=.{3,60}\bor\b)",
        r"\bis (?:this|that|the|an?) [\w-]+ (?:an? )?(?=[\w-]+(?: [\w-]+)?(?: ?, ?[\w-]+(?: [\w-]+)?)*,? or\b)",
    ],
    # A sentence of its own, or what could be anything.
    "loose": [
        r"(?:^|[.:;!?] |\b(?:is|are) (?:it|this|that|they|these|those|the \w+) (?:about )?|\beither )",
        r"\b(?:answers?|says?|outputs?|returns?|predicts?|labels?|flags?|classif(?:y|ies)|detects?|recogni[sz]es?"
        r"|identif(?:y|ies)) (?:with |either )?",
        r"\b(?:grad|sort|rat|label|mark|tag|classif|call)\w* (?:the |our |my )?[\w-]+ ",
        r"[({\[]",
        r": ",
    ],
}
"""What stands before a list of classes, from the surest on; lists that are seen by their form come before the loose."""
_CHOICE = ("or", "vs", "versus")
_OPENING = ("(", "[", "{")
_APART = re.compile(r"(?:tell|know|distinguish|separat|discriminat|differentiat)", re.IGNORECASE)
"""The leads after which a list may be joined by "from"."""
_WHICH = re.compile(
    r"\b(?:tell|keep|told)\w* (?:them|these|those|both|the (?:two|three|four|five|six)) apart|\bwhich is which"
)
_PASSIVE = re.compile(
    rf"({_WORD}) (?:ones? )?(?:(?:to|should|must|can) be |be |is |are )?(?:separated|distinguished|told(?:"
    rf" apart)?|split"
    rf"|discriminated|kept apart) from (?:the )?({_WORD})",
    re.IGNORECASE,
)
_BEFORE_WHICH = re.compile(rf"((?:{_WORD}, )*{_WORD}),? (?:and|or) ({_WORD})", re.IGNORECASE)
_NOT_CLASSES = re.compile(rf"\b{COLUMN_NOUNS} ?[({{\[:]$|\bnotes? ?:$", re.IGNORECASE)
_DATA_LIST = re.compile(rf"\b{DATA_NOUNS} ?[({{\[]$", re.IGNORECASE)
_TOLD_APART = re.compile(
    r"\b(?:sort|classif|categor|label|tell|detect|recogni|identif|distinguish|triage|which|kind|type|grade|rate"
    r"|assign|decide|rout)",
    re.IGNORECASE,
)
_POINT = re.compile(
    rf" ?(?:[-*•–]|\(?[A-Za-z0-9]{{1,2}}[).]) ({_WORD}(?:[ ]{_WORD}){{0,3}})[,;.]?(?=\s|$)", re.IGNORECASE
)
_POINTS = re.compile(rf"(?:{_POINT.pattern}){{2,}}", re.IGNORECASE)
"""A list with a bullet or a number before each item."""
_FIGURE = re.compile(
    r"\b(?:better|less|more|higher|lower|fewer|smaller|larger|above|below|under|over|faster) ?$|\d ?(?:%|[kmg]i?b\b"
    r"|ms\b|s\b|k\b|x ?\d|px\b|dpi\b|mp\b|gb\b|million|bits?\b)|\b(?:int8|fp16|onnx|opset|accuracy"
    r"|latency|version|csv|png|jpe?g|raspberry|cortex|ram|cpu|gpu|fps)\b",
    re.IGNORECASE,
)


def read_classes(text: str) -> Fact | Unclear | None:
    """Find the list of classes, in the original spelling.

    Returns
    -------
    Fact
        Its value a tuple of labels. Articles and quotes around them are not part of them, nor is a noun of the data
        that follows the last one ("good or bad reviews").
    Unclear
        A list that is open ("dents, scratches etc.").
    """
    unclear: list[Unclear] = []
    for found in _candidates(text):
        if isinstance(found, Unclear):
            unclear.append(found)
        elif not any(u.start < found.end and found.start < u.end for u in unclear):
            return found
    return unclear[0] if unclear else None


def _candidates(text: str) -> Iterator[Fact | Unclear]:
    """All that may be a list of classes, the surest first."""
    for strength, leads in _LEADS.items():
        if strength == "loose":
            told = _told_apart(text)
            yield from [told] if told else []
            yield from _by_form(text)
        for lead in leads:
            for match in re.finditer(lead, text, re.IGNORECASE):
                found = _list_at(text, match, strength)
                if found is not None:
                    yield found


def _by_form(text: str) -> Iterator[Fact | Unclear]:
    """Lists that are seen by their form, whatever stands before them."""
    for listed in find_lists(text):
        if listed.open or _SAMPLE.search(text[: listed.start]):
            yield Unclear(listed.start, listed.end, "the list of classes is open")
        else:
            yield Fact("classes", tuple(_clean([*listed.items])), listed.start, listed.end)


def _told_apart(text: str) -> Fact | None:
    """The list that "tell the three apart" speaks of, and what is "separated from" what."""
    passive = _PASSIVE.search(text)
    if passive and are_labels([passive[1], passive[2]]):
        return Fact("classes", (passive[1], passive[2]), *passive.span())
    which = _WHICH.search(text)
    listed = [*_BEFORE_WHICH.finditer(text, 0, which.start())] if which else []
    if not listed:
        return None
    items = [*listed[-1][1].split(", "), listed[-1][2]]
    return Fact("classes", tuple(items), *listed[-1].span()) if are_labels(items) else None


def stated_count(text: str, fact: Fact) -> tuple[int, int, int] | None:
    """How many classes are said to be in the list, and where that is said."""
    match = _ANNOUNCED.search(text[: fact.start]) or _CLASSES.search(text)
    if match is None or _NO_COUNT.search(text[: match.start()]):
        return None
    place = 1 if match[1] else 2
    word = match[place].lower()
    return int(word) if word.isdigit() else _NUMBERS[word], match.start(place), match.end(place)


def _list_at(text: str, match: re.Match[str], strength: str) -> Fact | Unclear | None:
    """The list of labels that begins where `match` ends; None where there is none."""
    before = text[: match.end()].rstrip()
    if before.endswith(("(", "[", "{", ":")) and _NOT_CLASSES.search(before):
        return None
    if before.endswith(("(", "[", "{")) and _DATA_LIST.search(before):
        return None
    points = _POINTS.match(text, match.end()) if strength == "classes" else None
    if points:
        items = [point[1].rstrip(" ,;") for point in _POINT.finditer(points[0])]
        return Fact("classes", tuple(items), *points.span())
    items, start, end, joined = _items(text, match.end(), bool(_APART.match(match[0])))
    if len(items) < 2 or _FIGURE.search(text[start:end]):
        return None
    if not _is_list(text, match, strength, items, (start, end), joined):
        return None
    if _OPEN.match(text, end) or _SAMPLE.search(text[: match.end()]) or _SAMPLE.search(text[:start]):
        return Unclear(start, end, "the list of classes is open")
    items = _clean(items)
    return Fact("classes", tuple(items), start, end) if are_labels(items, text) else None


def _is_list(
    text: str, match: re.Match[str], strength: str, items: list[str], place: tuple[int, int], joined: str
) -> bool:
    """Whether items are a list of classes: the less sure what stands before them is, the more it takes."""
    closed = text[place[1] : place[1] + 1] in (")", "]", "}")
    choice = joined in _CHOICE or "/" in text[slice(*place)]
    if strength in ("classes", "counted"):
        return bool(joined) or len(items) > 2 or closed or strength == "classes"
    if match[0] in _OPENING:
        return closed and (choice or match[0] != "(" or _is_plural(text, match.start()))
    if match[0].strip() == ":":
        ends = len(items) > 2 and re.match(r" ?(?:[.;!?]|$)", text[place[1] :]) is not None
        listed = ends and _TOLD_APART.search(text[: match.start()]) is not None
        return joined in _CHOICE or listed or (bool(joined) and _is_plural(text, match.start()))
    if strength == "verb":
        return bool(joined) or len(items) > 2 or choice or "apart" in match[0]
    return joined in _CHOICE and all(len(item.split()) <= 2 for item in items)


def _is_plural(text: str, place: int) -> bool:
    """Whether the noun before a place may be what a list's items are called together."""
    noun = re.search(r"([\w-]+) ?$", text[:place])
    return bool(
        noun
        and noun[1].lower().endswith(("s", "fish", "fruit"))
        and not re.fullmatch(DATA_NOUNS, noun[1], re.IGNORECASE)
    )


def _items(text: str, place: int, apart: bool) -> tuple[list[str], int, int, str]:
    """Items from a place on, where they begin and end, and the word that joins the last one; `apart`, it may be
    "from"."""
    items: list[str] = []
    first, end, joint, comma_before = place, place, "", False
    while True:
        item = _ITEM.match(text, place)
        if item is None:
            break
        items.append((item[1] or "")[1:-1] or item[2])
        if len(items) == 1:
            first = item.start(1) if item[1] else item.start(2)
        end = item.end()
        last, comma = _LAST.match(text, end), _COMMA.match(text, end)
        if last and (last[1] or "and").lower() == "from" and not (len(items) == 1 and apart):
            last = None
        if last:
            word = (last[1] or "and").lower()
            # Behind "a and b", ", and" goes on with the sentence.
            if joint and (word != joint or ("," in last[0] and not comma_before)):
                break
            joint, place, comma_before = word, last.end(), "," in last[0]
        elif comma and not joint:
            place = comma.end()
        else:
            break
    return items, first, end, joint


def _clean(items: list[str]) -> list[str]:
    """Labels without the noun of the data that goes for all of them."""
    if len(items) > 2 and re.search(rf"\b{MEDIA}$|^{DATA_NOUNS}$", items[0], re.IGNORECASE):
        items = items[1:]  # "chest x-rays, ill or healthy"
    words = items[-1].split()
    if len(words) > 1 and words[-1].lower() in ("ones", "one"):
        items = [
            re.sub(rf" (?:{DATA_NOUNS}|ones?)$", "", item, flags=re.IGNORECASE)
            for item in [*items[:-1], " ".join(words[:-1])]
        ]
    elif len(words) > 1:
        alone = all(len(item.split()) == 1 for item in items[:-1])
        shared = re.fullmatch(DATA_NOUNS, words[-1], re.IGNORECASE) or (
            alone and len(words) == 2 and _plural(words[-1]) and not any(_plural(item) for item in items[:-1])
        )
        if shared and not any(item.split()[-1] == words[-1] for item in items[:-1]):
            items = [*items[:-1], " ".join(words[:-1])]
    items = [re.sub(rf"^{DATA_NOUNS} (?=\w)", "", items[0], flags=re.IGNORECASE), *items[1:]]
    return [re.sub(r" apart$", "", item) for item in items]


def _plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith("ss")
