"""Architecture cards of the image domain: which network, how it sees an image, and where LoRA factors go into it.

Adding a network means adding a card here, and to `trunks` the module that it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.image import options as own_options
from modelgpt_cli.domains.image.packages import PACKAGES
from modelgpt_cli.domains.shared.backbone_cards import asked_backbone, backbone_conflict
from modelgpt_cli.domains.shared.records import mean_scores, record, validation
from modelgpt_cli.model_generator.cards import ArchitectureCard
from modelgpt_cli.model_generator.costs import STORAGES, Costs, NetworkSize, Sizes, network_costs, network_size

DEFAULT_CARD = "efficientnet_lite0"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)
"""What EfficientNet-Lite was trained with."""
_LITE_SHOWN = 0.875
"""Of the short side: the share that EfficientNet-Lite's size is cut from, as it was judged on ImageNet."""
SIZES_FILE = "sizes.yaml"
"""Beside the weights: what ``python -m scripts.benchmarks sizes`` measured of the generator's cards."""
_RESNET = r"layer\d\.\d+\.conv\d"
# Depthwise convolutions are left out: a LoRA product of groups can't be merged. The first block has no expansion.
_MOBILENET_V2 = r"features\.(1\.conv\.1|([2-9]|1[0-7])\.conv\.(0\.0|2))"
# The pointwise convolutions of the last two stages and the head: what comes before is frozen, and can be kept.
_LITE0 = r"_conv_head|_blocks\.1[1-5]\._(expand|project)_conv"
_LITE1 = r"_conv_head|_blocks\.(1[5-9]|20)\._(expand|project)_conv"  # Lite2 has as many blocks
_LITE0_11 = r"_blocks\.([89]|1[01])\._(expand|project)_conv"
_LITE0_15 = r"_blocks\.1[1-4]\._(expand|project)_conv"
_MOBILENET_V3 = r"features\.(1\.block\.2\.0|([2-9]|1[01])\.block\.(0|2|3)\.0)"


@dataclass(frozen=True)
class ImageCard:
    """A convolutional network and how it is adapted. Kept in every checkpoint that uses it.

    Attributes
    ----------
    name : str
    network : str
        Which of `trunks` it is.
    features : int
        E, numbers that an image becomes.
    modules : str
        Regular expression of the convolutions that get LoRA factors: those inside the residual blocks.
    source : {"package", "torchvision", "file"}
        Where its weights come from: from a pip package, by torchvision's own loader, or from a file alone.
    resize, size : int
        Pixels: the short side is resized to the first, then the centre of the second, squared, is taken (S).
    mean, std : tuple of float
        Of the red, green and blue channel, of values 0 to 1.
    rank, alpha : int
        LoRA's r and alpha; the factors' product is scaled by alpha / r.
    dropout : float
        On LoRA's input, in training.
    """

    name: str
    network: str
    features: int
    modules: str
    source: str
    resize: int = 256
    size: int = 224
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]
    rank: int = 8
    alpha: int = 16
    dropout: float = 0.1

    @property
    def scale(self) -> float:
        """What the product of the factors is multiplied by."""
        return self.alpha / self.rank

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self) | {"mean": list(self.mean), "std": list(self.std)}

    def encoder_config(self) -> dict[str, Any]:
        """What a blueprint keeps of it: enough to rebuild the trunk and its view of an image without the card."""
        keys = ("network", "resize", "size", "mean", "std")
        return {key: value for key, value in self.to_dict().items() if key in keys}


def _lite(name: str, size: int, modules: str = _LITE0, *, features: int = 2864) -> ImageCard:
    """An EfficientNet-Lite at a size of images: ``<network>``, or ``<network>-<size>``."""
    network = name.partition("-")[0]
    resize = round(size / _LITE_SHOWN)
    return ImageCard(name, network, features, modules, "package", resize, size, *LITE)


