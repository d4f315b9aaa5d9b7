"""Meta-training on images: which sets, and the backbone that sees them; the rest is `adapter_training`."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.domains.image.architectures import find_card
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.concepts import ConceptList
from modelgpt_cli.domains.image.embed import embed, embed_maps, first_maps
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import groups_of, make_image_generator, scaling_of
from modelgpt_cli.domains.image.tasks import ImageTask, held_out, read_tasks, set_of
from modelgpt_cli.domains.shared.adapter_config import AdapterTrainConfig
from modelgpt_cli.domains.shared.adapter_training import AdapterTraining, Shares, refuse_fixed_tasks
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.checkpoint import CONCEPT_NAMES, concept_names, read_checkpoint
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.settings import RunSettings

log = logging.getLogger("modelgpt")
SPREAD = 256
"""Directions in which usual features differ that a generator keeps."""
SCALING_IMAGES = 256
"""Of each task, to find the features' scaling."""
KEPT = FEATURES, MAPS = ("features", "maps")
"""What a run can keep of the views of images."""


@dataclass(frozen=True)
class ImageTrainConfig(AdapterTrainConfig):
    """Everything that decides a run of ``meta-train --domain image``; errors as `RunSettings` has them."""

    domain: str = "image"
    backbone_weights: str | None = None
    """A file of weights for the backbone's card (flag --backbone-weights)."""
    concepts: dict[str, Any] = field(default_factory=dict)
    """Groups of ImageNet's classes that are concepts too, where the backbone's weights came with an ImageNet head: by
    name, numbers and ranges (``"151-268"``)."""
    views: int = 0
    """With so many views of each image (itself, and changed ones), the trunk sees each once, and what it makes of them
    is kept beside the run. 0 keeps nothing: all of the trunk sees changed images in every step."""
    keep: str = "features"
    """What is kept of the views: ``features``, with which the trunk is left as it is, and the head's generation alone
    is trained, at a hundredth of the time; or ``maps``, what enters the first blocks with factors, with which all is
    trained, at a fraction of the time."""
    trained: str = ""
    """What the names of the weights begin with that are trained: ``factors.`` for the factors alone, ``factors.base.``
    for those of them that all tasks share. By default all are."""
    requirement_dropout: float = 0.5
    name_dropout: float = 0.3
    hidden_names: float = 0.5
    misled: float = 0.3
    set_weights: dict[str, Any] = field(default_factory=dict)
    """By set: how many times as often as others of their size its tasks are drawn."""
    judged: tuple[str, ...] = ()
    """Tasks (``set/domain``) that are not trained on, though others of their set are, and judged at validations."""

    least: ClassVar[dict[str, int]] = AdapterTrainConfig.least | {"views": 0}
    scaled: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backbone_weights is not None:  # so that a resume finds it from elsewhere
            object.__setattr__(self, "backbone_weights", str(Path(self.backbone_weights).resolve()))
        if self.keep not in KEPT:
            raise UsageError(f"keep: {self.keep!r} is not known.", f"Known: {', '.join(KEPT)}.")
        if self.keep != FEATURES and not self.views:
            raise UsageError(f"keep: {self.keep} takes views.", hint="Give views: 1 or more.")
        for name, weight in self.set_weights.items():
            if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
                raise UsageError(f"set_weights: {name} must have a number above 0, not {weight!r}.")


def configuration(fixed_tasks: bool) -> type[RunSettings]:
    """Return the class of a run's configuration; see `training.meta_train.Trainer`."""
    refuse_fixed_tasks(fixed_tasks)
    return ImageTrainConfig


def make_run(settings: ImageTrainConfig, out: Path, processes: Processes, *, resume: bool) -> ImageTraining:
    """Load the backbone, read the tasks, and make the run."""
    backbone = load_backbone(find_card(settings.backbone), settings.backbone_weights)
    if settings.keep == MAPS and not backbone.first_blocks:
        raise UsageError(
            f"keep: maps can't be had of {backbone.card.name!r}: factors reach all of it.",
            hint="Give views: 0, or an EfficientNet-Lite.",
        )
    taught = not resume and settings.init is None  # otherwise the checkpoint holds the concepts' heads
    return ImageTraining(settings, out, processes, backbone, load_tasks(settings, backbone), taught=taught)


def load_tasks(settings: ImageTrainConfig, backbone: Backbone) -> list[ImageTask]:
    """The sets of a configuration, as the backbone sees them and with their words embedded."""
    log.info("Reading the sets of images with cards in %s ...", settings.tasks)
    view = View.of(backbone.card.encoder_config())
    found = read_tasks(str(settings.tasks), TextEncoder(), view, settings.wordings)
    return [task for task in found if not {task.name, set_of(task.name)} & set(settings.exclude)]


