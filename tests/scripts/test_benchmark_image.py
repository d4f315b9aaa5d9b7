"""The image benchmark keeps its word: which images are for judging, who sees what, what seconds count, once per cell.

The least network with random weights, at 32 pixels, stands for the backbone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from image_models import TINY, image_model, random_trunk
from safetensors.torch import save_file
from tiny_images import blot, encoded, folder_of, zip_of

from modelgpt_cli.domains.image import architectures as cards
from modelgpt_cli.domains.image.preprocess import normalise
from modelgpt_cli.domains.image.rows import Images
from modelgpt_cli.domains.image.target import make_image_generator
from modelgpt_cli.domains.image.tasks import hash_seed, split_rows
from modelgpt_cli.domains.image.trunks import norms, trunk_state
from modelgpt_cli.domains.shared.scaling import Scaling
from modelgpt_cli.parameter_generator.adapter import AdapterConfig
from modelgpt_cli.parameter_generator.checkpoint import save_generator

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks import cell_tables
from benchmarks.images import ablation, networks, pairs
from benchmarks.images import bench as images_bench
from benchmarks.images.methods import FINETUNE, LORA, Problem, Settings, probe, trained
from benchmarks.images.networks import Memory, Network, Weights, outputs
from benchmarks.images.ours import Generators
from benchmarks.images.tasks import Sets, read_office31
from benchmarks.pipeline.models import write_images
from benchmarks.results import Cell, part_store

CARD = replace(cards.CARDS[TINY], name="tiny", source="file", resize=32, size=32)
DOMAINS = ("photo", "sketch")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The card of the backbone; and what a script changes in its process is put back."""
    monkeypatch.setitem(cards.CARDS, "tiny", CARD)  # type: ignore[arg-type]
    logger, threads = logging.getLogger("modelgpt"), torch.get_num_threads()
    level = logger.level
    yield
    logger.setLevel(level)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file({k: v.contiguous() for k, v in trunk_state(random_trunk(TINY, size=32)).items()}, str(path))
    return Weights(CARD, str(path))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cats and dogs under the names of sets that meta-training never sees, one of them in two domains."""
    root = tmp_path_factory.mktemp("sets")
    for name, domains in (("steel_defects", ("",)), ("pacs", DOMAINS), ("weather4", ("",))):
        zip_of(folder_of(root / "tree" / name, n=20, domains=domains), root / f"{name}.zip")
        card = {"title": name, "description": "Tell cats from dogs."}
        card |= {"domains": {d: {"description": f"taken as {d}"} for d in domains if d}}
        (root / f"{name}.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def generator(data: Path, weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator with random weights, whose words do something."""
    seen = Sets(data, weights.view).task("steel_defects").parts["train"].rows
    scaling = Scaling.of(outputs(weights.trunk(), seen, weights.view))
    torch.manual_seed(0)
    config = AdapterConfig(
        domain="image", scaled=True, backbone="tiny", size=CARD.features, width=16, blocks=1, heads=2
    )
    backbone = weights.adapted()
    made = make_image_generator(config, backbone, scaling)
    for layers, std in ((made.head_out, 0.3), (made.factors.out, 0.1)):
        for layer in layers.values():
            torch.nn.init.normal_(layer.weight, std=std)  # type: ignore[arg-type]
    path = tmp_path_factory.mktemp("run") / "generator.safetensors"
    save_generator(path, made, {"step": 1, "trunk": backbone.weights}, domain="image")
    return path


def bench(part: str, data: Path, weights: Weights, out: Path, *options: str) -> int:
    line = ["--data", str(data), "--out", str(out), "--backbone", "tiny", "--backbone-weights", str(weights.path)]
    return images_bench.main([part, *line, "--dtype", "fp32", *options])


def cells(out: Path, part: str, method: str) -> dict[str, Cell]:
    return {f"{c.task} {c.size} {c.repeat}": c for c in part_store(out / "tiny", part, method).read()}


