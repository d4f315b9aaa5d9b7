"""The methods of the image benchmark by name: from a task's labelled images to answers, one interface.

To add one, write a function of `Settings` that returns a `Fit`, and give it a line in `PARTS` and one in
`labels.CELLS`. Shapes: n images, E features, C classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.tasks import ImageSet
from modelgpt_cli.domains.image.tune import ImageTuning
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.training.tune import TuneSettings

from ..harness import Fitted, Method, Part, clock
from ..metrics import softmax, spread
from ..training import Plan, hold_out, train
from .networks import ImageLearner, Memory, Network, Weights, make_trainable, outputs
from .ours import Built, Generators, build

PROBE_C = 0.05
"""Inverse strength of the few-shot probe's penalty, on standardised features."""
SEARCHED_C = tuple(np.logspace(-4, 0, 5))
HELD_OUT = 0.2


@dataclass(frozen=True)
class Problem:
    """A task, and what is given of it.

    Attributes
    ----------
    index : int (n,)
        Numbers of the training images that are given.
    others : list of ImageSet
        The other domains of its set, with all their training images; for methods that don't look at this one's.
    """

    task: ImageSet
    index: np.ndarray
    others: list[ImageSet] = field(default_factory=list)

    @property
    def labels(self) -> np.ndarray:
        """Return the class numbers of what is given, int64 (n,)."""
        found: np.ndarray = self.task.parts["train"].y[self.index]
        return found


Fit = Callable[[Problem, int], Fitted]
"""Learn a problem, with a seed. This is what is timed."""


@dataclass(frozen=True)
class Settings:
    """What a method may use of the benchmark."""

    weights: Weights
    memory: Memory
    generators: Generators
    trunk: nn.Module
    """The pretrained one, frozen."""
    bf16: bool = False
    """Train with the trunk's products in bfloat16. Frozen features and final answers are float32 throughout."""
    max_epochs: int = 20
    max_steps: int = 0
    """Steps that the epochs must fit in; 0 for no limit."""

    def features(self, task: ImageSet, part: str, index: np.ndarray | None = None) -> Tensor:
        """Return the pretrained trunk's features of all of a part's images or of some, (n, E)."""
        rows = task.parts[part].rows
        index = np.arange(len(rows)) if index is None else index
        view = self.weights.view
        return self.memory.features(
            ("pretrained", task.name, part), rows, index, lambda some: outputs(self.trunk, some, view)
        )

    def build(self, task: ImageSet, index: np.ndarray | None, seed: int) -> Built:
        """Build a model of some of a task's training images; None for one of the requirement alone."""
        return build(task, index, self.weights, self.generators, self.memory, seed)


def standardised(features: Tensor, scaling: Scaling) -> np.ndarray:
    """Return features with mean 0 and deviation 1, where those of `scaling` have them, (n, E)."""
    found: np.ndarray = ((features - scaling.mean) / scaling.std).numpy()
    return found


def frozen(settings: Settings, scaling: Scaling, say: Callable[[np.ndarray], np.ndarray], **facts: float) -> Fitted:
    """Return a model on the pretrained trunk's features; `say` makes probabilities (n, C) of standardised ones."""

    def predict(task: ImageSet) -> np.ndarray:
        return say(standardised(settings.features(task, "test"), scaling))

    return Fitted(predict, {"dtype": "fp32", **facts})


