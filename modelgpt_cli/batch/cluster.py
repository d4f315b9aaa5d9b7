"""Workers on a Ray cluster; `pip install modelgpt-cli[ray]`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from modelgpt_cli.batch.manifest import Entry
from modelgpt_cli.batch.processes import SETTINGS
from modelgpt_cli.batch.work import Task, make, quieten
from modelgpt_cli.core.errors import ModelGPTError, UsageError


def run_ray(tasks: Iterable[Task], jobs: int | None) -> Generator[Entry]:
    """Do the tasks on a cluster; entries come as they are done.

    The cluster is the one that the caller is connected to, else the one that ``RAY_ADDRESS`` names or that this machine
    belongs to, else one of this machine alone. Its nodes see the same files under the same paths.

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
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray)
    # A task whose worker or node dies is done once more.
    work = ray.remote(num_cpus=1, max_retries=1, runtime_env={"env_vars": SETTINGS})(_make)
    waiting = deque(tasks)
    under_way: dict[Any, Task] = {}
    try:
        while waiting or under_way:
            # Some more than there are cores, so that none waits for the next; nodes may come while it runs.
            places = jobs or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while waiting and len(under_way) < places:
                task = waiting.popleft()
                under_way[work.remote(task)] = task
            done, _ = ray.wait(list(under_way))
            for reference in done:
                yield _entry(ray, reference, under_way.pop(reference))
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()


def _make(task: Task) -> Entry:
    quieten()
    return make(task)


def _entry(ray: Any, reference: Any, task: Task) -> Entry:
    """What came of a task that is done, or that Ray has given up."""
    try:
        entry: Entry = ray.get(reference)
    except ray.exceptions.RayTaskError as error:  # before our code, which keeps its errors in the entry
        hint = "All nodes need the same version of modelgpt-cli and of Ray."
        return task.failed(ModelGPTError("A node of the Ray cluster could not begin it.", _words(error), hint), 0.0)
    except ray.exceptions.RayError as error:
        return task.failed(ModelGPTError("The worker that was building it died, twice.", _words(error)), 0.0)
    return entry


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError(
            "--engine ray needs Ray.", str(error), "Install it: pip install 'modelgpt-cli[ray]'"
        ) from error
    return ray


def _connect(ray: Any) -> None:
    try:
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ModelGPTError("The Ray cluster can't be reached.", _words(error), "Check RAY_ADDRESS.") from error