def settings_of(weights: Weights, **more: int) -> Settings:
    return Settings(weights, Memory(), Generators(), weights.trunk(), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", ["images", ""])
def test_office31_is_read_as_published(tmp_path: Path, weights: Weights, level: str) -> None:
    for domain in ("amazon", "dslr", "webcam"):
        for k, label in enumerate(("back_pack", "bike", "mug")):
            folder = tmp_path / domain / level / label
            folder.mkdir(parents=True)
            for i in range(5):
                (folder / f"frame_{i + 1:04d}.jpg").write_bytes(encoded(blot(i, (80 * k, 90, 60), side=40)))
    found = {task.name: task for task in read_office31(tmp_path, weights.view)}
    assert list(found) == ["office31/amazon", "office31/dslr", "office31/webcam"]
    webcam = found["office31/webcam"]
    assert webcam.classes == ("back_pack", "bike", "mug")
    assert "low-resolution webcam images" in webcam.sentences[0].lower()
    assert (len(webcam.parts["train"].y), len(webcam.parts["test"].y)) == (9, 6)
    assert webcam.parts["test"].rows.values.shape == (6, 3, 32, 32)
    with pytest.raises(SystemExit, match="is not Office-31"):
        read_office31(folder_of(tmp_path / "other", n=2, domains=DOMAINS), weights.view)


def test_images_for_judging_are_those_that_meta_training_leaves_aside(data: Path, weights: Weights) -> None:
    sets = Sets(data, weights.view)
    assert sets.tasks("few-shot") == ["pacs/photo", "pacs/sketch", "steel_defects"]
    assert sets.tasks("domains") == ["pacs/photo", "pacs/sketch"]
    assert sets.tasks("few-shot", ["steel_defects", "pacs/sketch"]) == ["pacs/sketch", "steel_defects"]
    task = sets.task("pacs/sketch")
    y = np.repeat([0, 1], 20)
    train, test = split_rows(y, hash_seed("pacs"))
    np.testing.assert_array_equal(task.parts["test"].y, y[test])
    np.testing.assert_array_equal(task.parts["train"].y, y[train])
    assert [one.name for one in sets.others("pacs/sketch")] == ["pacs/photo"]
    with pytest.raises(SystemExit, match="No such set: weather4"):
        sets.tasks("few-shot", ["weather4"])
    with pytest.raises(SystemExit, match="No such task: pacs/cartoon"):
        sets.tasks("domains", ["pacs/cartoon"])
    with pytest.raises(SystemExit, match="MODELGPT_DATA"):
        Sets(data / "nowhere", weights.view).tasks("few-shot")


def test_every_cell_is_measured_once(
    data: Path, weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tasks", "steel_defects", "--sizes", "0,1,4", "--repeats", "0-1"]
    assert bench("few-shot", data, weights, tmp_path, *options) == 0
    assert "12 cells measured, 0 failed" in capsys.readouterr().err  # no generator: nothing from words alone
    assert not (tmp_path / "tiny" / "few-shot-ours_words.jsonl").exists()
    found = cells(tmp_path, "few-shot", "ours")
    assert set(found) == {f"steel_defects {size} {repeat}" for size in (1, 4) for repeat in (0, 1)}
    facts = found["steel_defects 4 0"].facts
    assert {"seed", "date", "fit_cpu_seconds", "macro_f1", "top3", "top5", "dtype", "strength"} <= set(facts)
    assert (facts["n_train"], facts["n_test"], facts["generator"]) == (8, 16, None)
    for method in ("ours", "probe", "ncm"):
        assert np.mean([c.facts["score"] for c in cells(tmp_path, "few-shot", method).values()]) > 0.7
    assert bench("few-shot", data, weights, tmp_path, *options) == 0
    assert "0 cells measured" in capsys.readouterr().err
    notes = yaml.safe_load((tmp_path / "tiny" / "few-shot-ours.yaml").read_text())
    assert notes["protocol"]["backbone"] == "tiny"
    assert notes["runs"][0]["command"]
    other = tmp_path / "other.safetensors"
    save_file({k: v.contiguous() for k, v in trunk_state(random_trunk(TINY, seed=1)).items()}, str(other))
    with pytest.raises(SystemExit, match="another weights"):
        bench("few-shot", data, Weights(CARD, str(other)), tmp_path, *options, "--repeats", "2")


@pytest.mark.slow
def test_held_back_domains(data: Path, weights: Weights, generator: Path, tmp_path: Path) -> None:
    for domain in DOMAINS:
        (tmp_path / f"pacs-{domain}.safetensors").write_bytes(generator.read_bytes())
    given = ["--generator", str(tmp_path / "{set}-{domain}.safetensors"), "--max-epochs", "1"]
    quick, slow = ("probe_source", "ours_words", "ncm", "probe", "ours"), ("ours_tuned", "lora", "finetune")
    assert bench("domains", data, weights, tmp_path / "out", *given, "--methods", ",".join(quick)) == 0
    assert bench("domains", data, weights, tmp_path / "out", *given, "--tasks", "pacs/photo") == 0
    for method in quick + slow:
        found = cells(tmp_path / "out", "domains", method)
        expected = {"pacs/photo None 0", "pacs/sketch None 0"} if method in quick else {"pacs/photo None 0"}
        assert set(found) == expected, method
        assert {"top3", "fit_seconds", "fit_cpu_seconds"} <= set(found["pacs/photo None 0"].facts)
    with pytest.raises(SystemExit, match=r"No such generator: .*pacs-photo"):
        bench("domains", data, weights, tmp_path, "--generator", str(tmp_path / "x-{set}-{domain}"))
    with pytest.raises(SystemExit):
        bench("domains", data, weights, tmp_path, "--methods", "ours_words")


def test_a_source_only_probe_sees_nothing_of_the_domain(data: Path, weights: Weights) -> None:
    sets, settings = Sets(data, weights.view), settings_of(weights)
    problem = Problem(sets.task("pacs/photo"), np.arange(0), sets.others("pacs/photo"))
    said = probe(settings, search=True, source=True)(problem, 0).predict_proba(problem.task)
    assert (said.argmax(1) == problem.task.parts["test"].y).mean() > 0.8


def test_seconds_are_charged_by_the_image(data: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, memory, time = Sets(data, weights.view).task("steel_defects").parts["train"].rows, Memory(), np.zeros(2)
    monkeypatch.setattr(networks, "clock", time.copy)

    def embed(some: Images) -> torch.Tensor:
        time[:] += len(some)
        return torch.zeros(len(some), 3)

    charged = []
    for index in (np.arange(4), np.arange(4), np.arange(24)):
        start = memory.now()
        memory.features(("net", "train"), rows, index, embed)
        charged.append(float((memory.now() - start)[0]))
    assert charged == pytest.approx([4, 4, 24])  # remembered, and yet as dear


def test_only_adapters_or_all_but_batch_norm_is_trained(data: Path, weights: Weights) -> None:
    task = Sets(data, weights.view).task("steel_defects")
    problem = Problem(task, np.arange(len(task.parts["train"].y)))
    settings = settings_of(weights, max_epochs=2)
    before = weights.trunk()
    for plan in (LORA, FINETUNE):
        fitted = trained(settings, plan)(problem, 0)
        trunk = fitted.model.trunk
        moved = {name for name, p in trunk.named_parameters() if p.requires_grad}
        assert moved
        assert all((".lora_" in name) == plan.lora for name in moved)
        kept = dict(norms(trunk.base_model.model if plan.lora else trunk))
        for name, norm in norms(before):
            for key, value in norm.state_dict().items():
                assert torch.equal(value, kept[name].state_dict()[key]), f"{name}.{key}"
        assert fitted.facts["epochs"] == 2


def test_a_built_model_is_taken_over_as_it_is(weights: Weights) -> None:
    model = image_model(CARD)
    torch.manual_seed(0)
    values = normalise(torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8), weights.view)
    network = Network(model.trunk, Scaling.of(model.features(values).detach()), 3)
    network.set_head(model.head_weight.detach(), model.head_bias.detach())
    torch.testing.assert_close(network.eval()(values), model(values), atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_initialisation_is_compared_epoch_by_epoch(
    data: Path, weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--tasks", "steel_defects", "--max-epochs", "2", "--repeats", "0", "--methods", "pretrained,built"]
    assert bench("init", data, weights, tmp_path, *options) == 0
    plain, built = (cells(tmp_path, "init", m)["steel_defects None 0"].facts for m in ("pretrained", "built"))
    for facts in (plain, built):
        assert len(facts["curve"]) == len(facts["test_curve"]) == 3
        assert facts["best"] == max(facts["curve"]) == facts["curve"][facts["best_epoch"]]
    assert plain["test_curve"][0] == 0.5  # a head of zeros
    assert built["test_curve"][0] > 0.8
    page = tmp_path / "page.md"
    line = ["init", "--results", str(tmp_path), "--backbone", "tiny", "--report", str(page)]
    assert cell_tables.main(["images", *line]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<!-- image-init-tiny: start -->" in text
    shown = next(line for line in text.splitlines() if line.startswith("| pretrained weights | 50.0 |"))
    assert shown.endswith("| – | – | – | – |")  # epochs that there were not


@pytest.mark.slow
def test_what_a_user_would_do_instead_is_measured_beside_ours(data: Path, weights: Weights, tmp_path: Path) -> None:
    options = ["--tasks", "steel_defects", "--max-epochs", "2", "--sizes", "8,all"]
    assert bench("alternatives", data, weights, tmp_path, *options) == 0
    for method in ("probe", "dense_head", "head_then_all", "ours", "ours_tuned"):
        found = cells(tmp_path, "alternatives", method)
        assert set(found) == {f"steel_defects {size} 0" for size in (8, None)}
        assert found["steel_defects None 0"].facts["score"] > 0.7, method
    assert found["steel_defects None 0"].facts["kept"] in ("before", "after")
    lines = cell_tables.section("images", tmp_path / "tiny", "alternatives", per_task=False).splitlines()
    assert "| method | 8: accuracy × 100 | CPU s | all: accuracy × 100 | CPU s |" in lines
    assert sum(line.startswith(("| dense head", "| **ModelGPT")) for line in lines) == 3


def test_the_summary_tells_domains_and_time_apart(tmp_path: Path) -> None:
    common = {"threads": 1, "date": "2026-01-01", "dtype": "fp32", "top3": 0.9, "top5": 1.0}
    for method, seconds, tasks in (
        ("finetune", 100.0, ("pacs/photo", "pacs/sketch")),
        ("ours", 0.5, ("pacs/photo", "pacs/sketch")),
        ("lora", 50.0, ("pacs/photo",)),
    ):
        for task, score in zip(tasks, (0.8, 0.6), strict=False):
            facts = {"score": score, "fit_seconds": seconds, "fit_cpu_seconds": seconds, **common}
            part_store(tmp_path, "domains", method).append(Cell(task, method, 0, None, facts))
    lines = cell_tables.section("images", tmp_path, "domains", per_task=False).splitlines()
    ours = next(line for line in lines if line.startswith("| **ModelGPT**"))
    assert ours == "| **ModelGPT** | 80.0 | 60.0 | 70.0 | 90.0 | 100.0 | 0.50 | 0.50 | 200.0 |"
    lora = next(line for line in lines if line.startswith("| LoRA"))
    assert lora == "| LoRA | 80.0 | – | – | – | – | – | – | – |"


def test_the_summary_counts_epochs_from_before_the_first(tmp_path: Path) -> None:
    common = {"threads": 1, "date": "2026-01-01", "dtype": "fp32"}
    for method, curve in (("pretrained", [0.1, 0.5, 0.8, 0.7]), ("built", [0.6, 0.8, 0.9, 0.9])):
        best = int(np.argmax(curve))
        facts = {"curve": curve, "test_curve": curve, "best_epoch": best, "best": curve[best]}
        facts |= {"best_test": curve[best], **common}
        part_store(tmp_path, "init", method).append(Cell("steel_defects", method, 0, None, facts))
    text = cell_tables.section("images", tmp_path, "init", per_task=False)
    assert "| pretrained weights | 2.0 | 2.0 | 80.0 | 80.0 | 1 |" in text
    assert "| weights built from the images | 2.0 | 1.0 | 90.0 | 90.0 | 1 |" in text


@pytest.mark.slow
def test_pairs_of_classes_are_measured_from_their_names_on(
    data: Path, weights: Weights, generator: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    line = ["--data", str(data), "--backbone", "tiny", "--backbone-weights", str(weights.path), "--repeats", "1"]
    pairs.main([*line, "--generator", str(generator), "--tasks", "steel_defects", "--report", str(page)])
    rows = [row.split(" | ") for row in page.read_text(encoding="utf-8").splitlines() if row.startswith("| steel")]
    assert rows[0][1] == "1"
    assert float(rows[0][6]) > 70, "eight images of each tell them apart"


@pytest.mark.slow
def test_the_ablation_shows_every_change(
    data: Path, weights: Weights, generator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    names = ("**as shipped**", "neither", "no LoRA")
    monkeypatch.setattr(ablation, "VARIANTS", {k: v for k, v in ablation.VARIANTS.items() if k in names})
    line = ["--data", str(data), "--backbone", "tiny", "--backbone-weights", str(weights.path), "--repeats", "1"]
    given = ["--generator", str(generator), "--tasks", "steel_defects", "--domain-generator", str(generator)]
    ablation.main([*line, *given, "--report", str(page)])
    text = page.read_text(encoding="utf-8")
    assert "| change | unseen, 0 | 4 | 16 | held-back domains, 0 |" in text
    for name in names:
        cells = next(row for row in text.splitlines() if row.startswith(f"| {name} |")).split("|")[2:-1]
        assert len(cells) == 4
    shipped, no_lora = (
        next(row for row in text.splitlines() if row.startswith(f"| {name} |")).split("|")[2:]
        for name in ("**as shipped**", "no LoRA")
    )
    assert shipped != no_lora
    with pytest.raises(SystemExit):
        ablation.main([*line, "--report", str(page)])


def test_the_pipeline_keeps_its_test_images_apart(data: Path, tmp_path: Path) -> None:
    found = write_images(data, "pacs", tmp_path, images=11, most_test=6)
    places = [sorted(p.relative_to(f).as_posix() for p in f.rglob("*.jpg")) for f in (found.examples, found.test)]
    assert [len(some) for some in places] == [11, 6]
    assert not set(places[0]) & set(places[1])
    assert {p.split("/")[0] for p in places[0]} == {"cat", "dog"}
    assert sum(p.startswith("cat/") for p in places[1]) == 3
    assert "Tell cats from dogs." in found.requirement.read_text()
