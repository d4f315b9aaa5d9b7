"""Students: heads and trees that learn a teacher's soft labels, mixed with those that learned the true ones.

Between `trees` and `fit_model`. What the mix is, and whether it is taken, rows decide that neither the students nor
their teachers have seen, by their true labels. Sources: Hinton et al. 2015; cross-fitted labels as of Breiman 1996.
Shapes: N rows of the table, S held-out rows, K folds, C outputs, J candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from modelgpt_cli.core.metrics import class_scores, regression_scores
from modelgpt_cli.domains.shared.folds import Folds
from modelgpt_cli.domains.tabular.choose_transform import Scaled
from modelgpt_cli.domains.tabular.crossfit import FOLDS, LOGISTIC, RIDGE, held_out_outputs
from modelgpt_cli.domains.tabular.fit import standardise_target
from modelgpt_cli.domains.tabular.lessons import Lessons, joined
from modelgpt_cli.domains.tabular.mixing import judged, mean_loss, nats, stack
from modelgpt_cli.domains.tabular.stack import stack_logits
from modelgpt_cli.domains.tabular.tasks import targets
from modelgpt_cli.domains.tabular.teacher import Said, Teacher
from modelgpt_cli.domains.tabular.trees import mix_trees

TEACHER, WITHOUT = "teacher", "without teacher"
"""Among the metrics."""
MOST_HEAD_ROWS = 2
"""Drawn rows of each row that heads learn from, where there are no trees, which learn from all."""
HEAD_FLOATS = 50_000_000
"""Head inputs held at once, as of a build's own heads."""
LEAST_PROBABILITY = 1e-3
"""What a teacher's answers of 0 count as where its own log-loss is told."""
LEAST_GAIN = 2.0
"""Held-out log-likelihood, in nats, that a model must gain by its teacher: it may be several times larger for it."""


def teach(
    teacher: Teacher, said: Said, scaled: Scaled, untaught: Scaled, y: np.ndarray, *, trees: bool, seed: int = 0
) -> tuple[Scaled, dict[str, Any]]:
    """Fit students, and take them where held-out rows gain by them.

    Parameters
    ----------
    teacher : Teacher
    said : Said
        Its answers.
    scaled, untaught : Scaled
        The networks of the build, and with trees, where those paid.
    y : (N,)
        The targets in their own unit.
    trees : bool
        Whether trees may learn from it too.

    Returns
    -------
    Scaled
        The taught model, or the one without; with the teacher's metrics.
    dict
        What is to be known of it, as JSON values.
    """
    shown = scaled.cross.held_out
    assert shown is not None
    lessons = _lessons(said, scaled)
    taught = mix_trees(scaled, y, seed=seed, lessons=lessons) if trees else scaled
    if not taught.cross.tried.get(
        "trees"
    ):  # beside taught trees, taught heads are worth nothing: log-loss .3697 and .3705
        taught = _taught_heads(scaled, lessons, y)
    rows = shown.rows[shown.folds.fold >= 0]
    before, after, own = _loss(untaught), _loss(taught), _teacher_loss(said.held_out[rows], scaled, y[rows])
    gain = nats(before, after, len(rows), scaled.table.n_classes)
    used = gain >= LEAST_GAIN
    measure = "log_loss" if scaled.table.n_classes else "mean_squared_error"
    found: dict[str, Any] = {"name": teacher.name, "used": used, "gain_nats": gain, "rows": len(rows)}
    found[measure] = {"teacher": own, "without": before, "with": after if used else before}
    found["lead_kept"] = (before - found[measure]["with"]) / (before - own) if own < before else None
    chosen = taught if used else untaught
    checked, without = chosen.cross.checked, untaught.cross.checked
    assert checked is not None
    assert without is not None
    metrics = {"model": checked.metrics["model"]}
    metrics |= {WITHOUT: without.metrics["model"]} if used else {}
    metrics |= {TEACHER: _scores(said.held_out[rows], scaled, y[rows])}
    metrics |= {name: values for name, values in checked.metrics.items() if name not in metrics}
    cross = replace(chosen.cross, checked=replace(checked, metrics=metrics))
    return replace(chosen, cross=cross), found


def teacher_words(found: Mapping[str, Any] | None) -> str:
    """Say what a teacher was worth; "" where there was none."""
    if not found:
        return ""
    measure = "log loss" if "log_loss" in found else "mean squared error"
    losses = {name: f"{value:.4g}" for name, value in found[measure.replace(" ", "_")].items()}
    said = f"Held-out {measure}: the teacher {found['name']} {losses['teacher']}, the model without {losses['without']}"
    if not found["used"]:
        return f"{said}. What it says makes the model no better: it is left out."
    said += f", with it {losses['with']}"
    if found["lead_kept"] is None:
        return f"{said}: the teacher has no lead, and the model gains by it all the same."
    kept = found["lead_kept"]
    return f"{said}: {'all of the lead is kept, and more' if kept > 1 else f'{kept:.0%} of the lead is kept'}."


