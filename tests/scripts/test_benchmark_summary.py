"""The benchmark's tables and figures: means over common tables, ranks with ties, and Demšar's critical differences."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

from benchmarks import figures, summary
from benchmarks.cell_tables import domain_tables
from benchmarks.labels import in_order, label
from benchmarks.results import Cell, Store, load_tables
from benchmarks.statistics import compare, critical_difference, friedman, groups, nemenyi_q

SCORES = {  # table -> method -> a score per repeat
    "a": {"logistic": [0.6, 0.8], "forest": [0.7, 0.7], "one_pass": [0.9, 0.9]},
    "b": {"logistic": [0.5, 0.5], "forest": [0.8, 1.0], "one_pass": [0.7, 0.7]},
    "c": {"logistic": [0.5, 0.5], "forest": [0.8, None], "one_pass": [0.7, 0.7]},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three tables; on one of them a method failed once."""
    path = tmp_path / "r.csv"
    for table, methods in SCORES.items():
        for method, scores in methods.items():
            for repeat, score in enumerate(scores):
                cost = 10 ** len(method) / 1e8
                facts = {"task": "classification", "n": 100, "n_train": 50, "d": 3, "classes": 2}
                if score:
                    facts |= {"roc_auc": score, "accuracy": score, "log_loss": 1 - score, "ece": 0.1}
                    facts |= {"fit_seconds": cost, "fit_cpu_seconds": cost, "predict_seconds": 0.002, "bytes": 1500}
                else:
                    facts |= {"error": "ValueError: x"}
                Store(path).append(Cell(table, method, repeat, facts=facts))
    return path


def test_means_ranks_and_wins_over_common_tables(results: Path) -> None:
    compared = compare(load_tables([results]), "classification", ["logistic", "forest", "one_pass"])
    assert compared.tables == ["a", "b"]
    assert compared.incomplete == {"c": "forest failed"}
    assert compared.average("roc_auc").to_dict() == pytest.approx({"logistic": 0.6, "forest": 0.8, "one_pass": 0.8})
    assert compared.ranks.loc["a"].tolist() == [2.5, 2.5, 1]  # .7 and .7 share ranks 2 and 3
    assert compared.ranks.loc["b"].tolist() == [3, 1, 2]
    assert compared.record("one_pass", "forest") == (1, 0, 1)
    assert compared.record("forest", "logistic") == (1, 1, 0)
    assert compare(load_tables([results]), "classification", ["logistic", "one_pass"]).tables == ["a", "b", "c"]


