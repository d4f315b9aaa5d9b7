"""A teacher: any classifier or regressor with scikit-learn's methods, and what it says of rows that it hasn't seen.

Between a table's arrays and `taught`. Every fold of the build has a teacher that has not seen it: its answers there are
the teacher's own score, and students that are judged by the fold learn from no other. The students that ship learn from
a teacher of all rows.
Shapes: N rows of the table, S drawn rows, F columns, K folds, C classes.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.progress import progress
from modelgpt_cli.domains.shared.folds import TIME
from modelgpt_cli.domains.tabular.crossfit import FOLDS, CrossFit, HeldOut
from modelgpt_cli.domains.tabular.fit import TableArrays, encode_rows
from modelgpt_cli.domains.tabular.lessons import Drawn, draw_between, joined
from modelgpt_cli.domains.tabular.preprocessing import MOST_LEVELS, TablePreprocessor

log = logging.getLogger("modelgpt")
MIN_ROWS = 60
"""Held-out rows; with fewer nothing can be said of a teacher."""
MOST_TAGGED = 250
"""Levels of a column that scikit-learn's own classes take as categories."""
_OTHERS = ("unseen", "missing")
"""Behind a column's levels, by their codes from the end."""
_QUIET = {"allow_writing_files": False, "verbose": False}
"""Settings that a class may leave open, and which keep it from writing of its own accord."""
_EXAMPLE = "--teacher sklearn.ensemble:RandomForestClassifier"


@dataclass(frozen=True)
class Said:
    """What teachers said of rows that they had not seen: probabilities, or numbers in the target's own unit.

    Attributes
    ----------
    drawn : Drawn
    held_out : float64 (N, C)
        Of the table's rows.
    by_fold : float64 (K, S, C)
        Of the drawn rows that lie in other folds, by the teacher that has not seen a fold.
    whole : float64 (S, C)
        Of the drawn rows, by a teacher of all of the table's.
    """

    drawn: Drawn
    held_out: np.ndarray
    by_fold: np.ndarray
    whole: np.ndarray