class ImageTraining(AdapterTraining[Images]):
    """One run."""

    domain = "image"
    config: ImageTrainConfig

    def __init__(
        self,
        config: ImageTrainConfig,
        out: Path,
        processes: Processes,
        backbone: Backbone,
        tasks: list[ImageTask],
        *,
        taught: bool = True,
    ) -> None:
        self.backbone = backbone.to(processes.device).to(memory_format=torch.channels_last)
        self.bf16, self.training = multiplies_bf16(config.precision, processes.device), False
        aside = set(config.judged)
        train = [t for t in tasks if not held_out(t.name, config.holdout) and t.name not in aside]
        shares = Shares(
            train=train,
            weights=[config.set_weights.get(set_of(t.name), 1.0) for t in train],
            judged={
                "unseen": [t for t in tasks if held_out(t.name, config.holdout)],
                "domain": [t for t in tasks if t.name in aside],
            },
        )
        rows = backbone.classifier
        concepts = ConceptList.of(config.concepts) if rows is not None else ConceptList([], [])
        named = tuple(concepts.names)
        count = len(named)
        if config.init is not None:
            count, named = _known_concepts(config.init, backbone)
        torch.manual_seed(config.seed)
        sizes = config.sizes(backbone.card.name, backbone.size, count)
        sizes = replace(sizes, spread=min(SPREAD, backbone.size) if count else 0)
        # A run that isn't taught takes its scaling and directions from a checkpoint, as it does the concepts' heads.
        usual = self._usual_features(train) if taught else torch.zeros(2, backbone.size)
        scaling = Scaling.of(usual, list(groups_of(backbone).values()))
        generator = make_image_generator(sizes, backbone, scaling)
        if taught and rows is not None:
            heads = scaling.rows_on_inputs(concepts.heads(rows))
            generator.concepts.fill(torch.from_numpy(TextEncoder()(concepts.names)), heads)
        if generator.config.spread and taught:
            generator.concepts.fill_spread(scaling.inputs(usual))
        for name, parameter in generator.named_parameters():
            parameter.requires_grad_(name.startswith(config.trained))
        if not any(parameter.requires_grad for parameter in generator.parameters()):
            raise UsageError(f"trained: no weight's name begins with {config.trained!r}.", hint="Such as: factors.")
        super().__init__(config, out, processes, generator, shares)
        self.about = {"trunk": backbone.weights} | ({CONCEPT_NAMES: list(named)} if named else {})
        if config.views:
            self._keep()

    @torch.no_grad()
    def _usual_features(self, tasks: list[ImageTask]) -> Tensor:
        """The unadapted backbone's features of images that are trained on, as many of each task: (N, E)."""
        self.adapt(False)
        parts = []
        for task in tasks:
            rows = task.parts["train"].rows
            picked = np.linspace(0, len(rows) - 1, SCALING_IMAGES).round()
            parts.append(embed(self.backbone, None, rows.take(picked), bf16=self.bf16))
        return torch.cat(parts)

    @torch.no_grad()
    def _keep(self) -> None:
        """Let the unadapted trunk see the images once; what it makes of them is kept beside the run.

        Of those that are trained on, so many views; of judged tasks' images each as it is.

        There it is read as it is needed: maps of EfficientNet-Lite0 at 160 pixels take 22 kB a view.
        """
        path = self.out / f"{self.config.keep}.safetensors"
        kept = load_file(path) if path.exists() else {}
        judged = [task for tasks in self.shares.judged.values() for task in tasks]
        wanted = {f"{task.name}/{kind}": (part.rows, 1) for task in judged for kind, part in task.parts.items()}
        wanted |= {f"{task.name}/train": (task.parts["train"].rows, self.config.views) for task in self.shares.train}
        lacking = [name for name, (_, views) in wanted.items() if name not in kept or kept[name].shape[1] < views]
        self.adapt(False)
        for name in tqdm(lacking, desc=self.config.keep, disable=hidden()):
            kept[name] = self._views(*wanted[name])
        if lacking:
            self.out.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, force=True) as temporary:
                save_file(kept, str(temporary))
            kept = load_file(path)
        for name, (rows, views) in wanted.items():
            rows.kept = kept[name][:, :views]

    def _views(self, rows: Images, count: int) -> Tensor:
        """Features (N, V, E) or maps (N, V, c, s, s): of the images as they are, then of changed ones."""
        torch.manual_seed(self.config.seed)
        see = partial(first_maps, self.backbone) if self.config.keep == MAPS else partial(embed, self.backbone, None)
        views = [see(rows, bf16=self.bf16, change=i > 0).half().cpu() for i in range(count)]
        return torch.stack(views, 1).contiguous()

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act and images be changed, or not."""
        self.training = training
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Images, pair: bool) -> Tensor:
        """Head inputs (N, E)."""
        if rows.kept is None:
            features = embed(self.backbone, lora, rows, bf16=self.bf16, change=self.training)
        else:
            first, every = torch.zeros(len(rows), dtype=torch.long), torch.arange(len(rows))
            view = torch.randint_like(first, rows.kept.shape[1]) if self.training else first
            seen = rows.kept[every, view]
            from_maps = self.config.keep == MAPS
            features = embed_maps(self.backbone, lora, seen, bf16=self.bf16) if from_maps else seen.float()
        return scaling_of(self.generator).inputs(features.to(self.generator.input_mean.device))


def _known_concepts(path: str, backbone: Backbone) -> tuple[int, tuple[str, ...]]:
    """How many concepts the generator has that a run starts from, and what they are called.

    Raises
    ------
    ModelGPTError
        It isn't one, or was trained for other weights of the backbone.
    """
    header, _ = read_checkpoint(path, "image", tensors=False)
    if header.get("trunk") != backbone.weights:
        raise ModelGPTError(f"{path} was trained for other weights of {backbone.card.name!r}.", hint="Start afresh.")
    return int(header["generator"]["concepts"]), concept_names(header, path)
