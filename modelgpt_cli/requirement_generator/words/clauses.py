"""What a clause says of its figures: that they are wishes, need not hold, or are another model's. Beside `figures`.

Two kinds of boundaries: a *sentence* ends at a full stop, a semicolon or a "but"; a *clause* at a comma as well.
"""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(
    r"[;!?\n]|(?<!\bmax)(?<!\bmin)(?<!\bca)(?<!\bapprox)(?<!\bbal)(?<!\bacc)(?<!\bvs)(?<!\babs)(?<!\be\.g)(?<!\bi\.e)\.(?=\s|$)|\s[-–—]+\s"
    r"|[\s,]+(?:but|however|whereas|although|though|yet|as long as|so long as|provided|except that)\b"
)
_CLAUSE_END = re.compile(r",\s|[()]|\s[/|+]\s|[\s,]+(?:while|because|since|as for|which|where)\b")
_ASKED = (
    r"(?:\b(?:must|should|shall|needs?|want(?:s|ed)?|wish|require[sd]?|please|ha(?:s|ve) to|got to|goal|target|aim"
    r"|i'd like|we'd like|would like|expect|(?:is|are) (?:the|our|my) (?:\w+ )?(?:limit|max(?:imum)?"
    r"|min(?:imum)?|cap|ceiling|budget)|(?:can|may|could) (?:only )?(?:be|have|weigh|take|use|cost)\b|(?:asked"
    r"|called) for|demand|insist|no more|at least|at most|(?:will|would) do|(?:is"
    r"|are|would be|be) (?:fine|enough|plenty|ok|okay|acceptable)|(?:we|i)(?:['’]d| would) be (?:happy|content"
    r"|glad)|live with|spare|suffic\w+)\b|\bthe new (?:one|model|version)|\bthis (?:one|time)"
    r"|\bfor the new|\bnow (?:we|i|it)\b)"
)
_ANOTHERS = (
    r"(?:\b(?:old|older|previous|prior|existing|legacy|former|outgoing|current|today's|present|competit(?:or"
    r"|ion)(?:'?s)?|vendor'?s?|supplier'?s?|last|first|other|another|big|large|cloud|teacher"
    r"|commercial) (?:[\w-]+ ){0,2}?(?:models?|ones?|systems?|solutions?|versions?|classifiers?|set-?up|approach"
    r"|network|script|detectors?|tools?|services?|api|product|app|program|software|attempt|try|pipeline|team)\b"
    r"|\b(?:predecessor"
    r"|competitors?|incumbent|baseline|by hand|manually|humans?|(?:our|the) (?:staff|clerks?|people|experts?"
    r"|operators?|workers?|employees?)|currently|previously|right now|at the moment|at present|used to|so far"
    r"|these days|nowadays|last (?:year|month|week|time)|(?:mov|switch|migrat|shrink|com)(?:e|ed|ing) from|replac(?:e"
    r"|es|ing)|state of the art|leaderboard|colleagues?|(?:papers?|literature|authors?|tutorials?|blogs?) (?:reports?"
    r"|claims?|says?|gets?|reach\w*|ha(?:s|ve)|shows?))\b)"
)
_TOLD = (
    r"\b(?:was|were|had|got|took|reached|achieved|managed|scored|weighed|claims?|claimed|ran|used|needed|tried"
    r"|already(?! \w)|came|turned out|today|nowadays|yesterday)\b|\bnow(?! (?:we|i|it)\b)"
)
_NORM = (
    r"\b(?:at (?:the )?(?:very )?(?:most|least)|not? (?:\w+er|more|less|over|above)\b|max(?:imum)?\b|min(?:imum)?\b"
    r"|up to)"
)
"""Bounds that are set rather than told."""
_NEED_NOT = (
    r"(?:\bnot that it (?:has|needs|must)\b|\bneed ?(?:n['’]?t| not)\b|\b(?:does|do|did)(?: ?n['’]?t| not)"
    r" (?:really |even |actually )?(?:have to"
    r"|need(?: (?:it )?to| it\b| (?=under|below|less)| (?:an? |any )?$)|matter|care|mind|insist)"
    r"|\bno (?:real )?(?:need|requirement|reason|point)|\bnot (?:really )?(?:necessar\w+|required|needed|important"
    r"|a (?:must|requirement|constraint|limit|problem|concern))|\b(?:isn|aren)['’]t (?:necessar\w+|required|needed"
    r"|important|a (?:must|requirement|constraint|limit))|\b(?:forget|never mind)\b|\birrelevant\b|\bunimportant\b"
    r"|\bno matter\b|\bregardless\b|\bwithout (?:needing|having) to\b|\bdon['’]?t (?:worry|bother|limit)"
    r"|\b(?:rather than|instead of)(?: [\w-]+){0,2} ?$)"
)
_NOT_AFTER = (
    r"(?:\bnot (?:really )?(?:necessary|required|needed|important|a (?:must|requirement|constraint))|\b(?:isn"
    r"|aren)['’]t (?:really )?(?:necessary|required|needed|important|a (?:must|requirement))|\b(?:doesn['’]?t"
    r"|does not) matter|\birrelevant\b|\bunimportant\b|\boptional\b)"
)
_WISH = (
    r"\b(?:ideally|preferabl[ey]|prefer(?:red)?|hopefully|(?:if|where|when(?:ever)?) (?:at all )?possible|if you can"
    r"|would (?:be|have been) (?:nice|great|good|lovely|ideal|a bonus|cool|even better|better|perfect|a plus"
    r"|welcome|wonderful)"
    r"|nice to have|would love|i'd love|we'd love|dream|a bonus|bonus points|even better|better still|best case"
    r"|stretch|one day|eventually|some day|in (?:a )?later|next version|in the future|optional(?:ly)?)\b"
)
_TOO_MUCH = (
    r"(?: [\w-]+){0,2} (?:is|was|are|were|would be|seems?) (?:far |much |way |a bit )?(?:too\b"
    r"|not (?:ok|okay|acceptable))"
)
_GUESS = r"\b(?:guess|doubt|not sure|no idea|might|wonder(?:ing)?|heard|supposedly|\w+ says it)\b"
CORRECTED = re.compile(
    r"(?:no,|\b(?:no wait|wait|sorry|actually|correction|make that|scratch that|i mean(?:t)?|rather|on second thought"
    r"|strike that|nope|or rather|let['’]s (?:say|go|make|use|settle)|settle for)\b|\bor better(?: still| yet)? $)"
)
_REFUSED = re.compile(
    r"\b(?:(?:do|does|did|is|are|am|was|would)(?:n['’]?t| not)|i['’]m not|we['’]re not|never) (?:really |even "
    r"|actually )?(?:want|need|have to|use|after|ask"
    r"|look|interested|trying|going to|about|care|mean|matter)\b|\b(?:don['’]?t|do not|never) (?=classif|sort"
    r"|predict|forecast|regress|detect)|\b(?:is|are|it|this|was|but|so|,)(?:n['’]t| not|['’]s not)"
    r" (?:about )?(?:an? |the |any )?(?=(?:[\w-]+ ){0,2}?(?:classif|regress|forecast|predict|picture|image|photo|text"
    r"|table|spam|detect|sort))|\bno (?:need (?:for|to)\b|(?=(?:regress|classif|forecast|detect)))"
    r"|(?:^|[.;!?,] )not (?:an? |the )?(?=(?:[\w-]+ )?(?:classif|regress|forecast|picture|image|photo|text"
    r"|table|spam|detect"
    r"|sort))|\b(?:rather than|instead of|nothing to do with)\b",
    re.IGNORECASE,
)
_REFUSED_END = re.compile(r"[.;!?,:]|\b(?:but|just|only|rather|instead|because|since)\b", re.IGNORECASE)
_ANOTHER = "it is told of another model, or of earlier times"


