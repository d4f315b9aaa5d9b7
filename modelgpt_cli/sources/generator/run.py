"""The run itself: request by request, until there are enough rows, the budget is spent, or nothing new comes."""

from __future__ import annotations

import json
import logging
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from tqdm import tqdm

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.core.option_fields import Options, option_like
from modelgpt_cli.core.options import GenerateOptions, LLMOptions
from modelgpt_cli.core.progress import hidden
from modelgpt_cli.llm.asking import BadAnswerError, Talk, UselessAnswerError, read_object
from modelgpt_cli.llm.template import Prompt
from modelgpt_cli.llm.usage import Usage, estimate, text_tokens
from modelgpt_cli.sources.generator.form import TEXT, BadCellError, Cell, Form
from modelgpt_cli.sources.generator.journal import Entry, Journal
from modelgpt_cli.sources.generator.novelty import Embed, Novelty
from modelgpt_cli.sources.generator.plan import Step, next_step, quotas, step_messages

log = logging.getLogger("modelgpt")
REPEATED = "a copy, or nearly one, of another row"
SURPLUS = "more rows of a class than were asked for"
UNREADABLE = "answers that could not be read"
BARREN = 3
"""After so many requests in a row without a new row the run stops."""
MOSTLY_REPEATED = 0.75
"""So does it where this share of the rows of as many answers in a row were copies: a model that turns in circles."""
_REPEATS_ROWS = 4
"""Of answers with as many rows or more."""
PATIENCE = 3
"""As it does after this times the requests that it would take if every row were new."""
_REASONS = 8
_ROOM = 3
"""An answer is cut at so many times the tokens that its rows are expected to take."""
_LEAST_TOKENS = 1024
_TEXT_CHARS = 200
"""Of a text, to estimate what it costs, where no real one is known."""
_CELL_CHARS = {"number": 6, "level": 12, "word": 12, "date": 10}


@dataclass(frozen=True)
class Wish(Options):
    """How many rows, and what they may take.

    Raises
    ------
    UsageError
        If a number makes no sense; names the option.
    """

    rows: int = option_like(GenerateOptions, "rows")
    batch: int = option_like(GenerateOptions, "batch")
    examples: int = option_like(GenerateOptions, "examples")
    """Real rows that the LLM is shown, where there are some."""
    max_tokens: int | None = option_like(GenerateOptions, "max_tokens")
    """In and out together, over all requests."""
    max_cost: float | None = option_like(GenerateOptions, "max_cost")
    """US dollars."""
    seed: int = option_like(GenerateOptions, "seed")
    redact: bool = option_like(LLMOptions, "redact")


@dataclass
class Outcome:
    """What a run brought.

    Attributes
    ----------
    dropped : dict
        Reason → rows that were not kept.
    stopped : str
        Why there are fewer rows than wanted; empty where there are all.
    """

    rows: list[dict[str, Cell]] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    spent: Usage = field(default_factory=Usage)
    stopped: str = ""


class _OverBudgetError(Exception):
    """The next request would exceed the budget; the message says which."""


