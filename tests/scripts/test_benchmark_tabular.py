"""The table benchmark keeps its word: what is measured, on which rows, once per cell, and what a failure leaves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks.harness import Method
from benchmarks.labels import label
from benchmarks.metrics import calibration_error, class_metrics, number_metrics, roc_auc
from benchmarks.results import load_tables
from benchmarks.tables import bench as tables
from benchmarks.tables import methods
from benchmarks.tables.tasks import Card, Table, draw_rows, read_table, side, split

QUICK = ["majority", "logistic"]


def write_table(folder: Path, name: str, task: str = "classification", rows: int = 60, **more: Any) -> Path:
    """A small table with a numeric column, a categorical one and gaps in both; the card's path."""
    rng = np.random.default_rng(len(name))
    size, colour = rng.normal(size=rows), rng.choice(["red", "green", "blue"], rows)
    target: np.ndarray = size + (colour == "red") + 0.3 * rng.normal(size=rows)
    frame = pd.DataFrame({"size": size.round(3), "colour": colour})
    frame.loc[:3, "size"] = np.nan
    frame.loc[4:7, "colour"] = None
    frame["target"] = np.where(target > 0.3, "yes", "no") if task == "classification" else target.round(4)
    frame.to_csv(folder / f"{name}.csv", index=False)
    columns = [{"name": "size", "type": "numeric"}, {"name": "colour", "type": "categorical"}]
    card = {"name": name, "title": name, "task": task, "file": f"{name}.csv", "columns": columns, **more}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(card), encoding="utf-8")
    return path


def card_of(**values: Any) -> Card:
    return Card(Path("card.yaml"), values)


def bench(folder: Path, out: Path, *options: str) -> int:
    quick = [] if "--methods" in options else ["--methods", ",".join(QUICK)]
    return tables.main([str(folder), "--out", str(out), "--repeats", "2", *quick, *options])


def test_every_cell_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path, "a")
    write_table(tmp_path, "b", "regression")
    out = tmp_path / "results" / "r.csv"
    assert bench(tmp_path, out) == 0
    results = load_tables([out])
    assert len(results) == 2 * 2 * len(QUICK)
    classes, numbers = (results[results["task"] == t] for t in ("classification", "regression"))
    assert classes[["roc_auc", "accuracy", "log_loss", "ece"]].notna().all(axis=None)
    assert numbers[["r2", "rmse", "target_std"]].notna().all(axis=None)
    assert numbers[numbers["method"] == "majority"][["coverage", "width"]].notna().all(axis=None)
    assert (
        results[["fit_seconds", "fit_cpu_seconds", "predict_seconds", "bytes", "date", "seed"]].notna().all(axis=None)
    )
    assert (results["versions"].str.contains("scikit-learn")).all()
    assert set(zip(results["n"], results["n_train"], results["d"], strict=True)) == {(60, 30, 2)}

    before = out.read_bytes()
    monkeypatch.setattr(tables, "measure", lambda *_, **__: pytest.fail("a known cell was measured again"))
    assert bench(tmp_path, out) == 0
    assert out.read_bytes() == before


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    write_table(tmp_path, "a")
    out = tmp_path / "r.csv"
    bench(tmp_path, out)
    whole = out.read_text().splitlines()
    out.write_text("\n".join([*whole[:2], ""]))  # the header and the first cell
    bench(tmp_path, out)
    again = out.read_text().splitlines()
    assert again[:2] == whole[:2]
    quality = [",".join(line.split(",")[:13]) for line in again]
    assert quality == [",".join(line.split(",")[:13]) for line in whole]  # same seed, same figures


def test_a_failure_is_written_down_and_measured_again_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def fit(self, *_: Any) -> None:
            raise RuntimeError("no\nluck")

    write_table(tmp_path, "a")
    out = tmp_path / "r.csv"
    with monkeypatch.context() as patched:
        patched.setitem(methods.COMPETITORS, "knn", Method(lambda seed, threads: Broken()))
        assert bench(tmp_path, out, "--methods", "knn,majority") == 1
    results = load_tables([out]).set_index("method")
    assert set(results.loc["knn", "error"]) == {"RuntimeError: no luck"}
    assert results.loc["knn", "roc_auc"].isna().all()
    assert set(results.loc["majority", "error"]) == {""}

    assert bench(tmp_path, out, "--methods", "knn,majority") == 0  # the known failure is not tried again,
    assert (load_tables([out])["error"] != "").sum() == 2
    assert bench(tmp_path, out, "--methods", "knn,majority", "--replace") == 0  # but with --replace it is
    assert (load_tables([out])["error"] == "").all()
    assert len(load_tables([out])) == 4


