"""Which metric a figure is a value of: for `readings`."""

from __future__ import annotations

import re

from modelgpt_cli.core.metrics import ERRORS
from modelgpt_cli.requirement_generator.words.figures import Figure

_METRICS: dict[str, str] = {
    # What a build doesn't measure comes first, so that "weighted F1" isn't taken for F1.
    "recall": r"\b(?:recall|sensitivity|true[\s-]positive rate|tpr|detection rate)\b",
    "precision": r"\b(?:precision|specificity|positive predictive value)\b",
    "a rate of false alarms": r"\bfalse[\s-](?:positives?|negatives?|alarms?)\b|\bfpr\b|\bmiss(?: rate|ed)\b",
    "another F1": r"\b(?:micro|weighted|binary)[\s-]*(?:averaged? )?f-?1\b|\bf-?1[\s-](?:micro|weighted)\b"
    r"|\bf-?(?:2|beta|0\.5)\b",
    "average precision": r"\b(?:pr[\s-]?auc|auprc|average precision|map\b|mean average)",
    "top-k accuracy": r"\btop[\s-]?(?:\d+|three|five)\b",
    "a relative error": r"\b(?:mape|smape|mean absolute percentage error|relative error)\b",
    "MSE": r"\b(?:mse|(?<!root )(?<!root-)mean[\s-]+squared?[\s-]+error)\b",
    "a correlation": r"\b(?:pearson|spearman|correlation)\b",
    "a score": r"\b(?:iou|kappa|mcc|brier|calibration|ece|bleu|confidence|gini|uptime|availability|coverage)\b",
    "balanced_accuracy": r"\b(?:balanced|bal\.?|class[\s-]averaged|macro)[\s-]+acc(?:uracy\b|\.|\b)|\b(?:mean"
    r"|average) (?:per[\s-]class|class) accuracy\b",
    "f1": r"\b(?:macro[\s-]*(?:averaged? )?)?f-?1(?:[\s-]*(?:score|measure|macro|value))?\b|\bf[\s-](?:score"
    r"|measure)\b",
    "roc_auc": r"\b(?:roc[\s-]?auc|auc[\s-]?roc|auroc|auc|area under (?:the )?(?:roc )?curve|roc)\b",
    "log_loss": r"\b(?:log[\s-]?loss|cross[\s-]?entropy|negative log[\s-]likelihood)\b",
    "rmse": r"\b(?:rmse|root[\s-]mean[\s-]squared?(?:[\s-]+error)?)\b",
    "mae": r"\b(?:mae|(?:mean|average) (?:abs(?:olute|\.)? )?(?:error|deviation)|absolute error"
    r"|off by\b[^,.;]*\bon average)\b",
    "r2": r"\br[\s-]?(?:\^ ?2|²|2|squared?)(?!\w)|\bcoefficient of determination\b|\bvariance explained\b"
    r"|\bexplain\w*\b[^,.;]*\bvariance\b",
    "error": r"\b(?:error rate|err\b|misclassif\w+|errors?|mistakes?|mis(?:judg|label|sort|read|rout|recogni"
    r"|identif|plac|detect)\w+|mistaken|wrong(?:ly)?|incorrect(?:ly)?|failures?)\b",
    "accuracy": r"\b(?:ac+ur+ac+y|accurate(?:ly)?|acc\.?|rigth(?:ly)?|correct(?:ly|ness)?|right(?! (?:now|away"
    r"|side|hand))"
    r"|hit rate|success rate)\b",
}
_KEPT = ("balanced_accuracy", "f1", "roc_auc", "log_loss", "rmse", "mae", "r2", "accuracy")
_LINK = re.compile(
    r"(?:[\s:=()<>≥≤~+$€£]|\b[a-z]+n['’]t\b|\b(?:of|at|least|most|is|be|being|to|a|an|the|than|above|over|below"
    r"|under|score"
    r"|value|rate|must|should|better|more|less|higher|lower|greater|larger|bigger|smaller|fewer|beyond|not|no"
    r"|min(?:imum)?|max(?:imum)?|reach(?:es|ing)?"
    r"|exceed(?:s|ing)?|beat(?:s|ing)?|required|has|have|needs?|target|goal|about|around|roughly|or|on|in|stay|stays"
    r"|up|held[\s-]out|data|rows|only|just|cross-validated|test|validation|macro|between|from|we|want|it|i|that"
    r"|average|worse|ought|may|can|could|answers?|predictions?|results?|within|fall|drop|go|get|lie|as|never"
    r"|cannot|need|exceed)\b)*$"
)
_REST = re.compile(
    r"(?:[\s,:=()+]|\bof (?:the|all|our|my|its|these|those) [a-z-]+|\b(?:of|the|time|them|cases|rows|pictures|images"
    r"|all|its|in|on|a|an|at|least|or|better|more|less|to|be|get|gets|come|comes|coming|turn|turns|end|ends|go"
    r"|goes|out|up|are|is|it|must|should|may|can|could|might|have"
    r"|allowed|texts|messages|predictions|answers|decisions|minimum|min|max|macro|test|overall|held[\s-]out"
    r"|cross-validated|average|classified|predicted|labell?ed|sorted|recogni[sz]ed)\b)*$"
)


