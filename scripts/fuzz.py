"""Feed modelgpt with mutated files: each must end in success or in one error for a person, and leave nothing half-done.

    python -m scripts.fuzz --inputs 20000 --seed 0

Input number i of a seed is always the same, whatever ran before it: ``--only 17`` makes that one again and shows what
happened. Inputs that fail are kept in --out. `docs/reliability.md` has what was measured.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.cli import main as modelgpt
from modelgpt_cli.core.errors import ModelGPTError

SEEDS = Path(__file__).with_name("fuzz_seeds")
SLOW = 20.0
"""CPU seconds after which an input counts as a failure: all are small."""
_TOKENS: tuple[bytes, ...] = (
    *(
        b"\0",
        b"\n",
        b"\r",
        b'"',
        b"'",
        b",",
        b";",
        b"\t",
        b":",
        b"- ",
        b"---\n",
        b"{",
        b"}",
        b"[",
        b"]",
        b"%",
        b"~",
        b"/",
    ),
    *(b"[" * 2000, b'{"a":' * 500, b"&a [*a]", b"*a", b"<<: ", b"!!python/object:os.system ", b"=1+1", b"../../"),
    *(b"1e999", b"-1", b"-0", b"NaN", b"Infinity", b"null", b"true", b"0x10", b"9" * 25, b"9" * 5000, b"1e-400"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", "\u202e\x1b[2J".encode(), "ü€日👍".encode()),
    *(b" " * 300, b"a" * 300, b"a/" * 3000, b"%d.%m.%Y", b"2024-02-30", b"\x1f\x8b", b"PK\x03\x04", b"PAR1"),
)
_ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 10**9, 2**63, 10**400, 1e308, float("nan"), 0.5, "", "x", "\0", "\x1b[2J", "a" * 5000),
    *("1", "text", "numeric", "datetime", "image", "%Q", "../../x", "label", "regression"),
    *([], {}, [None], {"a": 1}, [[[]]], ["x", "x"], [1.5]),
)


@dataclass(frozen=True)
class Bench:
    """Where a run works, and the models that it works on."""

    folder: Path
    models: Path
    """Holds iris.csv, model.onnx and model.safetensors."""

    def run(self, *words: str | Path, output: str = "") -> str:
        """Run a command; return how it ended, or raise `FoundError` if not as it should."""
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace"), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = modelgpt([str(word) for word in words])
        said = err.getvalue()
        errors = sum(line.startswith("Error: ") for line in said.splitlines())
        if "Traceback" in said or "Error: unexpected " in said or errors != (code != 0) or code not in range(5):
            raise FoundError(f"exit {code}: {said[-2000:]}")
        if output and (self.folder / output).exists() != (code == 0):
            raise FoundError(f"exit {code}, and {output} is {'there' if code else 'not there'}")
        return f"exit {code}"


class FoundError(Exception):
    """Something that must not be."""


Check = Callable[[Bench, Path], str]


def requirement(bench: Bench, path: Path) -> str:
    """Rewrite a requirement file; what is written must read back."""
    ended = bench.run("parse", path, "--offline", "-o", "out.txt", output="out.txt")
    if ended == "exit 0" and bench.run("parse", "out.txt", "--offline") != "exit 0":
        raise FoundError("what parse has written can't be read")
    return ended


def words(bench: Bench, path: Path) -> str:
    """Read a request in words."""
    text = path.read_text(encoding="utf-8", errors="replace").replace("\n", " ").lstrip("-")
    return bench.run("parse", "--offline", "--", text)


def config(bench: Bench, path: Path) -> str:
    """Predict with options from a file."""
    data = bench.models / "iris.csv"
    return bench.run("predict", bench.models / "model.onnx", data, "--config", path, "-o", "out.csv", output="out.csv")


def types(bench: Bench, path: Path) -> str:
    """Describe with a file of types."""
    data = bench.models / "iris.csv"
    return bench.run("describe", data, "--offline", "--types", path, "-o", "out.txt", output="out.txt")


def table(bench: Bench, path: Path) -> str:
    """Describe a table, or score it."""
    if zlib.crc32(path.read_bytes()) % 2:
        return bench.run("describe", path, "--offline", "-o", "out.txt", output="out.txt")
    return bench.run("predict", bench.models / "model.onnx", path, "-o", "out.csv", output="out.csv")


def batch(bench: Bench, path: Path) -> str:
    """Read the requests of a batch."""
    from modelgpt_cli.batch.requests import file_states, read_requests

    states = file_states()
    for request in read_requests(path, {}, []):
        request.key(states)
    return "ok"


def catalogue(bench: Bench, path: Path) -> str:
    """Read dataset cards."""
    from modelgpt_cli.sources.catalogue.cards import read_catalogue

    for card in read_catalogue(path):
        json.dumps([card.to_dict(), card.words()])
    return "ok"


def providers(bench: Bench, path: Path) -> str:
    """Read a file of providers."""
    from modelgpt_cli.llm.client import LLM
    from modelgpt_cli.llm.providers import load_providers

    os.environ["MODELGPT_PROVIDERS"] = str(path)
    try:
        for name in load_providers():
            LLM.from_settings("some-model", provider=name)
    finally:
        del os.environ["MODELGPT_PROVIDERS"]
    return "ok"


def model(bench: Bench, path: Path) -> str:
    """Look at a model whose card says odd things, and use it."""
    if path.suffix == ".onnx":
        bench.run("inspect", path)
        return bench.run("predict", path, bench.models / "iris.csv", "-o", "out.csv", output="out.csv")
    bench.run("inspect", path)
    return bench.run("export", path, "-o", "out.onnx", output="out.onnx")


_TABLES = (".csv", ".json", ".jsonl", ".gz", ".parquet", ".xlsx")
_CHECKS: dict[str, Check] = {
    **{f".{check.__name__}": check for check in (requirement, words, config, types, batch, catalogue, providers)},
    **dict.fromkeys(_TABLES, table),
    **dict.fromkeys((".onnx", ".safetensors"), model),
}
_WEIGHTS = {".safetensors": 0.3, ".xlsx": 0.3}
"""How often a kind is drawn, where not once: an export takes ten times as long as the rest."""


def make_models(folder: Path) -> Path:
    """Build the models that inputs are made of, and are tried on."""
    from sklearn.datasets import load_iris

    from modelgpt_cli import build, describe, export

    frame = load_iris(as_frame=True).frame
    frame["species"] = frame.pop("target").map(dict(enumerate(load_iris().target_names)))
    frame.to_csv(folder / "iris.csv", index=False)
    describe(folder / "iris.csv", target="species", offline=True, output=folder / "req.txt")
    build(folder / "req.txt", output=folder / "model.safetensors", members=1, device="cpu")
    export(folder / "model.safetensors", output=folder / "model.onnx")
    return folder


def read_seeds(models: Path) -> list[tuple[str, bytes]]:
    """The seeds, as (suffix, content): those committed, tables in further formats made of them, and the models."""
    import pandas as pd

    found = [(path.suffix, path.read_bytes()) for path in sorted(SEEDS.iterdir())]
    points = SEEDS / "points.csv"
    frame = pd.read_csv(points)
    for suffix, write in ((".parquet", frame.to_parquet), (".xlsx", frame.to_excel)):
        content = io.BytesIO()
        write(content, index=False)
        found.append((suffix, content.getvalue()))
    found.append((".gz", gzip.compress(points.read_bytes(), mtime=0)))
    return found + [(path.suffix, path.read_bytes()) for path in (models / "model.onnx", models / "model.safetensors")]


def mutate(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Change some bytes: flipped, cut, doubled, tokens put in, a piece of another seed put in."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 8, 40, 400)))
        act = rng.randrange(7)
        if act == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif act == 1:
            del data[at:end]
        elif act == 2:
            data[at:at] = data[at:end] * rng.choice((1, 2, 20))
        elif act in (3, 4):
            data[at : at + rng.choice((0, 0, 1, 4))] = rng.choice(_TOKENS)
        elif act == 5:
            start = rng.randrange(len(other) + 1)
            data[at:at] = other[start : start + rng.choice((4, 40, 400))]
        elif len(data) > 1:
            del data[rng.randrange(len(data)) :]
    return bytes(data)


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each (container, key) in a JSON value."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _holders(value[key])


def _changed_card(text: str, rng: random.Random) -> str:
    """A model card with some values replaced, removed or doubled, at the top or anywhere in it."""
    card = json.loads(text)
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_holders(card))
        top = [place for place in places if place[0] is card]
        holder, key = rng.choice(top if rng.random() < 0.3 else places)
        act = rng.randrange(4)
        if act == 0:
            del holder[key]
        elif act == 1 and isinstance(holder, list):
            holder.insert(0, holder[key])
        elif act == 2 and isinstance(holder[key], int):
            holder[key] = rng.choice((holder[key] + 1, -holder[key], holder[key] * 1000))
        else:
            holder[key] = rng.choice(_ODD)
    return json.dumps(card)


def changed_model(suffix: str, content: bytes, rng: random.Random) -> bytes:
    """A model file with another card; the tensors stay."""
    if suffix == ".onnx":
        import onnx

        proto = onnx.load_model_from_string(content)
        entry = next(entry for entry in proto.metadata_props if entry.key == "modelgpt")
        entry.value = _changed_card(entry.value, rng)
        return bytes(proto.SerializeToString())
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"]["modelgpt"] = _changed_card(header["__metadata__"]["modelgpt"], rng)
    if rng.random() < 0.2:
        header = json.loads(_changed_card(json.dumps(header), rng))
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + content[8 + length :]


def make_input(seeds: list[tuple[str, bytes]], seed: int, number: int) -> tuple[str, bytes]:
    """Input `number` of a seed: (suffix, content)."""
    rng = random.Random(f"{seed} {number}")
    suffix, content = rng.choices(seeds, [_WEIGHTS.get(suffix, 1.0) for suffix, _ in seeds])[0]
    if suffix in (".onnx", ".safetensors"):
        return suffix, changed_model(suffix, content, rng)
    other = rng.choice(seeds)[1]
    if suffix in (".gz", ".parquet") and rng.random() < 0.7:  # else nearly all is lost in unpacking
        return suffix, packed(suffix, mutate((SEEDS / "points.csv").read_bytes(), other, rng))
    return suffix, mutate(content, other, rng)


def packed(suffix: str, text: bytes) -> bytes:
    """A table that is odd, in a file that is none: gzip, or Parquet of text with whatever names and cells come."""
    if suffix == ".gz":
        return gzip.compress(text, mtime=0)
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [line.split(",") for line in text.decode(errors="replace").split("\n") if line]
    names = rows[0] if rows else []
    cells = [pa.array([row[i] if i < len(row) else None for row in rows[1:]], pa.string()) for i in range(len(names))]
    content = io.BytesIO()
    pq.write_table(pa.table(cells, names=names), content)
    return content.getvalue()


@dataclass
class Report:
    """What came of a run."""

    ended: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(kind, how it ended) → inputs."""
    failures: list[tuple[int, str, str]] = field(default_factory=list)
    """Number, suffix, what happened."""
    seconds: float = 0.0


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def try_input(bench: Bench, suffix: str, content: bytes) -> str:
    """Try an input in an empty folder; return how it ended, or raise `FoundError`."""
    shutil.rmtree(bench.folder, ignore_errors=True)
    bench.folder.mkdir()
    start = time.process_time()
    with _inside(bench.folder):
        path = Path(f"input{suffix}")
        path.write_bytes(content)
        try:
            ended = _CHECKS[suffix](bench, path)
        except ModelGPTError as error:
            ended = f"exit {error.exit_code}"
        except FoundError:
            raise
        except BaseException as error:
            raise FoundError("".join(traceback.format_exception(error))[-3000:]) from error
        if left := [name for name in os.listdir() if name.startswith(".tmp-")]:
            raise FoundError(f"left behind: {left}")
    if (spent := time.process_time() - start) > SLOW:
        raise FoundError(f"took {spent:.0f} CPU seconds")
    return ended


