"""Seen tasks: a generator trained on tables serves them from words alone, and the words decide which."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import Cli
from safetensors.torch import load_file

from modelgpt_cli import build, evaluate, predict
from modelgpt_cli.core.assets import asset
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.domains.tabular import train_fixed_tasks
from modelgpt_cli.domains.tabular.encoder import UNSEEN
from modelgpt_cli.domains.tabular.fixed_tasks import encode_table, read_tables, split_rows
from modelgpt_cli.domains.tabular.fixed_tasks_config import FixedTasksConfig
from modelgpt_cli.domains.tabular.train_fixed_tasks import FixedTasksTraining, load_fixed_tasks
from modelgpt_cli.parameter_generator.generator import draw_codes
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder
from modelgpt_cli.requirement_generator.requirement_file import format_requirement
from modelgpt_cli.training.meta_train import meta_train
from modelgpt_cli.training.processes import Processes
from modelgpt_cli.training.settings import read_settings

SENTENCES = {
    "tides": "Tell whether the boat can enter the harbour from the height of the tide and the wind.",
    "recipes": "Decide if a cake will rise given how hot the oven is and how much flour went in.",
}
COLUMNS = {"tides": ("tide", "wind"), "recipes": ("oven heat", "flour")}
TINY = {
    "width": 32,
    "blocks": 1,
    "batch": 2,
    "query": 64,
    "lr": 5e-3,
    "warmup": 5,
    "average": 0.9,
    "validate_every": 20,
}


@pytest.fixture(scope="module", autouse=True)
def one_encoder() -> Iterator[None]:
    """Read the encoder of the tables' words once for all runs."""
    encoder = TextEncoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_fixed_tasks, "TextEncoder", lambda: encoder)
        yield


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Two tables of 200 rows: 'yes' is a high first number in one, a low one in the other; the second is noise."""
    folder = tmp_path / "tables"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for (name, columns), sign in zip(COLUMNS.items(), (1, -1), strict=True):
        x = rng.normal(size=(200, 2)) * 3 + 20
        frame = pd.DataFrame(x, columns=list(columns)).assign(season=rng.choice(["spring", "autumn"], 200))
        frame.loc[:4, "season"] = ""
        frame["target"] = np.where(sign * (x[:, 0] - 20) > 0, "yes", "no")
        frame.to_csv(folder / f"{name}.csv", index=False)
        typed = [{"name": c, "type": "numeric", "description": f"the {c}"} for c in columns]
        card = {
            "name": name,
            "description": SENTENCES[name],
            "task": "classification",
            "file": f"{name}.csv",
            "columns": [*typed, {"name": "season", "type": "categorical"}],
        }
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card))
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a tiny run, as a YAML file."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY | {"sentences": {"tides": ["May the ship come in?"]}}), encoding="utf-8")
    return path


def test_words_alone_build_each_of_the_fixed_tasks(cli: Cli, tables: Path, config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    arguments = ("--tasks", tables, "--config", config, "--steps", "80", "--out", run)
    done = cli("meta-train", "--fixed-tasks", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["validation"]["accuracy"] >= 0.85
    assert yaml.safe_load((run / "config.yaml").read_text())["sentences"] == {"tides": ["May the ship come in?"]}

    for table in read_tables(tables):
        (tmp_path / "req.txt").write_text(format_requirement(table.requirement), encoding="utf-8")
        built = cli("build", "--req", "req.txt", "--generator", run, "--members", "1", "-o", f"{table.name}.onnx")
        assert built.returncode == 0, built.stderr
        assert "No data was used" in built.stderr
        frame, y = table.part("test")
        frame.assign(target=np.array(table.requirement.classes)[y]).to_csv(tmp_path / "test.csv", index=False)
        measured = evaluate(tmp_path / f"{table.name}.onnx", tmp_path / "test.csv")["accuracy"]
        assert measured is not None
        assert measured >= 0.85, table.name


@pytest.mark.slow
@pytest.mark.parametrize("update", ["backprop", "delta"])
def test_loss_falls(update: str, tables: Path, config: Path, tmp_path: Path) -> None:
    settings = read_settings(FixedTasksConfig, config, tasks=str(tables), steps=30, update=update)
    before = FixedTasksTraining(settings, tmp_path, Processes(), load_fixed_tasks(settings)).validate()["mean"]
    report = meta_train(
        fixed_tasks=True, tasks=tables, config=config, steps=30, update=update, out=tmp_path / "run", device="cpu"
    )
    assert report.validation_loss < 0.9 * before


@pytest.mark.slow
def test_resume_is_bit_for_bit(tables: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text(yaml.safe_dump(TINY | {"validate_every": 2}))
    meta_train(fixed_tasks=True, tasks=tables, config=config, steps=6, out=tmp_path / "whole", device="cpu")
    original = FixedTasksTraining.update

    def interrupted(self: FixedTasksTraining, batch: None) -> tuple[dict[str, float], float]:
        if self.step == 3:
            signal.raise_signal(signal.SIGINT)
        return original(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(FixedTasksTraining, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            meta_train(fixed_tasks=True, tasks=tables, config=config, steps=6, out=tmp_path / "parts", device="cpu")
    with pytest.raises(ModelGPTError, match="already holds a run"):
        meta_train(fixed_tasks=True, tasks=tables, config=config, steps=6, out=tmp_path / "parts", device="cpu")
    report = meta_train(fixed_tasks=True, out=tmp_path / "parts", resume=True, device="cpu")
    assert report.steps == 6
    for name in ("last.safetensors", "generator.safetensors"):
        one, two = load_file(tmp_path / "whole" / name), load_file(tmp_path / "parts" / name)
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one), name


def test_the_kept_weights_are_an_average(tables: Path, config: Path, tmp_path: Path) -> None:
    meta_train(fixed_tasks=True, tasks=tables, config=config, steps=6, out=tmp_path / "run", device="cpu")
    last = load_file(tmp_path / "run" / "last.safetensors")
    kept = load_file(tmp_path / "run" / "generator.safetensors")
    assert any(not torch.equal(kept[name], last[f"model.{name}"]) for name in kept)
    assert all(torch.equal(kept[name], last[f"average.module.{name}"]) for name in kept)


def test_parts_are_random_disjoint_and_complete() -> None:
    parts = split_rows(1000, "tides", 0)
    assert [len(parts[p]) for p in ("train", "validation", "test")] == [600, 100, 300]
    assert sorted(np.concatenate(list(parts.values()))) == list(range(1000))
    assert not np.array_equal(parts["test"], split_rows(1000, "tides", 1)["test"])
    assert not np.array_equal(parts["test"], split_rows(1000, "recipes", 0)["test"])


def test_a_requirement_tells_of_training_rows_alone(tables: Path) -> None:
    before = read_tables(tables)[1]
    path = tables / f"{before.name}.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    frame.loc[before.rows["test"], "tide"] = "1000000"
    frame.loc[before.rows["test"], "season"] = "monsoon"
    frame.to_csv(path, index=False)
    after = read_tables(tables)[1]
    assert after.requirement == before.requirement
    frame, _ = after.part("test")
    assert (encode_codes(after, frame) == UNSEEN).all()


def encode_codes(table, frame: pd.DataFrame) -> np.ndarray:
    """Level codes of a fixed table's only categorical column."""
    from modelgpt_cli.domains.tabular.preprocessing import make_preprocessor

    return make_preprocessor(table.requirement.columns).arrays(frame)[1]


