"""The trials of a search, proposed by Optuna and kept in a journal, so that a search can be continued.

Needs the extra ``search``. Between `space` and `search`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.model_generator.search.bench import Report, StoppedError
from modelgpt_cli.model_generator.search.space import Parameter, Setting, Space

State = Literal["done", "stopped", "failed"]
_NAME = "search"
_STARTUP = 5
"""Trials drawn at random before the sampler goes by what it has seen; the default is the first."""
_REPEATS = 20
"""Settings seen before that are passed over, before one is drawn at random; then as many again."""
_ABOUT, _REPEATED, _REASON, _CHECKED, _SECONDS = "about", "repeated", "reason", "checked", "seconds"


@dataclass(frozen=True)
class Trial:
    """One setting, as it was tried.

    Attributes
    ----------
    number : int
        Counts from 0, the build by itself.
    changed : Setting
        What of its setting is not as in a build by itself.
    score : float, optional
        The metric on rows held out; of one that was stopped its last value; None of one that failed.
    reason : str
        Why it failed.
    """

    number: int
    setting: Setting
    changed: Setting
    state: State
    score: float | None = None
    seconds: float = 0.0
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if value != ""}


def check_library() -> None:
    """Make sure that Optuna is here; raises `ModelGPTError`."""
    if find_spec("optuna") is None:
        raise ModelGPTError(
            "--search needs optuna, which is not installed.", "", 'Install it: pip install "modelgpt-cli[search]"'
        )


@dataclass
class Study:
    """All trials of a search.

    Parameters
    ----------
    journal : Path, optional
        Where they are kept; None keeps them in memory alone.
    about : mapping
        What the search is about, as JSON: one that is continued must be about the same.
    is_error : bool
        Whether less of the metric is better.
    at_random : bool
        Whether settings are drawn at random, rather than by what has been seen.

    Raises
    ------
    UsageError
        The journal is of another search.
    ModelGPTError
        It can't be read.
    """

    space: Space
    journal: Path | None
    about: Mapping[str, Any]
    is_error: bool
    seed: int = 0
    at_random: bool = False
    _study: Any = field(init=False, repr=False)
    _rng: np.random.Generator = field(init=False, repr=False)

    def __post_init__(self) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
        direction: Literal["minimize", "maximize"] = "minimize" if self.is_error else "maximize"
        there = self.journal is not None and self.journal.exists()
        try:
            storage = _storage(self.journal)
            if there and optuna.get_all_study_names(storage):
                self._study = optuna.load_study(study_name=_NAME, storage=storage, pruner=pruner)
            else:
                self._study = optuna.create_study(study_name=_NAME, storage=storage, pruner=pruner, direction=direction)
        except (OSError, ValueError, KeyError, optuna.exceptions.OptunaError) as error:
            raise ModelGPTError(f"{self.journal} can't be read.", str(error), "Remove it to begin anew.") from error
        self._check_about()
        for trial in self._study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
            self._study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # it was interrupted
        # A search that is continued would draw what it has drawn already, were the seed the same.
        seed = self.seed + len(self._study.trials)
        self._rng = np.random.default_rng([seed, 17])
        random, tpe = optuna.samplers.RandomSampler, optuna.samplers.TPESampler
        self._study.sampler = random(seed) if self.at_random else tpe(n_startup_trials=_STARTUP, seed=seed)
        if not self.trials:
            self._study.enqueue_trial(self.space.default)

    def _check_about(self) -> None:
        about = json.loads(json.dumps(self.about))
        kept = self._study.user_attrs.get(_ABOUT)
        if kept is None:
            self._study.set_user_attr(_ABOUT, about)
        elif kept != about:
            key = next(key for key in {**kept, **about} if kept.get(key) != about.get(key))
            raise UsageError(
                f"{self.journal} is of another search: its {key} differs.",
                "A search that is continued must be about the same model, data and settings.",
                "Remove it, or give another --output.",
            )

    @property
    def trials(self) -> list[Trial]:
        """Those that have ended, in their order."""
        return list(self._ended())

    @property
    def best(self) -> Trial:
        """The best of those that are done."""
        done = [trial for trial in self.trials if trial.state == "done"]
        return min(done, key=lambda trial: (trial.score if self.is_error else -(trial.score or 0.0), trial.number))

    def suggest(self, setting: Setting) -> None:
        """Let this setting be the next."""
        self._study.enqueue_trial(setting)

    def run(self, measure: Callable[[Setting, Report], float], clock: Callable[[], float]) -> Trial | None:
        """Try the next setting; None where all have been tried.

        Parameters
        ----------
        measure : callable
            Measures a setting. It raises `StoppedError` where it was told not to go on, and `ModelGPTError` where no
            model can be made.
        clock : callable
            Returns seconds.
        """
        from optuna.trial import TrialState

        found = self._next()
        if found is None:
            return None
        trial, setting = found
        first = not self.trials
        last: list[float] = []
        start = clock()

        def go_on(value: float, step: int) -> bool:
            last.append(value)
            trial.report(value, step)
            return first or not trial.should_prune()

        told: dict[str, Any] = {"state": TrialState.FAIL}
        try:
            told = {"values": measure(setting, go_on)}
        except StoppedError:
            told = {"state": TrialState.PRUNED}
        except ModelGPTError as error:
            if first:
                raise
            trial.set_user_attr(_REASON, error.problem)
        finally:
            trial.set_user_attr(_SECONDS, clock() - start)
            self._study.tell(trial, **told)
        return self.trials[-1]

    def checked(self, number: int) -> list[float]:
        """Return what a trial's setting was worth under other seeds, as far as that is known."""
        kept: dict[str, list[float]] = self._study.user_attrs.get(_CHECKED, {})
        return kept.get(str(number), [])

    def keep_checked(self, number: int, values: list[float]) -> None:
        """Keep what a trial's setting is worth under other seeds."""
        kept: dict[str, list[float]] = self._study.user_attrs.get(_CHECKED, {})
        self._study.set_user_attr(_CHECKED, {**kept, str(number): values})

    def _ended(self) -> Iterator[Trial]:
        from optuna.trial import TrialState

        states: dict[Any, State] = {
            TrialState.COMPLETE: "done", TrialState.PRUNED: "stopped", TrialState.FAIL: "failed"
        }  # fmt: skip
        number = 0
        for one in self._study.get_trials(deepcopy=False):
            known = one.user_attrs
            if one.state not in states or known.get(_REPEATED) or _SECONDS not in known:
                continue  # repeated, or interrupted
            setting = {name: _plain(value) for name, value in one.params.items()}
            if one.state == TrialState.FAIL and _REASON not in known:
                continue
            value, seconds, reason = one.value, known[_SECONDS], known.get(_REASON, "")
            yield Trial(number, setting, self.space.changed(setting), states[one.state], value, seconds, reason)
            number += 1

    def _next(self) -> tuple[Any, Setting] | None:
        """The next trial whose setting was not tried yet. Others count for the sampler, as what they were worth."""
        from optuna.trial import TrialState

        for turn in range(2 * _REPEATS):
            if turn >= _REPEATS:
                self._study.enqueue_trial(self._drawn())
            trial = self._study.ask()
            setting: Setting = {}
            for one in self.space.parameters:
                if one.counts(setting):
                    setting[one.name] = _suggested(trial, one)
            same = next((known for known in self.trials if known.setting == setting), None)
            if same is None:
                return trial, setting
            trial.set_user_attr(_REPEATED, True)
            if same.state == "done":
                self._study.tell(trial, same.score)
            else:
                self._study.tell(trial, state=TrialState.FAIL)
        return None

    def _drawn(self) -> Setting:
        """A setting drawn at random."""
        found: Setting = {}
        for one in self.space.parameters:
            if one.counts(found):
                if one.choices:
                    found[one.name] = one.choices[int(self._rng.integers(len(one.choices)))]
                else:
                    found[one.name] = float(np.exp(self._rng.uniform(np.log(one.low), np.log(one.high))))
        return found


def _storage(journal: Path | None) -> Any:
    if journal is None:
        return None
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(journal)))


def _suggested(trial: Any, one: Parameter) -> Any:
    if one.choices:
        return _plain(trial.suggest_categorical(one.name, list(one.choices)))
    return float(trial.suggest_float(one.name, one.low, one.high, log=True))


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value
