"""What a clause says of the figures in it: that they are wishes, need not hold, or are another model's. Beside `figures`.

Two kinds of boundaries: a *sentence* ends at a full stop, a semicolon or a "but"; a *clause* at a comma as well.
"""

from __future__ import annotations

import re

_SENTENCE_END = re.compile(
    r"[;!?\n]|(?<!\bmax)(?<!\bmin)(?<!\bca)(?<!\bapprox)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)\.(?=\s|$)|\s[-–—]+\s"
    r"|[\s,]+(?:but|however|whereas|although|though|yet|as\s+long\s+as|so\s+long\s+as|provided|except\s+that)\b"
)
_CLAUSE_END = re.compile(r",\s|[()]|\s[/|+]\s|[\s,]+(?:while|because|since|as\s+for|which|where)\b")
_ASKED = (
    r"(?:\b(?:must|should|shall|needs?|want(?:s|ed)?|wish|require[sd]?|please|ha(?:s|ve)\s+to|got\s+to|goal|target|aim"
    r"|i'd\s+like|we'd\s+like|would\s+like|expect|demand|insist|no\s+more|at\s+least|at\s+most|(?:will|would)\s+do"
    r"|(?:is|are)\s+(?:fine|enough|plenty|ok|okay)|suffic\w+)\b"
    r"|\bthe\s+new\s+(?:one|model|version)|\bthis\s+(?:one|time)|\bfor\s+the\s+new|\bnow\s+(?:we|i|it)\b)"
)
_ANOTHERS = (
    r"(?:\b(?:old|older|previous|prior|existing|legacy|former|outgoing|current|today's|present|competit(?:or|ion)(?:'?s)?"
    r"|vendor'?s?|supplier'?s?|last|first|other|another|big|large|cloud|teacher|commercial)\s+(?:[\w-]+\s+){0,2}?(?:models?"
    r"|ones?|systems?|solutions?|versions?|classifiers?|set-?up|approach|network|script|detectors?|tools?|services?|api"
    r"|product|attempt|try|pipeline|team)\b|\b(?:predecessor|competitors?|incumbent|baseline|currently|previously|right\s+now"
    r"|at\s+the\s+moment|at\s+present|used\s+to|so\s+far|these\s+days|nowadays|last\s+(?:year|month|week|time)|(?:mov|switch|migrat|shrink|com)(?:e|ed|ing)\s+from|replac(?:e|es|ing)"
    r"|state\s+of\s+the\s+art|leaderboard|colleagues?|(?:papers?|literature|authors?|tutorials?|blogs?)\s+(?:reports?|claims?|says?|gets?|reach\w*|ha(?:s|ve)|shows?))\b)"
)
_TOLD = r"\b(?:was|were|had|got|took|reached|achieved|managed|scored|weighed|claims?|claimed|ran|used|needed|tried|already(?!\s+\w)|came|turned\s+out|today|nowadays|yesterday)\b|\bnow(?!\s+(?:we|i|it)\b)"
_NORM = r"\b(?:at\s+(?:the\s+)?(?:very\s+)?(?:most|least)|not?\s+(?:\w+er|more|less|over|above)\b|max|min|up\s+to)"
"""Bounds that are set rather than told."""
_NEED_NOT = (
    r"(?:\bneed\s*(?:n['’]?t|\s+not)\b|\b(?:does|do|did)(?:\s*n['’]?t|\s+not)\s+(?:really\s+|even\s+|actually\s+)?"
    r"(?:have\s+to|need(?:\s+(?:it\s+)?to|\s+it\b|\s+(?=under|below|less)|\s+(?:an?\s+|any\s+)?$)|matter|care|mind|insist)|\bno\s+(?:real\s+)?"
    r"(?:need|requirement|reason|point)|\bnot\s+(?:really\s+)?(?:necessar\w+|required|needed|important|a\s+(?:must|requirement"
    r"|constraint|limit|problem|concern))|\b(?:isn|aren)['’]t\s+(?:necessar\w+|required|needed|important|a\s+(?:must"
    r"|requirement|constraint|limit))|\b(?:forget|never\s+mind)\b|\birrelevant\b|\bunimportant\b"
    r"|\bno\s+matter\b|\bregardless\b|\bwithout\s+(?:needing|having)\s+to\b|\bdon['’]?t\s+(?:worry|bother|limit)"
    r"|\b(?:rather\s+than|instead\s+of)(?:\s+[\w-]+){0,2}\s*$)"
)
_NOT_AFTER = (
    r"(?:\bnot\s+(?:really\s+)?(?:necessary|required|needed|important|a\s+(?:must|requirement|constraint))|\b(?:isn|aren)['’]t"
    r"\s+(?:really\s+)?(?:necessary|required|needed|important|a\s+(?:must|requirement))|\b(?:doesn['’]?t|does\s+not)\s+matter"
    r"|\birrelevant\b|\bunimportant\b|\boptional\b)"
)
_WISH = (
    r"\b(?:ideally|preferabl[ey]|prefer(?:red)?|hopefully|(?:if|where|when(?:ever)?)\s+(?:at\s+all\s+)?possible|if\s+you\s+can"
    r"|would\s+be\s+(?:nice|great|good|lovely|ideal|a\s+bonus|cool|even\s+better|better|perfect|a\s+plus|welcome|wonderful)"
    r"|nice\s+to\s+have|would\s+love|i'd\s+love|we'd\s+love|dream|a\s+bonus|bonus\s+points|even\s+better|better\s+still"
    r"|best\s+case|stretch|one\s+day|eventually|some\s+day|in\s+(?:a\s+)?later|next\s+version|in\s+the\s+future|optional(?:ly)?)\b"
)
_GUESS = r"\b(?:guess|not\s+sure|no\s+idea|might|wonder(?:ing)?|heard|supposedly|\w+\s+says\s+it)\b"
CORRECTED = re.compile(
    r"(?:no,|\b(?:no\s+wait|wait|sorry|actually|correction|make\s+that|scratch\s+that|i\s+mean(?:t)?|rather|on\s+second\s+thought"
    r"|strike\s+that|nope|let['’]s\s+(?:say|go|make|use|settle)|settle\s+for|or\s+better)\b)"
)
_ANOTHER = "it is what another model has"


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
        return not re.search(r"[^\W_]", re.sub(r"\b(?:and|a|an|or|so|also|plus|only|just|exactly)\b", "", rest))

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
        following = self.text[end : self.sentence(start)[1]]
        if re.search(_WISH, before) or re.search(rf"^[^,]{{0,40}}?{_WISH}", after) or re.match(rf"\s*,\s*{_WISH}\s*(?:$|[,.])", following):
            return "it is a wish, not a limit"
        if re.search(_GUESS, before) and not re.search(_ASKED, before):
            return "it is a guess, not a limit"
        return "" if bound in ("good", "bad") else self._anothers(start, end)

    def _anothers(self, start: int, end: int) -> str:
        """Whether it is told of another model, rather than asked of this one."""
        first, last = self.clause(start)
        told = re.search(f"{_TOLD}|{_ANOTHERS}", self.text[end:last]) or re.search(_TOLD, self.text[first:start])
        if told and not re.search(_ASKED, self.text[first:last]):
            return _ANOTHER
        # Once another model is spoken of, figures are its own until something is asked for.
        begin = self.sentence(start)[0]
        lead = self.text[begin:start]
        named, asked = ([m.end() for m in re.finditer(words, lead)] for words in (_ANOTHERS, _ASKED))
        if not named or max(named) < max(asked, default=0):
            return ""
        # Where something is asked for first, the other one is only compared with, as far as the clause goes.
        compared = bool(asked) and self.clause(start)[0] >= begin + max(named)
        return "" if compared or re.search(_NORM, self.text[max(first, start - 8) : end]) else _ANOTHER

    def corrected(self, first: int, second: int) -> bool:
        """Whether what stands at `second` takes back what stood at `first`."""
        return bool(CORRECTED.search(self.text, first, second))


def _cuts(text: str, pattern: re.Pattern[str]) -> list[int]:
    return [match.end() for match in pattern.finditer(text)]


def _around(cuts: list[int], place: int, length: int) -> tuple[int, int]:
    """The stretch between two cuts that a place lies in."""
    return max((c for c in cuts if c <= place), default=0), min((c for c in cuts if c > place), default=length)
