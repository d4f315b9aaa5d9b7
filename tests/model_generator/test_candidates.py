"""The choice under limits: what a build takes where the default is too large, what it says, what it leaves alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
from artifact_models import random_model, random_table
from conftest import Cli

from modelgpt_cli import build, inspect
from modelgpt_cli.core.deploy import Deploy
from modelgpt_cli.core.domain import find_domain
from modelgpt_cli.core.errors import UsageError, VerificationError
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.core.option_fields import make_options
from modelgpt_cli.core.options import BuildOptions
from modelgpt_cli.core.quality import Quality
from modelgpt_cli.core.requirement import Requirement
from modelgpt_cli.domains.tabular.architectures import table_card
from modelgpt_cli.model_generator.candidates import Body, Search
from modelgpt_cli.model_generator.cards import ArchitectureCard, find_cards
from modelgpt_cli.model_generator.choice import Plan, plan_candidates
from modelgpt_cli.model_generator.measured_limits import find_missed
from modelgpt_cli.model_generator.quantised import held_back

SENTENCE = "Classify the species of an iris from the lengths and widths of its sepals and petals."


def required(folder: Path, blocks: str) -> Path:
    """A requirement file with these blocks."""
    path = folder / "req.txt"
    path.write_text(f"{SENTENCE}\n---\n{blocks}\n", encoding="utf-8")
    return path


# As a user sees it ---------------------------------------------------------------------------------------------------


def test_a_limit_that_the_default_misses_is_met_by_a_smaller_card(cli: Cli, iris_csv: Path, tmp_path: Path) -> None:
    required(tmp_path, "limits: {size: 100 kB, latency_ms: 500}")
    done = cli("build", "--req", "req.txt", "--data", iris_csv, "-o", "m.onnx", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert not (report["card"].startswith("tabular-8") and report["storage"] == "fp32")
    assert report["missed"] == []
    assert report["limits"]["size"] == report["size_bytes"] == (tmp_path / "m.onnx").stat().st_size <= 100_000
    said = [line for line in done.stderr.splitlines() if line.startswith("Card: ")]
    assert len(said) == 1
    assert f"{report['card']} in {report['storage']}" in said[0]
    assert "tabular-8+kernel+trees in fp32 misses limits: size" in said[0]  # and why not the best
    card = inspect(tmp_path / "m.onnx")
    assert card["chosen"] == {"card": report["card"], "storage": report["storage"]}
    assert card["measured"] == report["limits"]
    assert card["provenance"]["members"] == int(report["card"].removeprefix("tabular-"))
    assert report["metrics"]["model"]["accuracy"] > 0.85


def test_what_nothing_meets_is_a_table_and_leaves_the_output_as_it_was(
    cli: Cli, iris_csv: Path, tmp_path: Path
) -> None:
    required(tmp_path, "limits: {size: 30 kB, parameters: 30k}\nquality: {accuracy: 50%}")
    (tmp_path / "m.onnx").write_bytes(b"mine")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done = cli("build", "--req", "req.txt", "--data", iris_csv, "-o", "m.onnx", "--force")
    assert done.returncode == 3
    assert done.stdout == ""
    lines = [line.split() for line in done.stderr.splitlines()]
    at = next(i for i, words in enumerate(lines) if words[:2] == ["limit", "asked"])
    assert [words[1] for words in lines[at + 1 : at + 4]] == ["parameters", "size", "accuracy"]
    size = next(words for words in lines if words[:2] == ["limits:", "size"])
    assert size[2:6] == ["at", "most", "30", "kB"]
    assert "tabular-1" in size
    assert float(size[6]) > 30  # kB: the smallest there is
    assert "Nearest: tabular-1 in int8, misses limits: size" in done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_best_effort_writes_the_nearest_and_says_what_it_misses(cli: Cli, iris_csv: Path, tmp_path: Path) -> None:
    required(tmp_path, "limits: {size: 30 kB}")
    done = cli("build", "--req", "req.txt", "--data", iris_csv, "-o", "m.onnx", "--best-effort", "--json")
    assert done.returncode == 0, done.stderr
    assert "Warning: Written with --best-effort, it misses limits: size" in done.stderr
    report = json.loads(done.stdout)
    assert (report["card"], report["storage"], report["missed"]) == ("tabular-1", "int8", ["size"])
    card = inspect(tmp_path / "m.onnx")
    assert card["missed"] == ["size"]
    assert card["measured"]["size"] == (tmp_path / "m.onnx").stat().st_size > 30_000


def test_a_card_that_is_named_is_the_one_that_is_built(iris_csv: Path, tmp_path: Path) -> None:
    requirement = required(tmp_path, "limits: {size: 1 MB}")
    report = build(requirement, data=iris_csv, output=tmp_path / "m.onnx", card="tabular-2/fp16")
    assert (report.card, report.storage) == ("tabular-2", "fp16")
    card = inspect(tmp_path / "m.onnx")
    assert card["provenance"]["members"] == 2
    assert card["export"]["quantize"] == "fp16"
    with pytest.raises(VerificationError, match="nothing was written"):  # though a smaller one would do
        build(required(tmp_path, "limits: {size: 60 kB}"), data=iris_csv, output=tmp_path / "n.onnx", card="tabular-8")
    assert not (tmp_path / "n.onnx").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"card": "tabular-0"}, "no card 'tabular-0'"),
        ({"card": "tabular-2/int4"}, "no storage 'int4'"),
        ({"card": "minilm-l6"}, "of the domain text"),
        ({"card": "tabular-2", "members": 4}, "contradict"),
    ],
)
def test_cards_that_make_no_sense_are_refused(
    options: dict[str, Any], words: str, iris_csv: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        build(required(tmp_path, "limits: {}"), data=iris_csv, output=tmp_path / "m.onnx", **options)
    assert not (tmp_path / "m.onnx").exists()


def test_a_safetensors_file_is_held_to_its_parameters(iris_csv: Path, tmp_path: Path) -> None:
    requirement = required(tmp_path, "limits: {parameters: 60k}")
    report = build(requirement, data=iris_csv, output=tmp_path / "m.safetensors")
    assert (report.card, report.storage) == ("tabular-2", "fp32")
    assert inspect(tmp_path / "m.safetensors")["measured"] == {"parameters": report.limits["parameters"]}


def test_without_limits_the_default_is_built_and_nothing_is_said(cli: Cli, iris_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "req.txt").write_text(SENTENCE + "\n")
    done = cli("build", "--req", "req.txt", "--data", iris_csv, "-o", "m.onnx")
    assert done.returncode == 0, done.stderr
    assert "Card:" not in done.stderr
    assert "measured" not in inspect(tmp_path / "m.onnx")


# What may be tried ---------------------------------------------------------------------------------------------------


def plan_of(wanted: Requirement, name: str, *, data: bool = True, **options: Any) -> Plan:
    """The plan of a domain's build of a model.onnx."""
    domain = find_domain(name)
    return plan_candidates(wanted, domain, make_options(BuildOptions, domain, options), data=data, onnx=True)