def test_the_summary_says_all_of_it(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert summary.main([str(results), "--per-table"]) == 0
    text = capsys.readouterr().out
    assert "2 tables, 2 repeats" in text
    assert "c (forest failed)" in text
    assert "| **ModelGPT, one pass** | 0.800 | 0.800 | 0.200 | 0.100 | 1.50 | 1 | 1.000 | 1.000 | 2.0 | 1.5 |" in text
    assert "| random forest | 1 / 0 / 1 |" in text
    assert "| a | 100 | 3 | 2 | 0.700 | 0.700 | **0.900** |" in text
    assert "regression" not in text.lower().replace("logistic regression", "")


def test_domains_are_one_table_with_each_sets_mean() -> None:
    cells = [
        ("ours", "a/x", 0.9, 2.0),
        ("ours", "a/y", 0.7, 4.0),
        ("ours", "b/z", 0.5, 6.0),
        ("probe", "a/x", 0.8, 1.0),
    ]
    told = pd.DataFrame(
        {"method": m, "task": t, "score": score, "top3": 1.0, "top5": 1.0, "fit_seconds": s, "fit_cpu_seconds": s}
        for m, t, score, s in cells
    )
    header, _, *lines = domain_tables(told, per_task=False).splitlines()[2:]
    assert header.startswith("| method | a/x | a/y | a, mean | b/z | b, mean | top-3 |")
    ours, probe = sorted(lines, key=lambda line: "**" not in line)
    assert ours.split(" | ")[1:6] == ["90.0", "70.0", "80.0", "50.0", "50.0"]
    assert "| 4.00 | 4.00 |" in ours  # seconds of a domain, whatever set it is of
    assert probe.split(" | ")[1:3] == ["80.0", "–"]


def test_a_cell_that_was_measured_twice_is_refused(results: Path) -> None:
    with pytest.raises(SystemExit, match="measured twice"):
        load_tables([results, results])


def test_methods_in_words_and_in_order() -> None:
    assert label("tuned_ours", "classification") == "ModelGPT-F, ensemble + one epoch"
    assert label("logistic", "regression") == "ridge"
    assert label("logistic", "classification") == "logistic regression"
    assert in_order(["new", "one_pass", "forest", "majority"]) == [
        "majority",
        "forest",
        "one_pass",
        "new",
    ]


@pytest.mark.parametrize(
    ("alpha", "expected"),
    [
        (0.05, [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164]),
        (0.10, [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920]),
    ],
)
def test_critical_values_are_the_published_ones(alpha: float, expected: list[float]) -> None:
    """Demšar (2006), table 5 (a): two to ten classifiers."""
    assert [nemenyi_q(k, alpha) for k in range(2, 11)] == pytest.approx(expected, abs=0.0015)


def test_the_published_example_of_ranks() -> None:
    """Demšar (2006), section 3.2.2: four classifiers on 14 data sets, mean ranks 3.143, 2.000, 2.893 and 1.964."""
    chi2, f, p = friedman(np.array([3.143, 2.000, 2.893, 1.964]), 14)
    assert chi2 == pytest.approx(9.28, abs=0.02)
    assert f == pytest.approx(3.69, abs=0.02)
    assert 0.01 < p < 0.05
    assert critical_difference(4, 14, 0.05) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)


def test_groups_are_the_largest_runs_that_do_not_differ() -> None:
    assert groups(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert groups(np.array([1.0, 1.5, 2.0, 4.0]), 1.0) == [(0, 2)]
    assert groups(np.array([1.0, 3.0, 5.0]), 1.0) == []


@pytest.mark.slow
def test_figures_are_drawn_and_small(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main([str(results), "--out", str(tmp_path / "figures"), "--name", "x"]) == 0
    captured = capsys.readouterr()
    assert "c is left out: forest failed" in captured.err
    paths = [Path(line) for line in captured.out.split()]
    assert [p.name for p in paths] == ["x-ranks.svg", "x-fit-time.svg", "x-bytes.svg"]
    assert all(0 < p.stat().st_size < 100_000 for p in paths)
    before = [p.read_bytes() for p in paths]
    figures.main([str(results), "--out", str(tmp_path / "figures"), "--name", "x"])
    assert [p.read_bytes() for p in paths] == before  # nothing random or dated inside
    with pytest.raises(SystemExit, match="two methods"):
        figures.main([str(results), "--out", str(tmp_path), "--methods", "forest"])


def test_names_of_points_cover_nothing() -> None:
    """Also where points lie on top of each other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8))
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    points = [(1.0, 1.0, "one_pass"), (1.0, 1.01, "ensemble"), (1.02, 1.0, "forest"), (1.01, 1.02, "boosting")]
    axes.scatter([x for x, _, _ in points], [y for _, y, _ in points])
    axes.set_xlim(0, 3)
    axes.set_ylim(0, 3)
    figures._name_points(axes, points, "classification")
    figure.draw_without_rendering()
    from matplotlib.text import Text

    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) == 4
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_committed_results_can_be_summarised() -> None:
    for path in sorted((ROOT / "docs" / "results").glob("tabular-*.csv")):
        results = load_tables([path])
        assert isinstance(results, pd.DataFrame)
        assert len(results), path


def test_runs_of_earlier_versions_name_the_commands_of_today() -> None:
    runs = Store(ROOT / "docs" / "results" / "tabular-paper10.csv").runs()
    assert runs
    assert all(run["command"].startswith("python -m scripts.benchmarks tables ../shared") for run in runs)
