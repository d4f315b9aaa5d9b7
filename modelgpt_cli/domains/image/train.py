"""Meta-training on images: which sets, and the backbone that sees them; the rest is `adapters`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from modelgpt_cli.core.devices import multiplies_bf16, pick_device
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.architectures import find_card
from modelgpt_cli.domains.image.backbone import Backbone, load_backbone
from modelgpt_cli.domains.image.embed import embed
from modelgpt_cli.domains.image.preprocess import View
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import make_image_generator, scaling_of
from modelgpt_cli.domains.image.tasks import ImageTask, held_out, read_tasks, set_of
from modelgpt_cli.domains.image.teacher import ConceptList, Teacher, concept_heads
from modelgpt_cli.domains.shared.adapter_config import ImageTrainConfig
from modelgpt_cli.domains.shared.adapter_training import AdapterReport, AdapterTraining, Shares
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterGenerator
from modelgpt_cli.parameter_generator.checkpoint import read_header
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.training.schedule import open_run

log = logging.getLogger("modelgpt")
SCALING_IMAGES = 256
"""Of each task, to find the features' scaling."""


def train_images(
    *,
    tasks: str | Path | None = None,
    config: str | Path | None = None,
    backbone: str | None = None,
    backbone_weights: str | None = None,
    steps: int | None = None,
    minutes: float | None = None,
    out: str | Path = "runs/image",
    resume: bool = False,
    device: str = "auto",
    seed: int | None = None,
    update: str | None = None,
    precision: str | None = None,
) -> AdapterReport:
    """Train a generator of convolutional LoRA factors and heads on sets of images.

    Parameters
    ----------
    tasks : path
        Folder of sets, each a zip archive or a folder beside its card (``NAME.yaml``); a fixed share (by hash of the
        name) is kept for validation.
    config : path, optional
        YAML with `ImageTrainConfig`'s fields; the other arguments win over it.
    backbone, backbone_weights : str, optional
        Card, and a file of weights for it; the shipped network by default.
    steps, minutes, out, resume, device, seed, update, precision
        As for `meta_train`.

    Raises
    ------
    ModelGPTError
        If `out` holds a run and `resume` is not given, or the other way round.
    KeyboardInterrupt
        After SIGINT, once the state is saved.
    """
    weights = str(Path(backbone_weights).resolve()) if backbone_weights is not None else None
    out, settings = open_run(
        ImageTrainConfig, out, config, resume, tasks=tasks, backbone=backbone, backbone_weights=weights, steps=steps,
        minutes=minutes, seed=seed, update=update, precision=precision,
    )  # fmt: skip
    loaded = load_backbone(find_card(settings.backbone), settings.backbone_weights)
    taught = not resume and settings.init is None  # otherwise the checkpoint holds the concepts' heads
    run = ImageTraining(settings, out, pick_device(device), loaded, load_tasks(settings, loaded), taught=taught)
    return run.complete(resume)


def load_tasks(settings: ImageTrainConfig, backbone: Backbone) -> list[ImageTask]:
    """The sets of a configuration, as the backbone sees them and with their words embedded."""
    log.info("Reading the sets of images with cards in %s ...", settings.tasks)
    view = View.of(backbone.card.encoder_config())
    found = read_tasks(str(settings.tasks), TextEncoder(), view, settings.wordings)
    return [task for task in found if not {task.name, set_of(task.name)} & set(settings.exclude)]