def probe(settings: Settings, *, search: bool, source: bool = False) -> Fit:
    """Logistic regression on the features, standardised by what it is given.

    Parameters
    ----------
    search : bool
        Choose C by 5-fold cross-validation; else `PROBE_C`.
    source : bool
        Learn from the other domains instead of the task's own images.
    """
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV

    def fit(problem: Problem, seed: int) -> Fitted:
        if source:
            features = torch.cat([settings.features(one, "train") for one in problem.others])
            labels = np.concatenate([one.parts["train"].y for one in problem.others])
        else:
            features, labels = settings.features(problem.task, "train", problem.index), problem.labels
        scaling, classes = Scaling.of(features), len(problem.task.classes)
        if search:
            model = LogisticRegressionCV(Cs=SEARCHED_C, cv=5, max_iter=1000)
        else:
            model = LogisticRegression(C=PROBE_C, max_iter=1000)
        model.fit(standardised(features, scaling), labels)
        chosen = float(np.ravel(model.C_)[0]) if search else PROBE_C
        return frozen(settings, scaling, lambda x: spread(model, x, classes), C=chosen)

    return fit


def nearest_mean(settings: Settings) -> Fit:
    """The class whose mean is nearest by cosine, on features standardised by what is given."""

    def fit(problem: Problem, seed: int) -> Fitted:
        features = settings.features(problem.task, "train", problem.index)
        scaling, classes = Scaling.of(features), len(problem.task.classes)
        x = unit(standardised(features, scaling))
        means = unit(np.stack([x[problem.labels == k].mean(axis=0) for k in range(classes)]))  # [C, E]
        return frozen(settings, scaling, lambda other: softmax(unit(other) @ means.T))  # the order is what counts

    return fit


def unit(x: np.ndarray) -> np.ndarray:
    """Scale rows to length 1."""
    found: np.ndarray = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    return found


def ours(settings: Settings, *, words: bool = False, tune: int = 0) -> Fit:
    """A build from the images, or from the requirement alone; and so many epochs of tuning after it."""

    def fit(problem: Problem, seed: int) -> Fitted:
        built = settings.build(problem.task, None if words else problem.index, seed)
        if not tune:
            return Fitted(built.predict_proba, built.facts)
        model, rows = built.model, problem.task.parts["train"].rows.take(problem.index)
        known = model.blueprint.metrics.get("model")
        done = ImageTuning(model, built.source).run(rows, problem.labels, TuneSettings(tune, seed=seed), known=known)
        return Fitted(
            lambda task: model.predict_seen(task.parts["test"].rows.values),
            built.facts | {"kept": done.kept, "share": done.share},
        )

    return fit


