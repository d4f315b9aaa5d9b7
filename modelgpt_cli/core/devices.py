"""Which torch device a command runs on."""

from __future__ import annotations

from modelgpt_cli.core.errors import UsageError

DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(device: str) -> str:
    """Resolve ``--device``: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    UsageError
        If the device is unknown or not there.
    """
    import torch

    if device not in DEVICES:
        raise UsageError(f"--device {device!r} is not known.", f"Known: {', '.join(DEVICES)}.")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there[device]:
        raise UsageError(f"--device {device} is not available on this machine.", hint="Try --device auto.")
    return device


def multiplies_bf16(precision: str, device: str) -> bool:
    """Whether matrix products are to run in bf16: as asked, or where the device has instructions for them."""
    import torch

    if precision != "auto":
        return precision == "bf16"
    if device == "cpu":
        has = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
        return bool(has and has())
    return device == "cuda" and torch.cuda.is_bf16_supported()
