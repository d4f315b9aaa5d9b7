"""What predicting takes of memory: run as a program of its own, so that nothing but the model's work is in it.

    python -m modelgpt_cli.runtime.peak_memory MODEL.onnx ROWS.npz THREADS

prints the peak of its own resident memory in bytes, once the rows are scored.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.runtime.session import Model

_NAMES = "names"


def save_rows(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as `Model.run` takes them, of numbers, strings or arrays, without pickling."""
    arrays: dict[str, np.ndarray] = {_NAMES: np.array(json.dumps(list(columns)))}
    for i, cells in enumerate(columns.values()):
        if isinstance(cells, list) and cells and isinstance(cells[0], np.ndarray):
            arrays |= {f"{i} {k}": cell for k, cell in enumerate(cells)}
        else:
            cells = np.asarray(cells)
            arrays[str(i)] = cells.astype(str) if cells.dtype == object else cells
    np.savez(path, allow_pickle=False, **arrays)


def load_rows(path: Path) -> dict[str, Any]:
    """Read what `save_rows` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        columns: dict[str, Any] = {}
        for i, name in enumerate(json.loads(str(arrays[_NAMES]))):
            cells = sum(key.startswith(f"{i} ") for key in arrays.files)
            columns[name] = [arrays[f"{i} {k}"] for k in range(cells)] if cells else arrays[str(i)]
    return columns


def peak_bytes() -> int:
    """The most resident memory that this process has had so far.

    Raises
    ------
    ModelGPTError
        The system doesn't tell.
    """
    try:
        # On Linux getrusage would count what the parent held when it started this process.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) * 1024
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        raise ModelGPTError(
            "limits: memory can't be measured on this system.", hint="Leave it out, or build on Linux or macOS."
        ) from None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Load the model, score the rows, print the peak."""
    path, rows, threads = sys.argv[1:]
    Model(path, threads=int(threads)).run(load_rows(Path(rows)))
    print(peak_bytes())


if __name__ == "__main__":
    main()