def fuzz(models: Path, inputs: int, seed: int, out: Path | None = None, numbers: Iterator[int] | None = None) -> Report:
    """Try inputs; keep those that fail in `out`."""
    report = Report()
    seeds = read_seeds(models)
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder) / "bench", models)
        for number in numbers or range(inputs):
            suffix, content = make_input(seeds, seed, number)
            try:
                ended = try_input(bench, suffix, content)
            except FoundError as error:
                ended = "FAILED"
                report.failures.append((number, suffix, str(error)))
                if out is not None:
                    out.mkdir(parents=True, exist_ok=True)
                    (out / f"{seed}-{number}{suffix}").write_bytes(content)
            report.ended[_CHECKS[suffix].__name__, ended] += 1
    report.seconds = time.process_time() - start
    return report


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one input, by its number")
    parser.add_argument("--out", type=Path, default=Path("out/fuzz"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        numbers = None if args.only is None else iter([args.only])
        report = fuzz(make_models(Path(folder)), args.inputs, args.seed, args.out.resolve(), numbers)
    kinds = sorted({kind for kind, _ in report.ended})
    ways = sorted({way for _, way in report.ended})
    print(f"| kind | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for kind in kinds:
        print(f"| {kind} | {' | '.join(str(report.ended[kind, way]) for way in ways)} |")
    print(f"{sum(report.ended.values()):,} inputs, {len(report.failures)} failures, {report.seconds:.0f} CPU seconds")
    for number, suffix, what in report.failures[:20]:
        print(f"\n{number}{suffix}: {what.strip()}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
