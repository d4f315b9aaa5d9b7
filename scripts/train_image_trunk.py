"""Train the image domain's small network from scratch: our own images' classes, and a teacher's view of them.

    python scripts/train_image_trunk.py --teacher mobilenet_v2_in1k_bnfolded.safetensors --minutes 150 --out runs/trunk
    python scripts/train_image_trunk.py --teacher ... --minutes 300 --out runs/trunk --resume

Each batch is cropped, coloured and mixed anew; teacher and student see the very same pixels, so what the teacher says
of an image is right for it however it was changed (Beyer et al. 2022, "a good teacher is patient and consistent"). The
student learns the teacher's pooled features (standardised), its ImageNet classes, and the classes of the sets. Sets
that are held out (by hash of the name, as meta-training holds them out) are not looked at but for the linear probes
that are logged: 60 % of a set to learn from, the rest to judge.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import v2

from modelgpt_cli.core.devices import multiplies_bf16
from modelgpt_cli.domains.image.architectures import CARDS, DEFAULT_CARD
from modelgpt_cli.domains.image.backbone import read_weights
from modelgpt_cli.domains.image.decode import decode_image
from modelgpt_cli.domains.image.preprocess import View, normalise, pixels
from modelgpt_cli.domains.image.small import FEATURES, SmallNet
from modelgpt_cli.domains.image.tasks import held_out
from modelgpt_cli.domains.image.teacher import Teacher
from modelgpt_cli.domains.image.trunks import load_trunk
from modelgpt_cli.parameter_generator.checkpoint import restore_run, save_run

log = logging.getLogger("trunk")
TEACHER = CARDS["mobilenet_v2_tf"]
VIEW = View.of(CARDS[DEFAULT_CARD].encoder_config())
IMAGENET_CLASSES = 1000
HOLDOUT = 0.25
LR, WEIGHT_DECAY, WARM_UP, BATCH, CLIP = 2e-3, 0.05, 300, 64, 1.0
TEMPERATURE, LABEL_WEIGHT = 2.0, 0.5
MIXED = 0.5
"""Share of batches that are mixed, in pairs: half by Mixup, half by CutMix."""
STATISTICS_FROM, STATISTICS_BATCHES = 1 << 30, 12
SAVE_EVERY, PROBE_EVERY = 300.0, 1200.0
"""Seconds."""


@dataclass
class ImageSet:
    """A set of images: uint8 (H, W, 3) each, and their class indices (n,)."""

    name: str
    images: list[np.ndarray]
    labels: np.ndarray
    classes: int


def read_set(path: Path) -> ImageSet:
    """All images of a zip; the class is the name of the folder that an image lies in."""
    images, names = [], []
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith("/"):
                images.append(decode_image(archive.read(name)))
                names.append(name.split("/")[-2])
    classes, labels = np.unique(names, return_inverse=True)
    return ImageSet(path.stem, images, labels.astype(np.int64), len(classes))


class Student(nn.Module):
    """The network with what it is trained by: the teacher's features and classes, and the sets' own classes."""

    def __init__(self, classes: int, teacher_features: int) -> None:
        super().__init__()
        self.trunk = SmallNet()
        self.features = nn.Linear(FEATURES, teacher_features)
        self.imagenet = nn.Linear(FEATURES, IMAGENET_CLASSES)
        self.labels = nn.Linear(FEATURES, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The teacher's features and ImageNet logits as the student sees them, and logits of all sets' classes."""
        phi = self.trunk(x)
        return self.features(phi), self.imagenet(phi), self.labels(phi)


