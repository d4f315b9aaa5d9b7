"""Class lists of a few plain forms, the kind of data, and the task, for requirements that come without data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from modelgpt_cli.core.domain import Domain, all_domains
from modelgpt_cli.requirement_generator.numbers import ONES

_DATA = rf"(?:{'|'.join(domain.nouns for domain in all_domains() if domain.nouns)}|records|ones?)"
"""What rows of data are called."""
_STOP = (
    r"(?:in|by|from|with|within|using|on|for|at|under|over|that|which|who|based|given|when|because|so|but|if|of|to|into|as"
    r"|is|are|was|be|it|its|the|an?|one|this|and|or|vs|versus|less|more|most|least|than|please|not|such|like|e\.g|etc"
    r"|other than|whether|each|every|per|between|about|after|before|while|where|without|today|now)"
)
_WORD = rf"(?!{_STOP}\b)[^\W\d_][\w&+'’-]*"
_ITEM = rf"(?:(?:an?|the) )?(?:not |no |very )?{_WORD}(?: {_WORD})?"
_END = r"(?=\s*(?:$|[.,;:!?)\]]|\b(?:in|by|from|with|within|using|on|for|at|under|based|given|so that)\b))"
_ITEMS = rf"{_ITEM}(?:, {_ITEM})*?,?"
_AND = rf"(?P<list>{_ITEMS} (?:and|or) {_ITEM})"
_OR = rf"(?P<list>{_ITEMS} or {_ITEM})"
_OF = rf"(?:(?:an? |the )?{_DATA} of )?"
_IS = rf"is (?:it|(?:this|that|the)(?: {_DATA}| \w+(?= (?:an? )?\w+ or))?) "
_FORMS = [
    rf"\b(?:classes|labels|categories)(?::| are| =) (?P<list>{_ITEM}(?:, {_ITEM})*(?:,? (?:and|or) {_ITEM})?){_END}",
    r"\b(?:sort|split|divide|group|classify|separate|categori[sz]e|grade)(?:s|ed)?\b[^.;:]{0,60}? into (?:either )?"
    rf"{_AND}{_END}",
    rf"\b(?:route|assign|forward|send)(?:s|ed)?\b[^.;:]{{0,40}}? to (?:either )?{_AND}{_END}",
    rf"\b(?:tell|know|distinguish|separate)(?:s|ing)? {_OF}(?P<list>{_ITEM} from {_ITEM}){_END}",
    rf"\b(?:tell|keep)(?:s|ing)? {_OF}{_AND} apart\b",
    rf"\b(?:distinguish|decide|choose)(?:es|s|ing)? between {_AND}{_END}",
    rf"\b(?:as|whether [^.;,:]{{1,50}}? (?:is|are|was|were)) (?:either )?{_OR}{_END}",
    rf"^(?:{_IS})?{_OR}(?=\?| (?:in )?{_DATA}\b)",
    rf"(?:^|[\s:,])(?P<list>{_ITEM}(?: (?:vs\.?|versus) {_ITEM})+){_END}",
    r"(?<![\w/])(?P<list>[^\W\d_]{2,}(?:/(?:not )?[^\W\d_]{3,})+)(?![\w/]|\.\w)",
    rf"(?:^|[:,] )(?P<list>{_ITEM}(?: / {_ITEM})+){_END}",
]
"""Lists of classes, the plainest form first."""
_OBJECTS = rf"{_ITEM}(?:, {_ITEM})*?(?:,? (?:and|or) {_ITEM})?"
_PLACE = r"(?=,? (?:in|from|of|out of|within|mentioned|named|that|which)\b|\s*(?:$|[.;!?]))"
_SPLIT = re.compile(r",? (?:and|or|from|vs\.?|versus) |, | ?/ ?")
_OPEN = re.compile(r",? (?:etc|and so on|and others|and more|\.\.\.)|…|\.\.\.")
_NEVER_TEXT = """
yes no and or his her him input output read write true false client server on off am pm png jpg jpeg pdf csv
linux windows macos android ios cpu gpu train test
"""
_NEVER = frozenset(_NEVER_TEXT.split())
"""Words that are listed, but are no classes."""
_COUNTS = {word: value for word, value in ONES.items() if 2 <= value <= 12}


def read_classes(text: str) -> tuple[tuple[str, ...], int, int] | None:
    """Find the list of classes, in the original spelling, and where it stands; None where none is plain or closed."""
    for form in _FORMS:
        for match in re.finditer(form, text, re.IGNORECASE):
            start, end = match.span("list")
            before = text[max(0, start - 12) : start].lower()
            if _OPEN.match(text, end) or re.search(r"(?:such as|like|e\.g\.?|example,?) $", before):
                continue
            labels = _labels(_SPLIT.split(match["list"]))
            if labels:
                return labels, start, end
    return None


def read_objects(text: str) -> tuple[Domain, tuple[str, ...]] | None:
    """Find a verb that asks for a domain's task, and its objects, which are the classes ("extract names and dates from
    e-mails"); None where none is plain, or the sentence speaks of another domain's data."""
    low = text.lower()
    for domain in all_domains():
        form = rf"\b(?:{domain.verbs})(?:s|ed|ing)?\b (?:(?:all|every|each|the|any) )*(?P<list>{_OBJECTS}){_PLACE}"
        match = domain.verbs and re.search(form, text, re.IGNORECASE)
        if match and not any(_names_rows(other, low) for other in _others(domain)):
            labels = tuple(re.sub(r"^(?:an?|the) ", "", item.strip()) for item in _SPLIT.split(match["list"]))
            low_labels = {label.lower() for label in labels}
            if len(low_labels) == len(labels) and not any(re.fullmatch(_DATA, label) for label in low_labels):
                return domain, labels  # "mark every message that is urgent" is about whole rows
    return None


