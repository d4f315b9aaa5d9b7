"""The processes of one meta-training run: alone by default, several under ``accelerate launch`` or ``torchrun``.

They share each step's tasks; their gradients are summed, so that a step is the same on any number of them.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, nn

from modelgpt_cli.core.devices import pick_device
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.signals import ENDING

log = logging.getLogger("modelgpt")
PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: the main one also validates."""
_COUNTS = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
"""Where launchers tell how many processes there are: torch's own, and those of MPI."""


@dataclass(frozen=True)
class Processes:
    """This process among those of the run; the default is a run of one, which communicates with nobody.

    Attributes
    ----------
    device : str
        Where this process computes.
    index : int
        Its number; 0 is the main one, which alone logs, validates and writes.
    count : int
    """

    device: str = "cpu"
    index: int = 0
    count: int = 1

    @property
    def main(self) -> bool:
        """Whether this is the main process."""
        return self.index == 0

    def share(self, batch: int) -> slice:
        """The tasks of a batch that are this process's; together the processes' shares are the whole batch.

        Raises
        ------
        UsageError
            If there are fewer tasks than processes.
        """
        if batch < self.count:
            raise UsageError(
                f"A batch of {batch} tasks can't be shared by {self.count} processes.",
                hint=f"Set 'batch' to {self.count} or more in the configuration (--config), or start fewer processes.",
            )
        return slice(batch * self.index // self.count, batch * (self.index + 1) // self.count)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over processes of a tensor of the same shape on each."""
        if self.count == 1:
            return tensor
        from accelerate.utils import reduce

        total: Tensor = reduce(tensor, "sum")
        return total

    def totals(self, values: Sequence[float]) -> list[float]:
        """The sums over processes of a few numbers."""
        if self.count == 1:
            return list(values)
        totals: list[float] = self.sum(torch.tensor(values, dtype=torch.float64, device=self.device)).tolist()
        return totals

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over processes.

        All tasks of a batch take the same way through the generator, so the parameters without a gradient are the
        same ones everywhere, and stay without one. They differ from step to step, which is why this is not left to
        DistributedDataParallel: it also counts outputs of the generator that the loss didn't use as missing.
        """
        if self.count == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        total = self.sum(torch.cat([g.flatten() for g in gradients]))
        for gradient, part in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def wait(self) -> None:
        """Wait until every process has come here."""
        self.totals([0.0])

    def leave(self) -> None:
        """Take leave of the other processes, at the end."""
        if self.count > 1:
            from accelerate import PartialState

            PartialState().destroy_process_group()
            PartialState._reset_state()


def started() -> int:
    """How many processes the launcher says it started; 1 without one."""
    return max(int(os.environ.get(name) or 1) for name in _COUNTS)


def join(device: str) -> Processes:
    """Find this process's place among those that a launcher started, and its device.

    Parameters
    ----------
    device : str
        As `--device` says.

    Raises
    ------
    UsageError
        If the device is not there, or can't be shared by several processes.
    """
    found = pick_device(device)
    if started() < 2:
        if "ACCELERATE_MIXED_PRECISION" in os.environ and "MASTER_PORT" in os.environ:
            log.warning("accelerate started one process; on CPUs it takes --multi_gpu to start several.")
        return Processes(found)
    if found == "mps":
        raise UsageError("Several processes can't share an MPS device.", hint="Add --device cpu, or start one process.")
    local, devices = int(os.environ.get("LOCAL_WORLD_SIZE") or 1), torch.cuda.device_count()
    if found == "cuda" and local > devices:
        raise UsageError(
            f"{local} processes were started, and this machine has {devices} CUDA device{'s' if devices > 1 else ''}.",
            hint="Start one process per device, or add --device cpu.",
        )
    from accelerate import PartialState  # its import, and a process group, are for those who start several

    state = PartialState(cpu=found == "cpu", timeout=PATIENCE)
    if state.num_processes < 2:
        raise UsageError("The processes don't find each other.", hint="Start them with accelerate launch or torchrun.")
    if not state.is_main_process:
        log.setLevel(logging.ERROR)  # what all of them would say, the main process says
    return Processes("cpu" if found == "cpu" else str(state.device), state.process_index, state.num_processes)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and SIGHUP instead of raising them, so that a step is finished and saved first."""
    caught: list[int] = []
    previous = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in ENDING}
    try:
        yield caught
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def is_main_process() -> bool:
    """Whether this process is the main one, or the only one, also after the end of the run."""
    return int(os.environ.get("RANK") or 0) == 0