class ImageTraining(AdapterTraining[Images]):
    """One run."""

    def __init__(
        self,
        config: ImageTrainConfig,
        out: Path,
        device: str,
        backbone: Backbone,
        tasks: list[ImageTask],
        *,
        taught: bool = True,
    ) -> None:
        self.backbone = backbone.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.bf16, self.training = multiplies_bf16(config.precision, device), False
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
        concepts = ConceptList.of(config.concepts) if config.teacher is not None else ConceptList([], [])
        count = len(concepts.names) if config.init is None else _known_concepts(config.init, backbone)
        torch.manual_seed(config.seed)
        sizes = config.sizes(backbone.card.name, backbone.size, count)
        generator = make_image_generator(sizes, backbone, self._scaling(train))
        if taught and config.teacher is not None:
            self._teach_concepts(Teacher(find_card(config.teacher_card), config.teacher), generator, concepts, train)
        super().__init__(config, out, device, generator, shares)
        self.about = {"trunk": backbone.weights}
        if config.views:
            self._keep_features([*train, *(t for judged in shares.judged.values() for t in judged)], config.views)

    @torch.no_grad()
    def _scaling(self, tasks: list[ImageTask]) -> Scaling:
        """Of the unadapted backbone's features, over the images that are trained on, each task alike."""
        self.adapt(False)
        parts = []
        for task in tasks:
            rows = task.parts["train"].rows
            picked = np.linspace(0, len(rows) - 1, SCALING_IMAGES).round()
            parts.append(embed(self.backbone, None, rows.take(picked), bf16=self.bf16))
        return Scaling.of(torch.cat(parts))

    def _teach_concepts(
        self, teacher: Teacher, generator: AdapterGenerator, concepts: ConceptList, tasks: list[ImageTask]
    ) -> None:
        """Fill the generator's concepts with what the teacher says of the images that are trained on."""
        log.info("Asking the teacher about the images ...")
        self.adapt(False)
        scaling = scaling_of(generator)
        heads = concept_heads(
            teacher,
            [task.parts["train"].rows for task in tasks],
            lambda rows: scaling.inputs(embed(self.backbone, None, rows, bf16=self.bf16).cpu()),
            concepts,
            bf16=self.bf16,
        )
        generator.concepts.fill(torch.from_numpy(TextEncoder()(concepts.names)), heads)

    @torch.no_grad()
    def _keep_features(self, tasks: list[ImageTask], views: int) -> None:
        """Let the unadapted trunk see every view of the images once; what it makes of them is kept beside the run."""
        path = self.out / "features.safetensors"
        kept = load_file(path) if path.exists() else {}
        known = len(kept)
        self.adapt(False)
        for task in tqdm(tasks, desc="features", disable=None):
            for kind, part in task.parts.items():
                name = f"{task.name}/{kind}"
                if name not in kept:
                    kept[name] = self._views(part.rows, views if kind == "train" else 1)
                part.rows.features = kept[name]
        if len(kept) > known:
            self.out.mkdir(parents=True, exist_ok=True)
            save_file(kept, str(path))

    def _views(self, rows: Images, count: int) -> Tensor:
        """Features (N, V, E): of the images as they are, then of changed ones."""
        torch.manual_seed(self.config.seed)
        views = [embed(self.backbone, None, rows, bf16=self.bf16, change=view > 0) for view in range(count)]
        return torch.stack(views, 1).half().cpu()

    def adapt(self, training: bool) -> None:
        """Let LoRA's dropout act and images be changed, or not."""
        self.training = training
        self.backbone.train_adapter(training)

    def embed(self, lora: Mapping[str, Tensor], rows: Images, pair: bool) -> Tensor:
        """Head inputs (N, E)."""
        if rows.features is not None:
            kept = rows.features.to(self.generator.input_mean.device)
            first, every = torch.zeros(len(kept), dtype=torch.long), torch.arange(len(kept))
            view = torch.randint_like(first, kept.shape[1]) if self.training else first
            return scaling_of(self.generator).inputs(kept[every, view].float())
        features = embed(self.backbone, lora, rows, bf16=self.bf16, change=self.training)
        return scaling_of(self.generator).inputs(features)


def _known_concepts(path: str, backbone: Backbone) -> int:
    """How many concepts the generator has that a run starts from.

    Raises
    ------
    ModelGPTError
        It isn't one, or was trained for other weights of the backbone.
    """
    header = read_header(path, "image")
    if header.get("trunk") != backbone.weights:
        raise ModelGPTError(f"{path} was trained for other weights of {backbone.card.name!r}.", hint="Start afresh.")
    return int(header["generator"]["concepts"])