def plan(options: dict[str, Any] | None = None, **blocks: Any) -> list[str]:
    """The candidates' names and storages of a table's build."""
    found = plan_of(Requirement(SENTENCE, **blocks), "tabular", **(options or {}))
    return [f"{one.name}/{storage}" for one in found.cards for storage in found.storages]


SHELF = ("8+kernel+trees", 8, 4, 2, 1)


def test_what_the_user_has_chosen_stays() -> None:
    small = {"limits": Limits(size="1 MB")}
    assert len(plan(**small)) == 15
    assert plan({"members": 3}, **small) == ["tabular-3/none", "tabular-3/fp16", "tabular-3/int8"]
    assert plan(**small, deploy=Deploy(quantize="fp16")) == [
        f"tabular-{m}/fp16" for m in ("8+kernel+trees", 8, 4, 2, 1)
    ]
    assert plan({"card": "tabular-5/int8"}, **small) == ["tabular-5/int8"]
    assert plan({"one_pass": True}) == ["tabular-1/none"]
    assert plan({"one_pass": True, "members": 2}) == ["tabular-2/none"]
    assert plan() == ["tabular-8+kernel+trees/none"]
    assert plan(quality=Quality(accuracy="90%")) == [f"tabular-{m}/none" for m in SHELF]


def test_a_card_and_another_option_may_not_contradict_each_other() -> None:
    for options, flag in (({"members": 4}, "--members"), ({"one_pass": True}, "--one-pass")):
        with pytest.raises(UsageError, match=f"tabular-2 and {flag} contradict"):
            plan({"card": "tabular-2", **options})
    assert plan({"card": "tabular-1", "one_pass": True}) == ["tabular-1/none"]
    assert plan({"card": "tabular-4+trees", "members": 4}) == ["tabular-4+trees/none"]
    assert plan({"card": "tabular-4+kernel"}) == ["tabular-4+kernel/none"]
    with pytest.raises(UsageError, match=r"tabular-1\+trees and --one-pass contradict"):
        plan({"card": "tabular-1+trees", "one_pass": True})
    with pytest.raises(UsageError, match="--backbone contradict"):
        plan_of(Requirement(SENTENCE), "image", card="efficientnet_lite0", backbone="resnet18")
    kept = plan_of(Requirement(SENTENCE), "image", card="resnet18", backbone_weights="mine.safetensors")
    assert [card.name for card in kept.cards] == ["resnet18"]