def dense_head(settings: Settings) -> Fit:
    """Teachable Machine's recipe: a layer of 100 units and one of the classes on the frozen network's features."""

    def fit(problem: Problem, seed: int) -> Fitted:
        torch.manual_seed(seed)
        features = settings.features(problem.task, "train", problem.index)
        scaling, labels = Scaling.of(features), torch.from_numpy(problem.labels)
        x = torch.from_numpy(standardised(features, scaling))
        head = nn.Sequential(
            nn.Linear(x.shape[1], DENSE_UNITS), nn.ReLU(), nn.Linear(DENSE_UNITS, len(problem.task.classes))
        )
        optimiser = torch.optim.Adam(head.parameters(), lr=DENSE_RATE)
        for _ in range(min(DENSE_EPOCHS, DENSE_EPOCHS * settings.max_epochs // 20)):
            for rows in torch.randperm(len(x)).split(DENSE_BATCH):
                optimiser.zero_grad(set_to_none=True)
                nn.functional.cross_entropy(head(x[rows]), labels[rows]).backward()
                optimiser.step()

        @torch.inference_mode()
        def say(other: np.ndarray) -> np.ndarray:
            said: np.ndarray = head(torch.from_numpy(other)).softmax(1).numpy()
            return said

        return frozen(settings, scaling, say)

    return fit


def head_then_all(settings: Settings) -> Fit:
    """As fastai's `fine_tune`: an epoch of the head alone, then some of all; the last weights are kept."""

    def fit(problem: Problem, seed: int) -> Fitted:
        torch.manual_seed(seed)
        labels, rows = torch.from_numpy(problem.labels), np.arange(len(problem.index))
        network, facts = _start(settings, problem, problem.index, "pretrained", False, seed)
        images = problem.task.parts["train"].rows.take(problem.index)
        learner = ImageLearner(network, images, settings.weights.view, settings.bf16)
        network.trunk.requires_grad_(False)
        for plan in (HEAD_FIRST, replace(THEN_ALL, epochs=min(THEN_ALL.epochs, settings.max_epochs))):
            train(learner, rows, rows[:0], labels, nn.functional.cross_entropy, lambda *_: 0.0, plan, seed)
            make_trainable(network.trunk, lora=False)

        predict = partial(_answers, network, settings.weights.view)
        return Fitted(predict, facts | {"dtype": "bf16" if settings.bf16 else "fp32"}, network)

    return fit


def trained(settings: Settings, plan: Plan, start: str = "pretrained", curve: bool = False) -> Fit:
    """A network trained by `plan`; a share of the images chooses the epoch.

    Parameters
    ----------
    start : {"pretrained", "generated", "built"}
        Where the weights begin: the pretrained trunk and a head of zeros, what the generator makes of the words, or
        what it makes of words and images.
    curve : bool
        Write down the accuracy before the first epoch and after each, on the held-out and on the test
        images; that costs no time of the method's. Else the training ends where nothing is gained any more.
    """
    epochs = settings.max_epochs
    plan = replace(plan, epochs=epochs, most_steps=settings.max_steps, patience=epochs if curve else plan.patience)

    def fit(problem: Problem, seed: int) -> Fitted:
        torch.manual_seed(seed)  # augmentation, and the adapters' first weights
        labels = torch.from_numpy(problem.labels)
        training, held_out = hold_out(labels, plan.held_out, seed)
        network, facts = _start(settings, problem, problem.index[training], start, plan.lora, seed)
        rows = problem.task.parts["train"].rows.take(problem.index)
        learner = ImageLearner(network, rows, settings.weights.view, settings.bf16)

        predict = partial(_answers, network, settings.weights.view)
        seen: dict[str, list[float]] = {"curve": [], "test_curve": []}

        def judge(index: np.ndarray, logits: np.ndarray) -> float:
            score = float((logits.argmax(1) == problem.labels[index]).mean())
            begun = clock()
            if curve:
                said = predict(problem.task).argmax(1)
                seen["curve"].append(round(score, 4))
                seen["test_curve"].append(round(float((said == problem.task.parts["test"].y).mean()), 4))
                settings.memory.pause(begun)
            return score

        if curve:
            judge(held_out, learner.answer(held_out))
        course = train(learner, training, held_out, labels, nn.functional.cross_entropy, judge, plan, seed)
        facts |= {"dtype": "bf16" if settings.bf16 else "fp32", **asdict(course)}
        if curve:
            best = int(np.argmax(seen["curve"]))
            facts |= {"best_epoch": best, "best": seen["curve"][best], "best_test": seen["test_curve"][best], **seen}
        return Fitted(predict, facts, network)

    return fit


def _answers(network: Network, view: View, task: ImageSet) -> np.ndarray:
    """Return a trained network's probabilities (n, C) of a task's test images."""
    network.eval()
    found: np.ndarray = outputs(network, task.parts["test"].rows, view).softmax(1).numpy()
    return found


def _start(
    settings: Settings, problem: Problem, index: np.ndarray, start: str, lora: bool, seed: int
) -> tuple[Network, dict[str, Any]]:
    """The network before training; of the task's images those of `index` may be looked at."""
    classes = len(problem.task.classes)
    if start == "pretrained":
        scaling = Scaling.of(settings.features(problem.task, "train", index))
        trunk = settings.weights.adapted().with_places().model if lora else settings.weights.trunk()
        return Network(make_trainable(trunk, lora), scaling, classes), {}
    made = settings.build(problem.task, None if start == "generated" else index, seed)
    scaling = Scaling.of(made.features(problem.task, "train", index))
    network = Network(make_trainable(made.model.trunk, lora), scaling, classes)
    network.set_head(made.model.head_weight.detach(), made.model.head_bias.detach())
    return network, {"generator": made.facts["generator"]}


LIBRARIES = ("torch", "torchvision")
PROBED = (*LIBRARIES, "scikit-learn")
OURS = ("modelgpt-cli", *LIBRARIES, "peft")
FINETUNE = Plan(batch=32, lr=1e-4, head_lr=1e-2, epochs=20, held_out=HELD_OUT, patience=20)
LORA = replace(FINETUNE, lr=1e-3, lora=True)
HEAD_FIRST = Plan(batch=16, lr=0.0, head_lr=2e-3, epochs=1)
THEN_ALL = Plan(batch=16, lr=1e-4, head_lr=1e-3, epochs=10)
DENSE_UNITS, DENSE_RATE, DENSE_EPOCHS, DENSE_BATCH = 100, 1e-3, 50, 16
"""Teachable Machine's own settings."""
FROM_WORDS, CURVE = partial(ours, words=True), partial(trained, plan=FINETUNE, curve=True)
GENTLE = partial(CURVE, plan=replace(FINETUNE, head_lr=1e-3))
"""The head at a tenth of the rate: what it starts from is not overrun in the first epoch."""
DOMAIN_METHODS = {
    "probe_source": Method(partial(probe, search=True, source=True), packages=PROBED),
    "ours_words": Method(FROM_WORDS, packages=OURS, generated=True, ours=True),
    "ncm": Method(nearest_mean, packages=LIBRARIES),
    "probe": Method(partial(probe, search=True), packages=PROBED),
    "ours": Method(ours, packages=OURS, ours=True),
    "ours_tuned": Method(partial(ours, tune=1), packages=OURS, ours=True),
    "lora": Method(partial(trained, plan=LORA), packages=(*PROBED, "peft")),
    "finetune": Method(partial(trained, plan=FINETUNE), packages=PROBED),
}
"""All training images of a domain are given; the first two leave them aside."""
FEW_SHOT_METHODS = {
    "ours_words": Method(FROM_WORDS, zero=True, support=False, packages=OURS, generated=True, ours=True),
    "ncm": Method(nearest_mean, packages=LIBRARIES),
    "probe": Method(partial(probe, search=False), packages=PROBED),
    "ours": Method(ours, packages=OURS, ours=True),
}
INIT_METHODS = {
    "pretrained": Method(CURVE, packages=PROBED),
    "generated": Method(partial(CURVE, start="generated"), packages=OURS, generated=True, ours=True),
    "built": Method(partial(CURVE, start="built"), packages=OURS, ours=True),
    "pretrained_gentle": Method(GENTLE, packages=PROBED),
    "generated_gentle": Method(partial(GENTLE, start="generated"), packages=OURS, generated=True, ours=True),
    "built_gentle": Method(partial(GENTLE, start="built"), packages=OURS, ours=True),
}
"""All training images are given; from there, the same finetuning, at either rate of the head."""
ALTERNATIVE_METHODS = {
    "probe": Method(partial(probe, search=True), packages=PROBED),
    "dense_head": Method(dense_head, packages=LIBRARIES),
    "head_then_all": Method(head_then_all, packages=LIBRARIES),
    "ours": Method(ours, packages=OURS, ours=True),
    "ours_tuned": Method(partial(ours, tune=1), packages=OURS, ours=True),
}
"""What a user would do instead: some images of each class are given, or all."""
PARTS = {
    "domains": Part(DOMAIN_METHODS, repeats=1),
    "few-shot": Part(FEW_SHOT_METHODS, repeats=5, sizes=(0, 1, 2, 4, 8, 16, 32)),
    "init": Part(INIT_METHODS, repeats=3),
    "alternatives": Part(ALTERNATIVE_METHODS, repeats=1, sizes=(8, 32, None)),
}
