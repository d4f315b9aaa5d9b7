"""What a setting is worth on rows held out: data are read once, models are made and measured, no file is written.

Between `space` and `search`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.domain import Domain, find_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.metrics import ERRORS, LOSS
from modelgpt_cli.core.option_fields import known_options, make_options
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.data.dataset import Dataset
from modelgpt_cli.data.in_memory import Data
from modelgpt_cli.data.sampling import RowSampler
from modelgpt_cli.model_generator.builders import CardModels, builders
from modelgpt_cli.model_generator.candidates import Body
from modelgpt_cli.model_generator.cards import shelf
from modelgpt_cli.model_generator.choice import plan_candidates
from modelgpt_cli.model_generator.search.space import EPOCHS, LR, WEIGHT_DECAY, Setting, Space, searched
from modelgpt_cli.requirement_generator.load import SAMPLE_ROWS, load_wanted
from modelgpt_cli.training.tune import Tuner, TuneSettings

log = logging.getLogger("modelgpt")
FIRST_SHARE = 3
"""A first look takes every so-manieth row."""
FIRST_ROWS = 900
"""From so many rows on there is a first look: below, a third of them says too little."""
FIRST, WHOLE, TUNED = 1, 2, 4
"""Steps of a trial, as successive halving counts them: built on some rows, built on all, tuned."""
Report = Callable[[float, int], bool]
"""Told a value and its step; whether the trial may go on."""


class StoppedError(Exception):
    """A trial was given up; its last value is the argument."""


@dataclass
class Bench:
    """A requirement, its data as they were read, and what trials are measured by.

    Attributes
    ----------
    options : mapping
        Options that all builds have, by name.
    metric : str
        What a setting is worth.
    is_error : bool
        Whether less of it is better.
    """

    wanted: Requirement
    data: Data
    options: Mapping[str, Any]
    device: str
    dataset: Dataset = field(init=False)
    domain: Domain = field(init=False)
    space: Space = field(init=False)
    metric: str = field(init=False)
    is_error: bool = field(init=False)
    _first: Dataset | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        known = known_options(BuildOptions)
        self.dataset = load_wanted(
            self.wanted,
            self.data,
            all_columns=True,
            sample_rows=SAMPLE_ROWS,
            seed=0,
            **{name: value for name, value in self.options.items() if known[name].about.reading},
        )
        schema = self.dataset.schema
        if schema.multi_label and not self.wanted.multi_label:
            self.wanted = replace(self.wanted, multi_label=True, classes=schema.classes)
        self.domain = find_domain(schema.domain)
        part = searched(self.domain)
        self.space = Space(part.parameters(schema))
        if schema.multi_label:  # which tuning does not take
            self.space = Space(
                tuple(one for one in self.space.parameters if one.name not in (EPOCHS, LR, WEIGHT_DECAY))
            )
        usual = LOSS.get(schema.task, "")
        self.metric, self.is_error = part.METRIC or (usual, usual in ERRORS)

    def gain(self, before: float, after: float) -> float:
        """Return by how much the metric is better after than before."""
        return before - after if self.is_error else after - before

    def measure(self, setting: Setting, seed: int, go_on: Report) -> float:
        """Return the metric of a setting on rows held out.

        Of a model that is tuned, it is the build's, and what tuning gained on the rows that were held out from it.

        Raises
        ------
        StoppedError
            The trial was given up.
        ModelGPTError
            No model can be made so.
        """
        if self._has_first_look and not go_on(self._built(setting, seed, self._some())[1], FIRST):
            raise StoppedError
        body, score = self._built(setting, seed, self.dataset)
        if not setting.get(EPOCHS):
            return score
        if not go_on(score, WHOLE):
            raise StoppedError
        gained = self._tuned(body, setting, seed)
        return score - gained if self.is_error else score + gained

    def tune_options(self, setting: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of a setting's tuning."""
        return {name: setting[name] for name in (EPOCHS, LR, WEIGHT_DECAY) if name in setting}

    def build_options(self, setting: Setting, seed: int) -> dict[str, Any]:
        """Return the options of a setting's build."""
        return {**self.options, **searched(self.domain).build_options(setting), "seed": seed, "device": self.device}

    @property
    def _has_first_look(self) -> bool:
        """Whether a look at some of the rows comes first."""
        usual = self.dataset.schema.task in LOSS and not self.dataset.schema.multi_label
        return usual and len(self.dataset.sample) >= FIRST_ROWS

    def _some(self) -> Dataset:
        """The rows of a first look: the same for all trials, with some of each class."""
        if self._first is None:
            frame, schema = self.dataset.sample, self.dataset.schema
            sampler = RowSampler(len(frame) // FIRST_SHARE, 0)
            sampler.add(frame, pd.factorize(frame[schema.target])[0] if schema.classes else None)
            self._first = self.dataset.of_rows(sampler.result(stratified=bool(schema.classes)))
        return self._first

    def _built(self, setting: Setting, seed: int, dataset: Dataset) -> tuple[Body, float]:
        """A setting's model, and its metric."""
        options = make_options(BuildOptions, self.domain, self.build_options(setting, seed))
        shelf(self.domain).check(self.wanted, options, Path("model.onnx"))
        plan = plan_candidates(self.wanted, self.domain, options, data=True, onnx=True)
        prepared = builders(self.domain).prepare(dataset, self.wanted, options)
        body = CardModels(self.domain, self.wanted, prepared, options, check_fingerprint=False).make(plan.cards[0])
        found = body.metrics.get("model", {})
        if self.metric not in found:
            raise ModelGPTError(
                "There is nothing to search by: the rows are too few to hold some out.",
                f"{dataset.name} has {dataset.n_rows:,}.",
                "Search with more rows.",
            )
        if not math.isfinite(found[self.metric]):
            raise ModelGPTError(f"Its {self.metric} is no number.")
        return body, found[self.metric]

    def _tuned(self, body: Body, setting: Setting, seed: int) -> float:
        """By how much finetuning makes the metric better on rows held out from it; 0 where it isn't kept."""
        tuner: Tuner = self.domain.part("tune")
        chosen = self.tune_options(setting)
        split: dict[str, Any] = {name: self.options.get(name) for name in ("group", "time")}
        settings = TuneSettings(**chosen, seed=seed, device=pick_device(self.device), **split)
        done = tuner.tune(body.model, self.data, settings)
        if done.kept == "before" or self.metric not in done.before or self.metric not in done.after:
            return 0.0
        return max(0.0, self.gain(done.before[self.metric], done.after[self.metric]))


@contextmanager
def silenced(words: bool) -> Iterator[None]:
    """Keep the words and warnings of builds back, which the first has said already."""
    level = log.level
    if not words:
        log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
