# ruff: noqa: E501  # words of many languages, a line for each meaning
"""Do the words that an LLM quotes state the figure that it reads in them? In any language, as far as words are known here.

Before `parse_answer`. A figure's number and unit must be those of the words, and the words must demand it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from modelgpt_cli.llm.asking import BadAnswerError
from modelgpt_cli.requirement_generator.numbers import find_numbers
from modelgpt_cli.requirement_generator.quotes import GAP

_CLOSE = 0.005
"""Numbers that differ by this share are the same: a third of a second, and 333 ms."""
_DIGITS = re.compile(
    rf"(?<![A-Za-z\d.,])(?:(?P<groups>\d{{1,3}}(?:{GAP}\d{{3}})+(?!\d))(?:[.,](?P<decimals>\d+))?|(?P<plain>\d+(?:[.,]\d+)?))"
)
"""Digits that belong to a name (int8, F1) are no number."""
_UNITS: dict[str, dict[float, str]] = {
    "bytes": {
        1e3: r"k[bo]|kilobyte\w*|kilooctet\w*|kilobajt\w*|кб|килобайт\w*|キロバイト|千字节|킬로바이트",
        1e6: r"m[bo]|megs?|mega\w*|méga\w*|мб|мегабайт\w*|メガバイト|メガ|兆字节|兆|메가바이트|메가|ميغابايت|ميجابايت",
        1e9: r"g[bo]|gigs?|giga\w*|гб|гигабайт\w*|ギガバイト|ギガ|吉字节|千兆字节|기가바이트|기가",
        1e12: r"t[bo]|tera\w*|téra\w*",
        1024.0: r"kio?b?|kibibyte\w*",
        1024.0**2: r"mib|mio|mebibyte\w*",
        1024.0**3: r"gib|gio|gibibyte\w*",
        1.0: r"bytes?|octets?|байт\w*|バイト|字节",
    },
    "ms": {
        1e-3: r"[uµμ]s|microse\w+|mikrosekunde\w*",
        1.0: r"ms|millise[ck]\w*|milise[gk]\w*|mili?s\w*|millisek\w*|миллисекунд\w*|мс|ミリ秒|毫秒|밀리초",
        1e3: r"s|secs?|seconds?|secondes?|second[oi]|sekund\w*|segundos?|sekunt\w*|saniye\w*|sek|секунд\w*|сек|с|秒钟|秒|초|ثانية",
        6e4: r"mins?|minut\w*|минут\w*|мин|分钟|分|분",
        3.6e6: r"h|hours?|stunden?|heures?|horas?|or[ae]|час\w*|小时|時間",
    },
    "share": {
        0.01: r"%|percent\w*|per cent|prozent\w*|pour ?cents?|por ?ciento|por ?cento|per ?cento|procent\w*|yüzde|процент\w*"
        r"|パーセント|퍼센트",
        0.1: r"成|割",
    },
    "count": {
        1e2: r"hundred|百",
        1e3: r"k|thousand|tausend|tsd\.?|mille|mil|mila|tysięcy|тысяч\w*|тыс\.?|千|천",
        1e4: r"万|萬|만",
        1e6: r"m|millions?|mio\.?|millionen|millón|millones|milhão|milhões|milion\w*|miljoen|миллион\w*|млн\.?|百万",
        1e8: r"億|亿|억",
        1e9: r"b|g|billions?|milliard\w*|mrd\.?",
    },
}
_KIND = {"size": "bytes", "memory": "bytes", "latency_ms": "ms", "latency_per_row": "ms"}
_LEAST_QUALITY = (
    "accuracy",
    "balanced_accuracy",
    "f1",
    "roc_auc",
    "r2",
    "miou",
    "pixel_accuracy",
    "map50",
    "map",
    "pck",
)
_SHARES = (*_LEAST_QUALITY, "nme", "error_rate")
_LEAST = ("rows_per_second", "rows_per_minute", "opset", "threads", "batch_size")
_TOKENS = {
    "threads": r"thread\w*|mono\w*|cores?|c[oœ]e?urs?|kern\w*|hilos?|n[uú]cle\w*|filo|fili|fios?|nuclei|fil[se]?|线程|核|スレッド|コア|поток\w*"
    r"|ядр\w*|draad\w*|draden|tråd\w*|wątk\w*|cpus?|processor\w*|스레드|코어",
    "batch_size": r"batch\w*|lots?|stapel\w*|lotes?|lotti|lotto|批\w*|バッチ|пакет\w*|at (?:a time|once)|zugleich|gleichzeitig|auf einmal"
    r"|à la fois|a la vez|alla volta|de uma vez|images?|pictures?|photos?|rows?|bild\w*|zeilen?|lignes?|filas?|배치",
    "opset": r"opset\w*",
    "parameters": r"param\w*|parám\w*|parâm\w*|gewichte\w*|weights?|poids|pesos|pesi|参数|參數|パラメータ\w*|парам\w*|매개변수|파라미터|[kmb]",
    "flops": r"flops?|macs?",
    "f1": r"f-?1(?:-?\w+)?",
    "roc_auc": r"roc\w*|auc|auroc",
    "miou": r"m[- ]?iou|iou|jaccard\w*",
    "pixel_accuracy": r"pixel\w*|像素\w*|piksel\w*",
    "map50": r"m?ap[-_ ]?@?[-\d.]*|average precision|precisi\w*|genauigkeit\w*",
    "map": r"m?ap[-_ ]?@?[-:\d.]*|average precision|precisi\w*|genauigkeit\w*",
    "nme": r"nme|normali\w*",
    "pck": r"pck\w*",
    "r2": r"r2|r\^2|r²|r-squared|bestimmtheitsma\w*|determin\w*",
    "mae": r"mae|absolut\w*|absolu\w*|绝对\w*|平均絶対\w*|абсолютн\w*",
    "rmse": r"rmse|quadr\w*|cuadr\w*|square\w*|kwadrat\w*|均方\w*|среднеквадрат\w*",
    "log_loss": r"log\w*|cross-?entropy|entrop\w*",
    "balanced_accuracy": r"balanc\w*|ausgewogen\w*|balanciert\w*|équilibr\w*|equilibr\w*|bilanciat\w*|сбалансир\w*|平衡\w*|均衡\w*",
    "error_rate": r"wrong\w*|error\w*|incorrect\w*|mis\w+|fals\w*|fehl\w*|erreurs?|faux|fausse\w*|erróne\w*|fall[oaei]\w*|errat\w*|errad\w*|erro\w*"
    r"|sbaglia\w*|ошиб\w*|неверн\w*|错\w*|錯\w*|誤\w*|間違\w*|błęd\w*|fout\w*|fel\w*",
}
"""Key → what names it, in the words of the figure or beside them."""
_DEPLOY = {
    (
        "quantize",
        "int8",
    ): r"int[- ]?8|8[- ]?bits?|eight[- ]bit|8 ?(?:位|ビット|бит\w*|비트)|acht[- ]?bit|(?:huit|ocho|otto|oito)[- ]bits?"
    r"|8[- ]битн\w*|q8\w*",
    (
        "quantize",
        "fp16",
    ): r"(?:fp|float)[- ]?16|16[- ]?bits?|half\w*|halb\w*|demi\w*|media precisi\w*|mezza precisi\w*|meia precis\w*"
    r"|16 ?(?:位|ビット|бит\w*|비트)|半精度|половинн\w*|halve\w*|sixteen[- ]bit|f16",
    (
        "quantize",
        "none",
    ): r"(?:fp|float)[- ]?32|full\w*|voll\w*|plein\w*|complet\w*|piena|32[- ]?bits?|un?quanti\w*|(?:not|no|without|nicht|ohne"
    r"|keine?|pas|sans|sin|non|senza|sem|não|без|не|不|无)\b.{0,25}(?:quanti\w*|cuantiz\w*|кванто\w*|int8|fp16)|(?:不|无|未)量化|全精度|量子化(?:なし|しない)|кванто\w*"
    r"|полн\w*|単精度|单精度",
    ("format", "onnx"): r"onnx\b(?! ?runtime)",
    ("format", "safetensors"): r"safe-?tensors?",
    ("runtime", "onnxruntime"): r"onnx[- ]?runtime(?![- ]?(?:web|mobile))|ort\b(?![- ]?(?:web|mobile))",
    ("runtime", "onnxruntime-web"): r"onnx[- ]?runtime[- ]?web|ort[- ]?web",
    ("runtime", "onnxruntime-mobile"): r"onnx[- ]?runtime[- ]?mobile|ort[- ]?mobile",
}
"""Key and value → the words that demand it."""
_NOT_NEEDED = re.compile(
    r"\b(?:need(?:s|ed)? not|need ?n['’]?t|not? (?:need|have|required|necessar\w+|obliged)|n['’]t (?:need|have|care|matter)"
    r"|(?:muss|müssen|braucht|brauchen|soll)\b.{0,30}\bnicht|nicht (?:nötig|notwendig|zwingend|unbedingt|erforderlich)"
    r"|(?:pas|n['’]a pas) (?:besoin|nécessaire\w*|obligé|forcément|obligatoire\w*)|no (?:hace falta|es necesario|tiene que|necesita)"
    r"|non (?:serve|è necessario|deve|occorre)|não (?:precisa|é necessário|tem de)|hoeft niet|не (?:обязательно|нужн\w*|надо))"
    r"|不必|不需要|无需|不用|必要(?:は|が)?(?:ない|ありません)",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:not|never|no|without|n['’]t|instead of|rather than|nicht|kein\w*|ohne|statt|anstelle|pas|sans|jamais|sin|nunca|non|senza"
    r"|não|sem|niet|geen|zonder|не|без|nie|bez)\b(?!\s*(?:more|less|larger|bigger|only|just|nur|mehr|größer|seulement|plus|solo"
    r"|más|maggiore|più|mais|только|более|больше))|不要|不能|不是|[^一-龥]无|ない|しない",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"\b(?:at least|no less than|not less than|not under|not below|minimum|mindestens|wenigstens|nicht unter|nicht weniger als|au moins|au minimum|pas moins de"
    r"|al menos|como mínimo|por lo menos|almeno|come minimo|pelo menos|no mínimo|minstens|ten minste|не менее|не меньше|минимум"
    r"|co najmniej|åtminstone|(?<!not )(?<!no )more than|(?<!no )(?<!not )(?:bigger|larger|longer) than)\b|至少|不少于|不低于|少なくとも|以上|最低",
    re.IGNORECASE,
)
_AT_MOST = re.compile(
    r"\b(?:at most|no more than|not more than|under|below|up to|maximum|höchstens|maximal|nicht mehr als|au plus|pas plus de|como máximo"
    r"|a lo sumo|al massimo|no máximo|hoogstens|не более|не больше|максимум)\b|至多|不超过|最多|以下|以内|未満",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"[;!?。；，、！？]|[.,:](?=\s|$)|\b(?:but|aber|mais|pero|ma|mas|но|and|und|et|y|e|и)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Figure:
    """A number in words: what it may be (a separator may be of thousands or decimals), and where it stands."""

    start: int
    end: int
    values: frozenset[float]


def find_figures(text: str) -> list[Figure]:
    """Find the numbers of a text in any language: in digits, and in English words."""
    text = unicodedata.normalize("NFKC", text)
    found = []
    for match in _DIGITS.finditer(text):
        if match["plain"]:
            values = {float(match["plain"].replace(",", "."))}
        else:
            whole = f"{re.sub(GAP, '', match['groups'])}.{match['decimals'] or 0}"
            plain = re.fullmatch(r"(\d+)[.,](\d+)", match[0])
            values = {float(whole), *([float(f"{plain[1]}.{plain[2]}")] if plain else [])}
        found.append(Figure(match.start(), match.end(), frozenset(values)))
    for number in find_numbers(text.lower()):
        inside = [one for one in found if one.start < number.end and number.start < one.end]
        if not inside:
            found.append(Figure(number.start, number.end, frozenset({number.value})))
        elif len(inside) == 1:  # "2 million", "1/4": the whole of it
            found.remove(inside[0])
            alone = inside[0].values if number.end <= inside[0].end else frozenset[float]()
            start, end = min(number.start, inside[0].start), max(number.end, inside[0].end)
            found.append(Figure(start, end, alone | {number.value}))
        else:
            found = [one for one in found if one not in inside]
            found.append(Figure(number.start, number.end, frozenset({number.value})))
    return sorted(found, key=lambda one: one.start)


def check_figure(block: str, key: str, value: object, read: object, text: str, place: tuple[int, int]) -> None:
    """Make sure that the words at a place of a text state a figure.

    Parameters
    ----------
    block, key : str
        Of the answer.
    value : object
        As the LLM wrote it: "5 MB".
    read : object
        The same as the requirement file reads it: bytes, milliseconds, a share, a number, or a word.

    Raises
    ------
    BadAnswerError
        They don't, or they say that it need not be so; says why.
    """
    where = f"{block}: {key}: "
    words, clause = text[slice(*place)], clause_of(text, place)
    if _NOT_NEEDED.search(clause):
        raise BadAnswerError(f"{where}the request says that this need not be: {clause.strip()!r}; leave it out.")
    if (key, read) in _DEPLOY:
        _check_word(where, key, str(read), words, clause)
        return
    _check_number(where, key, value, read, words, clause)
    _check_side(where, key, text, place)


def figure_kinds(text: str) -> set[str]:
    """Return of what kinds the figures of a text are, "bytes", "ms" or "share", as far as their units can be read."""
    said = unicodedata.normalize("NFKC", text)
    units = [next(_unit_at(said[figure.end :], ""), None) for figure in find_figures(said)]
    return {unit[0] for unit in units if unit and unit[0] != "count"}


def clause_of(text: str, place: tuple[int, int]) -> str:
    """Return the clause that a place of a text is in."""
    before = [match.end() for match in _CLAUSE.finditer(text, 0, place[0])]
    after = _CLAUSE.search(text, place[1])
    return text[before[-1] if before else 0 : after.start() if after else len(text)]


def _whole(pattern: str) -> re.Pattern[str]:
    """A pattern for whole words; letters of scripts without blanks have no edges."""
    return re.compile(rf"(?<![A-Za-zÀ-ɏа-яА-Я])(?:{pattern})(?![A-Za-zÀ-ɏа-яА-Я])", re.IGNORECASE)


def _check_word(where: str, key: str, value: str, words: str, clause: str) -> None:
    said = unicodedata.normalize("NFKC", words)
    if not _whole(_DEPLOY[key, value]).search(said):
        raise BadAnswerError(f"{where}{words!r} does not say {value!r}; quote the words that do, or leave it out.")
    if value != "none" and _DENIED.search(clause):
        raise BadAnswerError(f"{where}{clause.strip()!r} does not ask for {value}; leave it out.")


def _check_number(where: str, key: str, value: object, read: object, words: str, clause: str) -> None:
    said = unicodedata.normalize("NFKC", words)
    figures = find_figures(said)
    wanted = float(read)  # type: ignore[arg-type]  # bounds are numbers
    kind = _KIND.get(key, "share" if key in _SHARES else "count")
    if key == "rows_per_minute":
        wanted *= 60
    if key == "error_rate":
        wanted = 1 - wanted
    shares = [a / b for one, two in pairwise(figures) for a in one.values for b in two.values if 0 < a < b]
    if len(figures) == 2 and kind == "share" and any(_same(wanted, share) for share in shares):
        figures = []
    elif len(figures) > 1:
        raise BadAnswerError(f"{where}{words!r} has {len(figures)} numbers; quote the words of this figure alone.")
    elif figures:
        _check_value(where, value, wanted, kind, figures[0], said, words)
    elif kind in ("bytes", "ms"):
        _check_unit_alone(where, value, kind, said, words)
    tokens = _TOKENS.get(key)
    if tokens and not _whole(tokens).search(unicodedata.normalize("NFKC", clause)) and not _whole(tokens).search(said):
        raise BadAnswerError(
            f"{where}{words!r} does not speak of {key}; quote the words that name it, or leave it out."
        )
    if key == "accuracy" and _whole(_TOKENS["error_rate"]).search(said):
        raise BadAnswerError(f"{where}{words!r} tells what may be wrong: that is an error_rate.")


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= _CLOSE * max(abs(a), abs(b))


def _unit_at(text: str, kind: str) -> Iterator[tuple[str, float]]:
    """Kind and size of the unit that a text begins with, the longest first."""
    found = [
        (len(match[0]), name, size)
        for name, sizes in _UNITS.items()
        for size, pattern in sizes.items()
        if (match := re.match(rf"[\s\-]*(?:{pattern})(?![A-Za-zÀ-ɏа-яА-Я])", text, re.IGNORECASE))
    ]
    # "5 m" is a million of what is counted, and no unit of bytes.
    best = sorted(found, key=lambda one: (one[0], one[1] == kind), reverse=True)
    yield from ((name, size) for _, name, size in best[:1])


def _check_value(where: str, value: object, wanted: float, kind: str, figure: Figure, said: str, words: str) -> None:
    rest = said[figure.end :]
    scale, unit = 1.0, next(_unit_at(rest, kind), None)
    if unit and unit[0] == "count" and kind != "count":  # "2 Millionen Bytes"
        match = re.match(r"[\s\-]*[^\W\d_]+\.?", rest)
        scale, unit = unit[1], next(_unit_at(rest[match.end() if match else 0 :], kind), None)
    if unit and unit[0] == kind:
        sizes = [unit[1]]
    elif kind in ("bytes", "ms"):
        letters = re.match(r"\W*([^\W\d_]+)", rest)
        if unit or not letters or re.match(r"[A-Za-zÀ-ɏа-яА-Я]", letters[1]):
            raise BadAnswerError(f"{where}the unit of {value!r} is not in {words!r}; quote the number with its unit.")
        sizes = list(_UNITS[kind])  # a script whose units nobody here can read
    else:
        sizes = [1.0] if kind == "count" else [1.0, 0.01] if unit is None else [1.0]
        if (
            unit
            and unit[0] in ("bytes", "ms")
            and kind == "count"
            and not re.match(r"\s*[kmbg]\b", rest, re.IGNORECASE)
        ):
            raise BadAnswerError(f"{where}{words!r} gives another kind of figure, with a unit of its own.")
    if not any(_same(wanted, scale * number * size) for number in figure.values for size in sizes):
        raise BadAnswerError(
            f"{where}{value!r} is not what its words say, {words!r}; write their number and their unit."
        )


def _check_unit_alone(where: str, value: object, kind: str, said: str, words: str) -> None:
    """Of a number in words that can't be read here, hold the unit at least."""
    told = re.search(r"[^\W\d_]+\s*$", str(value))
    size = next((one for name, one in _unit_at(told[0] if told else "", kind) if name == kind), None)
    sizes = {one for one, pattern in _UNITS[kind].items() if _whole(pattern).search(said)}
    if sizes and size is not None and size not in sizes:
        raise BadAnswerError(f"{where}the unit of {value!r} is not that of its words, {words!r}.")
    if not sizes and re.search(r"[A-Za-zÀ-ɏа-яА-Я]", said):
        raise BadAnswerError(f"{where}the unit of {value!r} is not in {words!r}; quote the number with its unit.")


def _check_side(where: str, key: str, text: str, place: tuple[int, int]) -> None:
    """Make sure that "at least" is no upper limit, and "at most" no lower one."""
    lead = clause_of(text, place)
    least = key in _LEAST_QUALITY
    if key in _LEAST:
        return
    if not least and _AT_LEAST.search(lead) and not _AT_MOST.search(lead):
        raise BadAnswerError(
            f"{where}{lead.strip()!r} sets a lower bound, and this key takes an upper one; tell it as unclear."
        )
    if least and _AT_MOST.search(lead) and not _AT_LEAST.search(lead):
        raise BadAnswerError(
            f"{where}{lead.strip()!r} sets an upper bound, and this key takes a lower one; tell it as unclear."
        )
