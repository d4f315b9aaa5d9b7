"""ModelGPT-F for images: the last blocks of the network are finetuned, and the head is solved anew on what they give.

A head that has been solved on some images hardly errs on them, so that they have nothing to teach the network. Each
image therefore speaks through a head that was solved without it. Judged are the images that are held out of both.
Shapes: N images, n images of a batch, S pixels a side, c channels of maps with s places a side, E features, C classes,
K heads, R shares of the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.metrics import class_scores
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.domains.image.efficientnet_lite import EfficientNetLite
from modelgpt_cli.domains.image.embed import changed
from modelgpt_cli.domains.image.fit import ImageHead
from modelgpt_cli.domains.image.model import ImageModel
from modelgpt_cli.domains.image.preprocess import normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.trunks import folded
from modelgpt_cli.domains.shared.folds import TIME, Split, make_folds, split_words
from modelgpt_cli.domains.shared.head import calibrated, fit_head, solve_rows, with_bias
from modelgpt_cli.domains.shared.novelty import threshold_of
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.domains.shared.tune_backbone import HEAD_ROWS, MAX_VALIDATION, WEIGHT_DECAY
from modelgpt_cli.training.tune import Tuned, TuneSettings

LR = 2e-4
"""AdamW's highest rate. Twice as high gains more where images are unlike ImageNet's, and loses where little is to be
gained (docs/image-generator.md, Tuning)."""
BATCH = 8
WARM_UP = 0.3
"""Share of the steps over which the rate rises; then it falls to zero."""
FOLDS = 3
"""Held out in turn, of up to `CROSS_ROWS` images; of more, the first says enough."""
CROSS_ROWS = 2000
HEADS = 5
"""Of which each image speaks through the one that was solved without it."""
SHARES = (0.0, 0.5, 1.0)
"""How far the network may go from before to after (Wortsman et al. 2022); the head is solved at each."""
LAST_BLOCKS = 5
"""Of an EfficientNet-Lite so many are tuned: what comes before them is seen once."""
VIEWS = 4
"""Changed views of an image that are kept, at most; in further epochs they come again."""
_PART = 64


class Halves:
    """A network in two: the first blocks, which stay as they are, and the rest, which is tuned.

    Of another network than EfficientNet-Lite all is the rest, and images stand for maps.
    """

    def __init__(self, model: ImageModel) -> None:
        self.model, self.view = model, model.view
        trunk, self.blocks = model.trunk, 0
        if isinstance(trunk, EfficientNetLite):
            self.blocks = max(0, min(trunk.blocks_before(()), trunk.n_blocks - LAST_BLOCKS))
        self._first = folded(trunk) if self.blocks else None

    @torch.inference_mode()
    def maps(self, values: Tensor) -> Tensor:
        """What the first blocks make of images uint8 (N, 3, S, S), on the CPU: float16 (N, c, s, s)."""
        if self._first is None:
            return values
        assert isinstance(self._first, EfficientNetLite)
        parts = [self._first.first(self._laid(normalise(part, self.view)), self.blocks) for part in values.split(_PART)]
        return torch.cat([part.half().cpu() for part in parts])

    def rest(self, trunk: nn.Module, maps: Tensor) -> Tensor:
        """Features (n, E) of maps."""
        if self._first is None:
            found: Tensor = trunk(self._laid(normalise(maps, self.view)))
            return found
        assert isinstance(trunk, EfficientNetLite)
        return trunk.rest(self._laid(maps.float()), self.blocks)

    @torch.inference_mode()
    def features(self, maps: Tensor) -> Tensor:
        """Features of the network as it is now, (N, E) on the CPU."""
        trunk = folded(self.model.trunk)
        return torch.cat([self.rest(trunk, part).cpu() for part in maps.split(_PART)])

    def tuned(self) -> dict[str, nn.Parameter]:
        """What is tuned, by name; BatchNorm is not."""
        trunk = self.model.trunk.requires_grad_(True)
        self.model.train()  # what is never trained, such as BatchNorm, is frozen again by this
        if isinstance(trunk, EfficientNetLite):
            for module in trunk.first_modules(self.blocks):
                module.requires_grad_(False)
        return {name: parameter for name, parameter in trunk.named_parameters() if parameter.requires_grad}

    def _laid(self, values: Tensor) -> Tensor:
        device = self.model.head_weight.device
        return values.to(device).contiguous(memory_format=torch.channels_last)


@dataclass
class _Trial:
    """What images that are held out say of one round of tuning.

    Attributes
    ----------
    rows : int64 (n,)
    logits : float32 (R, n, C)
        At each of `SHARES`, at the temperature 1.
    novelty : float32 (R, n)
    """

    rows: np.ndarray
    logits: Tensor
    novelty: Tensor


class Finetuning:
    """The finetuning of one model, in place.

    Parameters
    ----------
    model : ImageModel
    source : ImageHead
        What heads are solved around. Where it has no scaling, it is given that of these images' features.
    rows : Images (N,)
    y : int64 (N,)
        Class indices.
    """

    def __init__(
        self,
        model: ImageModel,
        source: ImageHead,
        rows: Images,
        y: np.ndarray,
        settings: TuneSettings,
        split: Split | None,
    ) -> None:
        self.model, self.source, self.rows, self.y, self.settings = model, source, rows, y, settings
        self.split = split
        self.target = F.one_hot(torch.from_numpy(y), len(model.blueprint.labels)).float()
        self.rng = np.random.default_rng([settings.seed, 13])
        torch.manual_seed(int(self.rng.integers(2**31)))  # the ways in which images are changed
        self.halves = Halves(model)
        self.maps = self.halves.maps(rows.values)
        features = self.halves.features(self.maps)
        self.scaling = source.scaling = source.scaling or Scaling.of(features)
        self.untuned = self.scaling.inputs(features)
        self._views: list[Tensor] = []
        seen = np.sort(self.rng.permutation(len(y))[:HEAD_ROWS])
        tied = None if split is None else split.take(seen)
        fit = fit_head(source, self.untuned[seen], self.target[seen], seed=settings.seed, scale=(0.0, 1.0), split=tied)
        self.strength, self.temperature = fit.strength, fit.calibration.get("temperature", 1.0)

    def run(self, *, learned: bool) -> Tuned:
        """Finetune, and keep what the images that are held out are predicted by best: before, after or between.

        Parameters
        ----------
        learned : bool
            Whether the model has learned from these images: then before is a model without those that are held out.

        Raises
        ------
        ModelGPTError
            There are too few images to hold some out.
        """
        own = None if learned else self._own_logits()
        trials = [self._try(used, held_out) for used, held_out in self._rounds()]
        if not trials:
            raise ModelGPTError("Too few rows to tune on.", f"{len(self.y)} labelled rows can't be split in two.")
        held_out = np.concatenate([trial.rows for trial in trials])
        truth = self.y[held_out]
        tried = torch.cat([trial.logits for trial in trials], 1).numpy()  # (R, n, C)
        found = [calibrated(self.source, logits, self.target[held_out].numpy()) for logits in tried]
        logits = [one / told.get("temperature", 1.0) for one, told in zip(tried, found, strict=True)]
        scores = [class_scores(self.source.probabilities(one), truth) for one in logits]
        before = scores[0] if own is None else class_scores(self.source.probabilities(own[held_out]), truth)
        best = min(range(len(SHARES)), key=lambda i: scores[i]["log_loss"])
        kept: Literal["before", "after"] = "before"
        if scores[best]["log_loss"] < before["log_loss"]:
            kept = "after"
            self._keep(SHARES[best], found[best])
            if self.model.novelty is not None:
                self._renew_novelty(torch.cat([trial.novelty[best] for trial in trials]).numpy())
        if kept == "before" and learned:
            best = 1 + min(range(len(SHARES) - 1), key=lambda i: scores[1 + i]["log_loss"])
        share = SHARES[best] if kept == "after" else 1.0
        words = split_words(self.split)
        return Tuned(before, scores[best], kept, len(self.y), validated=words, share=share)

    @torch.inference_mode()
    def _own_logits(self) -> np.ndarray:
        """What the model as it is makes of the images, (N, C)."""
        weight, bias = (parameter.cpu() for parameter in (self.model.head_weight, self.model.head_bias))
        found: np.ndarray = (self.halves.features(self.maps) @ weight + bias).numpy()
        return found

    def _rounds(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The images to learn from and those held out, int64 each, of every fold that counts."""
        n_classes = self.target.shape[1]
        folds = make_folds(self.y, n_classes, FOLDS, self.rng, split=self.split)
        pairs = [(np.flatnonzero(used), np.flatnonzero(held)) for used, held in folds.parts() if used.any()]
        if self.split is not None and self.split.kind == TIME:
            pairs = pairs[-1:]  # what comes last is what is asked
        elif len(self.y) > CROSS_ROWS:
            pairs = pairs[:1]
        for used, held_out in pairs:
            yield used, held_out[:MAX_VALIDATION]

    def _try(self, used: np.ndarray, held_out: np.ndarray) -> _Trial:
        """Tune on some images, see what becomes of others at each share of the way, and go back."""
        before = self._train(used)
        after = self._state()
        logits, novelty = [], []
        for share in SHARES:
            self._go(before, after, share)
            inputs = self.untuned if share == 0 else self._inputs(np.concatenate([used, held_out]))
            learned = inputs[used] if share == 0 else inputs[: len(used)]
            unseen = inputs[held_out] if share == 0 else inputs[len(used) :]
            logits.append(with_bias(unseen) @ self._head(learned, used))
            novelty.append(self._novelty(learned, used, unseen))
        self._go(before, after, 0.0)
        return _Trial(held_out, torch.stack(logits), torch.stack(novelty))

    def _inputs(self, rows: np.ndarray) -> Tensor:
        """Head inputs (n, E) of some images, by the network as it is now."""
        return self.scaling.inputs(self.halves.features(self.maps[rows]))

    def _head(self, inputs: Tensor, rows: np.ndarray) -> Tensor:
        """The head (E + 1, C) of some images with these inputs."""
        some = np.sort(self.rng.permutation(len(rows))[:HEAD_ROWS])
        return solve_rows(self.source, inputs[some], self.target[rows[some]], self.strength)

    def _novelty(self, learned: Tensor, rows: np.ndarray, unseen: Tensor) -> Tensor:
        """The novelty (n,) of unseen images beside those that are learned from; zeros where the model has none."""
        if self.model.novelty is None:
            return torch.zeros(len(unseen))
        refitted = self.model.novelty.refitted(self._features(learned), self.target[rows], True)
        found: Tensor = refitted(self._features(unseen))
        return found

    def _features(self, inputs: Tensor) -> Tensor:
        """Features (n, E) of head inputs."""
        found: Tensor = inputs * (self.scaling.std * inputs.shape[1] ** 0.5) + self.scaling.mean
        return found

    def _keep(self, share: float, calibration: dict[str, Any]) -> None:
        """Tune on all images, go so much of the way, and solve the head on them all."""
        everything = np.arange(len(self.y))
        if share > 0:
            self._go(self._train(everything), self._state(), share)
            self.untuned = self._inputs(everything)
        head = self._head(self.untuned, everything) / calibration.get("temperature", 1.0)
        weight, bias = self.scaling.folded(head[:-1], head[-1])
        with torch.no_grad():
            self.model.head_weight.copy_(weight)
            self.model.head_bias.copy_(bias)
        self.model.blueprint.calibration = calibration

    def _renew_novelty(self, scores: np.ndarray) -> None:
        """Find prototypes among the features that the images have now; the threshold is of those held out."""
        assert self.model.novelty is not None
        self.model.novelty = self.model.novelty.refitted(self._features(self.untuned), self.target, True)
        self.model.blueprint.novelty = threshold_of(scores)

    def _state(self) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.model.trunk.named_parameters()}

    def _go(self, before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> None:
        """Put the network between two states."""
        ends = {0.0: before, 1.0: after}
        with torch.no_grad():
            for name, parameter in self.model.trunk.named_parameters():
                found = ends[share][name] if share in ends else torch.lerp(before[name], after[name], share)
                parameter.copy_(found)

    def _view(self, epoch: int) -> Tensor:
        """Maps of all images, changed in another way in each epoch, up to `VIEWS`."""
        if epoch % VIEWS == len(self._views):
            values = self.rows.values
            self._views.append(self.halves.maps(torch.cat([changed(part) for part in values.split(_PART)])))
        return self._views[epoch % VIEWS]

    def _train(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Finetune the network on some images; the state that it had before."""
        before, trained = self._state(), self.halves.tuned()
        lr, size = self.settings.lr or LR, self.settings.batch_size or BATCH
        optimizer = torch.optim.AdamW(trained.values(), weight_decay=self.settings.decay(WEIGHT_DECAY))
        device = self.model.head_weight.device
        mean, std = self.scaling.mean.to(device), self.scaling.std.to(device)
        parts, epochs, step = -(-len(rows) // size), self.settings.epochs, 0
        with tqdm(total=epochs * parts, desc="tune", disable=hidden()) as bar:
            for epoch in range(epochs):
                view, (fold, heads) = self._view(epoch), self._heads(rows, epoch)
                heads = heads.to(device)
                for batch in np.array_split(self.rng.permutation(len(rows)), parts):
                    optimizer.param_groups[0]["lr"] = lr * _rate((step + 0.5) / (epochs * parts))
                    step += 1
                    features = self.halves.rest(self.model.trunk, view[rows[batch]])
                    inputs = with_bias(Scaling(mean, std).inputs(features.float()))
                    out = torch.einsum("ne,nec->nc", inputs, heads[fold[batch]])
                    loss = F.cross_entropy(out, self.target[rows[batch]].to(device))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    nn.utils.clip_grad_norm_(trained.values(), 1.0)
                    optimizer.step()
                    bar.update()
        self.model.eval()
        return before

    def _heads(self, rows: np.ndarray, epoch: int) -> tuple[np.ndarray, Tensor]:
        """For each of some images which head speaks for it, (n,), and the heads (K, E + 1, C), solved without these."""
        tied = None if self.split is None or self.split.kind == TIME else self.split.take(rows)
        folds = make_folds(self.y[rows], self.target.shape[1], HEADS, self.rng, split=tied)
        inputs = self._inputs(rows) if epoch else self.untuned[rows]
        heads = [self._head(inputs[used], rows[used]) / self.temperature for used in folds.used]
        return folds.fold, torch.stack(heads).clone()


def _rate(share: float) -> float:
    """The learning rate as a share of the highest, when so much of the steps is done."""
    return min(share / WARM_UP, (1 - share) / (1 - WARM_UP))
