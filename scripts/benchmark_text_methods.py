"""The methods of `benchmark_text.py` by name: from labelled texts to answers, one interface.

To add one, write a function of `Settings` that returns a `Fit`, and give it a line in `GLUE_METHODS` or
`FEW_SHOT_METHODS`, and one in `benchmark_cells.LABELS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from benchmark_text_data import codes
from benchmark_text_metrics import Metric, accuracy
from benchmark_text_networks import Backbone, Embedder, Network, answer
from benchmark_text_training import make_network, train
from benchmark_training import Judge, Loss, Plan
from torch import nn

SHARPNESS = 20.0
"""Of the softmax over label similarities; the order of the answers does not depend on it."""


class Fitted(Protocol):
    """What a method made of its examples."""

    facts: dict[str, Any]
    """Written into the results beside the figures: epochs, precision, whatever else is worth knowing."""

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Probabilities (n, C) in the order of the classes; for regression numbers (n,)."""
        ...


class Fit(Protocol):
    """Learn a task. This is what is timed."""

    def __call__(
        self,
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> Fitted:
        """From `texts` (and `pairs`, the second texts) with `labels` (n,): class names, or numbers.

        No rows at all is a task given by its requirement and class names alone; no `classes` is regression.
        """
        ...


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
    metric: Metric = accuracy
    """The task's; its ``score`` chooses the epoch to keep where rows are held out for that."""


@dataclass(frozen=True)
class Method:
    """How to make a method's `Fit` (not timed), and what it needs."""

    make: Callable[[Settings], Fit]
    zero: bool = False
    """It answers without any example."""
    support: bool = True
    """It learns from examples."""
    packages: tuple[str, ...] = ("torch", "transformers", "tokenizers")
    """Whose versions are written down."""


@dataclass
class Probe:
    """A linear model on the frozen backbone's head inputs."""

    embedder: Embedder
    model: Any
    classes: int
    facts: dict[str, Any] = field(default_factory=lambda: {"dtype": "fp32"})

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Of the classes that the model has seen; the others get 0."""
        x = self.embedder(texts, pairs)
        if not self.classes:
            return self.model.predict(x)
        p = np.zeros((len(x), self.classes))
        p[:, self.model.classes_] = self.model.predict_proba(x)
        return p


def probe(settings: Settings, search: bool) -> Fit:
    """Logistic regression with C = 1, or (`search`) of 5-fold cross-validation; ridge for numbers."""
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV

    def fit(
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> Fitted:
        x = settings.embedder(texts, pairs)
        if not classes:
            model = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(x, labels)
            return Probe(settings.embedder, model, 0, {"dtype": "fp32", "alpha": float(model.alpha_)})
        if not search:
            model = LogisticRegression(max_iter=1000).fit(x, codes(labels, classes))
            return Probe(settings.embedder, model, len(classes))
        model = LogisticRegressionCV(Cs=np.logspace(-1, 4, 6), cv=5, max_iter=1000).fit(x, codes(labels, classes))
        return Probe(settings.embedder, model, len(classes), {"dtype": "fp32", "C": float(np.ravel(model.C_)[0])})

    return fit


@dataclass
class LabelSimilarity:
    """The label name whose embedding is nearest to the text's."""

    embedder: Embedder
    names: np.ndarray
    """Embedded label names [C, E], of length 1."""
    facts: dict[str, Any] = field(default_factory=lambda: {"dtype": "fp32"})

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """Softmax over the cosines. What a pair of texts has to do with a label name, they don't say: all are equal."""
        if pairs is not None:
            return np.full((len(texts), len(self.names)), 1 / len(self.names))
        cosines = self.embedder(texts) @ self.names.T  # [n, C]
        p = np.exp(SHARPNESS * (cosines - cosines.max(axis=1, keepdims=True)))
        return p / p.sum(axis=1, keepdims=True)


def label_similarity(settings: Settings) -> Fit:
    """Zero-shot by the label names alone."""

    def fit(
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> Fitted:
        names = settings.embedder([name.replace("_", " ") for name in classes])
        return LabelSimilarity(settings.embedder, names)

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

    def predict_proba(self, texts: Sequence[str], pairs: Sequence[str] | None) -> np.ndarray:
        """In float32."""
        out = answer(self.network, self.backbone.encode(texts, pairs)).astype(np.float64)
        if not self.classes:
            return out[:, 0] * self.std + self.mean
        p = np.exp(out - out.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)


def trained(settings: Settings, plan: Plan) -> Fit:
    """The pretrained encoder with a random head, trained by `plan`."""
    plan = replace(plan, epochs=settings.max_epochs, most_steps=settings.max_steps)

    def fit(
        texts: Sequence[str],
        pairs: Sequence[str] | None,
        labels: np.ndarray,
        classes: Sequence[str],
        requirement: str,
        seed: int,
    ) -> Fitted:
        torch.manual_seed(seed)  # the head's first weights and dropout
        rows = settings.backbone.encode(texts, pairs)
        network = make_network(settings.backbone, len(classes) or 1, rows.paired, plan.lora)
        mean, std = 0.0, 1.0
        loss: Loss = nn.functional.cross_entropy
        if classes:
            target = torch.from_numpy(codes(labels, classes))  # (n,)
        else:
            mean, std, loss = float(labels.mean()), float(max(labels.std(), 1e-12)), nn.functional.mse_loss
            target = torch.from_numpy(((labels - mean) / std).astype(np.float32))[:, None]  # [n, 1]
        judge = _judge(settings.metric, labels, classes)
        course = train(network, rows, target, loss, judge, plan, seed, settings.bf16)
        facts = {"dtype": "bf16" if settings.bf16 else "fp32", **asdict(course)}
        return Trained(settings.backbone, network, mean, std, len(classes), facts)

    return fit


def _judge(metric: Metric, labels: np.ndarray, classes: Sequence[str]) -> Judge:
    def judge(rows: np.ndarray, outputs: np.ndarray) -> float:
        said = np.asarray(classes)[outputs.argmax(axis=1)] if classes else outputs[:, 0]
        return metric(labels[rows], said)["score"]

    return judge


def setfit(settings: Settings) -> Fit:
    """SetFit's own package with the same backbone; imported here, as it is an extra."""
    from benchmark_text_setfit import make_setfit

    return make_setfit(settings.backbone.folder, settings.bf16)


def modelgpt(settings: Settings, **options: Any) -> Fit:
    """Ours; imported here, as it loads modelgpt's build."""
    from benchmark_text_ours import ours

    return ours(**options)


LIBRARIES = ("torch", "transformers", "tokenizers")
GLUE_METHODS: dict[str, Method] = {
    "probe": Method(partial(probe, search=True), packages=(*LIBRARIES, "scikit-learn")),
    "finetune": Method(partial(trained, plan=Plan(batch=32, lr=5e-5, head_lr=1e-3, epochs=20, held_out=0.1))),
    "lora": Method(
        partial(trained, plan=Plan(batch=32, lr=1e-3, head_lr=1e-3, epochs=20, held_out=0.1, lora=True)),
        packages=(*LIBRARIES, "peft"),
    ),
    "ours_words": Method(partial(modelgpt, support=False), packages=("modelgpt-cli", *LIBRARIES, "peft")),
    "ours": Method(modelgpt, packages=("modelgpt-cli", *LIBRARIES, "peft")),
    "ours_512": Method(partial(modelgpt, rows=512), packages=("modelgpt-cli", *LIBRARIES, "peft")),
    "ours_all_rows": Method(partial(modelgpt, all_rows=True), packages=("modelgpt-cli", *LIBRARIES, "peft")),
    "ours_tuned": Method(partial(modelgpt, tune=1), packages=("modelgpt-cli", *LIBRARIES, "peft")),
}
"""All training rows are given; ``ours_words`` leaves them aside."""
FEW_SHOT_METHODS: dict[str, Method] = {
    "label_similarity": Method(label_similarity, zero=True, support=False),
    "probe": Method(partial(probe, search=False), packages=(*LIBRARIES, "scikit-learn")),
    "finetune": Method(partial(trained, plan=Plan(batch=16, lr=5e-5, head_lr=1e-3, epochs=20, least_steps=100))),
    "ours": Method(modelgpt, zero=True, packages=("modelgpt-cli", *LIBRARIES, "peft")),
    "setfit": Method(setfit, packages=(*LIBRARIES, "scikit-learn", "sentence-transformers", "setfit")),
}
"""0 to 64 examples of each class are given."""
METHODS = {"glue": GLUE_METHODS, "few-shot": FEW_SHOT_METHODS}
