"""Workers on a Ray cluster; `pip install modelgpt-cli[ray]`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.processes import SETTINGS
from modelgpt_cli.batch.work import Task, make, quieten
from modelgpt_cli.errors import ModelGPTError, UsageError


def run_ray(tasks: Iterable[Task], jobs: int | None) -> Iterator[Entry]:
    """Do the tasks on a cluster; entries come as they are done.

    The cluster is the one that ``RAY_ADDRESS`` names or that this machine belongs to, else one of this machine alone.
    Its nodes see the same files under the same paths.

    Parameters
    ----------
    jobs : int, optional
        Tasks at a time; as many as the cluster has cores where not given.

    Raises
    ------
    UsageError
        Ray is not installed.
    ModelGPTError
        There is no cluster at the address.
    """
    ray = _connected()
    from ray.exceptions import RayError

    work = ray.remote(num_cpus=1, max_retries=1)(_make)
    jobs = jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
    waiting = deque(tasks)
    under_way: dict[Any, Task] = {}
    while waiting or under_way:
        while waiting and len(under_way) < 2 * jobs:
            task = waiting.popleft()
            under_way[work.remote(task)] = task
        done, _ = ray.wait(list(under_way))
        for reference in done:
            task = under_way.pop(reference)
            try:
                yield ray.get(reference)
            except RayError as error:  # a worker or its node is gone, twice
                died = ModelGPTError("The worker that was building it died.", " ".join(str(error).split())[:500])
                yield task.failed(died, 0.0)


def _make(task: Task) -> Entry:
    quieten()
    return make(task)


def _connected() -> Any:
    """Ray, connected; as it was where the caller had done so."""
    try:
        import ray
    except ImportError as error:
        raise UsageError(
            "--engine ray needs Ray.", str(error), "Install it: pip install 'modelgpt-cli[ray]'"
        ) from error
    if not ray.is_initialized():
        try:
            ray.init(logging_level=logging.ERROR, log_to_driver=False, runtime_env={"env_vars": SETTINGS})
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ModelGPTError(
                "The Ray cluster can't be reached.", " ".join(str(error).split())[:500], "Check RAY_ADDRESS."
            ) from error
    return ray
