"""The target column: which it is, what the task is, what the classes are called. Between `scan` and `dataset`."""

from __future__ import annotations

import logging
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.reading import PLAIN, ReadingRule
from modelgpt_cli.core.schema import TaskType
from modelgpt_cli.core.spelling import fold_label
from modelgpt_cli.data.cells import FLOAT_LIMIT, format_number, texts, to_arrow
from modelgpt_cli.data.levels import Spelling, yes_and_no
from modelgpt_cli.data.numbers import numbers, parse_numbers
from modelgpt_cli.data.readers import Table, no_such_column
from modelgpt_cli.data.scan import ColumnFacts, Scan
from modelgpt_cli.data.shapes import TEXT_UNIQUE_SHARE, shape_of

log = logging.getLogger("modelgpt")

_FOREIGN_TARGETS = """
标签 标注 类别 標籤 類別 ラベル クラス 레이블 라벨 클래스 etiqueta clase objetivo étiquette classe cible klasse etikett
rótulo alvo etichetta метка класс تصنيف فئة लेबल वर्ग etiket sınıf etykieta klasa
"""
TARGET_NAMES = ("target", "label", "class", "y", "outcome", *_FOREIGN_TARGETS.split())
_FOREIGN_TEXTS = (
    "文本 评论 评价 内容 テキスト 本文 텍스트 내용 texto texte testo текст نص पाठ metin tekst reseña avis nachricht"
)
_NO_TARGETS = frozenset({"text", "sentence", "review", "message", "comment", "tweet", *_FOREIGN_TEXTS.split()})
MAX_NUMBER_CLASSES = 20
_MIN_MEASURED = 6
_BAD_SHARE = 0.05
_SHOWN = 8
_PROBE = 1_000
_PROBE_COLUMNS = 10
_NAME_WORDS = 5


_LACKING = "It names classes that the data lack: "


@dataclass(frozen=True)
class Target:
    """How target cells become classes or numbers."""

    name: str
    task: TaskType
    classes: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)
    mapping: dict[str, str] = field(default_factory=dict)
    """Classification: the cell's text → the class."""
    n_rows: int = 0
    skipped: int = 0
    warnings: tuple[str, ...] = ()
    reading: ReadingRule = PLAIN
    multi_label: bool = False
    """Whether a cell is a JSON list of any number of classes; see `label_sets`."""

    def read(self, raw: pd.Series) -> pd.Series:
        """A raw target column as class labels (object, None = missing) or float64 (NaN = missing)."""
        array = to_arrow(raw)
        if self.multi_label:
            return pd.Series(texts(array).to_pylist(), index=raw.index, dtype=object)
        if self.task == "regression":
            values = numbers(array, self.reading)
            return pd.Series(np.where(np.abs(values) <= FLOAT_LIMIT, values, np.nan), index=raw.index)
        coded = texts(array, self.reading.markers).dictionary_encode()
        spelling = Spelling(self.classes, self.reading)
        cells = coded.dictionary.to_pylist()
        names = np.array([*(self.mapping.get(cell) or spelling.find(cell) for cell in cells), None], dtype=object)
        codes = coded.indices.fill_null(len(names) - 1).to_numpy(zero_copy_only=False)
        return pd.Series(names[codes], index=raw.index, dtype=object)


def choose_target(table: Table, target: str | None, texts: Collection[str] = ()) -> str:
    """The name of the target column: as asked for, else a telling name, else the last column.

    Where that holds texts, the last one before it that doesn't.

    Parameters
    ----------
    texts : collection of str
        Columns that are known to be texts, and so are not the target.
    """
    if target is not None:
        if target not in table.columns:
            raise no_such_column(target, table, "target column")
        return target
    others = [name for name in table.columns if name not in texts]
    if not others:
        raise UsageError(
            f"{table.name} has no column but its texts, so there is nothing to predict.",
            f"Its columns: {', '.join(table.columns)}.",
            "Give a file with a column of labels or scores too.",
        )
    if len(others) == 1:
        return others[0]  # nothing is guessed, so there is nothing to tell
    lower = {name.lower(): name for name in reversed(others)}
    for name in TARGET_NAMES:
        if name in lower:
            log.info("Target: %s, by its name (another with --target).", lower[name])
            return lower[name]
    last = next((name for name in reversed(others) if name.lower() not in _NO_TARGETS), others[-1])
    where = "the last column" if last == others[-1] else "the last column that is not called a text"
    labels = _labels_before_text(table, others, last)
    if labels is not None:
        last, where = labels, "the last column that is no text"
    log.info("Target: %s, %s (another with --target).", last, where)
    return last


def _labels_before_text(table: Table, names: Sequence[str], last: str) -> str | None:
    """The last column whose cells come again and again, where the very last one holds texts; else None."""
    probe = next(table.frames(_PROBE, [last]), pd.DataFrame({last: []}))
    if not shape_of(probe[last]).is_free_text:
        return None
    for name in reversed(names[: names.index(last)][-_PROBE_COLUMNS:]):
        found = shape_of(next(table.frames(_PROBE, [name]))[name])
        if 0 < found.share <= TEXT_UNIQUE_SHARE and not found.is_free_text:
            return name
    return None