class Teacher:
    """A teacher, before it has seen any row.

    Parameters
    ----------
    given : str, class or object
        ``MODULE:CLASS``, the class, or an unfitted object of it, which is copied for each fit.
    task : {"classification", "regression"}
    seed : int
        Of a class that has a `random_state` and leaves it open.

    Raises
    ------
    UsageError
        It can't be found or made, or doesn't do what the task needs.
    """

    def __init__(self, given: Any, task: str, seed: int = 0) -> None:
        self.task = task
        made = _make(given)
        kind = type(made)
        self.name = given if isinstance(given, str) else f"{kind.__module__}:{kind.__qualname__}"
        self._made = _settled(made, seed)
        self._check()
        self._said: dict[bytes, Said] = {}

    def _check(self) -> None:
        made, method = self._made, "predict_proba" if self.task == "classification" else "predict"
        if not hasattr(made, "fit"):
            raise UsageError(f"--teacher {self.name} has no method fit.", hint=f"Name a class such as {_EXAMPLE}.")
        wrong = {"classification": "regressor", "regression": "classifier"}[self.task]
        if _kind(made) == wrong:
            what = "classes" if self.task == "classification" else "a number"
            raise UsageError(f"--teacher {self.name} is a {wrong}, and the target is {what}.", hint=self._hint())
        if not hasattr(made, method):
            raise UsageError(
                f"--teacher {self.name} has no method {method}.",
                "A model learns the probabilities that it gives." if self.task == "classification" else "",
                self._hint(),
            )

    def _hint(self) -> str:
        return f"Name a {'classifier with predict_proba' if self.task == 'classification' else 'regressor'}."

    def ask(self, table: TableArrays, preprocessor: TablePreprocessor, cross: CrossFit) -> Said | None:
        """Fit teachers on all but each fold, and one on all rows; ask them about rows that they haven't seen.

        Parameters
        ----------
        table : TableArrays
            With targets in their own unit.
        preprocessor : TablePreprocessor
            Says what the columns are called.
        cross : CrossFit
            Has the build's folds.

        Returns
        -------
        Said or None
            None where there are too few rows to judge a teacher by.

        Raises
        ------
        UsageError
            The rows follow one another in time, or make too few groups.
        ModelGPTError
            A fit or an answer fails.
        """
        if table.split is not None and table.split.kind == TIME:
            raise UsageError(
                "--teacher and --time don't go together.",
                "A teacher is judged by folds whose students may learn from rows of any time.",
                "Leave out one of them.",
            )
        shown = cross.held_out
        if shown is None or cross.checked is None or (shown.folds.fold >= 0).sum() < MIN_ROWS:
            return None
        fold = row_folds(table, shown)
        key = fold.tobytes()
        if key not in self._said:
            linear = encode_rows(cross.fitted.encoder, table.x, table.codes)[1]
            drawn = draw_between(table, linear, fold, np.random.default_rng(59))
            rows = self._inputs(joined(table, drawn), preprocessor)
            self._said[key] = self._teach(rows, table.y, fold, drawn, max(table.n_classes, 1))
        return self._said[key]

    def _teach(self, rows: pd.DataFrame, y: np.ndarray, fold: np.ndarray, drawn: Drawn, C: int) -> Said:
        N, S = len(y), len(drawn.fold)
        held_out, by_fold = np.zeros((N, C)), np.zeros((FOLDS, S, C))
        log.info(f"Fitting the teacher {self.name} {FOLDS + 1} times, to be judged by rows that it has not seen.")
        with progress("Teacher", FOLDS + 1, "fits") as advance:
            for k in range(FOLDS):
                own, others = np.flatnonzero(fold == k), np.flatnonzero(drawn.fold != k)
                if len(own):
                    said = self._answers(rows, y, np.flatnonzero(fold != k), np.concatenate([own, N + others]), C)
                    held_out[own], by_fold[k, others] = said[: len(own)], said[len(own) :]
                advance(1)
            whole = self._answers(rows, y, np.arange(N), np.arange(N, N + S), C)
            advance(1)
        return Said(drawn, held_out, by_fold, whole)

    def _answers(self, rows: pd.DataFrame, y: np.ndarray, learn: np.ndarray, ask: np.ndarray, C: int) -> np.ndarray:
        """What a fresh teacher that learned from some rows says of others, (n, C)."""
        made = _copy(self._made)
        known, asked = rows.iloc[learn], rows.iloc[ask]
        if not _allows_missing(made):
            middle = known.median(numeric_only=True).fillna(0)
            known, asked = known.fillna(middle), asked.fillna(middle)
        named = [c for c in rows if not pd.api.types.is_float_dtype(rows[c])]
        more = {"cat_features": named} if named and _takes(made.fit, "cat_features") else {}
        try:
            with _quiet():
                made.fit(known, y[learn], **more)
                said = made.predict_proba(asked) if self.task == "classification" else made.predict(asked)
        except Exception as error:  # whatever a user's class may raise
            raise ModelGPTError(
                f"The teacher {self.name} failed on {len(learn):,} rows of {rows.shape[1]} columns.",
                " ".join(f"{type(error).__name__}: {error}".split())[:500],
                "See it alone: fit it on such rows in Python, or name another.",
            ) from error
        said = np.asarray(said, dtype=np.float64)
        if self.task == "classification":
            classes = np.asarray(getattr(made, "classes_", np.arange(C))).astype(np.int64).ravel()
            whole = np.zeros((len(ask), C))
            if said.shape != (len(ask), len(classes)):
                raise self._wrong(f"probabilities {said.shape} of {len(ask):,} rows and {len(classes)} classes")
            whole[:, classes] = said
            said = whole / np.maximum(whole.sum(1, keepdims=True), 1e-12)
        elif said.size != len(ask):
            raise self._wrong(f"{said.size:,} numbers for {len(ask):,} rows")
        found: np.ndarray = said.reshape(len(ask), C)
        if not np.isfinite(found).all() or (self.task == "classification" and (found < 0).any()):
            raise self._wrong("answers that are no probabilities" if C > 1 else "answers that are no numbers")
        return found

    def _wrong(self, what: str) -> ModelGPTError:
        return ModelGPTError(f"The teacher {self.name} gave {what}.", hint="Name another.")

    def _inputs(self, table: TableArrays, preprocessor: TablePreprocessor) -> pd.DataFrame:
        """The columns as a teacher reads them, (N, F), called as in the data.

        Numbers are float32, NaN where missing. Categories are pandas categories for a teacher that says it takes them
        (a `cat_features` of its `fit`, or scikit-learn's tag), else the places of their levels, frequent ones first.
        """
        columns: dict[str, Any] = {}

        def add(name: str, cells: Any) -> None:
            while name in columns:
                name += "_"
            columns[name] = cells

        for j, source in enumerate(preprocessor.sources):
            name = preprocessor.columns[source.column].name
            add(name if source.part == "value" else f"{name} {source.part}", table.x[:, j])
        most = MOST_TAGGED if _tag(self._made, "categorical") else 0
        most = MOST_LEVELS if _takes(self._made.fit, "cat_features") else most
        for j, i in enumerate(preprocessor.categorical):
            name, codes = preprocessor.columns[i].name, table.codes[:, j]
            known = preprocessor.levels[j]
            if len(known) <= most:
                others = (f"({word}){'_' * sum(level.startswith(f'({word})') for level in known)}" for word in _OTHERS)
                levels = pd.Index([*known, *others], dtype=object)
                add(name, pd.Categorical.from_codes(codes % len(levels), categories=levels))
            else:
                add(name, codes.astype(np.float32))
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame


