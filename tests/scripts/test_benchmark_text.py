"""The text benchmark keeps its word: which tasks are unseen, what the shared network computes, once per cell, what a
failure leaves. A tiny random BERT stands for the backbone."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT
from sklearn.metrics import matthews_corrcoef

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks import cell_tables
from benchmarks.harness import Method, draw_seed
from benchmarks.metrics import fair_metrics
from benchmarks.results import Cell, Store, part_store
from benchmarks.texts import bench as texts_bench
from benchmarks.texts.methods import FEW_SHOT_METHODS, Fit, Settings
from benchmarks.texts.networks import (
    Backbone,
    Embedder,
    answer,
    bucketed,
    embed,
    make_network,
    train,
)
from benchmarks.texts.tasks import GLUE, HOLDOUT, correlations, draw_support, glue_metric, held_out, read_task
from benchmarks.training import Plan, hold_out

WORDS = ["good", "bad", "film", "book", "the", "a", "very", "quite", "old", "new", "warm", "cold"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT of one layer that knows a dozen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    path = tmp_path_factory.mktemp("backbone")
    vocabulary = {word: i for i, word in enumerate([*SPECIAL, *WORDS])}
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, initializer_range=0.3,
        ),
        add_pooling_layer=False,
    ).save_pretrained(path)  # fmt: skip
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    tokenizer.save(str(path / "tokenizer.json"))
    return path


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return Backbone(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """GLUE's SST-2, MNLI and STS-B, and the unseen tasks `cr` and `sick`, made of a dozen words."""
    write_task(tmp_path / "glue" / "sst2", ["negative", "positive"], "dev")
    write_task(tmp_path / "glue" / "mnli", ["no", "perhaps", "yes"], "dev", "dev_mismatched", paired=True)
    write_task(tmp_path / "glue" / "stsb", [], "dev", paired=True)
    write_task(tmp_path / "train" / "cr", ["bad", "good"], "test")
    write_task(tmp_path / "train" / "sick", ["no", "perhaps", "yes"], "test", paired=True)
    write_task(tmp_path / "train" / "trec", ["who", "what"], "test")  # which meta-training sees
    return tmp_path


def write_task(folder: Path, classes: list[str], *tests: str, paired: bool = False) -> None:
    """Sixty training rows and thirty of each test file, whose label the words tell."""
    folder.mkdir(parents=True)
    card = {"name": folder.name, "description": "Tell them apart.", "labels": classes}
    (folder / "card.yaml").write_text(yaml.safe_dump(card), encoding="utf-8")
    for number, name in enumerate(["train", *tests]):
        rng = np.random.default_rng(number)
        code = np.arange(30 if number else 60) % max(len(classes), 3)
        texts = [" ".join([WORDS[c], *rng.choice(WORDS[4:], rng.integers(1, 6))]) for c in code]
        frame = pd.DataFrame({"sentence1": texts})
        if paired:
            frame["sentence2"] = [" ".join(rng.choice(WORDS[4:], 3)) for _ in code]
        frame["label"] = [classes[c % len(classes)] if classes else f"{c + rng.random():.3f}" for c in code]
        frame.sample(frac=1, random_state=0).to_csv(folder / f"{name}.csv.gz", index=False)


def bench(part: str, data: Path, folder: Path, *options: str) -> int:
    return texts_bench.main(
        [part, "--data", str(data), "--out", str(data / "results"), "--backbone", str(folder), *options]
    )


def scores(data: Path, part: str, method: str) -> dict[tuple[str, int | None, int], float]:
    cells = part_store(data / "results", part, method).read()
    return {(c.task, c.size, c.repeat): c.facts["score"] for c in cells}


def test_unseen_tasks_are_those_whose_family_is_kept_out() -> None:
    assert not any(held_out(name, HOLDOUT) for name in GLUE)
    assert not held_out("mr", HOLDOUT)  # SST-2's films
    assert len({held_out(f"amazon_{name}", HOLDOUT) for name in ("books", "dvd", "electronics")}) == 1
    assert held_out("cr", HOLDOUT)
    assert held_out("sick", HOLDOUT)
    assert not held_out("trec", HOLDOUT)
    assert not held_out("trec_fine", HOLDOUT)