def plan_target(
    scan: Scan,
    name: str,
    where: str,
    task: TaskType | None,
    classes: Sequence[str] | None,
    merge_labels: bool,
    what: str = "row",
    labels: Sequence[str] = (),
) -> Target:
    """Decide the task and the classes from the counts of a scan, whose rows are called `what`.

    Parameters
    ----------
    classes : sequence of str, optional
        What the classes have to be.
    labels : sequence of str
        Classes that the data need not have; where they do, they are spelled like this.

    Raises
    ------
    ModelGPTError
        No target values, one class, one value, fewer than two rows.
    UsageError
        The data contradict the task or the classes asked for.
    """
    facts = scan.facts[name]
    if scan.n_rows == 0:
        if scan.skipped == 0:
            raise ModelGPTError(f"{where} has a header but no rows.", "", "Give a file with at least two rows.")
        raise ModelGPTError(
            f"The target column {name!r} is empty in all {scan.skipped} rows.", "", "Choose another with --target."
        )
    if scan.n_rows < 2:
        raise ModelGPTError(f"{where} has one row with a target.", "", "Give at least two rows.")
    if task is None:
        task = "classification" if classes else _infer_task(scan, facts)
    if task == "regression":
        return _regression(scan, name, facts)
    return _classification(scan, name, facts, classes, merge_labels, what, labels)


def _is_number_column(facts: ColumnFacts) -> bool:
    return not facts.mostly_text and facts.bad <= _BAD_SHARE * (facts.good + facts.bad)


def _infer_task(scan: Scan, facts: ColumnFacts) -> TaskType:
    if not _is_number_column(facts):
        return "classification"
    if scan.many_labels or not facts.whole:
        return "regression"
    distinct = {_canonical_number(label, facts.rule) for label in scan.labels}
    # Six numbers or more, most of which are in one row only, are no classes.
    is_measured = len(distinct) >= _MIN_MEASURED and 2 * len(distinct) > scan.n_rows
    return "regression" if is_measured or len(distinct) > MAX_NUMBER_CLASSES else "classification"


def _canonical_number(label: str, rule: ReadingRule = PLAIN) -> str:
    """A label of a numeric column: "1.0" is 1; codes such as "007", numbers with a unit, and what is no number stay."""
    if (label.startswith("0") and label[1:2].isdigit()) or rule.prefix or rule.suffix:
        return label
    value = parse_numbers(pa.array([label]), rule)[0]
    return format_number(value) if math.isfinite(value) and abs(value) < 1e15 else label


def _regression(scan: Scan, name: str, facts: ColumnFacts) -> Target:
    if facts.mostly_text or facts.bad > facts.good:
        some = ", ".join(repr(label) for label in list(scan.labels)[:3])
        raise UsageError(
            f"The target {name!r} holds text, so there is nothing to regress.",
            f"Values such as {some}.",
            "Set task: classification in the requirement file, or choose another target column.",
        )
    left_out = facts.bad + facts.clipped
    n_rows = scan.n_rows - left_out
    if n_rows < 2:
        raise ModelGPTError(f"The target {name!r} has fewer than two numbers.", "", "Give at least two such rows.")
    if facts.low == facts.high:
        raise ModelGPTError(
            f"The target {name!r} is {format_number(facts.low)} in every row.",
            "There is nothing to predict.",
            "Choose another column with --target.",
        )
    warnings: tuple[str, ...] = ()
    if left_out:
        warnings = (f"Left out {left_out:,} rows whose target {name!r} is no finite number.",)
    return Target(name, "regression", n_rows=n_rows, skipped=scan.skipped, warnings=warnings, reading=facts.rule)


