"""Task, kind of data and target column, as a text says them. Beside `readings`."""

from __future__ import annotations

import re
from collections.abc import Collection

from modelgpt_cli.core.quality import REGRESSION
from modelgpt_cli.requirement_generator.words.readings import Fact

_CLASSIFY = re.compile(
    r"\b(?:class?if\w+|classes|categori[sz]\w*|categories|tell(?:s|ing)?\b[^.;]{0,60}\bapart|tell(?:s"
    r"|ing)? \w+(?: \w+)? from|distinguish\w*|sort(?:s|ed|ing|er)?\b(?! of)|whether|which (?:\w+ (?:is it|it"
    r" is)\b|of|kind|type|class"
    r"|category|species|one|department|team)|(?:kind|type|species|category|breed) of\b|spam|diagnos\w+|sentiment"
    r"|detect(?:s|ing|or|ion)?|recogni[sz]\w+|identif\w+|flag(?:s|ging)?\b|label(?:l?s|led|ling)?\b"
    r"|yes[\s/-]+(?:or[\s-]+)?no|y/n|anomal(?:y|ies|ous)|know \w+ (?:\w+ )?from |true or false|(?:two|multi"
    r"|\d+)[\s-]class|triage\w*|(?:tells?|know|predict\w*|says?"
    r"|decid\w*|checks?|see|find out|figure out|determine) (?:[\w-]+ ){0,5}?if\b|discriminat\w+|churn(?:s"
    r"|ed)?\b|fraud\w*"
    r"|defective|\w+ or not\b(?! to)|(?:pick|filter)(?:s|ing|ed)? (?:out|those)\b|separat\w+ [^.;]{0,30}?\bfrom"
    r"|is there an?\b|will \w+ or not|is it an?\b)"
)
_AMOUNTS = (
    r"(?:prices?|costs?|amounts?|values?|temperatures?|consumptions?|demands?|ages?|heights?|durations?|numbers? of"
    r"|count of|sales|revenues?|turnover|salar(?:y|ies)|incomes?|rents?|yields?|loads?|power|energy|speeds?|distances?"
    r"|percentages?|mileage|lifetimes?|delays?|waiting times?|travel times?|time to|remaining (?:[\w-]+"
    r" )?(?:life|lifetime|time)|concentrations?"
    r"|weights? of|weight\b|volumes?|depths?|lengths?|widths?|pressures?|humidity|rainfall|kwh|watts?|dollars?|euros?"
    r"|minutes of|days until|hours until|scores? (?:from|between)|similarity|emissions?|premiums?|bills?|profits?"
    r"|spend(?:ing)?|strength|calories|thickness)"
)
_REGRESS = re.compile(
    r"\b(?:regress\w*|forecast\w*|how (?:much|many|long|far|old|tall|heavy|warm|hot|big)|numeric(?:al)? (?:value"
    r"|target|score)|continuous (?:value|target|score|number)"
    r"|what (?:[\w'’]+ ){1,6}?(?:costs?|sells? for|weighs?|earns?|be worth|is worth)|(?:time|hours|days) to failure|rul"
    rf"|(?:predict\w*|estimat\w*|approximat\w*|guess\w*|forecast\w*|expected) (?:[\w'’-]+ ){{0,4}}?{_AMOUNTS}"
    r"|(?:price|cost|demand|age|sales|consumption|yield|temperature) (?:predict|estimat|forecast|model)\w*)\b"
)
_HOW = re.compile(
    r"\b(?:care|matters?|sure|mind|(?:n['’]t|not) (?:know|tell|see)) (?:about )?how (?:much|many|long|far|old"
    r"|big)\b|\bhow (?:big|large)\b"
)
_DOMAINS: dict[str, re.Pattern[str]] = {
    "image": re.compile(
        r"\b(?:images?|imgs?|imagery|pictures?|pics?|pix|photos?|fotos?|photograph\w*|snaps?|snapshots?|selfies"
        r"|x[\s-]?rays?|radiographs?|micrographs?|camera|webcam"
        r"|screenshots?|stills|cctv|scans|satellite tiles|jpe?gs?|pngs?|mri|ct scans?|scanned|satellite|aerial"
        r"|thumbnails?|selfies?|drawings?"
        r"|sketches|handwritten|pixels?|vision|visual(?:ly)?|video frames?|frames)\b"
    ),
    "text": re.compile(
        r"\b(?:texts?|reviews?|messages?|msgs?|dms|e-?mails?|mails?|tweets?|comments?|tickets?|sentences?"
        r"|posts?|articles?"
        r"|headlines?|documents?|docs|abstracts?|chats?|sms|postings?|feedback|complaints|utterances?|questions"
        r"|diar(?:y|ies)|notes"
        r"|poems?|lyrics|captions|descriptions|subject lines|titles|quer(?:y|ies)|transcripts?|letters|essays?|news"
        r"|paragraphs?|spam|sentiment|tone)\b"
    ),
    "tabular": re.compile(
        r"\b(?:tables?|tabular|csvs?|tsv|spreadsheets?|excel|xlsx|parquet|rows?|columns?|records?|sensor (?:readings?"
        r"|values?|data)|sensors|measurements?|numeric features?|database|readings|dataframe)\b"
    ),
}
_TASK_WORDS = r"(?:classification|regression)"
_NAME = r"(?:[\"“`'‘]([^\"”`'’\n]{1,60})[\"”`'’]|([\w-]+))"
_QUOTED = r"[\"“`'‘]([^\"”`'’\n]{1,60})[\"”`'’]"
_TARGETS = [
    re.compile(rf"\b(?:target|label|answer|outcome|dependent|response)(?: (?:column|variable|field))? ?(?:['’]s"
        rf"|is|:|=|called|named|is called|is named|is in|being)+ ?(?:the )?(?:column "
        rf"|field )?(?:called |named )?{_NAME}", re.IGNORECASE),
    re.compile(rf"\b(?:predict|estimate|forecast|guess|target|classify by|classify|model)(?:s|ing"
        rf"|ed)? (?:the )?(?:target )?(?:column|field|variable) (?:called |named )?{_NAME}", re.IGNORECASE),
    re.compile(rf"\b(?:predict|estimate|forecast|guess|target)(?:s|ing|ed)? (?:the )?{_QUOTED}", re.IGNORECASE),
    re.compile(r"\b(?:predict|estimate|forecast|guess)(?:s|ing|ed)? (?:the )?([\w-]+) (?:column|field"
        r"|variable)\b", re.IGNORECASE),
    re.compile(rf"\b(?:column|field|variable) (?:(?:that )?(?:i|we) (?:want|need|have) |that (?:is|has) )?to"
               rf" (?:predict|be"
        rf" predicted|forecast|estimate|guess)(?: ?:| ?=| is(?: (?:called|named))?| (?:called|named))? "
        rf"?(?:the )?(?:column )?{_NAME}", re.IGNORECASE),
    re.compile(r"(?:^|[,;.:(] ?)target (?!audience|group|is\b|size|machine|platform|hardware|device|latency|accuracy)"
        r"([\w-]+)(?= ?(?:[,;.)]|$))", re.IGNORECASE),
    re.compile(rf"\b(?:the )?(?:column|field|variable) (?:called "
        rf"|named )?{_NAME} (?:is (?:the )?(?:target|label|what)|(?:(?:is|shall|should|must) )?(?:to )?be predicted"
        rf"|holds? (?:the )?(?:label|target|answer|class)"
        rf"|has (?:the )?(?:label|class|answer))", re.IGNORECASE),
    re.compile(r"\b[Tt]arget ([A-Za-z]\w*_\w+|[A-Z]\w*)\b"),
    re.compile(rf"{_QUOTED} is (?:the )?(?:target|label)\b", re.IGNORECASE),
    re.compile(rf"\b(?:labels?|classes|answers?|targets?) (?:is|are|stands?) in (?:the )?(?:column"
        rf"|field) (?:called |named )?{_NAME}", re.IGNORECASE),
]  # fmt: skip
_NO_NAME_TEXT = """
a an the to of is that which for with in on as by from be we i it under below within column field variable
"""
_NO_NAME = frozenset(_NO_NAME_TEXT.split())


