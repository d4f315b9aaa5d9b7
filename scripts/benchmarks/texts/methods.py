"""The methods of the text benchmark by name: from a task and its examples to answers, one interface.

To add one, write a function of `Settings` that returns a `Fit`, and give it a line in `PARTS` and one in
`labels.CELLS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from ..harness import Fitted, Method, Part
from ..metrics import softmax, spread
from ..training import Loss, Plan
from .networks import Backbone, Embedder, answer, make_network, train
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


def probe(settings: Settings, search: bool) -> Fit:
    """Logistic regression with C = 1, or (`search`) of 5-fold cross-validation; ridge for numbers.

    A class without an example gets 0.
    """
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV

    def inputs(rows: Rows) -> np.ndarray:
        return settings.embedder(rows.texts, rows.pairs)

    def fit(task: TextTask, given: Rows, seed: int) -> Fitted:
        x = inputs(given)
        if not task.classes:
            ridge = RidgeCV(alphas=np.logspace(-3, 3, 13)).fit(x, given.labels)
            return Fitted(lambda rows: ridge.predict(inputs(rows)), {"dtype": "fp32", "alpha": float(ridge.alpha_)})
        if search:
            model = LogisticRegressionCV(Cs=np.logspace(-1, 4, 6), cv=5, max_iter=1000)
        else:
            model = LogisticRegression(max_iter=1000)
        model.fit(x, task.codes(given.labels))
        facts = {"C": float(np.ravel(model.C_)[0])} if search else {}
        return Fitted(lambda rows: spread(model, inputs(rows), len(task.classes)), {"dtype": "fp32", **facts})

    return fit


def tfidf(settings: Settings) -> Fit:
    """Logistic regression (C = 10; ridge for numbers) on TF-IDF of words and pairs of words, without an encoder."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline

    def fit(task: TextTask, given: Rows, seed: int) -> Fitted:
        words = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", ngram_range=(1, 2))
        if not task.classes:
            ridge = make_pipeline(words, Ridge()).fit(given.joined, given.labels)
            return Fitted(lambda rows: ridge.predict(rows.joined), {})
        model = make_pipeline(words, LogisticRegression(C=10.0, max_iter=1000))
        model.fit(given.joined, task.codes(given.labels))
        return Fitted(lambda rows: spread(model, rows.joined, len(task.classes)), {})

    return fit


def label_similarity(settings: Settings) -> Fit:
    """Zero-shot by the label name whose embedding is nearest; to pairs no label name has a likeness: all are equal."""

    def fit(task: TextTask, given: Rows, seed: int) -> Fitted:
        names = settings.embedder([name.replace("_", " ") for name in task.classes])  # [C, E], of length 1

        def predict(rows: Rows) -> np.ndarray:
            if rows.pairs is not None:
                return np.full((len(rows), len(names)), 1 / len(names))
            return softmax(SHARPNESS * (settings.embedder(rows.texts) @ names.T))  # [n, C]

        return Fitted(predict)

    return fit


def trained(settings: Settings, plan: Plan) -> Fit:
    """The pretrained encoder with a random head, trained by `plan`."""
    plan = replace(plan, epochs=settings.max_epochs, most_steps=settings.max_steps)

    def fit(task: TextTask, given: Rows, seed: int) -> Fitted:
        torch.manual_seed(seed)  # the head's first weights and dropout
        encoded = settings.backbone.encode(given.texts, given.pairs)
        network = make_network(settings.backbone, len(task.classes) or 1, given.pairs is not None, plan.lora)
        mean, std = 0.0, 1.0
        loss: Loss = nn.functional.cross_entropy
        if task.classes:
            target = torch.from_numpy(task.codes(given.labels))  # (n,)
        else:
            mean, std, loss = float(given.labels.mean()), float(max(given.labels.std(), 1e-12)), nn.functional.mse_loss
            target = torch.from_numpy(((given.labels - mean) / std).astype(np.float32))[:, None]  # [n, 1]

        def judge(index: np.ndarray, outputs: np.ndarray) -> float:
            said = np.asarray(task.classes)[outputs.argmax(axis=1)] if task.classes else outputs[:, 0]
            return task.metric(given.labels[index], said)["score"]

        def predict(rows: Rows) -> np.ndarray:
            out = answer(network, settings.backbone.encode(rows.texts, rows.pairs)).astype(np.float64)
            return softmax(out) if task.classes else out[:, 0] * std + mean

        course = train(network, encoded, target, loss, judge, plan, seed, settings.bf16)
        return Fitted(predict, {"dtype": "bf16" if settings.bf16 else "fp32", **asdict(course)})

    return fit


def setfit(settings: Settings) -> Fit:
    """SetFit's own package with the same backbone; imported here, as it is an extra."""
    from .setfit import SetFitFit

    return SetFitFit(settings.backbone.folder, settings.bf16)


def modelgpt(settings: Settings, **options: Any) -> Fit:
    """Ours; imported here, as it loads modelgpt's build."""
    from .ours import ours

    method: Fit = ours(**options)
    return method


LIBRARIES = ("torch", "transformers", "tokenizers")
PROBED = (*LIBRARIES, "scikit-learn")
OURS = ("modelgpt-cli", *LIBRARIES, "peft")
FINETUNE = Plan(batch=32, lr=5e-5, head_lr=1e-3, epochs=20, held_out=0.1)
LORA = replace(FINETUNE, lr=1e-3, lora=True)
FEW = Plan(batch=16, lr=5e-5, head_lr=1e-3, epochs=20, least_steps=100)
GLUE_METHODS = {
    "tfidf": Method(tfidf, packages=("scikit-learn",)),
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
    "tfidf": Method(tfidf, packages=("scikit-learn",)),
    "probe": Method(partial(probe, search=False), packages=PROBED),
    "finetune": Method(partial(trained, plan=FEW), packages=LIBRARIES),
    "ours": Method(modelgpt, zero=True, packages=OURS, ours=True),
    "ours_encoder": Method(partial(modelgpt, lexical=False), packages=OURS, ours=True),
    "ours_multilingual": Method(partial(modelgpt, backbone="use-multilingual"), zero=True, packages=OURS, ours=True),
    "ours_static": Method(partial(modelgpt, backbone="static-256"), packages=OURS, ours=True),
    "setfit": Method(setfit, packages=(*PROBED, "sentence-transformers", "setfit")),
}
PARTS = {
    "glue": Part(GLUE_METHODS, repeats=1),
    "few-shot": Part(FEW_SHOT_METHODS, repeats=5, test_rows=1000, sizes=(0, 1, 4, 8, 16, 64)),
}
