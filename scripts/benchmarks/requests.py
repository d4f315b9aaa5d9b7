"""How well requests in free words are understood: `modelgpt parse` on written requests with expected configurations.

    python -m scripts.benchmarks requests tests/data/requests/dev.jsonl --misses
    python -m scripts.benchmarks requests tests/data/requests/dev.jsonl --provider ollama --llm qwen3:8b

Key-level accuracy: of all keys that are expected or given, the share that is both, with equal values. Request-level:
the share of requests with every key right; of one that is to be refused, whether it is, for the expected reason.
Requests marked ``"path": "llm"`` are in languages that the offline parser doesn't read, and are left out; with --llm,
--provider or --base-url an LLM reads all of them, without its cache, and tokens and seconds are shown. An answer that
can't be used, and none at all, count as a request not understood, and the run goes on; where the first requests all get
none, or too many in a row do, it ends with what was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.core.requirement import BLOCKS, Requirement
from modelgpt_cli.llm.asking import UselessAnswerError
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.requirement_generator.parse import ContradictionError, ParsedRequest, parse_request
from modelgpt_cli.requirement_generator.parse_llm import LLMReader

from .common import make_parser, table

NAMED = {block.name: block for block in BLOCKS}
KEYS = ("domain", "task", "target", "classes")
ERRORS = {"contradiction": ContradictionError}
NO_ANSWER = "no answer"
SILENT = 5
"""After so many requests in a row without any answer the server counts as gone."""


@dataclass(frozen=True)
class Request:
    """A request and what it is to be understood as: flat keys, or the kind of error."""

    id: str
    kind: str
    text: str
    expected: dict[str, Any]
    error: str | None


@dataclass(frozen=True)
class Result:
    """What was understood of a request, against what was expected."""

    request: Request
    given: dict[str, Any]
    error: str | None

    @property
    def keys(self) -> int:
        """Keys that are expected or given; an expected error counts as one."""
        wanted = {**self.request.expected, **({"error": None} if self.request.error else {})}
        return len({*wanted, *self.given, *(["error"] if self.error else [])})

    @property
    def right(self) -> int:
        """Keys that are as expected."""
        if self.request.error or self.error:
            return int(self.request.error == self.error)
        expected = self.request.expected
        return sum(key in self.given and same(self.given[key], value) for key, value in expected.items())

    @property
    def whole(self) -> bool:
        """Whether every key is right, and none is there that is not expected."""
        return self.right == self.keys


def same(given: object, expected: object) -> bool:
    """Return whether two values agree: numbers to six digits, classes in any order, and words in any case."""
    if isinstance(given, float | int) and isinstance(expected, float | int):
        return abs(given - expected) <= 1e-6 * abs(expected)
    if isinstance(given, tuple) and isinstance(expected, tuple):
        return sorted(map(str.lower, given)) == sorted(map(str.lower, expected))
    return str(given).lower() == str(expected).lower()


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as flat keys, with values as the requirement file reads them.

    Raises
    ------
    UsageError
        A key or value is none of the requirement file's.
    """
    unknown = [key for key in values if key not in (*KEYS, *NAMED)]
    if unknown:
        raise UsageError(f"There is no key called {unknown[0]!r}.", f"The keys are {', '.join((*KEYS, *NAMED))}.")
    found = {key: values[key] for key in KEYS if key in values}
    if "classes" in found:
        found["classes"] = tuple(found["classes"])
    for name, block in NAMED.items():
        read = block.from_mapping(values.get(name, {}))
        found |= {f"{name}.{key}": getattr(read, key) for key in read.to_mapping()}
    return found


def read_requests(path: Path, languages: bool = False) -> list[Request]:
    """Read the requests of a file that are for the offline parser; with `languages` all of them.

    Raises
    ------
    UsageError
        A line is malformed; names it.
    """
    requests = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            if ("expect" in row) == ("expect_error" in row) or row.get("expect_error", "contradiction") not in ERRORS:
                raise ValueError("it needs one of expect and expect_error")
            request = Request(row["id"], row["kind"], row["text"], flat(row.get("expect", {})), row.get("expect_error"))
        except (ValueError, KeyError, TypeError, UsageError) as error:
            raise UsageError(f"{path}, line {number} is no request.", str(error)) from error
        if languages or row.get("path") != "llm":
            requests.append(request)
    return requests