CARDS: Mapping[str, ImageCard] = {
    card.name: card
    for card in (
        _lite(DEFAULT_CARD, 160),
        # What costs less comes before what costs more: a limit is more often missed than a quality.
        _lite(f"{DEFAULT_CARD}-128", 128),
        _lite("efficientnet_lite0_15", 128, _LITE0_15, features=192),
        _lite("efficientnet_lite0_11", 128, _LITE0_11, features=672),
        _lite(f"{DEFAULT_CARD}-192", 192),
        _lite(f"{DEFAULT_CARD}-224", 224),
        _lite("efficientnet_lite1", 224, _LITE1),
        _lite("efficientnet_lite2", 224, _LITE1, features=2888),
        ImageCard("resnet18", "resnet18", 512, _RESNET, "torchvision"),
        ImageCard("resnet50", "resnet50", 2048, _RESNET, "torchvision"),  # the paper's
        ImageCard("mobilenet_v2", "mobilenet_v2", 1280, _MOBILENET_V2, "torchvision"),
        ImageCard("mobilenet_v3_small", "mobilenet_v3_small", 576, _MOBILENET_V3, "torchvision"),
        # ResNet-18 without its last stage: 256 features at twice the resolution, 2.8 M parameters.
        ImageCard("resnet18_layer3", "resnet18_layer3", 256, _RESNET, "file", 128, 128),
        # MobileNetV2 as TensorFlow has it: padded at the right and the bottom where it strides, inputs -1 to 1.
        ImageCard("mobilenet_v2_tf", "mobilenet_v2_same", 1280, _MOBILENET_V2, "file", 128, 128, *CENTRED),
    )
}

SIZES: Mapping[str, NetworkSize] = {
    "efficientnet_lite0": NetworkSize(3_371_008, 3_328_992, 2864, 391_742_400),
    "efficientnet_lite0-128": NetworkSize(3_371_008, 3_328_992, 2864, 250_715_136),
    "efficientnet_lite0-192": NetworkSize(3_371_008, 3_328_992, 2864, 564_109_056),
    "efficientnet_lite0-224": NetworkSize(3_371_008, 3_328_992, 2864, 767_815_104),
    "efficientnet_lite0_15": NetworkSize(2_353_408, 2_319_200, 192, 218_401_792),
    "efficientnet_lite0_11": NetworkSize(777_376, 759_872, 672, 168_503_296),
    "efficientnet_lite1": NetworkSize(4_135_680, 4_082_016, 2864, 1_002_375_360),
    "efficientnet_lite2": NetworkSize(4_811_072, 4_752_976, 2888, 1_150_458_848),
    "resnet18": NetworkSize(11_176_512, 11_166_912, 512, 3_627_122_688),
    "resnet50": NetworkSize(23_508_032, 23_454_912, 2048, 8_174_272_512),
    "mobilenet_v2": NetworkSize(2_223_872, 2_189_760, 1280, 598_988_544),
    "mobilenet_v3_small": NetworkSize(927_008, 912_008, 576, 109_793_152),
    "resnet18_layer3": NetworkSize(2_782_784, 2_778_304, 256, 915_931_136),
    "mobilenet_v2_tf": NetworkSize(2_223_872, 2_189_760, 1280, 195_588_096),
}
"""Card → what `trunk_size` computes of it; one that is not in here has it computed."""


GENERATOR_CARDS = tuple(card.name for card in CARDS.values() if card.network == CARDS[DEFAULT_CARD].network)
"""The cards that the shipped generator is for: of one network, at any size of images."""


def find_card(name: str | None) -> ImageCard:
    """The card of a name; the default one for None.

    Raises
    ------
    UsageError
        There is no such card.
    """
    if name is None:
        return CARDS[DEFAULT_CARD]
    if name not in CARDS:
        raise UsageError(
            f"There is no image backbone {name!r}.",
            f"There are: {', '.join(CARDS)}.",
            "For weights of your own, give --backbone-weights FILE beside the architecture's name.",
        )
    return CARDS[name]