def row_folds(table: TableArrays, shown: HeldOut) -> np.ndarray:
    """A fold for each row of the table, int64 (N,): of the rows held out, theirs; of those tied to them, the same."""
    fold = np.random.default_rng(47).permutation(np.arange(len(table.y)) % FOLDS)
    known = np.full(len(table.y), -1, dtype=np.int64)
    known[shown.rows] = shown.folds.fold
    if table.split is not None:
        keys = table.split.keys
        tied = keys >= 0
        of_key = np.full(int(keys.max(initial=-1)) + 1, -1, dtype=np.int64)
        of_key[keys[tied]] = fold[tied]  # of the last row of each
        held = tied & (known >= 0)
        of_key[keys[held]] = known[held]
        fold[tied] = of_key[keys[tied]]
    return np.where(known >= 0, known, fold)


def _make(given: Any) -> Any:
    """Return the object of a name, a class or an object."""
    if isinstance(given, str):
        given = _find(given)
    if not isinstance(given, type):
        return given
    try:
        return given()
    except Exception as error:
        raise UsageError(
            f"--teacher: {given.__name__} can't be made without arguments.",
            " ".join(f"{type(error).__name__}: {error}".split())[:500],
            "Name a class of your own that sets them, in a module beside your data; in Python, give the object.",
        ) from error


def _find(name: str) -> Any:
    """Return the class called ``MODULE:CLASS``; modules of the current folder are found too."""
    module, colon, attribute = name.partition(":")
    if not colon or not module or not attribute.isidentifier():
        raise UsageError(f"--teacher can't be {name!r}.", "It is MODULE:CLASS.", f"Such as {_EXAMPLE}.")
    here = os.getcwd()
    sys.path.append(here)
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        hint = f"Install it: pip install {missing.partition('.')[0]}" if "." in missing or missing == module else ""
        raise UsageError(f"--teacher: there is no module {missing!r}.", hint=hint or "Check its name.") from error
    except AttributeError as error:
        raise UsageError(f"--teacher: the module {module!r} has no {attribute!r}.", hint="Check its name.") from error
    except Exception as error:
        raise UsageError(
            f"--teacher: the module {module!r} can't be loaded.",
            " ".join(f"{type(error).__name__}: {error}".split())[:500],
        ) from error
    finally:
        sys.path.remove(here)
    return found


def _settled(made: Any, seed: int) -> Any:
    """Return a copy with a seed, and without words and files of its own, where it leaves these open."""
    made = _copy(made)
    if not (hasattr(made, "get_params") and hasattr(made, "set_params")):
        return made
    open_ones = {"random_state": seed} | _QUIET
    given = made.get_params(deep=False)
    made.set_params(**{k: v for k, v in open_ones.items() if _takes(type(made), k) and given.get(k) is None})
    return made


def _copy(made: Any) -> Any:
    from sklearn.base import clone

    return clone(made) if hasattr(made, "get_params") else deepcopy(made)


def _takes(function: Any, name: str) -> bool:
    try:
        return name in inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def _kind(made: Any) -> str:
    """Return "classifier", "regressor", or "" where it doesn't say."""
    from sklearn.base import is_classifier, is_regressor

    try:
        return "classifier" if is_classifier(made) else "regressor" if is_regressor(made) else ""
    except Exception:  # a class that isn't of scikit-learn's
        return ""


def _tag(made: Any, name: str, default: bool = False) -> bool:
    """Return one of scikit-learn's tags of inputs."""
    from sklearn.utils import get_tags

    try:
        return bool(getattr(get_tags(made).input_tags, name))
    except Exception:
        return default


def _allows_missing(made: Any) -> bool:
    return _tag(made, "allow_nan", default=True) or _takes(made.fit, "cat_features")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a class prints from the command's result, and its warnings from the user."""
    import warnings

    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
