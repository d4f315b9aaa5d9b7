"""The methods of the text benchmark by name: from a task and its examples to answers, one interface.

To add one, write a function of `Settings` that returns a `Fit`, and give it a line in `PARTS` and one in
`labels.CELLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ..harness import Fitted, Method, Part
from ..metrics import softmax
from ..training import Loss, Plan
from .networks import Backbone, Embedder, Network, answer, make_network, train
from .tasks import Rows, TextTask

SHARPNESS = 20.0
"""Of the softmax over label similarities; the order of the answers does not depend on it."""
Fit = Callable[[TextTask, Rows, int], Fitted]
"""Learn a task from some of its rows, with a seed; this is what is timed. No rows at all is a task given by its
requirement and class names alone; no classes is regression."""


@dataclass(frozen=True)
class Settings:
    """What a method may use of the benchmark."""

    backbone: Backbone
    embedder: Embedder
    bf16: bool = False
    """Train with the encoder's products in bfloat16. Frozen features and final answers are float32 throughout."""
    max_epochs: int = 20
    max_steps: int = 0
    """Steps that the epochs must fit in; 0 for no limit."""


@dataclass
class Probe:
    """A linear model on the frozen backbone's head inputs."""

    embedder: Embedder
    model: Any
    classes: int
    facts: dict[str, Any] = field(default_factory=lambda: {"dtype": "fp32"})

    def predict_proba(self, rows: Rows) -> np.ndarray:
        """Return those of the classes that the model has seen; the others get 0."""
        x = self.embedder(rows.texts, rows.pairs)
        if not self.classes:
            return self.model.predict(x)
        p = np.zeros((len(x), self.classes))
        p[:, self.model.classes_] = self.model.predict_proba(x)
        return p


def probe(settings: Settings, search: bool) -> Fit:
    """Logistic regression with C = 1, or (`search`) of 5-fold cross-validation; ridge for numbers."""
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV

    def fit(task: TextTask, rows: Rows, seed: int) -> Fitted:
        x, classes = settings.embedder(rows.texts, rows.pairs), len(task.classes)
        if not classes:
            model = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(x, rows.labels)
            return Probe(settings.embedder, model, 0, {"dtype": "fp32", "alpha": float(model.alpha_)})
        y = task.codes(rows.labels)
        if not search:
            return Probe(settings.embedder, LogisticRegression(max_iter=1000).fit(x, y), classes)
        model = LogisticRegressionCV(Cs=np.logspace(-1, 4, 6), cv=5, max_iter=1000).fit(x, y)
        return Probe(settings.embedder, model, classes, {"dtype": "fp32", "C": float(np.ravel(model.C_)[0])})

    return fit


@dataclass
class LabelSimilarity:
    """The label name whose embedding is nearest to the text's."""

    embedder: Embedder
    names: np.ndarray
    """Embedded label names [C, E], of length 1."""
    facts: dict[str, Any] = field(default_factory=lambda: {"dtype": "fp32"})

    def predict_proba(self, rows: Rows) -> np.ndarray:
        """Return a softmax over the cosines; of pairs, whose relation no label name resembles, all are equal."""
        if rows.pairs is not None:
            return np.full((len(rows), len(self.names)), 1 / len(self.names))
        return softmax(SHARPNESS * (self.embedder(rows.texts) @ self.names.T))  # [n, C]


def label_similarity(settings: Settings) -> Fit:
    """Zero-shot by the label names alone."""

    def fit(task: TextTask, rows: Rows, seed: int) -> Fitted:
        return LabelSimilarity(settings.embedder, settings.embedder([name.replace("_", " ") for name in task.classes]))

    return fit


@dataclass
class Trained:
    """A network that was trained; numbers are scaled back."""

    backbone: Backbone
    network: Network
    mean: float
    std: float
    classes: int
    facts: dict[str, Any]

    def predict_proba(self, rows: Rows) -> np.ndarray:
        """Return answers in float32 arithmetic."""
        out = answer(self.network, self.backbone.encode(rows.texts, rows.pairs)).astype(np.float64)
        return softmax(out) if self.classes else out[:, 0] * self.std + self.mean


