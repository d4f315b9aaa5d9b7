"""Nouns of data, and words that are no labels: devices, formats, metrics, languages. For `labels` and `lists`."""

from __future__ import annotations

import re
from collections.abc import Sequence

MEDIA = (
    r"(?:images?|imgs?|imagery|pictures?|pics?|pix|photos?|fotos?|photographs?|snaps?|snapshots?|shots?|scans?|frames?"
    r"|x-?rays?|radiographs?|micrographs?|screenshots?|stills?|thumbnails?|selfies?|drawings?|sketches|tiles?"
    r"|texts?|reviews?"
    r"|e-?mails?|mails?|messages?|msgs?|tweets?|comments?|tickets?|sentences?|posts?|articles?|headlines?"
    r"|documents?|docs"
    r"|abstracts?|sms|letters?|notes?|chats?|queries|transcripts?|essays?|titles?|paragraphs?|questions?|news|postings?"
    r"|lyrics|poems?|captions?|descriptions?|feedback|complaints letters|ads?|requests)"
)
"""Pictures and texts."""
DATA_NOUNS = (
    rf"(?:{MEDIA[3:-1]}|rows?|records?|columns?|features?|fields?|variables?"
    r"|inputs?|files?|measurements?|readings?|recordings?|sensors?|formats?|calls?|customers?|data|tables?|csvs?"
    r"|attributes?|predictors?|languages?|sources?|devices?|machines?|phones?|targets?|platforms?|sites?|axes"
    r"|channels?|dimensions?|coordinates?|directions?|values?|spreadsheets?|clips?|videos?|camera|webcam)"
)
CLASS_NOUNS = (
    r"(?:class(?:es)?|categor(?:y|ies)|labels?|kinds?|sorts?|types?|groups?|species|options?|outcomes?|answers?"
    r"|buckets?|grades?|levels?|departments?|topics?|intents?|moods?|sentiments?|defects?|faults?)"
)
ATTRIBUTES = (
    r"(?:columns?|features?|fields?|variables?|inputs?|attributes?|predictors?|formats?|languages?|targets?|platforms?"
    r"|devices?|sensors|axes|channels?|dimensions?)"
)
"""What stands right before names of columns, devices or formats."""
COLUMN_NOUNS = (
    rf"(?:{ATTRIBUTES[3:-1]}|sensor|measurements?|readings?|files?|sources?|sites?|machines?|limits?|requirements?"
    r"|constraints?|conditions?|specs?|budget|runtime|background|context|tasks?|goal|idea|todo|need|wish(?:es)?"
    r"|hardware|os|team|people|members|ingredients|steps|contact|users|countries|cities|offices|details|facts"
    r"|points|questions"
    r"|data|tables?|csvs?|records?|rows?|spreadsheets?|profiles?|properties|ram|pi|cpu|gpu|python|metrics?"
    r"|deploy\w*|tools?|stack)"
)
"""What is listed after these is no classes."""
ASPECTS = (
    r"(?:sentiment|mood|tone|class|category|label|type|kind|quality|condition|status|state|priority|severity"
    r"|urgency|topic"
    r"|rating|verdict|result|outcome|side|stage|phase|emotion|activity|gesture|style|language)"
)
"""What goes before labels without being one: "sentiment positive or negative"."""
ADJECTIVE = (
    r"(?:(?:un|in|ir|im|non-?)\w+|\w+(?:ed|ive|al|ous|ful|less|able|ible|ic|ent|ant|ish|en)|good|bad|poor|fair"
    r"|great|sick"
    r"|ill|healthy|ripe|fresh|rotten|clean|dirty|wet|dry|real|fake|true|false|safe|full|empty|open|new|old|high|low|hot"
    r"|cold|big|small|large|loud|quiet|happy|sad|angry|faulty|worn|whole|male|female|left|right|fine|ok|okay|hard|soft"
    r"|easy|rude|polite|urgent|formal|adult|young|dead|alive|live|weak|strong|risky|sharp|blurry|smooth|rough"
    r"|straight|bent|flat|round)"
)
_NEVER_TEXT = """
int8 int4 fp16 fp32 fp8 bf16 float16 float32 opset onnx safetensors tflite onnxruntime ort mae rmse mse mape r2 auc
roc f1
quantized quantised unquantized unquantised accuracy acc latency classification regression classifier regressor detector
so not better worse more less higher lower later earlier sooner fewer faster slower larger smaller bigger above below
newer older up again even and or he she him her his hers they them w wo i o km kmh h kg ha cm mm g l ml mb kb gb ms s
sec second seconds minute minutes hour hours days weeks months years today tomorrow yesterday once twice
one two three four five six seven eight nine ten dozen hundred thousand a model models thread threads core cores
thanks please regards cheers perhaps whatever something someone whichever anything tabular csv
table tables spreadsheet spreadsheets database file files row rows column columns data out ram memory
me us you it that this these those which what who there here them wait wrong
"""
_NEVER = frozenset(_NEVER_TEXT.split())
_RARELY_TEXT = """
doc jpg jpeg png gif bmp tif tiff webp svg pdf tsv json jsonl xml yaml xlsx xls excel parquet txt html docx zip wav mp3
mp4 avi android ios iphone ipad linux windows macos mac ubuntu debian chrome firefox safari edge browser browsers
cpu gpu tpu npu ram flash disk arm x86 x64 raspberry pi jetson arduino esp32 stm32 laptop laptops desktop server
servers phone phones smartphone smartphones tablet tablets cloud python java javascript typescript go rust swift kotlin
c c++ c# r matlab julia docker kubernetes aws azure gcp pytorch tensorflow keras sklearn scikit-learn jax coreml
precision recall speed memory size monday tuesday wednesday thursday friday saturday sunday
train test training testing val validation eval input output inputs outputs batch offline online cameras drones
canon nikon sony
"""
_LANGUAGES_TEXT = """
english german french spanish italian dutch portuguese polish russian turkish chinese japanese korean arabic hindi
swedish danish norwegian finnish greek
"""
LANGUAGES = frozenset(_LANGUAGES_TEXT.split())
_RARELY = frozenset(_RARELY_TEXT.split()) | LANGUAGES
"""Labels only beside others that are none of these: "rust, mildew, healthy"."""
_FIGURE = re.compile(
    r"\d\s?(?:%|[kmg]i?b\b|ms\b|s\b|k\b|x ?\d|px\b|dpi\b|mp\b|fps\b|million|bits?\b)|\d{3}"
    r"|\b(?:int8|fp16|fp32|onnx\w*|opset|accuracy|auc|rmse|mae|f1|latency|ram|cpu|gpu|fps|params?|parameters|quanti\w+"
    r"|float\d+|megabytes?|kilobytes?|milliseconds?|percent|threads?|batch|size)\b",
    re.IGNORECASE,
)


def are_labels(items: Sequence[str], text: str = "") -> bool:
    """Whether items may be classes: no figures or metrics, and not for the most part devices, formats or nouns of data.

    Languages may be where `text`, all that is said, speaks of one.
    """
    low = [item.lower() for item in items]
    if len({*low}) < 2 or any(_is_none(item) for item in items):
        return False
    if all(item in LANGUAGES for item in low):
        return re.search(r"\blanguage\b", text, re.IGNORECASE) is not None
    return 2 * sum(item in _RARELY or re.fullmatch(DATA_NOUNS, item) is not None for item in low) <= len(low)


def _is_none(words: str) -> bool:
    low = words.lower()
    if low in ("yes", "no", "y", "n") or not re.search(r"[^\W\d_]", low):
        return True
    if words.isupper() and len(words) <= 2:  # grades: A, B, C
        return False
    return low in _NEVER or _FIGURE.search(low) is not None
