"""The words of the grammar of `bounds`, as regular expressions for text in lower case.

In a text that is read, a figure is masked by "§", and a word on the file ("int8", "opset 17") by "¤".
"""

from __future__ import annotations

import re

ROWS = (
    r"(?:rows?|records?|images?|pictures?|photos?|frames?|texts?|e?-?mails?|messages?|sentences?|reviews?|comments?"
    r"|tweets?|tickets?|documents?|samples?|items?|predictions?|inferences?|requests?)"
)
SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9}
SCALES |= {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "million": 1e6, "billion": 1e9}
MILLISECONDS = {"us": 1e-3, "µs": 1e-3, "ms": 1.0, "millisecond": 1.0, "s": 1e3, "sec": 1e3, "second": 1e3}
_SCALE = r"(?P<scale>[kmbg]|million|billion|kilo|mega|giga)? ?"
UNITS = {
    "bytes": re.compile(r"[ -]?(?P<scale>[kmg]|kilo|mega|giga)(?P<binary>i?)-?b(?:ytes?)?\b(?! ?(?:/|per\b))| bytes\b"),
    "time": re.compile(r"[ -]?(?P<time>millisecond|second|sec|[uµm]?s)s?\b(?! ?/)"),
    "share": re.compile(r" ?(?:%|per ?cent\b)"),
    "flops": re.compile(rf" ?{_SCALE}(?P<what>flops?|macs?)\b(?! ?/)"),
    "parameters": re.compile(rf" ?{_SCALE}(?:parameters?|params?|weights)\b"),
    "number": re.compile(r"(?:(?P<scale>[kmb])\b)?"),
}
"""Kind of figure → the unit behind its number; the first that fits."""
ONE = re.compile(r"\b(?:an? |one )(?=(?:kilo|mega|giga)byte\b|(?:milli)?second\b)")
FILE_WORDS = {
    ("deploy.quantize", "int8"): r"\bint-?8\b|\b8-bit(?: (?:weights|integers?))?\b",
    ("deploy.quantize", "fp16"): r"\b(?:fp|float)-?16\b|\bhalf[ -]precision\b",
    ("deploy.quantize", "none"): (
        r"\b(?:fp|float)-?32\b|\bfull[ -]precision\b|\b(?:un|not |no )quanti[sz](?:ed|ation)\b"
    ),
    ("deploy.runtime", "onnxruntime-web"): r"\bonnx ?runtime[ -]web\b",
    ("deploy.runtime", "onnxruntime-mobile"): r"\bonnx ?runtime[ -]mobile\b",
    ("deploy.runtime", "onnxruntime"): r"\bonnx ?runtime\b",
    ("deploy.format", "safetensors"): r"\bsafetensors\b",
    ("deploy.opset", ""): r"\bopset[ :=]*(\d\d?)\b",
    ("deploy.format", "onnx"): r"\bonnx\b",
}
"""Key and value → the words that say it; where no value stands here it is the number in them."""
METRICS = {
    "balanced_accuracy": r"\bbalanced accuracy\b",
    "f1": r"\b(?:macro[ -])?f-?1(?:[ -]score)?\b",
    "roc_auc": r"\b(?:roc[ -]?auc|auc|auroc|area under the (?:roc )?curve)\b",
    "log_loss": r"\blog[ -]?loss\b",
    "rmse": r"\b(?:rmse|root mean squared error)\b",
    "mae": r"\b(?:mae|mean absolute error)\b",
    "r2": r"\br(?:\^?2\b|²)",
    "pixel_accuracy": r"\bpixel[ -]accuracy\b",
    "miou": r"\b(?:m[ -]?iou|mean (?:iou|intersection over union))\b",
    "map50": r"\bap50\b",
    "map": r"\bapall\b",
    "nme": r"\b(?:nme|normali[sz]ed mean error)\b",
    "pck": r"\bpck\b",
    "open": r"\bapx\b|\bpcx\b",
    "accuracy": r"\b(?:accuracy|accurate|right|correct(?:ly)?)\b",
    "wrong": r"\b(?:wrong|incorrect)\b",
}
_TERMS = "|".join(
    METRICS[name]
    for name in ("f1", "roc_auc", "log_loss", "rmse", "mae", "r2", "miou", "map50", "map", "nme", "pck", "open")
)
_AP = r"\b(?:mAP|MAP|AP|(?:map|ap)(?=_?[@\d]))[ _-]?(?:@ ?\[?(?:IoU ?=? ?)?(?:0?\.50?|50)|[(\[]?50)"
NUMBERED = (
    (re.compile(rf"{_AP} ?[:–-] ?(?:0?\.)?95[\])]?(?![\d.])"), "apall"),
    (re.compile(rf"{_AP}[\])]?(?![\d.]| ?%)"), "ap50"),
    (re.compile(r"\b(?:mAP|MAP)\b|\b[Mm]ean average precision\b"), "apx"),
    (re.compile(r"\b(?:PCK|pck) ?@ ?(?:0?\.10?(?!\d)|10 ?%)"), "pck"),
    (re.compile(r"\b(?:PCK|pck) ?@ ?[\d.]+(?: ?%)?"), "pcx"),
)
"""Names of metrics that hold numbers, in their own spelling, and the word that stands for each: "mAP@.5:.95"."""
OPEN = {"apx": "mAP50 or mAP50-95: it is open which one is meant", "pcx": "PCK is measured at .1"}
"""Such words that ask for no metric, and why."""
WITH_METRIC = re.compile(rf"\bwith (?=(?:an? |the )?(?:{_TERMS}))")
"""Terms of the art are also read at the end of a clause of other words: "predict sales with an R2 of .7"."""