class Batches:
    """Random batches of changed images; batch t is a function of (seed, t) alone."""

    def __init__(self, sets: list[ImageSet], seed: int) -> None:
        self.images = [torch.from_numpy(p).permute(2, 0, 1) for s in sets for p in s.images]
        starts = np.cumsum([0, *(s.classes for s in sets)])
        self.labels = np.concatenate([s.labels + start for s, start in zip(sets, starts, strict=False)])
        self.ranges = np.concatenate(
            [np.tile([[start, start + s.classes]], (len(s.labels), 1)) for s, start in zip(sets, starts, strict=False)]
        )
        self.classes, self.seed = int(starts[-1]), seed
        size = VIEW.size
        self.change = v2.Compose(
            [
                v2.RandomResizedCrop(size, scale=(0.25, 1.0), antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.08)], p=0.7),
                v2.RandomGrayscale(0.1),
                v2.RandomApply([v2.GaussianBlur(5, (0.1, 1.5))], p=0.1),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images uint8 (N, 3, S, S), their soft labels (N, C), and which classes each could have (N, C)."""
        torch.manual_seed(self.seed * 1_000_003 + step)
        rng = np.random.default_rng([self.seed, step])
        index = rng.integers(len(self.images), size=BATCH)
        values = torch.stack([self.change(self.images[i]) for i in index])
        soft = F.one_hot(torch.from_numpy(self.labels[index]), self.classes).float()
        number = torch.arange(self.classes)
        low, high = torch.from_numpy(self.ranges[index]).T[:, :, None]
        possible = (number >= low) & (number < high)
        if rng.random() < MIXED:
            values, soft, possible = _mixed(values, soft, possible, rng)
        return values, soft, possible


def _mixed(values: Tensor, soft: Tensor, possible: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Each image with the one before it: blended, or with a rectangle of it."""
    share, size = float(rng.beta(1.0, 1.0)), values.shape[-1]
    others = values.roll(1, 0)
    if rng.random() < 0.5:
        values = (values * share + others * (1 - share)).round().to(torch.uint8)
    else:
        side = round(size * math.sqrt(1 - share))
        top, left = rng.integers(size - side + 1, size=2)
        values = values.clone()
        values[:, :, top : top + side, left : left + side] = others[:, :, top : top + side, left : left + side]
        share = 1 - (side / size) ** 2
    return values, soft * share + soft.roll(1, 0) * (1 - share), possible | possible.roll(1, 0)


def loss_of(
    student: Student, teacher: Teacher, usual: tuple[Tensor, Tensor], batch: tuple[Tensor, Tensor, Tensor], bf16: bool
) -> tuple[Tensor, dict[str, float]]:
    """The batch's loss, and its parts; `usual` are mean and standard deviation of the teacher's features."""
    values, soft, possible = batch
    features, imagenet = teacher(values, bf16)
    features = (features - usual[0]) / usual[1]
    x = normalise(values, VIEW).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        answers = student(x)
    told, classes, labels = (answer.float() for answer in answers)
    parts = {
        "features": F.mse_loss(told, features.clamp(-4, 4)),
        "imagenet": F.kl_div(
            (classes / TEMPERATURE).log_softmax(1), (imagenet / TEMPERATURE).softmax(1), reduction="batchmean"
        )
        * TEMPERATURE,
        "labels": F.cross_entropy(labels.masked_fill(~possible, -1e4), soft),
    }
    total = parts["features"] + parts["imagenet"] + LABEL_WEIGHT * parts["labels"]
    return total, {name: float(part.detach()) for name, part in parts.items()}


@torch.no_grad()
def probe(trunk: nn.Module, sets: list[ImageSet]) -> dict[str, float]:
    """Accuracy of logistic regression on frozen features (C .05, standardised), 60 % of each set to learn from."""
    found = {}
    for s in sets:
        values = pixels(s.images, VIEW)
        phi = torch.cat([trunk(normalise(part, VIEW)) for part in values.split(64)]).numpy()
        a, b, ya, yb = train_test_split(phi, s.labels, test_size=0.4, random_state=0, stratify=s.labels)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=300)).fit(a, ya)
        found[s.name] = round(float(model.score(b, yb)), 4)
    return found