class Run:
    """One run.

    Parameters
    ----------
    talk : Talk
        Its `allow` becomes this run's.
    shown, real : list of dict
        Examples as the LLM sees them, and as they are.
    embed : callable, optional
        See `Novelty`.
    journal : Journal, optional
        Where each answer is kept at once.
    chars : mapping
        Text column → characters per text, where known.

    Raises
    ------
    UsageError
        If the rows are fewer than the classes, or a cost is limited and no prices are known.
    """

    def __init__(
        self,
        form: Form,
        prompt: Prompt,
        talk: Talk,
        wish: Wish,
        *,
        shown: list[dict[str, Any]],
        real: list[dict[str, Cell]],
        description: str = "",
        embed: Embed | None = None,
        journal: Journal | None = None,
        chars: Mapping[str, float] | None = None,
    ) -> None:
        self.form, self.prompt, self.talk, self.wish = form, prompt, talk, wish
        self.shown, self.real, self.description, self.journal = shown, real, description, journal
        self.outcome = Outcome()
        self._embed, self._chars = embed, chars or {}
        self.recalled = 0  # answers from the cache
        self._number = self._barren = self._repeated = 0
        self._batch = wish.batch  # smaller once an answer was cut
        self._counted = talk.spent
        self._told: set[str] = set()
        self._untold: list[str] = []
        self._most_out = self._row_tokens()
        if wish.rows < len(form.classes):
            raise UsageError(
                f"{wish.rows} rows are too few.",
                f"There are {len(form.classes)} classes.",
                "Ask for one of each at least.",
            )
        if wish.max_cost is not None and talk.llm.prices is None:
            raise UsageError(
                f"--max-cost needs to know what {talk.llm.model} costs.",
                "No price_in and price_out are known for it.",
                "Write them into your file of providers (docs/llm.md), or limit --max-tokens.",
            )

    def request(self) -> dict[str, Any]:
        """The body of the next request."""
        return self._request(self._step())

    def estimate(self) -> tuple[int, Usage]:
        """How many requests all rows take if each is new, and their tokens."""
        requests = math.ceil(self.wish.rows / self.wish.batch)
        one = estimate(self.request()).tokens_in
        return requests, Usage(one * requests, math.ceil(self._row_tokens() * self.wish.rows), estimated=True)

    def resume(self) -> None:
        """Take over what the journal holds.

        Raises
        ------
        UsageError
            As `Journal.read` does.
        """
        assert self.journal is not None
        for entry in self.journal.read():
            self._take(entry)

    def run(self) -> Outcome:
        """Ask until there are enough rows.

        Raises
        ------
        UnreachableError
            If the LLM is out of reach, or no row could be used at all. What was received stays in the journal.
        """
        novelty = Novelty(self.form, self._embed)
        novelty.keep_new([*self.real, *self.outcome.rows])
        self.talk.allow = self._allow
        most = self._number + PATIENCE * math.ceil(self.wish.rows / self.wish.batch) + BARREN
        there = len(self.outcome.rows)
        with tqdm(total=self.wish.rows, initial=there, desc="generate", unit="row", disable=hidden()) as bar:
            while len(self.outcome.rows) < self.wish.rows and not self.outcome.stopped:
                try:
                    entry = self._ask(self._step(), novelty)
                except _OverBudgetError as error:
                    self.outcome.stopped = str(error)
                    self.outcome.spent += self._under_way()
                    break
                except (KeyboardInterrupt, UnreachableError):
                    self._tell_kept()
                    raise
                if self.journal is not None:
                    self.journal.add(entry)
                self._take(entry)
                bar.update(len(entry.rows))
                if self._barren >= BARREN:
                    self.outcome.stopped = f"the last {BARREN} requests brought no new row"
                elif self._repeated >= BARREN:
                    self.outcome.stopped = f"nearly all rows of the last {BARREN} requests were repeated"
                elif self._number >= most:
                    self.outcome.stopped = f"after {self._number} requests too few rows were new"
        return self.outcome

    def _step(self) -> Step:
        have = Counter(map(self._class_of, self.outcome.rows))
        return next_step(self.form, self.prompt, self._number, self.wish.rows, self._batch, have, self.wish.seed)

    def _request(self, step: Step) -> dict[str, Any]:
        messages = step_messages(self.form, self.prompt, step, self.shown, self.description, self._untold)
        most = max(_LEAST_TOKENS, math.ceil(_ROOM * self._most_out * step.size))
        prompt = replace(self.prompt, schema=with_most_rows(self.prompt.schema, step.size))
        return self.talk.request(prompt, messages, max_tokens=most, seed=self.wish.seed + step.number)

    def _ask(self, step: Step, novelty: Novelty) -> Entry:
        """Send one request; what came of it."""
        request, self._counted = self._request(step), self.talk.spent
        recalled = self.talk.recall(request, self._read)
        self.recalled += recalled is not None
        try:
            rows, dropped = recalled.value if recalled else self.talk.ask(request, self.prompt, self._read)
        except UselessAnswerError as error:
            if not self.outcome.rows and self._barren + 1 >= BARREN:
                raise
            log.debug("%s", error)
            rows, dropped = [], Counter({UNREADABLE: 1})
        if self.talk.cut and self._batch > 1:
            self._batch = max(1, min(self._batch, step.size) // 2)
            log.info("The answer was cut off; the next requests ask for %d rows.", self._batch)
        kept = self._room(rows, novelty, dropped)
        spent = self._under_way()
        if rows and spent.tokens_out:
            self._most_out = max(self._most_out, spent.tokens_out / (len(rows) + sum(dropped.values())))
        return Entry(step.number, kept, dict(dropped), asdict(spent))

    def _read(self, answer: str) -> tuple[list[dict[str, Cell]], Counter[str]]:
        """The rows of an answer that fit the form, and why others don't."""
        try:
            rows = read_object(answer).get("rows")
        except BadAnswerError:
            rows = whole_rows(answer)  # of an answer that was cut off
            if not rows:
                raise
        if not isinstance(rows, list) or not rows:
            raise BadAnswerError('it must have one key, "rows", with a list of rows.')
        good: list[dict[str, Cell]] = []
        bad: Counter[str] = Counter()
        for row in rows:
            try:
                good.append(self._check(row))
            except BadCellError as error:
                bad[str(error)] += 1
        if not good:
            raise BadAnswerError(f"none of its rows can be used: {'; '.join(list(bad)[:_REASONS])}.")
        return good, bad

    def _check(self, row: Any) -> dict[str, Cell]:
        if not isinstance(row, dict):
            raise BadCellError("a row must be an object")
        cells: dict[str, Cell] = {}
        for one in self.form.fields:
            try:
                cells[one.name] = one.read(row.get(one.shown))
            except BadCellError as error:
                raise BadCellError(f"{one.shown} {error}") from None
        return cells

    def _room(self, rows: list[dict[str, Cell]], novelty: Novelty, dropped: Counter[str]) -> list[dict[str, Cell]]:
        """The rows that there is room for and that are new."""
        room = Counter(quotas(self.wish.rows, self.form.classes) or {"": self.wish.rows})
        room.subtract(map(self._class_of, self.outcome.rows))
        fitting = []
        for row in rows:
            key = self._class_of(row)
            if room[key] > 0:
                fitting.append((key, row))
            else:
                dropped[SURPLUS] += 1
        kept = []
        for (key, row), new in zip(fitting, novelty.keep_new([row for _, row in fitting]), strict=True):
            if not new:
                dropped[REPEATED] += 1
            elif room[key] > 0:
                room[key] -= 1
                kept.append(row)
            else:
                dropped[SURPLUS] += 1
        return kept

    def _class_of(self, row: Mapping[str, Cell]) -> str:
        """A row's class; "" of a regression."""
        return str(row[self.form.target.name]) if self.form.classes else ""

    def _take(self, entry: Entry) -> None:
        """Count what a request brought."""
        self.outcome.rows += entry.rows
        self.outcome.dropped.update(entry.dropped)
        self.outcome.spent += entry.spent
        self.outcome.requests += 1
        self._number = entry.number + 1
        self._barren = 0 if entry.rows else self._barren + 1
        copies, others = entry.dropped.get(REPEATED, 0), sum(entry.dropped.values())
        total = len(entry.rows) + others
        circling = total >= _REPEATS_ROWS and copies >= MOSTLY_REPEATED * total
        self._repeated = self._repeated + 1 if circling else 0
        self._told.update(self._untold)
        self._untold = [why for why in entry.dropped if why not in {SURPLUS, UNREADABLE, *self._told}][:_REASONS]

    def _allow(self, request: Mapping[str, Any]) -> None:
        """Keep a request back that would exceed the budget."""
        wish, prices = self.wish, self.talk.llm.prices
        spent = self.outcome.spent + self._under_way()
        size = min(wish.batch, wish.rows - len(self.outcome.rows))
        total = spent + estimate(request, math.ceil(self._most_out * size))
        tokens, cost = total.tokens_in + total.tokens_out, total.cost(prices)
        if wish.max_tokens is not None and tokens > wish.max_tokens:
            raise _OverBudgetError(f"the next request would exceed {wish.max_tokens:,} tokens")
        if wish.max_cost is not None and cost is not None and cost > wish.max_cost:
            raise _OverBudgetError(f"the next request would exceed ${wish.max_cost:g}")

    def _under_way(self) -> Usage:
        """What the talk has spent that no entry counts yet."""
        spent, counted = self.talk.spent, self._counted
        estimated = spent.estimated and spent != counted
        return Usage(spent.tokens_in - counted.tokens_in, spent.tokens_out - counted.tokens_out, estimated)

    def _row_tokens(self) -> float:
        """Tokens of a row, as far as can be told beforehand."""
        cells = {}
        for one in self.form.fields:
            text = self._chars.get(one.name, _TEXT_CHARS) if one.kind == TEXT else _CELL_CHARS[one.kind]
            cells[one.shown] = ("words " * math.ceil(text / 6))[: round(text)]
        return text_tokens(json.dumps(cells, ensure_ascii=False))

    def _tell_kept(self) -> None:
        if self.journal is not None and not self.outcome.rows:
            self.journal.remove()
        elif self.journal is not None:
            log.info("%d rows are kept in %s: --resume goes on from there.", len(self.outcome.rows), self.journal.path)


def with_most_rows(schema: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Give the schema of an answer that has as many rows at most."""
    rows = {**schema["properties"]["rows"], "maxItems": count}
    return {**schema, "properties": {**schema["properties"], "rows": rows}}


def whole_rows(answer: str) -> list[Any]:
    """Give the rows of an answer that breaks off, up to the last one that is whole; none where it has another form."""
    start = re.match(r"\s*(?:```[a-z]*\s*)?\{\s*\"rows\"\s*:\s*\[", answer)
    rows: list[Any] = []
    decoder, at = json.JSONDecoder(), start.end() if start else len(answer)
    while found := re.compile(r"[\s,]*(?=\{)").match(answer, at):
        try:
            row, at = decoder.raw_decode(answer, found.end())
        except (ValueError, RecursionError):
            break
        rows.append(row)
    return rows


def none_usable(outcome: Outcome) -> ModelGPTError:
    """The error for a run that brought no row."""
    why = "; ".join(f"{count} x {reason}" for reason, count in outcome.dropped.most_common(_REASONS))
    return UnreachableError(
        "Not one row was generated.", f"Stopped because {outcome.stopped}." + (f" Dropped: {why}." if why else ""),
        "Try another model with --llm, a smaller --batch, or a larger budget.",
    )  # fmt: skip
