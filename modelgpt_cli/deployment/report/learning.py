"""``report --learning-curve``: the model's card built anew on more and more of the rows, each measured on others."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.domain import Domain, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.metrics import LOSS
from modelgpt_cli.deployment.report import charts
from modelgpt_cli.deployment.report.about import number
from modelgpt_cli.deployment.report.measured import data_name, measured
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.dataset import Dataset
    from modelgpt_cli.data.in_memory import Data
    from modelgpt_cli.model_generator.cards import ArchitectureCard

log = logging.getLogger("modelgpt")
SHARES = (8, 4, 2, 1)
"""Of the rows, an eighth, a quarter, half, and all: each step twice as many."""
LEAST_ROWS = 32
"""In all: of fewer, an eighth is too few to build from."""
_FIRST = ("accuracy", "micro_f1", "r2")
"""Of these the one that a task has is drawn; of a task of its own its first metric. And the log loss, where it has one:
it moves where the share of right answers does not."""


@dataclass
class Point:
    """A model that was built on some of the rows.

    Attributes
    ----------
    metrics : dict
        On the held-out rows.
    intervals : dict
        Metric → ends of its 95 % interval, where there is one.
    reason : str
        Why there is no model; "" otherwise.
    """

    rows: int
    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    reason: str = ""


@dataclass
class LearningCurve:
    """How a model's measures grow with the rows that it is built from.

    Attributes
    ----------
    name : str
        What the rows are called.
    card : str
        The card that models were built of; see ``modelgpt zoo``.
    points : list of Point
        From the fewest rows to all.
    titles : dict
        What people call the metrics.
    """

    name: str
    unit: str
    card: str
    seed: int
    points: list[Point]
    titles: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        found = asdict(self)
        del found["titles"]
        return found

    @property
    def shown(self) -> list[str]:
        """The metrics that are drawn."""
        known = self._made[-1].metrics
        first = next((name for name in _FIRST if name in known), next(iter(known)))
        return [first, *(name for name in ("log_loss",) if name in known and name != first)]

    @property
    def _made(self) -> list[Point]:
        return [point for point in self.points if not point.reason]

    def words(self) -> str:
        """Say what the last doubling of the rows did."""
        name = self.shown[0]
        known = [point for point in self._made if name in point.metrics]
        if len(known) < 2:
            return ""
        before, after = known[-2:]
        change = after.metrics[name] - before.metrics[name]
        return (
            f"From {before.rows:,} to {after.rows:,} {self.unit}, {self.titles[name]} went from "
            f"{number(before.metrics[name])} to {number(after.metrics[name])} ({change:+.2g})."
        )

    def to_page(self) -> dict[str, Any]:
        """Return what the report shows."""
        rows = [
            (f"{point.rows:,}", [_with_interval(point, name) for name in self.shown], point.reason)
            for point in self.points
        ]
        drawn = []
        for name in self.shown:
            made = [point for point in self._made if name in point.metrics]
            values, ends = [p.metrics[name] for p in made], [p.intervals.get(name) for p in made]
            drawn.append(charts.learning([p.rows for p in made], values, ends, self.unit, self.titles[name]))
        heads = [self.titles[name] for name in self.shown]
        return {"name": self.name, "unit": self.unit, "card": self.card, "heads": heads, "rows": rows,
                "charts": drawn, "words": self.words()}  # fmt: skip


def build_curve(model: Model, train: Data, test: Data, *, target: str | None = None, seed: int = 0) -> LearningCurve:
    """Build a model's card anew on an eighth, a quarter, half and all of the rows, and measure each on others.

    Rows are drawn with eight of each class, or all that there are. What is drawn for a smaller share is among those for
    a larger one.

    Parameters
    ----------
    model : Model
        Says what is predicted from which columns, and by which card.
    train : path-like, DataFrame, mapping, sequence of mappings or ndarray
        Labelled rows to build from, as for `build`.
    test, target
        Labelled rows to measure on, as for `evaluate`.
    seed : int
        Of the draws, the builds and the intervals.

    Raises
    ------
    UsageError
        There are too few rows.
    ModelGPTError
        The rows can't be used, or no two models could be built from them.
    """
    from modelgpt_cli.model_generator.search.bench import silenced

    builder = _Builder.of(model, train, seed)
    dataset = builder.dataset
    total = len(dataset.sample)
    if total < LEAST_ROWS:
        raise UsageError(
            f"A learning curve takes {LEAST_ROWS} {builder.domain.rows} to build from, and {dataset.name} has {total}."
        )
    drawn = [builder.part(math.ceil(total / share)) for share in SHARES]
    parts = list({len(part.sample): part for part in drawn}.values())  # some of each class may be more than the share
    sizes = [f"{len(part.sample):,}" for part in parts]
    unit, name = builder.domain.rows, data_name(train)
    log.info("Learning curve: %d builds, on %s %s of %s.", len(parts), _listed(sizes), unit, name)
    points: list[Point] = []
    titles: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in parts:
            point = Point(len(part.sample))
            start = time.perf_counter()
            try:
                with silenced(words=False):
                    file = builder.build(part, Path(folder) / f"{point.rows}.onnx")
                    found = measured(Model(file), test, target=target, seed=seed, drawn=False)
                point.metrics, point.intervals = found["values"], found["intervals"]
                titles |= found["titles"]
            except ModelGPTError as error:
                point.reason = error.problem
                log.warning("No model from %s %s: %s", f"{point.rows:,}", unit, error.problem)
            point.seconds = time.perf_counter() - start
            points.append(point)
            if len(points) == 2 and len(parts) > 2:
                _tell_time(point.seconds, parts)
    if sum(not point.reason for point in points) < 2:
        cause = points[-1].reason or f"{name} has too few {unit} for its classes."
        raise ModelGPTError("No learning curve: fewer than two models could be built.", cause)
    return LearningCurve(name, unit, builder.card.name, seed, points, titles)


@dataclass
class _Builder:
    """What builds a card on some of the rows, which were read once."""

    wanted: Any
    dataset: Dataset
    domain: Domain
    card: ArchitectureCard
    options: Mapping[str, Any]

    @classmethod
    def of(cls, model: Model, train: Data, seed: int) -> _Builder:
        from modelgpt_cli.core.option_fields import known_options
        from modelgpt_cli.core.options import BuildOptions
        from modelgpt_cli.model_generator.search.search import requirement_of, split_options
        from modelgpt_cli.requirement_generator.load import SAMPLE_ROWS, load_wanted

        blueprint = Blueprint.from_dict(model.metadata["blueprint"])
        wanted = requirement_of(blueprint)
        options = split_options(blueprint, train)
        known = known_options(BuildOptions)
        reading = {name: value for name, value in options.items() if known[name].about.reading}
        dataset = load_wanted(wanted, train, all_columns=True, sample_rows=SAMPLE_ROWS, seed=seed, **reading)
        domain = find_domain(dataset.schema.domain)
        card = _card(blueprint, domain)
        return cls(wanted, dataset, domain, card, {**options, "card": card.name, "seed": seed})

    def part(self, rows: int) -> Dataset:
        """Return so many of the rows."""
        from modelgpt_cli.data.sampling import RowSampler

        frame, schema = self.dataset.sample, self.dataset.schema
        sampler = RowSampler(rows, self.options["seed"])
        labelled = schema.task in LOSS and schema.classes and not schema.multi_label
        sampler.add(frame, pd.factorize(frame[schema.target])[0] if labelled else None)
        return self.dataset.of_rows(sampler.result(stratified=bool(labelled)))

    def build(self, part: Dataset, path: Path) -> Path:
        """Build on some of the rows."""
        from modelgpt_cli.artifacts.export import write_model
        from modelgpt_cli.core.option_fields import make_options
        from modelgpt_cli.core.options import BuildOptions
        from modelgpt_cli.model_generator.builders import CardModels, builders

        wanted = replace(self.wanted, classes=self.wanted.classes or part.schema.classes)
        options = make_options(BuildOptions, self.domain, self.options)
        prepared = builders(self.domain).prepare(part, wanted, options)
        body = CardModels(self.domain, wanted, prepared, options, check_fingerprint=False).make(self.card)
        write_model(body.model, path, rows=body.rows, **builders(self.domain).export_options(options))
        return path


def _card(blueprint: Blueprint, domain: Domain) -> ArchitectureCard:
    """The card that a model is of; the domain's first where it is of none that is known here.

    What a card may mix in has 1 as its setting, and need not be in the model.
    """
    from modelgpt_cli.model_generator.cards import default_card, find_cards, shelf

    own = blueprint.architecture
    named = shelf(domain).find(own.card)
    for card in ([named] if named is not None else []) + find_cards(domain.name):
        fixed = {name: value for name, value in card.settings.items() if value > 1}
        if card.architecture == own.card and all(getattr(own, name) == value for name, value in fixed.items()):
            return card
    return default_card(domain.name)


def _tell_time(second: float, parts: Sequence[Dataset]) -> None:
    """Say how long the builds after the second take: each as long, if not as much longer as it has more rows.

    The first has loaded what the others need.
    """
    others = [len(part.sample) / len(parts[1].sample) for part in parts[2:]]
    least, most = second * len(others), second * sum(others)
    log.info("The second took %.1f s; the others take some %.0f to %.0f s.", second, least, most)


def _with_interval(point: Point, name: str) -> str:
    if name not in point.metrics:
        return "–"
    ends = point.intervals.get(name)
    return number(point.metrics[name]) + (f" ({number(ends[0])} to {number(ends[1])})" if ends else "")


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}"
