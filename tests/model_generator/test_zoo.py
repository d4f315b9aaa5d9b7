"""The cards: what they cost by computation is what is measured, what is on record, `modelgpt zoo` as a user sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from artifact_models import random_model, random_table
from bad_input import Bench
from conftest import ROOT, clean_environment

from modelgpt_cli.artifacts.export import write_model
from modelgpt_cli.core.limits import Limits
from modelgpt_cli.domains.image import architectures as image
from modelgpt_cli.domains.tabular.architectures import MEMBERS, table_costs
from modelgpt_cli.domains.tabular.sizes import CHANNELS
from modelgpt_cli.domains.text import architectures as text
from modelgpt_cli.model_generator.cards import find_cards
from modelgpt_cli.model_generator.costs import Sizes
from modelgpt_cli.model_generator.measure import measure_flops


@pytest.mark.parametrize("labels", [("a", "b", "c"), ()])
@pytest.mark.parametrize("members", [1, 3])
def test_what_a_table_costs_is_computed_exactly(members: int, labels: tuple[str, ...], tmp_path: Path) -> None:
    columns, frame = random_table()
    model = random_model(columns, frame, labels=labels, members=members, hidden=128)
    d, inputs = model.weight("head.linear").shape[0], model.weight("layers.0.weight").shape[1]
    full = (inputs - d) // (CHANNELS - 1)
    costs = table_costs(members, Sizes(outputs=max(len(labels), 1), numbers=full, levels=d - full))
    assert costs.parameters == sum(p.numel() for p in model.parameters())
    for storage, n_bytes in costs.n_bytes.items():
        path = tmp_path / f"{storage}.onnx"
        write_model(model, path, quantize=storage)
        assert measure_flops(path) == costs.flops
        assert n_bytes < path.stat().st_size < n_bytes + 40_000  # a floor, and a near one


def test_a_floor_leaves_out_only_what_cannot_be() -> None:
    costs = table_costs(8, Sizes(outputs=2, numbers=10))
    over = Limits(size=costs.n_bytes["fp16"], parameters=costs.parameters - 1, flops=costs.flops)
    assert set(costs.exceeding(over, "none")) == {"size", "parameters"}
    assert set(costs.exceeding(over, "fp16")) == {"parameters"}
    assert set(costs.exceeding(over, "none", file=False)) == {"parameters"}


@pytest.mark.slow
def test_sizes_on_record_are_those_that_are_computed() -> None:
    ours = (text.MULTILINGUAL, text.STATIC)  # no BERT; see their own tests
    sizes = {name: size for name, size in text.SIZES.items() if name not in ours}
    assert {name: text.encoder_size(text.CARDS[name]) for name in sizes} == sizes
    assert {name: image.trunk_size(card) for name, card in image.CARDS.items()} == image.SIZES


def test_zoo_lists_the_cards_without_torch() -> None:
    code = "import sys; from modelgpt_cli.cli import main; main(['zoo']); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stderr
    assert "minilm-l6" in done.stdout


def test_what_is_on_record_is_of_the_generator_that_ships() -> None:
    record = yaml.safe_load((ROOT / "weights/tabular/members.yaml").read_text())
    assert record["generator"] == yaml.safe_load((ROOT / "weights/tabular/card.yaml").read_text())["sha256"]
    assert [entry["members"] for entry in record["members"]] == list(MEMBERS)
    cards = {card.name: card for card in find_cards("tabular")}
    assert cards["tabular-8+kernel+trees"].lost == {"log_loss": 0.0, "r2": 0.0}
    assert all(0 < lost < 0.05 for lost in cards["tabular-8"].lost.values())  # what stands beside is worth
    assert cards["tabular-1"].lost["log_loss"] > 0
    assert all(0.5 < card.quality["accuracy"] < 1 for card in cards.values())


def test_every_size_of_images_has_a_record_and_other_networks_say_that_they_have_none(bench: Bench) -> None:
    for card in find_cards("image"):
        assert bool(card.quality) == bool(card.generator), card.name
        assert all(0.3 < score < 1 for score in card.quality.values())
    assert "on record: score, 4 a class:" in bench.run("zoo", "show", "efficientnet_lite0-128").out
    shown = bench.run("zoo", "show", "efficientnet_lite0_11").out
    assert "nothing: no generator was trained for it" in shown


def test_a_record_of_another_generator_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    records = {"card.yaml": {"sha256": "new"}, image.SIZES_FILE: {"generator": "old", "cards": {}}}
    monkeypatch.setattr(image, "record", lambda domain, name: records[name])
    found = image.find("efficientnet_lite0-128")
    assert found is not None
    assert not found.quality


def test_zoo_lists_the_cards_of_every_domain(bench: Bench) -> None:
    done = bench.run("zoo", "--json")
    assert done.code == 0, done.err
    cards = {card["name"]: card for card in json.loads(done.out)["cards"]}
    assert {"tabular-8", "tabular-1", "minilm-l6", "distilbert", "efficientnet_lite0", "resnet50"} <= set(cards)
    assert cards["resnet50"]["parameters"] == 23_508_032 + 2 * 2049  # torchvision's without its head, and ours
    assert {name for name in ("efficientnet_lite0", "minilm-l6", "mobilenet_v2_tf") if cards[name]["at_hand"]} == {
        "efficientnet_lite0",
        "minilm-l6",
    }
    assert cards["minilm-l6"]["flops_at"] == "128 tokens"
    assert cards["tabular-8"]["bytes"]["fp32"] > 3 * cards["tabular-8"]["bytes"]["int8"]
    assert cards["efficientnet_lite0"]["measured"] is None


def test_what_bench_measures_is_shown_until_something_changes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELGPT_CACHE", str(bench.folder / "cache"))
    done = bench.run("zoo", "bench", "tabular-1", "--columns", "3", "--json")
    assert done.code == 0, done.err
    measured = json.loads(done.out)["cards"][0]["measured"]
    assert measured["int8"]["size"] < measured["fp16"]["size"] < measured["fp32"]["size"]
    assert 0 < measured["fp32"]["latency_ms"] <= measured["fp32"]["latency_p95_ms"]
    shown = bench.run("zoo", "show", "tabular-1", "--columns", "3").out
    assert f"Measured {measured['date']}" in shown
    assert "Not measured here yet" in bench.run("zoo", "show", "tabular-1", "--columns", "4").out
    kept = bench.folder / "cache" / "zoo.json"
    kept.write_text(kept.read_text().replace(measured["onnxruntime"], "0.0.1"))
    assert "Not measured here yet" in bench.run("zoo", "show", "tabular-1", "--columns", "3").out
    kept.write_text("no JSON")
    assert bench.run("zoo", "show", "tabular-1").code == 0


def test_zoo_refuses_what_it_does_not_know(bench: Bench) -> None:
    bench.refuse(2, "no card 'tabula-1'", "zoo", "show", "tabula-1")
    bench.refuse(2, "zoo show takes one", "zoo", "show")
    bench.refuse(1, "not on this machine", "zoo", "bench", "mobilenet_v2_tf")