def understand(request: Request, read: Callable[[str], ParsedRequest] = parse_request) -> Result:
    """Read a request, by the offline parser unless another one is given."""
    try:
        found = read(request.text).requirement
    except ContradictionError:
        return Result(request, {}, "contradiction")
    except UselessAnswerError:
        return Result(request, {}, "no usable answer")
    except UnreachableError as error:
        print(f"{request.id}: {error.problem} {error.cause}", file=sys.stderr)
        return Result(request, {}, NO_ANSWER)
    except UsageError:
        return Result(request, {}, "usage")
    return Result(request, given_keys(found), None)


def understand_all(requests: Sequence[Request], read: Callable[[str], ParsedRequest]) -> list[Result]:
    """Read the requests in turn, until all are through or the server is gone."""
    results: list[Result] = []
    for request in requests:
        results.append(understand(request, read))
        if len(results) >= SILENT and all(result.error == NO_ANSWER for result in results[-SILENT:]):
            print(f"No answer to {SILENT} requests in a row: ended after {len(results)}.", file=sys.stderr)
            break
    return results


def given_keys(requirement: Requirement) -> dict[str, Any]:
    """Return what a requirement sets, as flat keys."""
    given = {key: value for key in KEYS if (value := getattr(requirement, key))}
    for name in NAMED:
        block = getattr(requirement, name)
        given |= {f"{name}.{key}": getattr(block, key) for key in block.to_mapping()}
    return given


def report(results: Sequence[Result]) -> str:
    """Lay out the accuracies, by kind of request and over all."""
    kinds = [*dict.fromkeys(result.request.kind for result in results)]
    rows = []
    for kind in [*kinds, "all"]:
        some = [r for r in results if kind in (r.request.kind, "all")]
        keys = sum(r.right for r in some) / max(sum(r.keys for r in some), 1)
        rows.append([kind, str(len(some)), f"{100 * keys:.1f}", f"{100 * sum(r.whole for r in some) / len(some):.1f}"])
    return table(["requests", "number", "keys right %", "requests right %"], rows)


def missed(result: Result) -> str:
    """Describe what went wrong with a request."""
    expected, given = result.request.expected, result.given
    lines = [f"{result.request.id}: {result.request.text}"]
    if result.error != result.request.error:
        lines.append(f"    error: {result.error}, expected {result.request.error}")
    lines += [
        f"    {key}: {given.get(key)!r}, expected {expected.get(key)!r}"
        for key in dict.fromkeys([*expected, *given])
        if key not in given or key not in expected or not same(given[key], expected[key])
    ]
    return "\n".join(lines)


def reader_of(args: argparse.Namespace) -> LLMReader | None:
    """Return the LLM that was asked for, if any."""
    if not (args.llm or args.provider or args.base_url):
        return None
    llm = LLM.from_settings(args.llm, args.base_url, None, args.timeout, args.retries, args.provider)
    reader = LLMReader.of(llm, cache=False)
    reader.check()
    return reader


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the requests, and print how many were understood."""
    parser = make_parser("requests", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="as in tests/data/requests/README.md")
    parser.add_argument("--misses", action="store_true", help="print each request that was not understood, and why")
    parser.add_argument("--llm", metavar="MODEL", help="the LLM that reads the requests, as for modelgpt parse")
    parser.add_argument("--provider", metavar="NAME", help="its server by name")
    parser.add_argument("--base-url", metavar="URL", help="its server's address")
    parser.add_argument("--timeout", type=float, help="seconds to wait for an answer")
    parser.add_argument("--retries", type=int, help="how often a failed call is tried again")
    args = parser.parse_args(arguments)
    try:
        reader = reader_of(args)
        requests = [request for path in args.files for request in read_requests(path, reader is not None)]
        start = time.perf_counter()
        results = understand_all(requests, parse_request if reader is None else reader.read)
        seconds = time.perf_counter() - start
    except ModelGPTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if args.misses:
        print("\n".join(missed(result) for result in results if not result.whole) + "\n")
    print(report(results))
    if reader is None:
        print(f"\n{1000 * seconds / len(results):.1f} ms a request.")
    else:
        llm, each = reader.talk.llm, seconds / len(results)
        spent = reader.talk.spent.words(llm.prices)
        print(f"\n{reader.talk.answered or llm.model} at {llm.host}: {spent}; {seconds:.1f} s, {each:.2f} s a request.")
    return 0