def test_only_what_is_at_hand_is_tried_by_itself() -> None:
    wanted = Requirement(SENTENCE, limits=Limits(size="1 MB"))
    at_hand = {card.name for card in find_cards() if card.at_hand}
    for domain, first in (("text", "minilm-l6"), ("image", "efficientnet_lite0")):
        found = plan_of(wanted, domain)
        assert found.cards[0].name == first
        assert {card.name for card in found.cards} <= at_hand
    words = plan_of(wanted, "image", data=False)
    assert "int8" not in words.storages  # ranges are measured on images
    chosen = plan_of(wanted, "image", backbone="resnet50")
    assert [card.name for card in chosen.cards] == ["resnet50"]


# The order -----------------------------------------------------------------------------------------------------------


class Shop:
    """A search over made-up models: how large each file is, what each storage loses, what each card lost on record."""

    def __init__(
        self,
        folder: Path,
        size: int,
        *,
        sizes: dict[str, int],
        lost: dict[str, float] | None = None,
        recorded: dict[int, float] | None = None,
        quality: Quality | None = None,
        broken: tuple[str, ...] = (),
    ) -> None:
        self.made: list[str] = []
        self.sizes, self.lost, self.broken, self.names = sizes, lost or {}, broken, {}
        recorded = recorded or {4: 0.0, 2: 0.05, 1: 0.2}
        columns, frame = random_table()
        self.model = random_model(columns, frame, labels=["a", "b"], members=1, hidden=2)
        wanted = Requirement(SENTENCE, limits=Limits(size=size), quality=quality or Quality())
        cards = [replace(table_card(m), lost={"log_loss": loss}) for m, loss in recorded.items()]
        storages = ("none", "fp16", "int8")
        self.search = Search(
            wanted, "classification", cards, storages, self.make, lambda card: None, self.write, folder
        )

    def make(self, card: ArchitectureCard) -> Body:
        self.made.append(card.name)
        body = Body(self.model, {"model": {"accuracy": 0.9, "log_loss": 0.3}}, 200, None, None)
        body.card = card.name  # type: ignore[attr-defined]
        body.compared = SimpleNamespace(lost=self.losses)  # type: ignore[assignment]
        return body

    def write(self, body: Body, storage: str, path: Path) -> None:
        name = self.names[path] = f"{body.card} {storage}"  # type: ignore[attr-defined]
        if name in self.broken:
            raise VerificationError("The exported model is wrong.", "It differs.")
        filler = "." * self.sizes.get(name, 50_000)
        card = onnx.StringStringEntryProto(key="modelgpt", value=json.dumps({"filler": filler}))
        path.write_bytes(onnx.ModelProto(metadata_props=[card]).SerializeToString())

    def losses(self, path: Path) -> dict[str, float]:
        """What `Comparison.lost` gives."""
        return {"log_loss": self.lost.get(self.names[path], 0.0), "accuracy": self.lost.get(self.names[path], 0.0)}