def trained(settings: Settings, plan: Plan) -> Fit:
    """The pretrained encoder with a random head, trained by `plan`."""
    plan = replace(plan, epochs=settings.max_epochs, most_steps=settings.max_steps)

    def fit(task: TextTask, rows: Rows, seed: int) -> Fitted:
        torch.manual_seed(seed)  # the head's first weights and dropout
        encoded = settings.backbone.encode(rows.texts, rows.pairs)
        network = make_network(settings.backbone, len(task.classes) or 1, encoded.paired, plan.lora)
        mean, std = 0.0, 1.0
        loss: Loss = nn.functional.cross_entropy
        if task.classes:
            target = torch.from_numpy(task.codes(rows.labels))  # (n,)
        else:
            mean, std, loss = float(rows.labels.mean()), float(max(rows.labels.std(), 1e-12)), nn.functional.mse_loss
            target = torch.from_numpy(((rows.labels - mean) / std).astype(np.float32))[:, None]  # [n, 1]

        def judge(index: np.ndarray, outputs: np.ndarray) -> float:
            said = np.asarray(task.classes)[outputs.argmax(axis=1)] if task.classes else outputs[:, 0]
            return task.metric(rows.labels[index], said)["score"]

        course = train(network, encoded, target, loss, judge, plan, seed, settings.bf16)
        facts = {"dtype": "bf16" if settings.bf16 else "fp32", **asdict(course)}
        return Trained(settings.backbone, network, mean, std, len(task.classes), facts)

    return fit


def setfit(settings: Settings) -> Fit:
    """SetFit's own package with the same backbone; imported here, as it is an extra."""
    from .setfit import SetFitFit

    return SetFitFit(settings.backbone.folder, settings.bf16)


def modelgpt(settings: Settings, **options: Any) -> Fit:
    """Ours; imported here, as it loads modelgpt's build."""
    from .ours import ours

    return ours(**options)


LIBRARIES = ("torch", "transformers", "tokenizers")
PROBED = (*LIBRARIES, "scikit-learn")
OURS = ("modelgpt-cli", *LIBRARIES, "peft")
FINETUNE = Plan(batch=32, lr=5e-5, head_lr=1e-3, epochs=20, held_out=0.1)
LORA = replace(FINETUNE, lr=1e-3, lora=True)
FEW = Plan(batch=16, lr=5e-5, head_lr=1e-3, epochs=20, least_steps=100)
GLUE_METHODS = {
    "probe": Method(partial(probe, search=True), packages=PROBED),
    "finetune": Method(partial(trained, plan=FINETUNE), packages=LIBRARIES),
    "lora": Method(partial(trained, plan=LORA), packages=(*LIBRARIES, "peft")),
    "ours_words": Method(partial(modelgpt, support=False), packages=OURS, ours=True),
    "ours": Method(modelgpt, packages=OURS, ours=True),
    "ours_512": Method(partial(modelgpt, rows=512), packages=OURS, ours=True),
    "ours_all_rows": Method(partial(modelgpt, all_rows=True), packages=OURS, ours=True),
    "ours_tuned": Method(partial(modelgpt, tune=1), packages=OURS, ours=True),
}
"""All training rows are given; ``ours_words`` leaves them aside."""
FEW_SHOT_METHODS = {
    "label_similarity": Method(label_similarity, zero=True, support=False, packages=LIBRARIES),
    "probe": Method(partial(probe, search=False), packages=PROBED),
    "finetune": Method(partial(trained, plan=FEW), packages=LIBRARIES),
    "ours": Method(modelgpt, zero=True, packages=OURS, ours=True),
    "setfit": Method(setfit, packages=(*PROBED, "sentence-transformers", "setfit")),
}
PARTS = {
    "glue": Part(GLUE_METHODS, repeats=1),
    "few-shot": Part(FEW_SHOT_METHODS, repeats=5, test_rows=1000, sizes=(0, 1, 4, 8, 16, 64)),
}