def test_cells_of_another_protocol_or_generator_are_not_mixed_in(tmp_path: Path) -> None:
    write_table(tmp_path, "a")
    out = tmp_path / "r.csv"
    bench(tmp_path, out)
    with pytest.raises(SystemExit, match="train_share"):
        bench(tmp_path, out, "--train-share", "0.6")
    notes = yaml.safe_load(out.with_suffix(".yaml").read_text())
    assert notes["protocol"] == {"rows": 2000, "train_share": 0.5, "seed": 0, "threads": 1}
    assert notes["runs"][0]["machine"]

    text = (
        out.read_text().replace(",majority,", ",one_pass,").replace("scikit-learn", "generator 00000000 scikit-learn")
    )
    out.write_text(text)
    with pytest.raises(SystemExit, match="another generator"):
        bench(tmp_path, out, "--methods", "one_pass")


def test_what_is_asked_for_must_exist(tmp_path: Path) -> None:
    write_table(tmp_path, "a")
    out = tmp_path / "r.csv"
    for options in (("--tables", "nope"), ("--methods", "nope")):
        with pytest.raises(SystemExit, match="nope"):
            bench(tmp_path, out, *options)
    with pytest.raises(SystemExit, match="cards"):
        tables.main([str(tmp_path / "empty"), "--out", str(out)])
    assert not out.exists()


def test_rows_are_drawn_by_seed_and_by_class() -> None:
    y = np.array(["rare"] * 30 + ["common"] * 270 + ["single"])
    table = Table("t", "classification", pd.DataFrame({"row": np.arange(301.0)}), y, [])
    drawn, again, other = (draw_rows(table, 100, seed) for seed in (0, 0, 1))
    assert len(drawn.y) == 100
    assert (drawn.y == "rare").sum() == 10
    assert "single" not in draw_rows(table, 0, 0).y
    assert drawn.frame.equals(again.frame)
    assert not drawn.frame.equals(other.frame)
    train, test = split(drawn, 0.5, seed=3)
    assert len(set(train) | set(test)) == len(train) + len(test) == 100
    assert (drawn.y[train] == "rare").sum() == 5


def test_a_family_is_on_one_side_of_the_split() -> None:
    cards = [card_of(name=f"table{i}", task="regression", family=f"family{i // 3}") for i in range(300)]
    sides = {c.family: {side(d) for d in cards if d.family == c.family} for c in cards}
    assert all(len(of_family) == 1 for of_family in sides.values())
    share = np.mean([of_family == {"meta-validation"} for of_family in sides.values()])
    assert 0.1 < share < 0.3
    assert side(card_of(name="heart_hungarian", task="classification", family="heart")) == "neither"


def test_the_split_is_the_one_of_meta_training(tmp_path: Path) -> None:
    from modelgpt_cli.domains.tabular.real_tasks import RealTask, held_out

    for i in range(40):
        name = f"table{i}"
        task = RealTask(name=name, family=name, table=None, texts=None)  # type: ignore[arg-type]
        assert (side(card_of(name=name, task="regression")) == "meta-validation") == held_out(task, 0.2)


def test_only_the_side_that_was_asked_for_is_measured(tmp_path: Path) -> None:
    names = [f"table{i}" for i in range(12)]
    for name in names:
        write_table(tmp_path, name)
    chosen = {}
    for where in ("meta-validation", "meta-train"):
        args = argparse.Namespace(folders=[tmp_path], tables=None, split=where)
        chosen[where] = {c.name for c in tables.choose_cards(args)}
    assert chosen["meta-validation"] | chosen["meta-train"] == set(names)
    assert not chosen["meta-validation"] & chosen["meta-train"]