SIZES = {"tabular-4 none": 9000, "tabular-4 fp16": 5000, "tabular-4 int8": 3000, "tabular-2 none": 5000}
SIZES |= {"tabular-2 fp16": 3000, "tabular-2 int8": 2000, "tabular-1 none": 3000, "tabular-1 fp16": 1500}
SIZES |= {"tabular-1 int8": 1000}
FIGURES = 300
"""Bytes that the figures take in a file, at most."""


def test_a_storage_that_loses_less_than_the_next_card_is_taken(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 3000 + FIGURES, sizes=SIZES, lost={"tabular-4 int8": 0.01})
    assert shop.search.run().name == "tabular-4 in int8"
    assert shop.made == ["tabular-4"]  # the next loses .05 on record: not worth a try


def test_a_card_that_loses_less_than_a_storage_does_here_is_taken(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 3000 + FIGURES, sizes=SIZES, lost={"tabular-4 int8": 0.08, "tabular-2 int8": 0.02})
    assert shop.search.run().name == "tabular-2 in fp16"
    assert shop.made == ["tabular-4", "tabular-2"]


def test_each_model_is_made_once_and_the_first_that_loses_nothing_ends_the_search(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 5000 + FIGURES, sizes=SIZES)
    assert shop.search.run().name == "tabular-4 in fp16"
    assert [attempt.storage for attempt in shop.search.attempts] == ["none", "fp16"]
    assert shop.made == ["tabular-4"]


def test_quality_holds_after_the_storage_too(tmp_path: Path) -> None:
    lost = {"tabular-4 int8": 0.06}
    shop = Shop(tmp_path, 3000 + FIGURES, sizes=SIZES, lost=lost, quality=Quality(accuracy=0.88))
    assert shop.search.run().name == "tabular-2 in fp16"
    refused = next(a for a in shop.search.attempts if a.name == "tabular-4 in int8")
    assert set(refused.missed) == {"accuracy"}
    assert refused.measured["accuracy"] == pytest.approx(0.84)  # 0.9 held out, less what 8 bits cost


def test_a_smaller_card_is_no_cure_for_quality(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 10_000, sizes=SIZES, quality=Quality(accuracy=0.95))
    with pytest.raises(VerificationError) as caught:
        shop.search.run()
    assert shop.made == ["tabular-4"]
    assert "quality: accuracy  at least 0.95" in caught.value.cause


def test_a_file_that_fails_its_verification_is_passed_over(tmp_path: Path) -> None:
    shop = Shop(tmp_path, 5000 + FIGURES, sizes=SIZES, broken=("tabular-4 fp16",))
    taken = shop.search.run()
    assert taken.name == "tabular-4 in int8"
    assert taken.kept


def test_the_size_is_that_of_the_file_with_its_figures(tmp_path: Path) -> None:
    taken = Shop(tmp_path, 9000 + FIGURES, sizes=SIZES).search.run()
    assert taken.path is not None
    assert taken.measured["size"] == taken.path.stat().st_size > 9000
    shop = Shop(tmp_path, 9000 + 60, sizes=SIZES)  # enough for the model, not for its figures
    assert shop.search.run().name == "tabular-4 in fp16"


def test_gains_of_a_storage_do_not_count() -> None:
    assert held_back({"accuracy": 0.9, "mae": 2.0}, {"accuracy": -0.1, "mae": 0.5}) == {"accuracy": 0.9, "mae": 2.5}


def test_what_is_missed_and_by_how_much() -> None:
    asked = {"size": 100, "accuracy": 0.9, "rmse": 2.0, "r2": 0.5}
    assert find_missed(asked, {"size": 100, "accuracy": 0.9, "rmse": 2.0}) == {}
    missed = find_missed(asked, {"size": 150, "accuracy": 0.6, "rmse": 3.0, "r2": None})
    assert missed == {"size": 1.5, "accuracy": pytest.approx(1.5), "rmse": 1.5, "r2": math.inf}