def read_task(text: str, known: Collection[str]) -> str | None:
    """Classification or regression, where the words say one of the two; metrics and classes say it too.

    Parameters
    ----------
    text : str
        In lower case.
    known : collection of str
        Keys that are known: ``classes``, ``quality.mae``.
    """
    text = re.sub(rf"\b{_TASK_WORDS} or (?:an? )?{_TASK_WORDS}\b", "", text)
    regress = _REGRESS.search(_HOW.sub(lambda match: " " * len(match[0]), text))
    classify = _CLASSIFY.search(text)
    plain = {m[0] for m in re.finditer(rf"\b{_TASK_WORDS}\b", text)}
    if len(plain) == 1:
        return plain.pop()
    if "classes" in known:
        return "classification"
    metrics = [key.partition(".")[2] for key in known if key.startswith("quality.")]
    if metrics and (classify or not regress):
        return "regression" if metrics[0] in REGRESSION else "classification"
    if regress and not (classify and classify.start() < regress.start()):
        return "regression"
    return "classification" if classify else None


def read_domain(text: str) -> Fact | None:
    """Pictures, texts or a table; None where nothing or several are named.

    Words of tables also say how texts and pictures are kept ("a CSV of reviews"), so they count where they are alone.
    """
    found = {domain: match for domain, pattern in _DOMAINS.items() if (match := pattern.search(text))}
    if len(found) > 1:
        found.pop("tabular", None)
    if len(found) != 1:
        return None
    domain, match = next(iter(found.items()))
    return Fact("domain", domain, *match.span())


def read_target(text: str) -> Fact | None:
    """The column to predict, where one is named as such; in the original spelling."""
    for pattern in _TARGETS:
        for match in pattern.finditer(text):
            place = next(i for i in range(1, pattern.groups + 1) if match[i] is not None)
            name = match[place].strip()
            if name.lower() not in _NO_NAME and not name[0].isdigit():
                return Fact("target", name, *match.span(place))
    return None