def test_draws_hide_cells_and_mix_rows_of_the_training_part(tables: Path) -> None:
    task = encode_table(read_tables(tables)[0], TextEncoder(), ["Will it rise?"])
    assert task.sentences.shape == (3, 384)  # the card's, the offline writer's, and this one
    rng = np.random.default_rng(0)
    plain = task.draw(rng, 1000)
    assert plain.query_channels.shape[1] == 120
    whole = task.batch("train", np.arange(120), task.described, draw_codes(1, 2))
    assert torch.equal(plain.query_channels, whole.query_channels)
    hidden = task.draw(rng, 1000, cell_dropout=0.5)
    lost = (hidden.query_channels[0, :, 0] == 0).all(-1).float().mean()
    assert 0.3 < lost < 0.7
    mixed = task.draw(rng, 1000, mixup=0.5, smoothing=0.1)
    assert mixed.query_target.shape == (1, 2, 120)
    assert torch.allclose(mixed.query_target.sum(1), torch.ones(1, 120))
    assert 0.04 < float(mixed.query_target.min()) < 0.06
    assert float(task.draw(rng, 8, sentence_dropout=1.0).inputs.requirement.abs().sum()) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: 1\nsentence: {}\n", ["'sentence'", "sentences"]),
        ("steps: 1\nsentences: {tides: [1]}\n", ["sentences", "list of sentences"]),
        ("steps: 1\nsentences: {waves: [Is there surf]}\n", ["'waves'"]),
        ("steps: 1\nlr: fast\n", ["lr", "number"]),
        ("steps: 1\ncell_dropout: 2\n", ["cell_dropout", "between 0 and 1"]),
        ("width: 32\n", ["--steps", "--minutes"]),
    ],
)
def test_bad_configuration_is_named(text: str, words: list[str], tables: Path, config: Path, tmp_path: Path) -> None:
    config.write_text(text)
    with pytest.raises(UsageError) as caught:
        meta_train(fixed_tasks=True, tasks=tables, config=config, out=tmp_path / "run", device="cpu")
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert not (tmp_path / "run").exists()


