"""The seam between the runtime and the domains: what belongs to a domain comes from its feed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from tiny_models import tiny_model

from modelgpt_cli.core.domain import domain_names, register, unregister
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.runtime.evaluate import evaluate
from modelgpt_cli.runtime.predict import predict

TOY = """
from modelgpt_cli.core.domain import Domain
DOMAIN = Domain(name="toy", title="toys", rows="toys", package=__name__)
"""
FEED = """
import numpy as np
from modelgpt_cli.runtime.findings import Findings
from modelgpt_cli.runtime.feed import Chunk
FILES = True


class Feed:
    graph_inputs = {"a": "tensor(float)"}

    def batches(self, columns):
        for row in reversed(range(len(columns["a"]))):
            yield np.array([row]), {"a": np.array([[columns["a"][row]]], np.float32)}

    def report(self):
        pass


class Source:
    name, target, total = "toys", "kind", None

    def __init__(self, data, labelled):
        self.findings = Findings()
        self.data, self.labelled = data, labelled

    def chunks(self, rows):
        good = np.array([cell is not None for cell in self.data])
        kept = [cell for cell in self.data if cell is not None]
        truth = np.array(["x" if cell < 0 else "y" for cell in kept], object) if self.labelled else None
        yield Chunk(len(self.data), {"a": kept}, truth, [f"toy {k}" for k in range(len(self.data))], good)

    def report(self):
        pass


def make_feed(model):
    return Feed()


def open_source(model, data, *, labelled, target):
    return Source(data, labelled)


def reads(card):
    return ""
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A model of a domain that is registered for the test."""
    (tmp_path / "toys").mkdir()
    (tmp_path / "toys" / "__init__.py").write_text(TOY)
    (tmp_path / "toys" / "feed.py").write_text(FEED)
    monkeypatch.syspath_prepend(tmp_path)
    register("toy", "toys")
    yield tiny_model(
        tmp_path / "toy.onnx", {"a": "numeric"}, labels=["x", "y"], weight={"a": [-1, 1]}, metadata={"domain": "toy"}
    )
    unregister("toy")


def test_a_new_domain_needs_a_feed_alone(toy: Path, tmp_path: Path) -> None:
    done = predict(toy, [-1.0, None, 2.0])
    assert done.label is not None
    assert done.label.tolist() == ["x", "", "y"]
    assert done.files == ("toy 0", "toy 1", "toy 2")
    predict(toy, [-1.0, None, 2.0], output=tmp_path / "out.csv", topk=2)
    found = pd.read_csv(tmp_path / "out.csv")
    assert list(found) == ["file", "label", "probability", "label_2", "probability_2"]
    assert found["label_2"].fillna("").tolist() == ["y", "", "x"]
    measured = evaluate(toy, [-1.0, None, 2.0])  # type: ignore[arg-type]
    assert (measured["accuracy"], measured.rows, measured.unit) == (1, 2, "toys")
    assert measured.classes["x"]["rows"] == 1


def test_errors_name_the_domains_from_the_registry(toy: Path, tmp_path: Path) -> None:
    table = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, labels=["x", "y"])
    with pytest.raises(UsageError, match="Several files are for models of toys and images"):
        predict(table, ["a.csv", "b.csv"])
    with pytest.raises(UsageError, match="--topk is for models of toys and images"):
        predict(table, pd.DataFrame({"a": [1.0]}), topk=2)
    with pytest.raises(UsageError, match="Rows can't be read from a int"):
        predict(table, 3)  # type: ignore[arg-type]


def test_a_model_of_an_unknown_domain(tmp_path: Path) -> None:
    model = tiny_model(tmp_path / "m.onnx", {"a": "numeric"}, metadata={"domain": "odours"})
    with pytest.raises(ModelGPTError, match="the domain 'odours', which this modelgpt doesn't know"):
        predict(model, pd.DataFrame({"a": [1.0]}))


def test_the_runtime_names_no_domain() -> None:
    for path in (ROOT / "modelgpt_cli" / "runtime").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "modelgpt_cli.domains" not in text, path.name
        assert not [name for name in domain_names() if f'"{name}"' in text], path.name
