"""From a table's arrays to its target model, with all that a build and the estimators share: members, heads, interval.

Between `crossfit` and `build` or `estimator`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.schema import Column
from modelgpt_cli.domains.shared.names import CONSTANTS
from modelgpt_cli.domains.shared.target_scale import target_scale
from modelgpt_cli.domains.tabular.choose_transform import Scaled, best_scale
from modelgpt_cli.domains.tabular.crossfit import CrossFit, cross_fit, one_pass
from modelgpt_cli.domains.tabular.fit import TableArrays
from modelgpt_cli.domains.tabular.forest import mix_forest
from modelgpt_cli.domains.tabular.intervals import DEFAULT_COVERAGE, add_interval
from modelgpt_cli.domains.tabular.kernel import mix_kernel
from modelgpt_cli.domains.tabular.model import TRANSFORM, TabularModel
from modelgpt_cli.domains.tabular.preprocessing import TablePreprocessor, statistics_state
from modelgpt_cli.domains.tabular.target_transform import TargetTransform
from modelgpt_cli.domains.tabular.tasks import TaskTexts
from modelgpt_cli.domains.tabular.taught import teach
from modelgpt_cli.domains.tabular.teacher import Teacher
from modelgpt_cli.domains.tabular.text_columns import projection_state
from modelgpt_cli.domains.tabular.trees import mix_trees
from modelgpt_cli.parameter_generator.generator import Generator


@dataclass
class FittedModel:
    """A target model and how it came about.

    Attributes
    ----------
    cross : CrossFit
        What the folds said.
    note : str
        What is amiss with a regression's interval; "" if nothing is.
    """

    model: TabularModel
    cross: CrossFit
    note: str = ""


def fit_model(
    generator: Generator,
    table: TableArrays,
    preprocessor: TablePreprocessor,
    blueprint: Blueprint,
    *,
    seed: int = 0,
    device: str = "cpu",
    texts: TaskTexts | None = None,
    validate: bool = True,
    coverage: float = DEFAULT_COVERAGE,
    trees: bool = True,
    kernel: bool = True,
    teacher: Teacher | None = None,
) -> FittedModel:
    """Generate the members of a table's model, choose and solve their heads, merge them, and add the interval.

    Parameters
    ----------
    blueprint : Blueprint
        Its architecture says how many members; its metrics and the choice of heads are filled in.
    texts : TaskTexts, optional
        Embedded words of the task.
    validate : bool
        Choose the heads by cross-fitting; without, one pass, and nothing is known of how good the model is.
    coverage : float
        Regression: share of true values between the interval's bounds; 0 for no interval.
    trees : bool
        Mix random and boosted trees in where held-out rows gain by it.
    kernel : bool
        Mix a kernel machine in where held-out rows gain by it.
    teacher : Teacher, optional
        Let students learn what it says, and mix them in where held-out rows gain by it.
    """
    fit = cross_fit if validate else one_pass
    members = blueprint.architecture.members

    def crossed(table: TableArrays) -> CrossFit:
        return fit(generator, table, members=members, seed=seed, texts=texts, device=device)

    scaled = Scaled(crossed(table), table, TargetTransform()) if table.n_classes else best_scale(crossed, table)
    if kernel:
        scaled = mix_kernel(scaled, table.y, seed=seed)
    if trees:
        scaled = mix_forest(scaled, table.y, seed=seed)
    networks = scaled
    if trees:
        scaled = mix_trees(scaled, table.y, seed=seed)
    if teacher is not None and (said := teacher.ask(table, preprocessor, networks.cross)):
        scaled, worth = teach(teacher, said, networks, scaled, table.y, trees=trees, seed=seed)
        blueprint.provenance["teacher"] = worth
    cross = scaled.cross
    blueprint.metrics = cross.checked.metrics if cross.checked else {}
    blueprint.transform = scaled.transform.describe(blueprint.target)
    blueprint.provenance["head"] = [asdict(choice) | {"weight": weight} for choice, weight in cross.mix.items()]
    if cross.tried:
        blueprint.provenance["trees"] = cross.tried
    if cross.forest_tried:
        blueprint.provenance["forest"] = cross.forest_tried
    if cross.kernel_tried:
        blueprint.provenance["kernel"] = cross.kernel_tried
    model = make_model(blueprint, preprocessor, cross, scaled.table, scaled.transform)
    if blueprint.task != "regression":
        return FittedModel(model, cross)
    return FittedModel(model, cross, add_interval(model, table, cross.checked, coverage if validate else 0.0))


def make_model(
    blueprint: Blueprint,
    preprocessor: TablePreprocessor,
    cross: CrossFit,
    table: TableArrays,
    transform: TargetTransform,
) -> TabularModel:
    """Solve and merge: return the target model of a blueprint, whose columns get the preprocessor's levels."""
    heads = cross.heads(table)
    found = projection_state(preprocessor.texts) | statistics_state(preprocessor.statistics)
    if not transform.is_plain:
        scale = target_scale(cross.fitted.target_mean, cross.fitted.target_std)
        found[TRANSFORM] = torch.from_numpy(transform.numbers()).to(scale.dtype)
    state = cross.fitted.state(heads) | {CONSTANTS + k: v for k, v in found.items()}
    if cross.trees is not None:
        state |= cross.trees.state()
        blueprint = replace(blueprint, architecture=replace(blueprint.architecture, trees=len(cross.trees)))
    if cross.kernel is not None:
        state |= cross.kernel.state()
        blueprint = replace(blueprint, architecture=replace(blueprint.architecture, kernel=len(cross.kernel)))
    return TabularModel(replace(blueprint, columns=with_levels(blueprint.columns, preprocessor)), state)


def with_levels(columns: Sequence[Column], preprocessor: TablePreprocessor) -> tuple[Column, ...]:
    """Return the columns, the categorical ones holding the vocabulary that the preprocessor encodes with."""
    vocabulary = {
        preprocessor.columns[i].name: levels
        for i, levels in zip(preprocessor.categorical, preprocessor.levels, strict=True)
    }
    return tuple(replace(c, levels=vocabulary[c.name]) if c.name in vocabulary else c for c in columns)
