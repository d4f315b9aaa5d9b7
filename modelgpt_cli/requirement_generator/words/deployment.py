"""What a text says of the file: its format, operator set, quantisation and runtime. Beside `readings`."""

from __future__ import annotations

import re
from itertools import pairwise

from modelgpt_cli.requirement_generator.words.clauses import Clauses
from modelgpt_cli.requirement_generator.words.numerals import find_numbers
from modelgpt_cli.requirement_generator.words.readings import Fact, Unclear

_WORDS: list[tuple[str, str, str]] = [
    ("deploy.quantize", "int8", r"\bu?int[\s-]?8\b|\bi8\b|\b(?:8|eight)[\s-]bits?(?:[\s-]+(?:integers?|ints?"
        r"|quanti[sz]\w+|weights"
     r"|model|precision))?\b(?! (?:grey|gray|colou?r|images?|pictures?|rgb|pngs?|photos?|depth))"),
    ("deploy.quantize", "fp16", r"\b(?:fp|float)[\s-]?16\b|\bf16\b|\bhalf[\s-]precision\b|\bhalf[\s-]floats?\b"
     r"|\b(?:16|sixteen)[\s-]bits?(?:[\s-]+(?:floats?|floating[\s-]point|weights|precision|model))\b"),
    ("deploy.quantize", "none", r"\b(?:un-?quanti[sz]ed|no quanti[sz]ation(?! (?:is |was )?(?:need|necess"
                                r"|requir))|(?:not|never) (?:be )?quanti[sz]ed?"
     r"|(?:do not|don['’]?t|without) quanti[sz]\w+|full[\s-]precision|(?:fp|float)[\s-]?32|(?:32|thirty-two)[\s-]bits?"
     r"(?:[\s-]+(?:floats?|floating[\s-]point|weights|precision))|single[\s-]precision)\b"),
    ("deploy.runtime", "onnxruntime-web", r"\b(?:onnx[\s-]?runtime|ort)[\s-]?web\b"),
    ("deploy.runtime", "onnxruntime-mobile", r"\b(?:onnx[\s-]?runtime|ort)[\s-]?mobile\b"),
    ("deploy.runtime", "onnxruntime", r"\b(?:onnx[\s-]?runtime|ort)\b(?![\s-]?(?:web|mobile)\b)"),
    ("deploy.format", "safetensors", r"\bsafe-?tensors?\b"),
    ("deploy.format", "onnx", r"\bonnx\b(?![\s-]?(?:runtime|web|mobile)\b)"),
]  # fmt: skip
_OPSET = re.compile(
    r"\bopset(?:[\s_-]*(?:version|number|level))?(?: (?:is|of|at|must be|to))? ?[:=]? ?(\d{1,2}|thirteen"
    r"|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|twenty)\b"
)
_ANY = re.compile(
    r" ?(?:\+|(?:to|-|–|through|or|/|and) ?\d+ (?:all|are|is|work|do|will|would)|(?:to|-|–|through|or|/) ?\d+"
    r"|or (?:higher|later|above|newer|more|lower|below|less|older|up))"
)
_NEED_NOT = re.compile(
    r"\b(?:need(?: not|n['’]?t| never)|(?:doesn['’]?t|does not|don['’]?t|do not) (?:have|need) to|not"
    r" necessar\w+|no need to)"
    r" (?:be |get )?(?:un)?quanti[sz]\w*|\b(?:un)?quanti[sz]\w+ (?:is |it )?(?:not|isn['’]t) (?:needed"
    r"|necessary|required)"
)
_AFTER_NO = re.compile(
    r" (?:is|was|are|would be|does|do|will|wo|did|ca|can|is)(?:n['’]t| ?not) (?:an? )?(?:really )?"
    r"(?:option|work|good|possible|allowed|ok|okay|wanted|acceptable|supported|run)|"
    r" (?:is|was) (?:out\b|too |no (?:good|option|use)|forbidden|impossible)"
)
_UNKNOWN = re.compile(
    r"\b(?:tflite|tensorflow(?:[\s-]?(?:lite|js))?|core[\s-]?ml|torch-?script|pickles?|openvino|tensor-?rt|ncnn|gguf"
    r"|mnn|executorch|pmml|int[\s-]?4|4[\s-]bits?|bfloat16|bf16|fp8)\b"
)
_NO = re.compile(
    r"\b(?:not|no|neither|without|never|rather than|instead of|avoid|nor|than|anything but) (?:an? |the |in |to"
    r" |as |use )*$"
    r"|n['’]t (?:(?!but\b)\w+ ){0,3}$"
)
_WHAT = re.compile(r"\b(?:photos?|images?|pictures?|data|recordings?|audio|inputs?|scans?)\b[^,.;]*$")
_EITHER = re.compile(r" ?(?:or|/) ?(?:(?:in|as|an?|to) )*$")


def read_deployment(clauses: Clauses) -> tuple[list[Fact], list[Unclear]]:
    """Find what is said of the file; several values of one key are for the caller to judge."""
    facts: list[Fact] = []
    unclear: list[Unclear] = []
    taken: list[tuple[int, int]] = []
    refused: set[str] = set()
    text = clauses.text
    for match in _NEED_NOT.finditer(text):
        taken.append(match.span())
        unclear.append(Unclear(*match.span(), "it is said that this need not be so"))
    for key, value, pattern in _WORDS:
        for match in re.finditer(pattern, text):
            start, end = match.span()
            if any(a < end and start < b for a, b in taken) or (
                value == "int8" and _WHAT.search(clauses.before(start))
            ):
                continue
            taken.append((start, end))
            excuse = clauses.excuse(start, end, "")
            if re.search(r"\b(?:could|might) (?:also )?be (?:an? |in )?$", text[:start]):
                excuse = "either would do, so neither is asked for"
            if re.match(r" ?,? ?neither\b", text[end:]):
                continue
            if excuse:
                unclear.append(Unclear(start, end, excuse))
            elif _NO.search(text, 0, start) or _AFTER_NO.match(text, end):
                refused.add(value)
            else:
                facts.append(Fact(key, value, start, end))
    facts = [fact for fact in facts if fact.value not in refused]
    for match in _OPSET.finditer(text):
        if _NO.search(text, 0, match.start()):
            continue
        excuse = clauses.excuse(match.start(), match.end(), "")
        if _ANY.match(text, match.end()):
            excuse = "which one is left open"
            unclear.append(Unclear(*match.span(), excuse))
        facts += [] if excuse else [Fact("deploy.opset", _opset(match[1]), *match.span())]
    for match in _UNKNOWN.finditer(text):
        if not _NO.search(text, 0, match.start()):
            unclear.append(Unclear(*match.span(), "it is no format, quantisation or runtime that can be asked for"))
    return _without_alternatives(sorted(facts, key=lambda fact: fact.start), unclear, text)


def _opset(number: str) -> int:
    return int(number) if number.isdigit() else int(find_numbers(number)[0].value)


def _without_alternatives(facts: list[Fact], unclear: list[Unclear], text: str) -> tuple[list[Fact], list[Unclear]]:
    """Leave out what is offered as a choice: "int8 or fp16"."""
    dropped: set[int] = set()
    for i, (first, second) in enumerate(pairwise(facts)):
        if first.key == second.key and first.value != second.value and _EITHER.fullmatch(text, first.end, second.start):
            dropped |= {i, i + 1}
            unclear.append(Unclear(first.start, second.end, "either would do, so neither is asked for"))
    return [fact for i, fact in enumerate(facts) if i not in dropped], unclear