_ON_AVERAGE = re.compile(r"(?: [\w-]+)?,? on average\b")
_OFF = re.compile(r"\b(?:errors?|off|wrong|deviat\w+|miss\w*|mistakes?)\b[^,.;]*$")


def metric_of(figure: Figure, lead: str, tail: str) -> tuple[str, float | None, bool] | None:
    """Which metric a figure is a value of.

    Parameters
    ----------
    lead, tail : str
        Lower-case words before it and behind it, within the sentence and up to the next figure.

    Returns
    -------
    str, float or None, bool
        Metric, value (None for one that a build doesn't measure), and whether that is a lower bound. None where the
        figure is no metric's.
    """
    if figure.kind not in ("share", "number") or (figure.kind == "number" and figure.part):
        return None
    found = _nearest(figure, lead, tail)
    return _value(figure, found) if found else None


def error_metric(figure: Figure, lead: str, tail: str) -> str | None:
    """The error whose value, in the target's unit, a figure is: "MAE below 12 hours"."""
    if figure.kind in ("share", "number", "rate"):
        return None
    if figure.kind == "time" and _OFF.search(lead) and _ON_AVERAGE.match(tail):
        return "mae"
    behind = re.match(r" ?(?:\(|in |of )? ?(mae|rmse|mean absolute error)\b", tail)
    if behind and figure.kind == "time":
        return "rmse" if behind[1] == "rmse" else "mae"
    found = _nearest(figure, lead, "")
    return found if found in ("mae", "rmse") else None


def only_metric(figure: Figure, text: str) -> tuple[str, float | None, bool] | None:
    """The same for a figure that no metric stands by: the only one that the text names, if it is one of quality."""
    named = {metric for metric, pattern in _METRICS.items() if re.search(pattern, text)}
    kept = {*_KEPT, "error"} if figure.bound == "most" else {*_KEPT}
    return _value(figure, named.pop()) if len(named) == 1 and named <= kept else None


def _value(figure: Figure, found: str) -> tuple[str, float | None, bool] | None:
    """A metric with its value."""
    if found == "error":
        return _error_rate(figure)
    if found not in _KEPT:
        return found, None, True
    least = figure.bound == "least" or (figure.bound in ("", "good", "about") and found not in ERRORS)
    least = least or (figure.bound == "bad" and found in ERRORS)
    value = figure.low if least else figure.high
    if found in ("mae", "rmse", "log_loss"):
        return (found, value, least) if figure.kind == "number" else ("a relative error", None, True)
    if figure.kind == "number" and 1 < value <= 100 and found != "r2":
        value /= 100  # a share above 1 can only be a percentage
    return (found, round(value, 12), least) if 0 < value <= 1 else None


def _error_rate(figure: Figure) -> tuple[str, float | None, bool] | None:
    """A share of wrong answers, as the accuracy that it leaves."""
    value = figure.high
    if figure.kind != "share" or not 0 < value < 1:
        return None
    return "accuracy", round(1 - value, 12), figure.bound not in ("least", "bad")


def _nearest(figure: Figure, lead: str, tail: str) -> str | None:
    """The metric that a figure belongs to: linked to it by small words alone, behind it or before it."""
    found: list[tuple[int, int, str]] = []
    if figure.kind == "number" and _OFF.search(lead) and _ON_AVERAGE.match(tail):
        return "mae"
    for rank, (metric, pattern) in enumerate(_METRICS.items()):
        for match in re.finditer(pattern, tail):
            between = tail[: match.start()]
            if _REST.match(between) and not re.match(r" ?, ?(?!right|correct)", between):
                found.append((len(between), rank, metric))
        for match in re.finditer(pattern, lead):
            between = lead[match.end() :]
            if _LINK.match(between):
                found.append((len(between), rank, metric))
    return min(found)[2] if found else None
