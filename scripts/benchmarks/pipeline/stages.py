"""Parts of a build after its imports, in one process: what `pipeline tables` runs in fresh processes.

    python scripts/benchmarks/pipeline/stages.py passes
    python scripts/benchmarks/pipeline/stages.py sizes
    python scripts/benchmarks/pipeline/stages.py write --path long.parquet --rows 10000000
    python scripts/benchmarks/pipeline/stages.py accumulate --path long.parquet

`passes` times the generator and the head on 1,000 rows x 20 columns, without and with cross-fitting; `sizes` measures
the ONNX file. `write` makes a Parquet file of 12 numeric and 8 categorical columns and a noisy two-class target.
`accumulate` reads such a file as `modelgpt build` does (types, counts, sample, SHA-256), generates 8 members from the
sample, and adds the rows to the sums of their heads. Figures go to stdout as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the command sets it for itself, before torch is loaded

BLOCK = 500_000
LEVELS = (2, 3, 4, 5, 6, 8, 10, 12)
REPEATS = 5


def write(path: Path, rows: int, seed: int) -> None:
    """Write the long table, block by block: float32, float64, int64 and int32 columns, and dictionary strings."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    weights = rng.normal(size=12).astype(np.float32)
    writer = None
    for start in range(0, rows, BLOCK):
        n = min(BLOCK, rows - start)
        numbers = rng.standard_normal((n, 12), dtype=np.float32)
        score = numbers @ weights - 1
        columns: dict[str, Any] = {f"single {j + 1}": numbers[:, j] for j in range(4)}
        columns |= {f"double {j + 1}": numbers[:, 4 + j].astype(np.float64) * 10 + 3 for j in range(4)}
        columns |= {f"long {j + 1}": np.round(numbers[:, 8 + j] * 100).astype(np.int64) for j in range(2)}
        columns |= {f"short {j + 1}": np.round(numbers[:, 10 + j] * 20).astype(np.int32) for j in range(2)}
        for j, count in enumerate(LEVELS):
            codes = rng.integers(count, size=n).astype(np.int32)
            score += 0.8 * (codes == 0)
            missing = rng.random(n) < 0.02 * (j % 2)
            names = pa.array([f"level {k}" for k in range(count)])
            columns[f"kind {j + 1}"] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=missing), names)
        leaves = (score + rng.standard_normal(n) > 0).astype(np.int32)
        columns["target"] = pa.DictionaryArray.from_arrays(pa.array(leaves), pa.array(["stays", "leaves"]))
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def cpu_seconds() -> float:
    """Return user and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(work: Callable[[], object], repeats: int = REPEATS) -> dict[str, float]:
    """Return median wall-clock and CPU seconds, after one call that is not counted."""
    work()
    wall, cpu = [], []
    for _ in range(repeats):
        started, used = time.perf_counter(), cpu_seconds()
        work()
        wall.append(time.perf_counter() - started)
        cpu.append(cpu_seconds() - used)
    return {"seconds": statistics.median(wall), "cpu_seconds": statistics.median(cpu)}


def mixed_table(seed: int) -> tuple[Any, Any, np.ndarray]:
    """1,000 rows x 20 columns (16 numbers, 4 categories), and 2 classes that a product of two columns tells apart."""
    import pandas as pd

    from modelgpt_cli.core.schema import Column

    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(1000, 16))
    kinds = rng.integers(5, size=(1000, 4))
    frame = pd.DataFrame(numbers, columns=[f"number {j + 1}" for j in range(16)])
    for j in range(4):
        frame[f"kind {j + 1}"] = np.array([f"level {k}" for k in range(5)], dtype=object)[kinds[:, j]]
    y = (numbers[:, 0] * numbers[:, 1] + numbers[:, 2] + (kinds[:, 0] == 1) > 0).astype(int)
    columns = [Column(name, "categorical" if name.startswith("kind") else "numeric") for name in frame.columns]
    return frame, columns, y


def passes(seed: int) -> dict[str, Any]:
    """Time one pass and 8 members on the mixed table."""
    from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier

    frame, columns, y = mixed_table(seed)
    results = {}
    variants: dict[str, dict[str, Any]] = {
        "one pass": {"members": 1, "one_pass": True},
        "8 members": {"members": 8, "one_pass": True},
        "8 members, cross-fitted": {"members": 8},
        "default build": {},
    }
    for name, options in variants.items():
        model = ModelGPTClassifier(random_state=seed, columns=columns, **options)
        results[name] = timed(lambda model=model: model.fit(frame, y))  # type: ignore[misc]
    return results


def sizes(seed: int) -> dict[str, int]:
    """Return the bytes of the fp32 ONNX model of the default build, of so many numbers and of the mixed table."""
    import pandas as pd

    from modelgpt_cli.artifacts.export import write_model
    from modelgpt_cli.core.schema import Column
    from modelgpt_cli.domains.tabular.estimator import ModelGPTClassifier

    rng = np.random.default_rng(seed)
    tables = {"mixed": mixed_table(seed)}
    for d in (20, 100):
        frame = pd.DataFrame(rng.normal(size=(400, d)), columns=[f"number {j + 1}" for j in range(d)])
        columns = [Column(name, "numeric") for name in frame]
        tables[str(d)] = frame, columns, (frame["number 1"] > 0).to_numpy(dtype=int)
    found = {}
    for name, (frame, columns, y) in tables.items():
        model = ModelGPTClassifier(random_state=seed, columns=columns)
        model.fit(frame, y)
        with tempfile.TemporaryDirectory(prefix="modelgpt-sizes-") as folder:
            found[name] = write_model(model.model_, Path(folder) / "model.onnx").size_bytes
    return found


def accumulate(path: Path, all_rows: bool, seed: int) -> dict[str, Any]:
    """Read a long table and add its rows to the sums of 8 members' heads, as a build does."""
    from modelgpt_cli.core.assets import asset
    from modelgpt_cli.data.dataset import load_dataset
    from modelgpt_cli.domains.tabular.fit import fit_table
    from modelgpt_cli.domains.tabular.generator import load_generator
    from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor
    from modelgpt_cli.domains.tabular.rows import RowStream, table_arrays
    from modelgpt_cli.requirement_generator.load import SAMPLE_ROWS

    generator, _ = load_generator(asset("weights", "tabular", "generator.safetensors"))
    started, used = time.perf_counter(), cpu_seconds()
    dataset = load_dataset(path, target="target", sample_rows=SAMPLE_ROWS, seed=seed)
    read, read_cpu = time.perf_counter() - started, cpu_seconds() - used
    preprocessor = make_preprocessor(dataset.schema.columns, dataset.sample)
    table = table_arrays(dataset, preprocessor, all_rows=all_rows, seed=seed)
    fit_table(generator, table, members=8, seed=seed)
    seconds = time.perf_counter() - started
    return {
        "rows": dataset.n_rows,
        "head_rows": table.stream.rows if isinstance(table.stream, RowStream) else len(table.y),
        "read_seconds": read,
        "read_cpu_seconds": read_cpu,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - used,
        "rows_per_second": dataset.n_rows / seconds,
    }


def main() -> int:
    """Do one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["passes", "sizes", "write", "accumulate"])
    parser.add_argument("--path", type=Path, help="the Parquet file")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows to write (default: 10,000,000)")
    parser.add_argument("--all-rows", action="store_true", help="add every row to the sums")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.part == "passes":
        print(json.dumps(passes(args.seed)))
    elif args.part == "sizes":
        print(json.dumps(sizes(args.seed)))
    elif args.path is None:
        parser.error("--path is needed")
    elif args.part == "write":
        write(args.path, args.rows, args.seed)
    else:
        print(json.dumps(accumulate(args.path, args.all_rows, args.seed)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
