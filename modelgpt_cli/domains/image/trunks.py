"""The networks of the cards as modules: images in, pooled features out, tensors under the names of their weights.

Shapes: N images, S pixels a side, E features.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.efficientnet_lite import SHAPES, EfficientNetLite
from modelgpt_cli.domains.image.same_padding import SamePaddedConv2d
from modelgpt_cli.domains.shared.names import BACKBONE

M = TypeVar("M", bound=nn.Module)
NETWORKS = (
    "resnet18",
    "resnet50",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18_layer3",
    "mobilenet_v2_same",
    *SHAPES,
)
HEADS = ("fc.", "classifier.", "_fc.")
"""What the names of ImageNet heads begin with."""
_COUNTER = ".num_batches_tracked"


def make_trunk(network: str) -> nn.Module:
    """A network without its head and with random weights: float (N, 3, S, S) to features (N, E). In eval mode.

    Raises
    ------
    ModelGPTError
        This version knows no such network.
    """
    if network not in NETWORKS:
        raise ModelGPTError(
            f"This version of modelgpt has no image network {network!r}.",
            f"It has: {', '.join(NETWORKS)}.",
            "Upgrade it: pip install --upgrade modelgpt-cli",
        )
    if network in SHAPES:
        return EfficientNetLite(SHAPES[network]).eval()
    from torchvision import models

    base = network.removesuffix("_layer3").removesuffix("_same")
    trunk: nn.Module = models.get_model(base, weights=None)
    if hasattr(trunk, "fc"):
        trunk.fc = nn.Identity()
    else:
        trunk.classifier = nn.Identity()
    if network.endswith("_layer3"):
        trunk.layer4 = nn.Identity()
    if network.endswith("_same"):
        _pad_as_tensorflow(trunk)
    return trunk.eval()


def _pad_as_tensorflow(trunk: nn.Module) -> None:
    for name, conv in list(trunk.named_modules()):
        if isinstance(conv, nn.Conv2d) and conv.stride == (2, 2):
            parent, _, last = name.rpartition(".")
            padded = SamePaddedConv2d(
                conv.in_channels, conv.out_channels, 3, stride=2, padding=0, groups=conv.groups, bias=False
            )
            trunk.get_submodule(parent).register_module(last, padded)


def norms(module: nn.Module) -> Iterator[tuple[str, nn.BatchNorm2d]]:
    """All its BatchNorms, by name."""
    for name, part in module.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            yield name, part


def freeze_norms(module: nn.Module) -> None:
    """Keep running statistics and affine parameters of every BatchNorm as they are, whatever is trained around them."""
    for _, norm in norms(module):
        norm.eval()
        for parameter in norm.parameters():
            parameter.requires_grad_(False)


def folded(trunk: M) -> M:
    """A copy to run, not to train or keep: each BatchNorm is folded into the convolution before it, channels last.

    EfficientNet-Lite0 takes 20 ms of one core an image instead of 36; features differ by 1e-5.
    """
    with torch.inference_mode(False), torch.no_grad():
        found = copy.deepcopy(trunk).eval()
        conv = ""
        for name, module in list(found.named_modules()):  # in which a BatchNorm comes right after its convolution
            if isinstance(module, nn.Conv2d):
                conv = name
            elif isinstance(module, nn.BatchNorm2d):
                found.set_submodule(conv, fuse_conv_bn_eval(found.get_submodule(conv), module))  # type: ignore[type-var]
                found.set_submodule(name, nn.Identity())
        return found.to(memory_format=torch.channels_last)


def trunk_state(trunk: nn.Module) -> dict[str, Tensor]:
    """A trunk's tensors, without BatchNorm's counters of batches, which nothing reads."""
    return {name: value.detach() for name, value in trunk.state_dict().items() if not name.endswith(_COUNTER)}


def trunk_tensors(trunk: nn.Module) -> dict[str, Tensor]:
    """A trunk's tensors as a model's state has them."""
    return {BACKBONE + name: value for name, value in trunk_state(trunk).items()}


def trunk_hash(trunk: nn.Module) -> str:
    """SHA-256 of a trunk's tensors in float32, whatever file they came from."""
    found = hashlib.sha256()
    for name, value in sorted(trunk_state(trunk).items()):
        found.update(name.encode() + value.float().contiguous().numpy().tobytes())
    return found.hexdigest()


def load_trunk(trunk: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put tensors into a trunk.

    Tensors of an ImageNet head are passed over. Where a file has BatchNorm folded into its convolutions, which then
    have a bias, each BatchNorm becomes the one that adds just that bias.

    Raises
    ------
    ValueError
        A tensor is missing, too many, or of another shape.
    """
    given = {k: v.float() for k, v in state.items() if not k.startswith(HEADS) and not k.endswith(_COUNTER)}
    conv = ""
    for name, module in trunk.named_modules():  # in which a BatchNorm comes right after its convolution
        if isinstance(module, nn.Conv2d):
            conv = name
        elif isinstance(module, nn.BatchNorm2d) and f"{name}.weight" not in given and f"{conv}.bias" in given:
            given |= {f"{name}.{key}": value for key, value in _only_bias(module, given.pop(f"{conv}.bias")).items()}
    wanted = trunk_state(trunk)
    _compare(given, wanted)
    with torch.no_grad():
        trunk.load_state_dict(given, strict=False)


def _only_bias(norm: nn.BatchNorm2d, bias: Tensor) -> dict[str, Tensor]:
    """A BatchNorm's tensors with which it adds a bias and does nothing else."""
    one = torch.ones_like(bias)
    return {
        "weight": one * (1 + norm.eps) ** 0.5,
        "bias": bias,
        "running_mean": torch.zeros_like(bias),
        "running_var": one,
    }


def _compare(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    for problem, names in (
        ("It lacks", sorted(wanted.keys() - given.keys())),
        ("It has, and the network has not,", sorted(given.keys() - wanted.keys())),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ValueError(f"{problem} {names[0]}{more}.")
    for name, value in wanted.items():
        if given[name].shape != value.shape:
            raise ValueError(f"{name} is {tuple(given[name].shape)}, and has to be {tuple(value.shape)}.")
        if not bool(given[name].isfinite().all()):
            raise ValueError(f"{name} holds numbers that are not finite.")
