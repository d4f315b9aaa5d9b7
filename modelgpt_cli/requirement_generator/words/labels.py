"""The classes that a text lists. Beside `readings`."""

from __future__ import annotations

import re

from modelgpt_cli.requirement_generator.words.readings import Fact, Unclear

DATA_NOUNS = (
    r"(?:images?|pictures?|photos?|photographs?|scans?|frames?|texts?|reviews?|e-?mails?|mails?|messages?|tweets?"
    r"|comments?|tickets?|sentences?|posts?|articles?|documents?|rows?|records?|columns?|features?|fields?|variables?"
    r"|inputs?|files?|measurements?|readings?|sensors?|formats?|letters?|notes?|calls?|customers?|data|tables?"
    r"|attributes?|predictors?|languages?|sources?|devices?|machines?|phones?|targets?|platforms?|sites?|axes"
    r"|channels?|dimensions?|coordinates?|directions?|values?)"
)
_CLASS_NOUNS = (
    r"(?:class(?:es)?|categor(?:y|ies)|labels?|kinds?|types?|groups?|species|options?|outcomes?|answers?"
    r"|buckets?|grades?|levels?|departments?|topics?|intents?|moods?|sentiments?|defects?|faults?)"
)
_STOP = (
    r"(?:within|in|under|with|for|from|on|at|that|which|who|by|based|using|given|so|because|where|when|if|must|should"
    r"|has|have|needs?|is|are|to|of|the|keep|we|i|it|they|but|then|than|as|please|max|maximum|less|more|below|over"
    r"|above|up|not|no(?! ?(?:[,.)/;?\n]|$))|can|will|would|whose|into|without|per|via|while|each|every|about|after"
    r"|before|between)"
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
    r"\b(?:such as|like|e\.?g\.?|for example|for instance|including|include[sd]?|say)[\s,:]*$", re.IGNORECASE
)
_COUNT = r"(?:\b(?:\d+|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|a dozen)\b)"
_NUMBERS = {
    **{"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10},
    **{"eleven": 11, "twelve": 12, "a dozen": 12},
}
_ANNOUNCED = re.compile(
    rf"({_COUNT}) (?:(?!{DATA_NOUNS}\b)[\w-]+ ){{0,2}}?(?:{_CLASS_NOUNS}|(?!(?:{DATA_NOUNS}|ms|secs"
    r"|\w*seconds|\w*bytes|\w*params"
    r"|parameters|weights|\w*flops|\w*macs|[kmg]bs|megs|gigs|threads|years|days|hours|minutes|euros|dollars)\b)[\w-]*[^\Ws]s)"
    r"(?: of [\w-]+)?(?: are| is|,? namely)?,? ?[(\[{:–—-]* ?$"
    rf"|({_COUNT}) {_CLASS_NOUNS}(?: of [\w-]+)? (?:into|as) $",
    re.IGNORECASE,
)
"""So many of something, right before the list of them."""

_LEADS: list[str] = [
    # Said to be classes, then a colon, a dash, an "are" or a parenthesis.
    rf"\b{_CLASS_NOUNS} ?(?:\(|:|=|[-–—]\s|\s(?:are|being|is|namely|called|named|(?:will|should|must|shall) be)\b:?"
    rf"|, ?namely) ?\[?"
    rf"|{_COUNT} {_CLASS_NOUNS} ?, ?|\b{_CLASS_NOUNS} (?=[\w-]+/[\w-])",
    # So many of something, then the list.
    rf"{_COUNT} (?!{DATA_NOUNS}\b)(?:[\w-]+ ){{0,3}}?[\w-]+ ?(?:\(|:|\s[-–—]\s| ?,? ?namely:?) ?",
    rf"{_COUNT} ?(?:\(|:) ?",
    # Verbs of telling apart.
    r"\b(?:tell(?:s|ing)?|distinguish(?:es|ing)?|separat(?:e|es|ing)|discriminat(?:e|es|ing)|differentiat(?:e|es|ing)) "
    r"(?:apart )?(?:between )?",
    r"\b(?:into|(?:sort|rout|assign|dispatch|forward|direct|send|map|tickets?|e?-?mails?|messages?|requests?|calls?)\w*"
    r" (?:[\w-]+ ){0,4}?to) (?:either |one of )?(?:the )?",
    r"\bas (?:being )?(?:either )?",
    r"\bbetween ",
    r"\b(?:keep(?:s|ing)?|set(?:s|ting)?) apart ",
    r"\bone of (?:the )?",
    r"\b(?:whether|if) (?:[\w'’-]+ ){0,5}?(?:is|are|was|were|shows?|contains?|means?|sounds?|looks?|goes to"
    r"|belongs? to) "
    r"(?:(?:going to be|likely|about|probably) )?(?:an? |the )?(?:either )?",
    r" ?(?:→|->|=>|-->) ?",
    r"\bis (?:this|that|the"
    r"|an?) [\w-]+ (?:an? )?(?=[\w-]+(?: [\w-]+)?(?: ?, ?[\w-]+(?: [\w-]+)?)*,? or\b)",
    r"(?:^|[.:;!?] |\bis (?:it|this|that|the \w+) |\beither |, (?=[\w-]+ or [\w-]+ ?(?:[?!.;]|$)))",
    r"\b(?:answers?|says?|outputs?|returns?|predicts?|labels?|flags?|classif(?:y|ies)|detects?|recogni[sz]es?"
    r"|identif(?:y|ies))"
    r" (?:with |either )?",
    r"\b(?:grad|sort|rat|label|mark|tag|classif|call)\w* (?:the |our |my )?[\w-]+ ",
    r"[({\[]",
    r": ",
]
"""What stands before a list of classes, from the surest on."""
_CHOICE = ("or", "vs", "versus")
_OPENING = ("(", "[", "{")
_SURE = 3
"""So many of `_LEADS` may have a list of commas alone, and begin at a parenthesis or colon."""
_VERB_LEADS = range(3, 12)
_FROM = 3
"""The lead after which a list may be joined by "from"."""
_NAMED = re.compile(
    rf"\b({_WORD}(?: ?(?:/|,|-?vs\.?-?|\bor\b|-or-|\bversus\b) ?{_WORD})+) (?:classifier|classification"
    rf"|detector|filter|model|sorter)\b",
    re.IGNORECASE,
)
_NOT_CLASSES = re.compile(
    r"\b(?:columns?|features?|fields?|variables?|inputs?|attributes?|predictors?|sensors?|measurements?|readings?"
    r"|formats?|files?|sources?|languages?|targets?|platforms?|sites?|devices?|machines?|limits?|requirements?"
    r"|constraints?|conditions?|specs?|budget|runtime|notes?|background|context|tasks?|goal|idea|todo|need|wish(?:es)?"
    r"|ram|pi|cpu|gpu"
    r"|python) ?[({\[:]$",
    re.IGNORECASE,
)
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
    named = _NAMED.search(text)
    for rank, lead in enumerate(_LEADS):
        if rank == len(_LEADS) - 3 and named:
            labels = [part for part in re.split(r" ?(?:/|,|-?vs\.?-?|\bor\b|-or-|\bversus\b) ?", named[1]) if part]
            if len(labels) > 1:
                return Fact("classes", tuple(labels), *named.span(1))
        for match in re.finditer(lead, text, re.IGNORECASE):
            found = _list_at(text, match, rank)
            if found is not None:
                return found
    return None


def stated_count(text: str, fact: Fact) -> tuple[int, int, int] | None:
    """How many classes are said to follow, right before the list, and where that is said."""
    match = _ANNOUNCED.search(text[: fact.start])
    if match is None:
        return None
    place = 1 if match[1] else 2
    word = match[place].lower()
    return int(word) if word.isdigit() else _NUMBERS[word], match.start(place), match.end(place)


def _list_at(text: str, match: re.Match[str], rank: int) -> Fact | Unclear | None:
    """The list of labels that begins where `match` ends; None where there is none."""
    before = text[: match.end()].rstrip()
    if before.endswith(("(", "[", "{", ":")) and _NOT_CLASSES.search(before):
        return None
    if before.endswith(("(", "[", "{")) and _DATA_LIST.search(before):
        return None
    points = _POINTS.match(text, match.end()) if rank == 0 else None
    if points:
        items = [point[1].rstrip(" ,;") for point in _POINT.finditer(points[0])]
        return Fact("classes", tuple(items), *points.span())
    items, start, end, joined = _items(text, match.end(), rank)
    if len(items) < 2 or _FIGURE.search(text[start:end]):
        return None
    if not _is_list(text, match, rank, items, (start, end), joined):
        return None
    if _OPEN.match(text, end) or _SAMPLE.search(text[: match.end()]) or _SAMPLE.search(text[:start]):
        return Unclear(start, end, "the list of classes is open")
    return Fact("classes", tuple(_clean(items)), start, end)


def _is_list(text: str, match: re.Match[str], rank: int, items: list[str], place: tuple[int, int], joined: str) -> bool:
    """Whether items are a list of classes: the less sure what stands before them is, the more it takes."""
    closed = text[place[1] : place[1] + 1] in (")", "]", "}")
    choice = joined in _CHOICE or "/" in text[slice(*place)]
    if rank < _SURE:
        return bool(joined) or len(items) > 2 or closed or rank == 0
    if match[0] in _OPENING:
        return closed and (choice or match[0] != "(" or _is_plural(text, match.start()))
    if match[0].strip() == ":":
        ends = len(items) > 2 and re.match(r" ?(?:[.;!?]|$)", text[place[1] :]) is not None
        listed = ends and _TOLD_APART.search(text[: match.start()]) is not None
        return joined in _CHOICE or listed or (bool(joined) and _is_plural(text, match.start()))
    if rank in _VERB_LEADS:
        return bool(joined) or len(items) > 2 or choice
    return joined in _CHOICE and all(len(item.split()) <= 2 for item in items)


def _is_plural(text: str, place: int) -> bool:
    """Whether the noun before a place may be what a list's items are called together."""
    noun = re.search(r"([\w-]+) ?$", text[:place])
    return bool(
        noun
        and noun[1].lower().endswith(("s", "fish", "fruit"))
        and not re.fullmatch(DATA_NOUNS, noun[1], re.IGNORECASE)
    )


def _items(text: str, place: int, rank: int) -> tuple[list[str], int, int, str]:
    """Items from a place on, where they begin and end, and the word that joins the last one."""
    items: list[str] = []
    first, end, joint = place, place, ""
    while True:
        item = _ITEM.match(text, place)
        if item is None:
            break
        items.append((item[1] or "")[1:-1] or item[2])
        if len(items) == 1:
            first = item.start(1) if item[1] else item.start(2)
        end = item.end()
        last, comma = _LAST.match(text, end), _COMMA.match(text, end)
        if last and (last[1] or "and").lower() == "from" and not (len(items) == 1 and rank == _FROM):
            last = None
        if last:
            word = (last[1] or "and").lower()
            if joint and word != joint:
                break
            joint, place = word, last.end()
        elif comma and not joint:
            place = comma.end()
        else:
            break
    return items, first, end, joint


def _clean(items: list[str]) -> list[str]:
    """Labels without the noun of the data that goes for all of them."""
    words = items[-1].split()
    if len(words) > 1:
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