def test_it_needs_tasks(cli: Cli) -> None:
    done = cli("meta-train", "--fixed-tasks", "--steps", "1", "--out", "run")
    assert done.returncode == 2
    assert "--tasks" in done.stderr


# The released checkpoint ---------------------------------------------------------------------------------------------

IRIS = """\
{sentence}
---
target: target
classes: [Iris-setosa, Iris-versicolor, Iris-virginica]
columns:
- {{name: sepal length, type: numeric, mean: 5.84, std: 0.83}}
- {{name: sepal width, type: numeric, mean: 3.06, std: 0.43}}
- {{name: petal length, type: numeric, mean: 3.76, std: 1.76}}
- {{name: petal width, type: numeric, mean: 1.2, std: 0.76}}
"""


@pytest.mark.parametrize(
    "sentence",
    [
        "Tell three species of iris flower apart from four measurements of the flower's sepals and petals.",
        "Which sort of flag lily was measured?",
    ],
)
def test_released_checkpoint_builds_iris_without_data(sentence: str, cli: Cli, tmp_path: Path) -> None:
    from sklearn.datasets import load_iris

    iris = load_iris()
    frame = pd.DataFrame(iris.data, columns=["sepal length", "sepal width", "petal length", "petal width"])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "req.txt").write_text(IRIS.format(sentence=sentence), encoding="utf-8")
    checkpoint = asset("weights", "tabular-paper10")
    done = cli("build", "--req", "req.txt", "--generator", checkpoint, "-o", "m.onnx")
    assert done.returncode == 0, done.stderr
    labels = predict(tmp_path / "m.onnx", tmp_path / "rows.csv").label
    assert (np.asarray(labels) == [f"Iris-{iris.target_names[i]}" for i in iris.target]).mean() >= 0.85


def test_released_checkpoint_needs_the_statistics(tmp_path: Path) -> None:
    """Without mean and standard deviation a raw centimetre is taken for a standard deviation: nothing works."""
    text = "\n".join(line.split(", mean")[0] + "}}" if ", mean" in line else line for line in IRIS.splitlines())
    checkpoint = str(asset("weights", "tabular-paper10"))
    for name, words in (("with", IRIS), ("without", text)):
        (tmp_path / "req.txt").write_text(words.format(sentence="Tell irises apart."), encoding="utf-8")
        build(tmp_path / "req.txt", output=tmp_path / f"{name}.onnx", generator=checkpoint)
    rows = tmp_path / "rows.csv"
    rows.write_text("sepal length,sepal width,petal length,petal width\n5.0,3.4,1.5,0.2\n6.6,3.0,5.6,2.1\n")
    assert list(predict(tmp_path / "with.onnx", rows).label) == ["Iris-setosa", "Iris-virginica"]
    assert len(set(predict(tmp_path / "without.onnx", rows).label)) == 1