def test_draws_hold_so_many_of_each_class_and_come_again(data: Path) -> None:
    task = read_task(data, "few-shot", "sick")
    first = draw_support(task, 4, draw_seed("sick", 4, 0))
    assert {name: int((first.labels == name).sum()) for name in task.classes} == {"no": 4, "perhaps": 4, "yes": 4}
    assert first.texts == draw_support(task, 4, draw_seed("sick", 4, 0)).texts
    assert first.texts != draw_support(task, 4, draw_seed("sick", 4, 1)).texts
    assert len(read_task(data, "few-shot", "sick", test_rows=7).tests["test"]) == 7


def test_a_pair_is_encoded_together_and_compared(backbone: Backbone) -> None:
    rows = backbone.encode(["a good film", "the very cold old book"], ["a bad book", "warm"])
    batch = rows.padded([0, 1])
    states = backbone.model(
        input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.segments
    ).last_hidden_state
    found = embed(backbone.model, batch, paired=True)
    assert found.shape == (2, backbone.head_inputs(True)) == (2, 4 * 16 + 1)
    u, v = (x / x.norm() for x in (states[0, :5].mean(0), states[0, 5:9].mean(0)))  # [CLS] a b c [SEP], a b c [SEP]
    expected = torch.cat([u, v, (u - v).abs(), 8 * u * v, 3 * (u @ v)[None]])
    torch.testing.assert_close(found[0], expected)
    alone = embed(backbone.model, rows.padded([1]), paired=True)
    torch.testing.assert_close(found[1:], alone)  # whatever stands beside it in the batch


def test_answers_come_in_the_order_of_the_rows(backbone: Backbone) -> None:
    texts = [" ".join(WORDS[: 1 + k % 9]) for k in range(100)]
    network = make_network(backbone, 2, paired=False, lora=False)
    together = answer(network, backbone.encode(texts, None))
    for k in (0, 17, 99):
        np.testing.assert_allclose(together[k], answer(network, backbone.encode([texts[k]], None))[0], atol=1e-5)


def test_long_pairs_are_cut_at_the_longer_text(backbone: Backbone) -> None:
    rows = backbone.encode(["good " * 300], ["bad film"])
    assert len(rows.ids[0]) == 128
    assert 128 - rows.second[0] == 3  # the short text and its [SEP]


def test_what_remembered_embeddings_save_is_counted(backbone: Backbone) -> None:
    embedder = Embedder(backbone)
    first = embedder(["a good film"])
    assert embedder.spared.tolist() == [0, 0]
    np.testing.assert_array_equal(embedder(["a good film"]), first)
    assert embedder.spared[0] > 0


