"""`build --batch --engine ray`, on a cluster of two nodes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from batch_inputs import Gate, entries, wait_for, write_requests, write_table
from conftest import Cli, clean_environment

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.skipif(sys.platform == "win32", reason="Ray's clusters don't run there"),
]

_STORE = 80_000_000
"""Bytes of shared memory a node: the least that Ray takes, as some machines have little."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of two nodes with a core each."""
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": 1, "object_store_memory": _STORE, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args=settings)
        try:
            cluster.add_node(num_cpus=1, object_store_memory=_STORE)
            yield cluster.address
        finally:
            cluster.shutdown()


def test_both_nodes_build_and_a_worker_that_dies_costs_nothing(
    address: str, modelgpt_path: str, tmp_path: Path
) -> None:
    write_table(tmp_path / "a.csv")
    gates = [Gate(tmp_path / "one.txt"), Gate(tmp_path / "two.txt")]
    write_requests(
        tmp_path / "requests.jsonl",
        *({"id": gate.path.stem, "req": gate.path.name, "data": "a.csv"} for gate in gates),
        {"id": "quick", "data": "a.csv", "target": "buys"},
        {"id": "no-file", "data": "nothing.csv"},
    )
    run = subprocess.Popen(
        [modelgpt_path, "build", "--batch", "requests.jsonl", "--members", "1", "--engine", "ray", "-o", "out"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(RAY_ADDRESS=address),
    )
    try:
        for gate in gates:  # both are under way at once, and a node has one core
            gate.wait()
        for gate in gates:
            gate.replace()
        waiting = [p for p in psutil.process_iter(["name", "ppid"]) if p.info["name"].startswith("ray::_make")]
        assert len({process.info["ppid"] for process in waiting}) == 2
        waiting[0].kill()
        waiting[0].wait(60)
        for gate in gates:
            with suppress(BrokenPipeError):  # of the dead one, whose model is built anew
                gate.let_through()
        _, said = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 1, said
    found = entries(tmp_path / "out")
    assert {name: entry["status"] for name, entry in found.items()} == {
        "one": "built",
        "two": "built",
        "quick": "built",
        "no-file": "failed",
    }
    assert "nothing.csv" in found["no-file"]["error"]["problem"]
    assert sorted(os.listdir(tmp_path / "out")) == ["manifest.jsonl", "one.onnx", "quick.onnx", "two.onnx"]


def test_a_cluster_that_is_not_there(cli: Cli, tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv")
    requests = write_requests(tmp_path / "requests.jsonl", {"data": "a.csv", "target": "buys"})
    environment = {"RAY_ADDRESS": "nowhere"}
    done = cli("build", "--batch", requests, "--engine", "ray", "-o", "out", env=environment)
    assert done.returncode == 1
    assert "RAY_ADDRESS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No test leaves this process connected."""
    yield
    wait_for(lambda: not ray.is_initialized())