_MORE = r"(?:more|larger|bigger|longer|higher|slower|heavier|greater|better)"
_LESS = r"(?:less|smaller|fewer|shorter|lower|faster|lighter|quicker|worse)"
_NEVER = r"(?:no|not|never|cannot|\w+n['’]t)(?: (?:be|take|have|use|go|get|fall|drop|weigh))*"
MOST = (
    rf"\b{_NEVER} (?:{_MORE} than|over|above|exceed)\b|\b{_LESS} than\b"
    r"|\b(?:under|below|up to|at (?:the )?most|max(?:imum)?)\b|[<≤]"
)
MOST_COST = rf"{MOST}|\b(?:within|in|into|sub)\b"
"""Also of sizes and times: "in 20 ms" bounds them, and "right in 90 % of all cases" nothing."""
LEAST = (
    rf"\b{_NEVER} (?:{_LESS} than|under|below)\b|\b{_MORE} than\b"
    r"|\b(?:over|above|at (?:the )?least|min(?:imum)?|exceed)\b|[>≥]"
)
MOST_AFTER = r"[ (]*(?:or (?:less|fewer|faster|smaller)|at (?:the )?most|max(?:imum)?|tops)\b"
LEAST_AFTER = r"[ (]*(?:\+|(?:or (?:more|better|higher|above)|at least|min(?:imum)?)\b)"
MODEL = (
    r"(?:\b(?:an?|the|this|that|your|our|my|one|any)\s+|^\s*)(?:§\s*|¤\s*|(?:small|tiny|compact|light|lightweight|fast"
    r"|single|final|exported|neural|ml|machine[ -]learning|finished|new|whole|good)\s+)*"
    r"(?:model(?:['’]s)?|classifier|regressor|neural network)\b(?:\s+(?:file|size|itself))?\b"
)
"""The model as a subject: with an article, or at the beginning. "The phone model" is none."""
ITEM = rf"(?:\b(?:per|each|every|an?|for (?:each|every|a)) |/ ?){ROWS}\b"
_DEVICE = (
    r"\bon (?:(?:an?|the|our|my|one|its|single|slow|old|small|cheap|raspberry|laptop|mobile) )*"
    r"(?:pi(?: \d)?|phones?|cpu|core|laptop|tablet|microcontroller|board|server|gateway|device|machine|browser)\b"
)
_OF_ALL = (
    r"\b(?:(?:of|in|out of) (?:(?:all|the|its|these|those) |§\s*)*(?:time|cases|them|all|rows|records|answers"
    r"|predictions|images|pictures|photos|texts|e?-?mails|messages|labels|reviews|comments|tickets|tweets)|times)\b"
)
_LINKS_TEXT = """
a an the this that which it its we us you i please just only so and or but with plus also as is are be being must should
shall may can will would has have having need needs to want get gets reach reaches achieve achieves give gives come
comes keep keeps stay stays run runs fit fits weigh weighs take takes use uses using make made of on at for by up
score limit limits limited requirements constraints than peak test overall size file download flash storage disk ram
memory footprint latency inference prediction predictions response answer answers time export exported stored saved
quantised quantized format weights parameters each all respond average
"""
KNOWN = re.compile(
    "|".join([MODEL, _DEVICE, ITEM, _OF_ALL, *METRICS.values(), MOST_COST, LEAST, MOST_AFTER, LEAST_AFTER])
    + rf"|\b(?:{'|'.join(_LINKS_TEXT.split())})\b|\W"
)
"""A word of the grammar."""

