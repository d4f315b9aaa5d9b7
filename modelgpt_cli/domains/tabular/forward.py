"""How meta-training calls the generator: in which precision, and compiled or not."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from modelgpt_cli.parameter_generator.generator import Generator, TaskInputs

log = logging.getLogger("modelgpt")
Forward = Callable[[TaskInputs], dict[str, Tensor]]


def uses_bf16(precision: str, device: str) -> bool:
    """Whether a run's generator computes in bfloat16 on a device.

    ``auto`` takes it where a CUDA device has it in hardware. Where ``bf16`` is asked for and isn't there, the run goes
    on in float32 with a word, so that one that began on a GPU can be resumed anywhere.
    """
    there = torch.device(device).type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bf16" and not there:
        log.warning("bf16 needs a CUDA device that has it; %s computes in float32.", device)
    return there and precision != "float32"


def make_forward(generator: Generator, device: str, *, bf16: bool, compiled: bool) -> Forward:
    """The generator's pass, parameters in float32.

    With `bf16` it runs under autocast: the weights and what the optimiser does with them stay float32, and so does
    everything after the pass: the target network, the Gram matrix of its units, the loss. The solves, also those of
    the feedback inside the pass, are float64, which autocast leaves alone.

    Parameters
    ----------
    compiled : bool
        Through torch.compile, with all sizes dynamic: no two batches have the same numbers of rows and columns.
    """
    call: Forward = torch.compile(generator, dynamic=True) if compiled else generator
    if not bf16:
        return call

    def forward(task: TaskInputs) -> dict[str, Tensor]:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            parameters = call(task)
        return {name: value.float() for name, value in parameters.items()}

    return forward