class Clauses:
    """A text in lower case, and where its sentences and clauses end."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._sentences = _cuts(text, _SENTENCE_END)
        self._clauses = sorted({*self._sentences, *_cuts(text, _CLAUSE_END)})

    def sentence(self, place: int) -> tuple[int, int]:
        """Where the sentence around a place begins and ends."""
        return _around(self._sentences, place, len(self.text))

    def clause(self, place: int) -> tuple[int, int]:
        """Where the clause around a place begins and ends."""
        return _around(self._clauses, place, len(self.text))

    def before(self, place: int) -> str:
        """The clause up to a place."""
        return self.text[self.clause(place)[0] : place]

    def after(self, place: int) -> str:
        """The clause from a place on."""
        return self.text[place : self.clause(place)[1]]

    def stands_alone(self, start: int, end: int) -> bool:
        """Whether a clause holds nothing but what stands between two places: "1 MB, 20 ms"."""
        first, last = self.clause(start)
        rest = self.text[first:start] + self.text[end:last]
        rest = CORRECTED.sub("", rest)
        return not re.search(r"[^\W_]", re.sub(r"\b(?:i said|and|a|an|or|so|also|plus|only|just|exactly)\b", "", rest))

    def asks(self, place: int) -> bool:
        """Whether something is asked for in the clause around a place."""
        first, last = self.clause(place)
        return bool(re.search(_ASKED, self.text[first:last]))

    def excuse(self, start: int, end: int, bound: str) -> str:
        """Why the figure ``text[start:end]`` asks for nothing; "" where it does.

        Parameters
        ----------
        start, end : int
            The figure with the words of its bound.
        bound : str
            As `Figure` has it.
        """
        before, after = self.before(start), self.after(end)
        if re.search(_NEED_NOT, before) or re.search(rf"^[^,]{{0,40}}?{_NOT_AFTER}", after):
            return "it is said that this need not be so"
        if not bound and re.match(_TOO_MUCH, after):
            return "it is said to be too much"
        following = self.text[end : self.sentence(start)[1]]
        if (
            re.search(_WISH, before)
            or re.search(rf"^[^,]{{0,40}}?{_WISH}", after)
            or re.match(rf" ?, ?{_WISH} ?(?:$|[,.])", following)
        ):
            return "it is a wish, not a limit"
        if re.match(r"[^,;.]{0,20}\b(?:is|are) what (?:we|i|they) (?:have|had|use|run)\b", after):
            return _ANOTHER
        if re.search(r"\b(?:first|originally|initially|before) (?:wanted|asked|thought|said|planned|hoped)\b", before):
            return _ANOTHER
        if re.search(_GUESS, before) and not re.search(_ASKED, before):
            return "it is a guess, not a limit"
        return "" if bound in ("good", "bad") else self._anothers(start, end)

    def _anothers(self, start: int, end: int) -> str:
        """Whether it is told of another model, rather than asked of this one."""
        first, last = self.clause(start)
        told = re.search(f"{_TOLD}|{_ANOTHERS}", self.text[end:last]) or re.search(_TOLD, self.text[first:end])
        if told and not re.search(_ASKED, self.text[first:last]):
            return _ANOTHER
        # Once another model is spoken of, figures are its own until something is asked for.
        begin = self.sentence(start)[0]
        lead = self.text[begin:start]
        named = [m.end() for m in re.finditer(_ANOTHERS, lead)]
        # What another model needs is told, not asked.
        asked = [m.end() for m in re.finditer(_ASKED, lead) if not (m[0] == "needs" and m.start() - 1 in named)]
        if not named or max(named) < max(asked, default=0):
            return ""
        # Where something is asked for first, the other one is only compared with, as far as the clause goes.
        compared = bool(asked) and self.clause(start)[0] >= begin + max(named)
        return "" if compared or re.search(_NORM, self.text[max(first, start - 8) : end]) else _ANOTHER

    def corrected(self, first: int, second: int, near: bool = False) -> bool:
        """Whether what stands at `second` takes back what stood at `first`; `near`, right after words that say so."""
        said = [match.end() for match in CORRECTED.finditer(self.text, first, second)]
        return bool(said) and (not near or (second - said[-1] < 20 and second - first < 80))


def with_plain_must(text: str) -> str:
    """The text, at the same length, with "must have" for "can't do without", which asks for all its negations."""
    return re.sub(r"\bcan(?:not|['’]t| not) (?:do|live|go) without\b", lambda m: "must have".ljust(len(m[0])), text)


def without_refused(text: str) -> str:
    """The text with blanks, at the same length, where it says what is not wanted: "we don't need a regression, ..."."""
    place = 0
    while match := _REFUSED.search(text, place):
        # A list that goes on behind a comma is refused as a whole.
        end = _REFUSED_END.search(text, match.end())
        while end and end[0] == "," and re.match(r", [\w-]+(?: [\w-]+)?(?:,| and | or )", text[end.start() :]):
            end = _REFUSED_END.search(text, end.end())
        place = max(end.start() if end else len(text), match.end())
        text = text[: match.start()] + "\u00b7" * (place - match.start()) + text[place:]
    return text


def _cuts(text: str, pattern: re.Pattern[str]) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _around(cuts: list[int], place: int, length: int) -> tuple[int, int]:
    """The stretch between two cuts that a place lies in."""
    return max((c for c in cuts if c <= place), default=0), min((c for c in cuts if c > place), default=length)