def test_batches_hold_every_row_once() -> None:
    lengths = 1 + np.arange(2001) % 40
    batches = list(bucketed(lengths, 16, np.random.default_rng(0)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(2001))
    spans = [np.ptp(lengths[batch]) for batch in batches]
    assert np.mean(spans) < 5


def test_the_best_epoch_is_kept(backbone: Backbone) -> None:
    texts = [f"{WORDS[k % 2]} {WORDS[4 + k % 8]}" for k in range(40)]
    rows, target = backbone.encode(texts, None), torch.arange(40) % 2
    network = make_network(backbone, 2, paired=False, lora=False)
    seen: list[np.ndarray] = []

    def judge(held_out: np.ndarray, outputs: np.ndarray) -> float:
        seen.append(outputs)
        return [0.1, 0.5, 0.2, 0.5, 0.3][len(seen) - 1]  # as good as the best is no progress

    plan = Plan(batch=8, lr=1e-3, head_lr=1e-2, epochs=20, held_out=0.25)
    course = train(network, rows, target, torch.nn.functional.cross_entropy, judge, plan, seed=0, bf16=False)
    assert (course.epochs, course.best_epoch, course.steps) == (5, 2, 5 * 4)
    _, held = hold_out(target, 0.25, seed=0)
    np.testing.assert_allclose(answer(network, rows.take(held)), seen[1], atol=1e-6)


def test_adapters_leave_the_backbone_as_it_was(backbone: Backbone) -> None:
    rows, target = backbone.encode(["good film", "bad film"] * 8, None), torch.arange(16) % 2
    network = make_network(backbone, 2, paired=False, lora=True)
    before = answer(network, rows)
    plan = Plan(batch=8, lr=1e-2, head_lr=1e-2, epochs=1, least_steps=30, lora=True)
    course = train(network, rows, target, torch.nn.functional.cross_entropy, lambda i, p: 0.0, plan, seed=0, bf16=False)
    assert course.steps == 30
    assert (answer(network, rows).argmax(1) == target.numpy()).all()
    moved = {n for n, p in network.named_parameters() if p.requires_grad and n.startswith("encoder")}
    assert moved
    assert all("lora_" in name and ("query" in name or "value" in name) for name in moved)
    with network.encoder.disable_adapter():  # type: ignore[operator,union-attr]
        states = embed(network.encoder, rows.padded(range(16)), False)
    torch.testing.assert_close(states, embed(backbone.model, rows.padded(range(16)), False))
    assert not np.allclose(before, answer(network, rows))


def test_glue_is_scored_as_published() -> None:
    true, said = np.array(["x", "x", "y", "y"]), np.array(["x", "y", "y", "y"])
    assert glue_metric("cola")(true, said)["score"] == pytest.approx(matthews_corrcoef(true, said))
    assert glue_metric("rte")(true, said) == {"score": 0.75}
    pair = np.array(["equivalent", "not_equivalent", "equivalent"])
    figures = glue_metric("mrpc")(pair, np.array(["equivalent"] * 3))
    assert figures["f1"] == pytest.approx(0.8)
    assert figures["score"] == pytest.approx((2 / 3 + 0.8) / 2)
    assert correlations(np.arange(4.0), 2 * np.arange(4.0))["score"] == pytest.approx(1)
    assert correlations(np.arange(4.0), np.ones(4))["score"] == 0


def test_no_opinion_is_chance() -> None:
    true = np.array([1] * 70 + [0] * 20 + [2] * 10)
    guessed = fair_metrics(true, np.full((100, 3), 1 / 3), tops=[2])
    assert guessed["score"] == pytest.approx(1 / 3)
    assert guessed["top2"] == pytest.approx(2 / 3)
    assert fair_metrics(true, np.eye(3)[true]) == {"score": 1, "macro_f1": 1}
    second = np.array([[0.3, 0.6, 0.1], [0.1, 0.6, 0.3]])  # the true class comes second, then last
    assert fair_metrics(np.array([0, 0]), second, tops=[2])["top2"] == 0.5


@pytest.mark.slow
def test_every_cell_is_measured_once(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--methods", "label_similarity,probe,finetune", "--sizes", "0,4", "--repeats", "0-1"]
    assert bench("few-shot", data, folder, *options, "--dtype", "fp32") == 0
    assert "10 cells measured, 0 failed" in capsys.readouterr().err
    similar = scores(data, "few-shot", "label_similarity")
    assert set(similar) == {("cr", 0, 0), ("sick", 0, 0)}
    assert similar["sick", 0, 0] == pytest.approx(1 / 3, abs=1e-5)  # a pair has no likeness to a label's name
    trained = scores(data, "few-shot", "finetune")
    assert set(trained) == {(task, 4, r) for task in ("cr", "sick") for r in (0, 1)}
    assert bench("few-shot", data, folder, *options) == 0
    assert "0 cells measured" in capsys.readouterr().err
    facts = json.loads((data / "results" / "few-shot-finetune.jsonl").read_text().splitlines()[0])
    assert {"seed", "date", "threads", "dtype", "steps", "fit_seconds", "fit_cpu_seconds", "macro_f1"} <= set(facts)
    notes = yaml.safe_load((data / "results" / "few-shot-finetune.yaml").read_text())
    assert notes["runs"][0]["command"]
    with pytest.raises(SystemExit, match="another max_epochs"):
        bench("few-shot", data, folder, *options, "--repeats", "3", "--max-epochs", "2")


def test_glue_with_classes_pairs_and_numbers(data: Path, folder: Path) -> None:
    assert bench("glue", data, folder, "--max-epochs", "2", "--methods", "probe,finetune,lora") == 0
    for method in ("probe", "finetune", "lora"):
        found = {c.task: c.facts for c in part_store(data / "results", "glue", method).read()}
        assert set(found) == {"sst2", "mnli", "stsb"}
        assert "score_dev_mismatched" in found["mnli"]
        assert {"pearson", "spearman"} <= set(found["stsb"])
    assert scores(data, "glue", "probe")["sst2", None, 0] > 0.8


def test_a_failure_is_written_down_and_measured_again(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(settings: Settings) -> Fit:
        raise ValueError("no such luck")

    options = ["--methods", "probe", "--tasks", "cr", "--sizes", "4", "--repeats", "0"]
    with monkeypatch.context() as patch:
        patch.setitem(FEW_SHOT_METHODS, "probe", Method(broken))
        assert bench("few-shot", data, folder, *options) == 1
    path = data / "results" / "few-shot-probe.jsonl"
    assert Store(path).read()[0].facts["error"] == "ValueError: no such luck"
    assert bench("few-shot", data, folder, *options) == 0  # which leaves it
    assert Store(path).read()[0].failed
    assert bench("few-shot", data, folder, *options, "--replace") == 0
    assert [cell.failed for cell in Store(path).read()] == [False]


def test_what_is_not_there_is_named(
    data: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"No such task: trec\. There are: cr, sick"):
        bench("few-shot", data, folder, "--tasks", "trec")
    with pytest.raises(SystemExit, match="MODELGPT_DATA"):
        bench("few-shot", data / "nowhere", folder)
    with pytest.raises(SystemExit):
        bench("glue", data, folder, "--methods", "setfit")
    assert "There are: tfidf, probe, finetune, lora" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "setfit", None)
    with pytest.raises(SystemExit, match="pip install setfit"):
        bench("few-shot", data, folder, "--methods", "setfit", "--sizes", "1")


def test_the_summary_compares_what_is_complete(tmp_path: Path) -> None:
    common = {"threads": 1, "date": "2026-01-01", "dtype": "fp32"}
    for task in GLUE:
        for method, score, seconds in (("finetune", 0.8, 100.0), ("probe", 0.6, 2.0), ("lora", 0.7, 50.0)):
            if (method, task) != ("lora", "qnli"):
                facts = {"score": score, "fit_seconds": seconds, "fit_cpu_seconds": seconds, **common}
                part_store(tmp_path, "glue", method).append(Cell(task, method, 0, None, facts))
    lines = cell_tables.section("texts", tmp_path, "glue", per_task=False).splitlines()
    probe = next(line for line in lines if line.startswith("| linear probe"))
    assert "| 60.0 | 75.0 % | 18.0 | 18.0 | 50.0 |" in probe
    lora = next(line for line in lines if line.startswith("| LoRA"))
    assert lora.endswith("| 70.0 | – | – | – | – | – | – |")


def test_the_summary_counts_whole_draws(tmp_path: Path) -> None:
    for task, repeat, score in (("cr", 0, 0.5), ("sick", 0, 0.7), ("cr", 1, 0.7), ("sick", 1, 0.7), ("cr", 2, 0.0)):
        facts = {"score": score, "macro_f1": score, "fit_cpu_seconds": 1.0, "threads": 1}
        facts |= {"dtype": "fp32", "date": "d"}
        part_store(tmp_path, "few-shot", "probe").append(Cell(task, "probe", repeat, 4, facts))
    page = tmp_path / "page.md"
    options = ["few-shot", "--results", str(tmp_path), "--per-task", "--report", str(page)]
    assert cell_tables.main(["texts", *options]) == 0
    text = page.read_text(encoding="utf-8")
    assert "| linear probe | 65.0 ± 7.1 (2) |" in text
    assert "<!-- text-few-shot: start -->" in text
    assert "| cr | 40.0 |" in text