def _variants(counts: Counter[str]) -> list[list[str]]:
    """Groups of labels that differ in spelling alone, the most frequent form first."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for label, _ in counts.most_common():
        groups[fold_label(label)].append(label)
    return [labels for labels in groups.values() if len(labels) > 1]


def _classification(
    scan: Scan,
    name: str,
    facts: ColumnFacts,
    wanted: Sequence[str] | None,
    merge_labels: bool,
    what: str,
    known: Sequence[str],
) -> Target:
    if scan.many_labels:
        raise UsageError(
            f"The target {name!r} has more than {len(scan.labels) - 1:,} different values: too many for classes.",
            "",
            f"Choose another column with --target; numbers can be told by a line '{name}: numeric' in a --types FILE.",
        )
    all_numbers = facts.bad == 0 and not facts.marked and not facts.mostly_text
    rule = facts.rule
    mapping = {label: _canonical_number(label, rule) if all_numbers else label for label in scan.labels}
    known = wanted or known
    rule = _label_rule(mapping.values(), known, rule)
    if known:  # a file's True is true in memory and in Parquet
        spelling = Spelling(known, rule)
        mapping = {label: spelling.find(form) or form for label, form in mapping.items()}
    counts: Counter[str] = Counter()
    for label, count in scan.labels.items():
        counts[mapping[label]] += count
    warnings: list[str] = []
    groups = _variants(counts)
    if groups and merge_labels:
        forms = {form: _preferred(group, wanted) for group in groups for form in group}
        mapping = {label: forms.get(form, form) for label, form in mapping.items()}
        merged: Counter[str] = Counter()
        for form, count in counts.items():
            merged[forms.get(form, form)] += count
        counts = merged
        log.info("Merged labels: %s.", _show_groups(groups))
    elif groups:
        warnings.append(f"Labels that differ only in writing: {_show_groups(groups)}. --merge-labels makes them one.")
    _check_classes(counts, name, wanted)
    single = sorted(label for label, count in counts.items() if count == 1)
    if single:
        warnings.append(f"{list_words(single)}: one {what} only, too little to learn this class or to test it.")
    ordered = _ordered({*counts, *(wanted or ())})
    return Target(
        name,
        "classification",
        classes=ordered,
        counts={label: counts[label] for label in ordered},
        mapping=mapping,
        n_rows=scan.n_rows,
        skipped=scan.skipped,
        warnings=tuple(warnings),
        reading=rule,
    )


def _label_rule(labels: Iterable[str], wanted: Sequence[str] | None, rule: ReadingRule) -> ReadingRule:
    """The reading rule of labels: what is missing, and how yes and no are written where that is what they say."""
    pair = (rule.true, rule.false) if rule.true else yes_and_no(list(wanted or dict.fromkeys(labels)))
    kept = ReadingRule(missing=rule.missing)
    return replace(kept, true=pair[0], false=pair[1]) if pair else kept


def _preferred(group: list[str], wanted: Sequence[str] | None) -> str:
    """The form that the requirement names, else the most frequent one."""
    return next((form for form in group if wanted and form in wanted), group[0])


def list_words(labels: Sequence[str]) -> str:
    """Return the first few labels, quoted, and how many more there are."""
    rest = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(repr(label) for label in labels[:_SHOWN]) + rest


def _show_groups(groups: list[list[str]]) -> str:
    return "; ".join(" = ".join(repr(form) for form in group) for group in groups[:_SHOWN])


def _ordered(labels: Collection[str]) -> tuple[str, ...]:
    """Labels sorted, by value where all are numbers."""
    try:
        return tuple(sorted(labels, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(sorted(labels))


def _check_classes(counts: Counter[str], name: str, wanted: Sequence[str] | None) -> None:
    if len({*counts, *(wanted or ())}) == 1:
        raise _one_class(name, next(iter(counts)))
    new = sorted(set(counts) - set(wanted)) if wanted is not None else []
    if new:
        gone = sorted(set(wanted or ()) - set(counts))
        also = f"\n{_LACKING}{list_words(gone)}." if gone else ""
        raise _disagree(name, f"The data hold classes it does not name: {list_words(new)}.{also}")


def check_lacking(target: Target, by_name: bool) -> list[str]:
    """Look for classes without a row.

    Parameters
    ----------
    by_name : bool
        Whether a model can know a class by its name alone; then it is worth a word, else an error.

    Raises
    ------
    UsageError, ModelGPTError
        There are some, and no model can know them.
    """
    lacking = [label for label in target.classes if not target.counts[label]]
    if not lacking:
        return []
    if not by_name:
        if len(target.classes) - len(lacking) == 1:
            raise _one_class(target.name, next(label for label in target.classes if target.counts[label]))
        raise _disagree(target.name, f"{_LACKING}{list_words(lacking)}.")
    return [f"{list_words(lacking)}: no row, so that the name alone says what this class is."]


def _one_class(name: str, only: str) -> ModelGPTError:
    return ModelGPTError(
        f"The target {name!r} has one class only: {only!r}.",
        "There is nothing to tell apart.",
        "Give rows of at least two classes, or choose another column with --target.",
    )


def _disagree(name: str, cause: str) -> UsageError:
    return UsageError(
        f"The requirement and the target {name!r} disagree on the classes.",
        cause,
        "Change the classes in the requirement file, use --merge-labels where only the writing differs, "
        "or run modelgpt describe again.",
    )


def check_repeats(target: Target, wanted: Sequence[str] | None, by_name: bool) -> None:
    """Make sure that classes are classes, where each row has one of its own.

    Parameters
    ----------
    by_name : bool
        Whether a model can know a class by its name: then one example of each is enough, if the names are words.

    Raises
    ------
    UsageError
        They look like identifiers.
    """
    n_rows = target.n_rows
    if wanted or not n_rows == len(target.classes) > MAX_NUMBER_CLASSES:
        return
    if by_name and sum(map(_is_class_name, target.classes)) > n_rows / 2:
        return
    raise UsageError(
        f"The target {target.name!r} has a different value in each of the {n_rows} rows.",
        "It looks like an identifier or free text, not like classes.",
        "Choose another column with --target.",
    )


def _is_class_name(label: str) -> bool:
    """Whether a label is a word or a few, without digits."""
    return len(label.split()) <= _NAME_WORDS and not any(map(str.isdigit, label))