def _standard(scaled: Scaled, t: np.ndarray) -> np.ndarray:
    fitted = scaled.cross.fitted
    return standardise_target(t, fitted.target_mean, fitted.target_std, scaled.table.n_classes)


def _lessons(said: Said, scaled: Scaled) -> Lessons:
    """What students learn, of numbers on the scale of the target that the networks have."""
    table, C = scaled.table, max(scaled.table.n_classes, 1)
    true = targets(torch.from_numpy(_standard(scaled, table.y)), C, not table.n_classes).numpy()

    def scale(values: np.ndarray) -> np.ndarray:
        if table.n_classes:
            return values.astype(np.float32)
        t = scaled.transform.forward(values)
        if scaled.transform.kind != "none":
            t = np.clip(t, scaled.transform.least, scaled.transform.most)
        return _standard(scaled, t)

    return Lessons(joined(table, said.drawn), said.drawn.fold, true, scale(said.by_fold), scale(said.whole))


def _taught_heads(scaled: Scaled, lessons: Lessons, y: np.ndarray) -> Scaled:
    """Mix heads that learn the lessons with those of a cross-fit; `y` (N,) in the target's own unit."""
    cross, table = scaled.cross, scaled.table
    shown = cross.held_out
    assert shown is not None
    assert shown.fitted is not None
    M, p, _ = shown.fitted.members.prior.shape
    rng = np.random.default_rng(53)
    most = min(MOST_HEAD_ROWS * len(shown.rows), HEAD_FLOATS // (M * p) - len(shown.rows))
    if most <= 0:
        return scaled
    drawn = np.sort(rng.permutation(lessons.drawn_rows())[:most])
    rows = np.concatenate([shown.rows, drawn])
    of_drawn = lessons.fold[drawn - len(table.y)]
    fold = np.concatenate([shown.folds.fold, np.full(len(drawn), -1, dtype=np.int64)])
    used = np.concatenate([shown.folds.used, of_drawn != np.arange(FOLDS)[:, None]], 1)
    labels = torch.from_numpy(np.stack([lessons.labels(k)[rows] for k in range(FOLDS)]))
    candidates = tuple(replace(c, taught=True) for c in (LOGISTIC if table.n_classes else RIDGE))
    part = lessons.table.take(rows)
    outputs, starts = held_out_outputs(shown.fitted, part, candidates, Folds(fold, used), labels)
    scored = np.flatnonzero(shown.folds.fold >= 0)
    true = torch.from_numpy(_standard(scaled, table.y[shown.rows[scored]]))
    both = torch.cat([shown.outputs[None], outputs[:, scored]])
    weights = stack(both, true, table.n_classes)
    cross = cross.times(float(weights[0]))
    mix = {choice: weight for choice, weight in cross.mix.items() if weight > 0}
    mix |= {c: float(w) for c, w in zip(candidates, weights[1:], strict=True) if w > 0}
    mixed = torch.einsum("j,jnc->nc", weights, both)
    rows = np.concatenate([np.arange(len(table.y)), drawn])
    found = replace(
        cross,
        mix=mix,
        starts=cross.starts | starts if cross.starts else {},
        held_out=replace(shown, outputs=mixed),
        taught=(lessons.table.take(rows), torch.from_numpy(lessons.labels()[rows])),
    )
    return judged(replace(scaled, cross=found), {"model": mixed}, y[shown.rows[scored]], shown.rows[scored])


def _loss(scaled: Scaled) -> float:
    """Log-loss, or the squared error on the target's learned scale, of held-out rows."""
    checked = scaled.cross.checked
    assert checked is not None
    if checked.residuals is None:
        return float(checked.metrics["model"]["log_loss"])
    return float((checked.residuals**2).mean())


def _teacher_loss(said: np.ndarray, scaled: Scaled, y: np.ndarray) -> float:
    """The teacher's own, of classes at the temperature that suits it best."""
    if not scaled.table.n_classes:
        return float(((scaled.transform.forward(y) - scaled.transform.forward(said[:, 0])) ** 2).mean())
    log_p = torch.from_numpy(np.log(np.maximum(said, LEAST_PROBABILITY))).float()[None]
    labels = torch.from_numpy(y)
    mixed = stack_logits(log_p, labels)[0] * log_p[0]
    return mean_loss(mixed, labels, scaled.table.n_classes)


def _scores(said: np.ndarray, scaled: Scaled, y: np.ndarray) -> dict[str, float]:
    return class_scores(said, y) if scaled.table.n_classes else regression_scores(said[:, 0], y)