class Run:
    """The student, its average, its optimiser, and where the run stands."""

    def __init__(self, args: argparse.Namespace, train: list[ImageSet], judged: list[ImageSet]) -> None:
        self.args, self.judged = args, judged
        self.batches = Batches(train, args.seed)
        self.teacher = Teacher(TEACHER, args.teacher)
        torch.manual_seed(args.seed)
        self.student = Student(self.batches.classes, TEACHER.features).to(memory_format=torch.channels_last)
        if args.init:
            load_trunk(self.student.trunk, read_weights(args.init))
        self.averaged = AveragedModel(self.student, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
        decayed = [p for p in self.student.parameters() if p.ndim > 1]
        others = [p for p in self.student.parameters() if p.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}], lr=LR
        )
        self.step, self.seconds = 0, 0.0
        self.bf16 = multiplies_bf16("auto", "cpu")
        self.usual = self._measure_teacher()

    def _measure_teacher(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the teacher's features."""
        seen = torch.cat(
            [self.teacher(self.batches.draw(STATISTICS_FROM + i)[0], self.bf16)[0] for i in range(STATISTICS_BATCHES)]
        )
        return seen.mean(0), seen.std(0).clamp(min=0.05)

    def restore(self) -> None:
        """Take up ``last.safetensors``."""
        known = restore_run(self.args.out / "last.safetensors", self.student, self.optimizer, self.averaged)
        self.step, self.seconds = known["step"], known["seconds"]

    def save(self) -> None:
        """Write ``last.safetensors``, and the averaged network as it would ship (weights in float16)."""
        known = {"step": self.step, "seconds": self.seconds}
        given = {name: str(value) for name, value in vars(self.args).items()}
        save_run(self.args.out / "last.safetensors", self.student, self.optimizer, known, given, self.averaged)
        state = self.averaged.module.trunk.state_dict()  # type: ignore[union-attr]
        kept = {k: v.half() if v.ndim > 1 else v.float() for k, v in state.items() if not k.endswith("batches_tracked")}
        save_file({k: v.contiguous() for k, v in kept.items()}, str(self.args.out / f"{DEFAULT_CARD}.safetensors"))

    def train(self) -> None:
        """Until the minutes are over."""
        start, before = time.monotonic(), self.seconds
        saved = probed = start
        sums: dict[str, float] = {}
        while (share := self.seconds / 60 / self.args.minutes) < 1:
            rate = LR * min(1.0, (self.step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.student.train()
            self.optimizer.zero_grad(set_to_none=True)
            loss, parts = loss_of(self.student, self.teacher, self.usual, self.batches.draw(self.step), self.bf16)
            loss.backward()
            nn.utils.clip_grad_norm_(self.student.parameters(), CLIP)
            self.optimizer.step()
            self.averaged.update_parameters(self.student)
            self.step += 1
            now = time.monotonic()
            self.seconds = before + now - start
            sums = {name: sums.get(name, 0.0) + value for name, value in parts.items()}
            if self.step % 50 == 0:
                means = {k: round(v / 50, 4) for k, v in sums.items()}
                self._log(**means, epochs=round(self.step * BATCH / len(self.batches), 2))
                sums = {}
            if now - saved > SAVE_EVERY:
                self.save()
                saved = now
            if now - probed > PROBE_EVERY:
                self._probe()
                probed = now
        self.save()
        self._probe()

    def _probe(self) -> None:
        self.averaged.eval()
        self._log(probe=probe(self.averaged.module.trunk, self.judged))  # type: ignore[arg-type]

    def _log(self, **values: object) -> None:
        line = json.dumps({"step": self.step, "seconds": round(self.seconds, 1), **values})
        log.info(line)
        with (self.args.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def main() -> None:
    """Train, or go on."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/image"), help="folder of zips")
    parser.add_argument("--teacher", type=Path, required=True, help="weights of the card mobilenet_v2_tf")
    parser.add_argument("--init", type=Path, help="weights of the small network to start from")
    parser.add_argument("--minutes", type=float, required=True, help="of training, resumes added up")
    parser.add_argument("--out", type=Path, default=Path("runs/trunk"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    sets = [read_set(path) for path in sorted(args.data.glob("*.zip"))]
    train = [s for s in sets if not held_out(s.name, HOLDOUT)]
    judged = [s for s in sets if held_out(s.name, HOLDOUT)]
    log.info("Training on %s; held out: %s.", ", ".join(s.name for s in train), ", ".join(s.name for s in judged))
    run = Run(args, train, judged)
    if args.resume:
        run.restore()
    run.train()


if __name__ == "__main__":
    main()