# The shelf ------------------------------------------------------------------------------------------------------------


def cards() -> Iterator[ArchitectureCard]:
    """Yield the cards, the default one first."""
    return (_architecture_card(card) for card in CARDS.values())


def find(name: str) -> ArchitectureCard | None:
    """Return the card of a name; only then is it looked up whether its weights are at hand."""
    return _architecture_card(CARDS[name]) if name in CARDS else None


def costs(card: ArchitectureCard, sizes: Sizes) -> Costs | None:
    """Compute what a card's model costs; resizing is left out, which depends on the image."""
    return _costs(card.architecture, sizes.outputs)


def fixed(options: BuildOptions) -> ArchitectureCard | None:
    """Return the backbone's card; the default one for weights or a generator that are given."""
    assert isinstance(options, own_options.BuildOptions)
    backbone = asked_backbone(options)
    if backbone is None and options.backbone_weights is None and options.generator is None:
        return None
    return _architecture_card(find_card(backbone))


def conflict(card: ArchitectureCard, options: BuildOptions) -> str:
    """Return ``--backbone`` where it names another card."""
    return backbone_conflict(card.name, options)


def check(requirement: Requirement, options: BuildOptions, output: Path) -> None:
    """All options suit all images."""


def storages(*, data: bool) -> tuple[str, ...]:
    """Return the storages: 8 bits take images to measure the ranges of a network's numbers on."""
    return tuple(storage for storage in STORAGES.values() if data or storage != "int8")


def _architecture_card(card: ImageCard) -> ArchitectureCard:
    own = card.name in GENERATOR_CARDS
    package = PACKAGES.get(card.network)
    places = {"package": package.name if package is not None else "", "file": "a file of yours"}
    return ArchitectureCard(
        name=card.name,
        domain="image",
        architecture=card.name,
        generator="weights/image" if own else "",
        weights=places.get(card.source, "torchvision"),
        at_hand=_at_hand(card),
        limits={"pixels": card.size},
        quality=_quality(card.name),
    )


def _quality(name: str) -> dict[str, float]:
    """What is on record of a card, on sets that the shipped generator was not trained on; nothing without one.

    A record of another generator doesn't count.
    """
    found = record("image", SIZES_FILE)
    if found.get("generator") == record("image", "card.yaml").get("sha256") and name in found.get("cards", {}):
        return mean_scores(found["cards"][name]["scores"], [str(n) for n in found["images_a_class"]])
    return validation("image") if name == DEFAULT_CARD else {}


def _at_hand(card: ImageCard) -> bool:
    """Whether a card's weights are on this machine."""
    if card.source == "package":
        return PACKAGES[card.network].is_installed()
    return card.source == "torchvision" and _downloaded(card.network)


def _downloaded(network: str) -> bool:
    """Whether torch's cache holds torchvision's weights of a network."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = Path(os.environ.get("TORCH_HOME") or os.path.join(cache, "torch")).expanduser() / "hub" / "checkpoints"
    if not any(folder.glob(f"{network}-*")):
        return False  # known without torch
    import torch
    from torchvision.models import get_model_weights

    url = get_model_weights(network).DEFAULT.url
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()


def _costs(name: str, outputs: int) -> Costs | None:
    """Of a trunk and its head."""
    card = CARDS.get(name)
    if card is None:
        return None
    size = SIZES.get(name) or trunk_size(card)
    return network_costs(size, size.features, outputs)


@lru_cache
def trunk_size(card: ImageCard) -> NetworkSize:
    """Compute the size of a card's network."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from modelgpt_cli.domains.image.trunks import make_trunk

    with torch.device("meta"):
        trunk = make_trunk(card.network)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trunk(torch.zeros(1, 3, card.size, card.size, device="meta"))
    return network_size(trunk, card.features, int(counter.get_total_flops()))