KEYS = {
    "limits.size": re.compile(r"\b(?:size|file|download|flash|storage|disk|weighs?|footprint)\b"),
    "limits.latency_ms": re.compile(rf"\b(?:latency|inference|predictions?|response|answers?)\b|{_DEVICE}|{ITEM}"),
}
"""Words that say of what a figure is that could be a size or a time of anything."""
PLAIN = re.compile(
    rf"\b(?:predictions?|inference|export(?:ed)?)\b|\b(?:right|correct)\b.*{_OF_ALL}|{_OF_ALL}.*\b(?:right|correct)\b"
)
"""What only a model does: beside these words a bound is applied, as it is beside "model"."""
_SIZES = re.compile(
    r"\b(?:memory|ram|disk|storage|sizes?|files?|uploads?|attachments?|videos?|clips?|documents|recordings?"
    r"|downloads?)\b"
)
TOPICS = {
    "limits.size": _SIZES,
    "limits.memory": _SIZES,
    "limits.latency_ms": re.compile(
        r"\b(?:times?|latency|response|runtime|durations?|lasts?|audio|videos?|clips?|sampled|signals?|windows?"
        r"|reactions?|songs?)\b"
    ),
    "limits.parameters": re.compile(r"\b(?:parameters?|weights)\b"),
    "quality.accuracy": re.compile(r"\b(?:right|wrong|correct\w*|accura\w+|answers?|scores?)\b"),
}
"""Words of a task that is itself about such figures: there only what is said of the model is a limit."""
HEDGE = re.compile(
    r"\b(?:ideally|preferabl[ey]|hopefully|(?:if|where|when) possible|(?:about|around|roughly|approximately)(?= ?§)"
    r"|maybe|perhaps|would be(?: \w+)?|need(?:s|ed)? not|needn['’]t|n['’]t (?:need|have) to|not (?:needed|necessary)"
    r"|p\d\d|optional\w*)\b|~(?= ?§)"
)
TAKEN_BACK = re.compile(
    r"\b(?:no wait|make that|scratch that|correction|i meant?|on second thought)\b|\b(?:sorry|actually),"
)
REFUSED = re.compile(
    r"(?:\b(?:not|no|never|without|than|instead of|neither|nor|could be)|n['’]t \w+) (?:an? |in |to )?$"
)
"""Words before one on the file that is not asked for."""
OTHERS = re.compile(r"n['’]t\b|\b(?:not|never|without|old|previous|unlike|than|if|whether|when|which|was|were|had)\b")
"""Words before "a model" that is not the one asked for."""
TOLD = re.compile(r"\s*(?:was|were|had|did|does|failed|is|are|has)\b")
"""Words behind a bound that make a statement of it: "a model under 2 MB is too weak"."""
CUT = re.compile(
    r"(?P<stop>[;!?\n]|(?<!\bmax)(?<!\bmin)\.(?=\s|$))|,(?=\s|$)|\s[-–—/|+]\s|(?P<colon>:)(?=\s)|(?P<open>[(\[{→]|->)"
    r"|(?P<close>[)\]}])"
)
"""What parts clauses."""