def test_metrics_by_hand() -> None:
    codes = np.array([0, 0, 1, 1])
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.35, 0.65], [0.2, 0.8]])
    found = class_metrics(codes, p)
    assert found["roc_auc"] == 1.0
    assert found["accuracy"] == 0.75
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.65, 0.8])))
    # Bins of 1/15: .6 and .65 share [.6, .667), .8 and .9 have one each.
    expected = (abs((0.6 + 0.65) - 1) + abs(0.8 - 1) + abs(0.9 - 1)) / 4
    assert found["ece"] == pytest.approx(expected)
    assert calibration_error(np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]])) == 0

    y, predicted = np.array([1.0, 2.0, 3.0, 6.0]), np.array([1.0, 3.0, 3.0, 5.0])
    interval = predicted - 0.5, predicted + np.array([0.5, 0.5, 0.5, 1.5])
    numbers = number_metrics(y, predicted, interval)
    assert numbers["r2"] == pytest.approx(1 - 2 / 14)
    assert numbers["rmse"] == pytest.approx(0.5**0.5)
    assert numbers["target_std"] == pytest.approx(3.5**0.5)
    assert numbers["coverage"] == 0.75
    assert numbers["width"] == pytest.approx(1.25)
    assert "coverage" not in number_metrics(y, predicted)


def test_the_auc_of_many_classes_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    codes, p = rng.integers(0, 4, 200), rng.dirichlet(np.ones(4), 200)
    p[np.arange(200), codes] += 0.2
    p /= p.sum(axis=1, keepdims=True)
    assert roc_auc(codes, p) == pytest.approx(roc_auc_score(codes, p, multi_class="ovo", average="macro"))
    assert roc_auc(codes[codes < 3], p[codes < 3]) > 0.6  # scikit-learn refuses where a class is absent


COMPETITORS = ["knn", "mlp", "forest", "boosting", "xgboost", "catboost", "finetune"]


@pytest.mark.parametrize(
    ("name", "task"),
    [*((n, t) for n in COMPETITORS for t in ("classification", "regression")), ("lora", "classification")],
)
def test_each_competitor_learns(tmp_path: Path, name: str, task: str) -> None:
    if name in ("xgboost", "catboost"):
        pytest.importorskip(name)
    table = read_table(
        Card(write_table(tmp_path, "a", task, rows=200), yaml.safe_load((tmp_path / "a.yaml").read_text()))
    )
    model = methods.make_methods()[name].make(0, 1)
    if name == "catboost":
        model.parameters["iterations"] = 50
    found = tables.measure(table, model, train_share=0.5, seed=0)
    assert found.get("roc_auc", found.get("r2")) > (0.85 if task == "classification" else 0.3)
    assert 500 < found["bytes"] < 1_000_000


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_tuned_competitor_is_at_least_tried_at_its_defaults(tmp_path: Path, task: str) -> None:
    table = read_table(
        Card(write_table(tmp_path, "a", task, rows=200), yaml.safe_load((tmp_path / "a.yaml").read_text()))
    )
    method = methods.make_methods(tuned=1)["logistic_tuned1"]
    model = method.make(0, 1)
    model.seconds = 0.2
    found = tables.measure(table, model, train_share=0.5, seed=0)
    assert model.tried >= 1
    assert found.get("roc_auc", found.get("r2")) > (0.85 if task == "classification" else 0.3)
    assert label("catboost_tuned60", "classification") == "CatBoost, tuned 60 s"
    assert not [name for name in methods.make_methods() if "_tuned" in name]


def test_ours_is_measured_as_the_exported_file(tmp_path: Path) -> None:
    table = read_table(Card(write_table(tmp_path, "a", rows=200), yaml.safe_load((tmp_path / "a.yaml").read_text())))
    model = methods.make_methods()["one_pass"].make(0, 1)
    found = tables.measure(table, model, train_share=0.5, seed=0)
    assert found["roc_auc"] > 0.85
    in_torch = model.estimator.predict_proba(table.frame)
    assert model.predict(table.frame) == pytest.approx(in_torch, abs=1e-4)


def test_the_versions_of_ours_name_the_generator(tmp_path: Path) -> None:
    write_table(tmp_path, "a")
    out = tmp_path / "r.csv"
    assert bench(tmp_path, out, "--methods", "one_pass") == 0
    versions = load_tables([out])["versions"].iloc[0]
    assert "torch " in versions
    assert "generator " in versions
    assert len(versions.rpartition(" ")[2]) == 8