def _others(domain: Domain) -> Iterator[Domain]:
    """Domains of another kind of data: their parts lie elsewhere."""
    return (other for other in all_domains() if not domain.package.startswith(other.package))


def _labels(items: Sequence[str]) -> tuple[str, ...] | None:
    """The items without articles and without the noun of data that goes for all; None if they can't be classes."""
    found = [re.sub(r"^(?:an?|the|either) ", "", item.strip(), flags=re.IGNORECASE) for item in items]
    found = [re.sub(rf"(?<=\w) {_DATA}$", "", item, flags=re.IGNORECASE) for item in found]
    words = found[-1].split()
    if len(words) == 2 and _is_plural(words[1]) and not any(" " in item or _is_plural(item) for item in found[:-1]):
        found[-1] = words[0]  # "ripe or unripe tomatoes"
    low = {item.lower() for item in found}
    if len(low) < max(2, len(found)) or low & _NEVER or any(re.fullmatch(_DATA, item) for item in low):
        return None
    return tuple(found)


def _is_plural(word: str) -> bool:
    return word.endswith("s") and not word.endswith("ss")


def announced_classes(text: str) -> tuple[int, str] | None:
    """How many classes are announced right before a list ("4 classes: red, green"), and the word that says so."""
    match = re.search(rf"\b(\d+|{'|'.join(_COUNTS)}) (?:classes|labels|categories):", text, re.IGNORECASE)
    return (int(match[1]) if match[1].isdigit() else _COUNTS[match[1].lower()], match[1]) if match else None


def read_domain(text: str) -> str | None:
    """Give the kind of data, if it is plain: words of one domain, and none that cast doubt on it."""
    low = text.lower()
    found = [domain for domain in all_domains() if _speaks_of(domain, low)]
    if len(found) != 1 or (found[0].doubts and re.search(found[0].doubts, low)):
        return None
    return found[0].name


def _speaks_of(domain: Domain, low: str) -> bool:
    return _names_rows(domain, low) or bool(domain.signs and re.search(domain.signs, low))


def _names_rows(domain: Domain, low: str) -> bool:
    return bool(domain.nouns and re.search(rf"\b(?:{domain.nouns})\b", low))


def read_task(text: str) -> str | None:
    """Give the task, if its name is there, or the verb of one."""
    low = text.lower()
    found = {
        name
        for name, words in (("classification", r"classif\w+"), ("regression", r"regression"))
        if re.search(rf"\b{words}\b", low)
    }
    refused = re.search(r"(?:n['’]t|\bnot?|\bnever|\bwithout|\bdont)\b[^.;,]{0,20}\b(?:classif|regress)", low)
    return found.pop() if len(found) == 1 and not refused else None
