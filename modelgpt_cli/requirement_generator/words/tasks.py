"""Task, kind of data and target column, as a text says them. Beside `readings`."""

from __future__ import annotations

import re
from collections.abc import Collection

from modelgpt_cli.requirement_generator.quality import REGRESSION
from modelgpt_cli.requirement_generator.words.readings import Fact

_CLASSIFY = re.compile(
    r"\b(?:classif\w+|classes|categori[sz]\w*|categories|tell(?:s|ing)?\b[^.;]{0,60}\bapart|tell(?:s|ing)?\s+\w+(?:\s+\w+)?\s+from"
    r"|distinguish\w*|sort(?:s|ed|ing|er)?\b(?!\s+of)|whether|which\s+(?:of|kind|type|class|category|species|one|department|team)"
    r"|(?:kind|type|species|category|breed)\s+of\b|spam|diagnos\w+|sentiment|detect(?:s|ing|or|ion)?|recogni[sz]\w+|identif\w+"
    r"|flag(?:s|ging)?\b|label(?:l?s|led|ling)?\b|yes[\s/-]+(?:or[\s-]+)?no|true\s+or\s+false|(?:two|multi|\d+)[\s-]class|triage\w*"
    r"|(?:tells?|know|predict\w*|says?|decid\w*|checks?|see|find\s+out|figure\s+out|determine)\s+(?:\w+\s+)?if\b|discriminat\w+|churn(?:s|ed)?\b|fraud\w*|defective|will\s+\w+\s+or\s+not|is\s+it\s+an?\b)"
)
_AMOUNTS = (
    r"(?:prices?|costs?|amounts?|values?|temperatures?|consumptions?|demands?|ages?|heights?|durations?|numbers?\s+of|count\s+of"
    r"|sales|revenues?|turnover|salar(?:y|ies)|incomes?|rents?|yields?|loads?|power|energy|speeds?|distances?|percentages?|mileage"
    r"|lifetimes?|delays?|waiting\s+times?|travel\s+times?|time\s+to|remaining\s+\w+\s+life|concentrations?|weights?\s+of|volumes?"
    r"|depths?|lengths?|widths?|pressures?|humidity|rainfall|kwh|watts?|dollars?|euros?|minutes\s+of|days\s+until|hours\s+until"
    r"|scores?\s+(?:from|between)|similarity|emissions?|premiums?|bills?|profits?|spend(?:ing)?|strength|calories|thickness)"
)
_REGRESS = re.compile(
    r"\b(?:regress\w*|forecast\w*|how\s+(?:much|many|long|far|old|tall|heavy|warm|hot|big)|numeric(?:al)?\s+(?:value|target|score)"
    r"|continuous\s+(?:value|target|score|number)"
    rf"|(?:predict\w*|estimat\w*|approximat\w*|guess\w*|forecast\w*|expected)\s+(?:[\w'’-]+\s+){{0,4}}?{_AMOUNTS}"
    r"|(?:price|cost|demand|age|sales|consumption|yield|temperature)\s+(?:predict|estimat|forecast|model)\w*)\b"
)
_HOW = re.compile(r"\b(?:care|matter|know|sure|mind|tell|see)\s+(?:about\s+)?how\s+(?:much|many|long|far|old|big)\b|\bhow\s+(?:big|large)\b")
_DOMAINS: dict[str, re.Pattern[str]] = {
    "image": re.compile(
        r"\b(?:images?|pictures?|photos?|photographs?|snapshots?|x-?rays?|radiographs?|micrographs?|camera|webcam|screenshots?|scans"
        r"|jpe?gs?|pngs?|mri|ct\s+scans?|scanned|satellite|aerial|thumbnails?|selfies?|drawings?|sketches|handwritten|pixels?|vision"
        r"|visual(?:ly)?|video\s+frames?|frames)\b"
    ),
    "text": re.compile(
        r"\b(?:texts?|reviews?|messages?|e-?mails?|mails?|tweets?|comments?|tickets?|sentences?|posts?|articles?|headlines?|documents?"
        r"|abstracts?|chats?|sms|feedback|complaints|utterances?|questions|diar(?:y|ies)|notes|poems?|lyrics|captions|descriptions|subject\s+lines|titles|quer(?:y|ies)|transcripts?|letters|essays?|news|paragraphs?"
        r"|spam|sentiment|tone)\b"
    ),
    "tabular": re.compile(
        r"\b(?:tables?|tabular|csvs?|tsv|spreadsheets?|excel|xlsx|parquet|rows?|columns?|records?|sensor\s+(?:readings?|values?|data)"
        r"|sensors|measurements?|numeric\s+features?|database|readings|dataframe)\b"
    ),
}
_TASK_WORDS = r"(?:classification|regression)"
_NAME = r"(?:[\"“`'‘]([^\"”`'’\n]{1,60})[\"”`'’]|([\w-]+))"
_QUOTED = r"[\"“`'‘]([^\"”`'’\n]{1,60})[\"”`'’]"
_TARGETS = [
    re.compile(rf"\b(?:target|label|answer|outcome|dependent|response)(?:\s+(?:column|variable|field))?\s*(?:['’]s|is|:|=|called|named|is\s+called|is\s+named|is\s+in|being)+\s*(?:the\s+)?(?:column\s+|field\s+)?(?:called\s+|named\s+)?{_NAME}", re.IGNORECASE),
    re.compile(rf"\b(?:predict|estimate|forecast|guess|target|classify\s+by|classify|model)(?:s|ing|ed)?\s+(?:the\s+)?(?:target\s+)?(?:column|field|variable)\s+(?:called\s+|named\s+)?{_NAME}", re.IGNORECASE),
    re.compile(rf"\b(?:predict|estimate|forecast|guess|target)(?:s|ing|ed)?\s+(?:the\s+)?{_QUOTED}", re.IGNORECASE),
    re.compile(rf"\b(?:predict|estimate|forecast|guess)(?:s|ing|ed)?\s+(?:the\s+)?([\w-]+)\s+(?:column|field|variable)\b", re.IGNORECASE),
    re.compile(rf"\b(?:the\s+)?(?:column|field|variable)\s+(?:called\s+|named\s+)?{_NAME}\s+(?:is\s+(?:the\s+)?(?:target|label|what)|(?:(?:is|shall|should|must)\s+)?(?:to\s+)?be\s+predicted|holds?\s+(?:the\s+)?(?:label|target|answer|class)|has\s+(?:the\s+)?(?:label|class|answer))", re.IGNORECASE),
    re.compile(rf"{_QUOTED}\s+is\s+(?:the\s+)?(?:target|label)\b", re.IGNORECASE),
    re.compile(rf"\b(?:labels?|classes|answers?|targets?)\s+(?:is|are|stands?)\s+in\s+(?:the\s+)?(?:column|field)\s+(?:called\s+|named\s+)?{_NAME}", re.IGNORECASE),
]  # fmt: skip
_NO_NAME = frozenset("a an the to of is that which for with in on as by from be we i it under below within column field variable".split())


def read_task(text: str, known: Collection[str]) -> str | None:
    """Classification or regression, where the words say one of the two; metrics and classes say it too.

    Parameters
    ----------
    text : str
        In lower case.
    known : collection of str
        Keys that are known: ``classes``, ``quality.mae``.
    """
    regress = _REGRESS.search(_HOW.sub(lambda match: " " * len(match[0]), text))
    classify = _CLASSIFY.search(text)
    plain = re.search(rf"\b{_TASK_WORDS}\b", text)
    if plain and len({m[0] for m in re.finditer(rf"\b{_TASK_WORDS}\b", text)}) == 1:
        return plain[0]
    if "classes" in known:
        return "classification"
    metrics = [key for key in known if key.startswith("quality.")]
    if metrics:
        return "regression" if metrics[0].partition(".")[2] in REGRESSION else "classification"
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
