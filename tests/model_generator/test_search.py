"""``tune --search``: the default first, the best only if it is surely better, continued where it stopped."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_input import Bench
from conftest import Start
from fake_llm import FakeLLM, answer, fault

from modelgpt_cli.core.domain import all_domains, find_domain
from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.core.schema import Column, Schema
from modelgpt_cli.llm.client import LLM
from modelgpt_cli.model_generator.search import search as verb
from modelgpt_cli.model_generator.search.bench import FIRST, WHOLE, StoppedError
from modelgpt_cli.model_generator.search.proposer import LLMProposer
from modelgpt_cli.model_generator.search.space import (
    Parameter,
    Setting,
    Space,
    in_words,
    searched,
    tuning,
)
from modelgpt_cli.model_generator.search.study import Study

pytest.importorskip("optuna")
SPACE = Space(
    (
        Parameter("size", "Size", 4, (1, 2, 4, 8)),
        Parameter("deep", "Whether it is deep", False, (True, False)),
        *tuning((0, 1), (1e-4, 1e-3, 1e-2)),
    )
)


def cost(setting: Setting) -> float:
    """Less for a large size, a deep one, and a rate of 3e-3."""
    lr = abs(np.log10(float(setting.get("lr", 1e-2))) + 2.5)
    return float(1 / int(setting["size"]) - 0.1 * bool(setting["deep"]) + 0.05 * lr)


def ticks() -> Callable[[], float]:
    numbers = count()
    return lambda: float(next(numbers))


def test_a_space_knows_its_settings() -> None:
    assert SPACE.default == {"size": 4, "deep": False, "epochs": 0}
    assert SPACE.complete({"epochs": 1}) == {"size": 4, "deep": False, "epochs": 1, "lr": 1e-3}
    assert SPACE.changed({"size": 8, "deep": False, "epochs": 0}) == {"size": 8}
    assert SPACE.check({"size": 8, "deep": True, "epochs": 0, "lr": None}) == {"size": 8, "deep": True, "epochs": 0}
    for wrong, words in (
        ({"size": 3, "deep": True, "epochs": 0}, "size can't be 3"),
        ({"size": 4, "deep": 1, "epochs": 0}, "deep can't be 1"),
        ({"size": 4, "deep": True, "epochs": 1}, "lr is missing"),
        ({"size": 4, "deep": True, "epochs": 1, "lr": 1.0}, "lr can't be 1; it is 0.0001 to 0.01"),
        ({"size": 4, "deep": True, "epochs": 1, "lr": "fast"}, "it is a number"),
        ({"size": 4, "wide": 1}, "no parameter 'wide'"),
    ):
        with pytest.raises(ValueError, match=words):
            SPACE.check(wrong)
    assert in_words({"size": 8, "deep": True, "lr": 0.00123}) == "size 8, deep true, lr 0.00123"


@pytest.mark.parametrize("domain", [domain.name for domain in all_domains() if domain.has("space")])
def test_the_default_of_each_domain_is_a_build_by_itself(domain: str) -> None:
    found = find_domain(domain)
    schema = Schema((Column("x", "numeric"),), "y", "classification", ("a", "b"), domain)
    space = Space(searched(found).parameters(schema))
    options = searched(found).build_options(space.default)
    assert options == ({"lexical": True} if domain == "text" else {})
    for one in space.parameters:
        assert one.check(one.default) == one.default
        assert one.form()["description"]


def test_the_default_comes_first_and_settings_are_not_repeated() -> None:
    study = Study(SPACE, None, {}, is_error=True, seed=3)
    clock = ticks()
    for _ in range(14):
        assert study.run(lambda setting, go_on: cost(setting), clock) is not None
    trials = study.trials
    assert [trial.number for trial in trials] == list(range(14))
    assert trials[0].setting == SPACE.default
    assert trials[0].changed == {}
    assert len({str(trial.setting) for trial in trials}) == 14
    assert study.best.score == min(cost(trial.setting) for trial in trials)
    assert (study.best.score or 0) < cost(SPACE.default)


def test_a_small_space_comes_to_its_end() -> None:
    study = Study(Space(SPACE.parameters[:2]), None, {}, is_error=False)
    while study.run(lambda setting, go_on: float(int(setting["size"])), ticks()) is not None:
        pass
    assert len(study.trials) == 8
    assert study.best.setting["size"] == 8


def test_what_is_worse_is_stopped_early_and_what_cannot_be_made_is_told() -> None:
    reached = []

    def measure(setting: Setting, go_on: Callable[[float, int], bool]) -> float:
        if setting["size"] == 1:
            raise ModelGPTError("Too small.")
        if not go_on(cost(setting), FIRST):
            raise StoppedError
        reached.append(setting)
        go_on(cost(setting), WHOLE)
        return cost(setting)

    study = Study(SPACE, None, {}, is_error=True, at_random=True)
    for _ in range(20):
        study.run(measure, ticks())
    states = [trial.state for trial in study.trials]
    assert states[0] == "done"
    assert {"done", "stopped", "failed"} == set(states)
    assert len(reached) == states.count("done")
    assert {trial.reason for trial in study.trials if trial.state == "failed"} == {"Too small."}
    with pytest.raises(ModelGPTError, match="Nothing works"):
        Study(SPACE, None, {}, is_error=True).run(_fail, ticks())


def _fail(setting: Setting, go_on: Any) -> float:
    raise ModelGPTError("Nothing works.")


def test_a_search_is_continued_and_never_another_ones(tmp_path: Path) -> None:
    journal = tmp_path / "m.search.jsonl"
    study = Study(SPACE, journal, {"data": "a"}, is_error=True)
    for _ in range(3):
        study.run(lambda setting, go_on: cost(setting), ticks())
    with pytest.raises(KeyboardInterrupt):
        study.run(_interrupt, ticks())
    study.keep_checked(0, [1.0, 2.0])
    again = Study(SPACE, journal, {"data": "a"}, is_error=True)
    assert again.trials == study.trials
    assert len(again.trials) == 3
    assert (again.checked(0), again.checked(1)) == ([1.0, 2.0], [])
    again.run(lambda setting, go_on: cost(setting), ticks())
    assert len({str(trial.setting) for trial in again.trials}) == 4
    with pytest.raises(UsageError, match="its data differs"):
        Study(SPACE, journal, {"data": "b"}, is_error=True)
    journal.write_text("no journal\n")
    with pytest.raises(ModelGPTError, match="can't be read"):
        Study(SPACE, journal, {"data": "a"}, is_error=True)


def _interrupt(setting: Setting, go_on: Any) -> float:
    raise KeyboardInterrupt


class Judge:
    """A stand-in for a bench: what it measures is scripted."""

    metric, is_error = "log_loss", True

    def __init__(self, measure: Callable[[Setting, int], float]) -> None:
        self.space = SPACE
        self._measure = measure

    def gain(self, before: float, after: float) -> float:
        return before - after

    def measure(self, setting: Setting, seed: int, go_on: Any) -> float:
        return self._measure(setting, seed)


def decided(measure: Callable[[Setting, int], float], trials: int = 12) -> verb.SearchReport:
    """A search by a scripted bench, up to the decision."""
    judge: Any = Judge(measure)
    study = Study(SPACE, None, {}, is_error=True)
    report = verb.SearchReport(Path("m.onnx"), "log_loss")
    report.stopped = verb.try_all(study, judge, None, trials, None, 0, None)
    verb.decide(report, study, judge, 0)
    return report


def test_the_best_is_kept_only_where_fresh_divisions_agree() -> None:
    surely = decided(lambda setting, seed: cost(setting) + 1e-3 * seed)
    assert surely.kept == "best"
    assert surely.gain == pytest.approx(surely.default_score - surely.best_score)
    assert surely.gain > 0.1
    assert surely.noise == pytest.approx(0.0, abs=1e-9)

    rng = np.random.default_rng(0)
    chance = decided(lambda setting, seed: float(rng.normal()))
    assert chance.kept == "default"
    assert chance.best != {}
    assert chance.noise > 0
    same = decided(lambda setting, seed: 1.0 + (setting != SPACE.default))
    assert (same.kept, same.best, same.gain) == ("default", {}, 0.0)


def test_a_best_that_misses_a_limit_gives_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    report = decided(lambda setting, seed: cost(setting) + 1e-3 * seed)
    written: list[Setting] = []

    def write(bench: Any, setting: Setting, output: Path, seed: int, force: bool, note: Any) -> int:
        written.append(setting)
        assert note["kept"] == ("default" if setting == SPACE.default else "best")
        if setting != SPACE.default:
            raise VerificationError("No model meets the requirement's limits.")
        return 7

    monkeypatch.setattr(verb, "write_setting", write)
    judge: Any = Judge(lambda setting, seed: 0.0)
    assert verb._write_kept(report, judge, Path("m.onnx"), "tpe", 0, False) == 7
    assert (len(written), report.kept) == (2, "default")
    assert "The best is not written, but the default: No model meets" in caplog.text


def test_ctrl_c_keeps_what_was_found() -> None:
    calls = count()

    def measure(setting: Setting, seed: int) -> float:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return cost(setting)

    report = decided(measure)
    assert report.stopped == "interrupted"
    assert len(report.trials) == 5


def proposal(**setting: Any) -> Any:
    return answer(json.dumps({"analysis": "More.", "setting": {"lr": None, **setting}}))


@pytest.fixture
def about() -> dict[str, Any]:
    return {"requirement": "Sort letters of a@b.com.", "metric": "log_loss", "better": "less"}


def proposer(llm: FakeLLM, about: dict[str, Any], **options: Any) -> LLMProposer:
    return LLMProposer.of(LLM(base_url=llm.url, api_key="sk-test", retries=0), SPACE, about, **options)


def test_an_llm_proposes_what_the_space_allows(about: dict[str, Any]) -> None:
    with FakeLLM(
        proposal(size=3, deep=True, epochs=0),
        proposal(size=8, deep=True, epochs=0),
        proposal(size=4, deep=False, epochs=0),
        proposal(size=2, deep=True, epochs=1, lr=0.002),
    ) as llm:
        one = proposer(llm, about, hide=True)
        study = Study(SPACE, None, {}, is_error=True)
        judge: Any = Judge(lambda setting, seed: cost(setting))
        assert verb.try_all(study, judge, one, 3, None, 0, None) == "trials"
    assert [trial.setting for trial in study.trials[1:]] == [
        {"size": 8, "deep": True, "epochs": 0},
        {"size": 2, "deep": True, "epochs": 1, "lr": 0.002},
    ]
    assert "size can't be 3" in llm.requests[1].messages[-1]["content"]
    assert "tried already" in llm.requests[3].messages[-1]["content"]
    sent = llm.requests[0]
    assert "a@b.com" not in sent.raw
    assert sent.messages[1]["content"].count('"score": 0.275') == 1
    form = sent.body["response_format"]["json_schema"]["schema"]["properties"]["setting"]
    assert form["properties"]["size"]["enum"] == [1, 2, 4, 8]
    assert form["required"] == ["size", "deep", "epochs", "lr"]


@pytest.mark.parametrize("reply", [answer("I would try more."), fault(500)], ids=["words", "down"])
def test_without_a_use_for_its_answers_the_sampler_goes_on(
    reply: Any, about: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with FakeLLM(reply) as llm:
        study = Study(SPACE, None, {}, is_error=True)
        judge: Any = Judge(lambda setting, seed: cost(setting))
        verb.try_all(study, judge, proposer(llm, about), 5, None, 0, None)
    assert len(study.trials) == 5
    assert caplog.text.count("The sampler goes on by itself.") == 1
    assert len(llm.requests) <= 2


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A space of tables whose builds are quick."""
    from modelgpt_cli.domains.tabular import space

    few = (Parameter("members", "Networks", 1, (1, 2)), *tuning((0, 1), (1e-4, 1e-3, 1e-2)))
    monkeypatch.setattr(space, "parameters", lambda schema: few)
    monkeypatch.setattr(space, "build_options", lambda setting: {"members": int(setting["members"])})
    monkeypatch.setattr(verb, "CHECKS", 2)


@pytest.mark.usefixtures("quick")
def test_a_search_from_a_model_to_a_better_or_the_usual_one(bench: Bench, iris_model: Path) -> None:
    model, data = iris_model / "model.onnx", iris_model / "iris.csv"
    rows = pd.read_csv(data).iloc[::3]
    rows.to_csv(bench.folder / "train.csv", index=False)
    done = bench.run("tune", model, "--data", "train.csv", "--search", "1", "-o", "best.onnx")
    assert done.code == 0, done.err
    assert done.out == "best.onnx\n"
    lines = done.err.splitlines()
    assert any(line.startswith("Warning: 50 rows tell little of settings") for line in lines), done.err
    first = lines[lines.index("trial     score  seconds  setting") + 1]
    assert first.startswith("    0*")
    assert first.endswith("default")
    assert "Kept the default: no other setting was better." in lines
    assert bench.run("predict", "best.onnx", "train.csv", "-o", "p.csv").code == 0
    card = json.loads(bench.run("inspect", "best.onnx", "--json").out)
    assert card["provenance"]["search"] == {
        "trials": 1, "finished": 1, "proposer": "tpe", "metric": "log_loss", "kept": "default", "seed": 0
    }  # fmt: skip
    # Continued: what was tried is not tried again.
    more = ("--search", "2", "-o", "best.onnx", "--force", "--json", "--plot", "t.svg")
    done = bench.run("tune", model, "--data", "train.csv", *more)
    told = json.loads(done.out)
    assert (len(told["trials"]), told["metric"], told["stopped"]) == (2, "log_loss", "trials")
    assert [trial["changed"] == {} for trial in told["trials"]] == [True, False]
    assert told["kept"] in ("default", "best")
    assert next(line for line in done.err.splitlines() if line.startswith("    0"))[6:] == first[6:]
    assert "<svg" in (bench.folder / "t.svg").read_text()
    found = json.loads(bench.run("inspect", "best.onnx", "--json").out)["provenance"]["search"]
    assert (found["trials"], found["kept"]) == (2, told["kept"])
    assert ("best" in found) == (told["best"] != {})
    rows.iloc[::2].to_csv("train.csv", index=False)
    bench.refuse(2, "of another search: its data differs", "tune", model, "--data", "train.csv", *more[:-2])


def test_what_makes_no_search_is_refused(bench: Bench, iris_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, data = iris_model / "model.onnx", iris_model / "iris.csv"
    base = ("tune", model, "--data", data, "-o", "best.onnx")
    bench.refuse(2, "--plot is for a search", *base, "--plot", "t.svg")
    bench.refuse(2, "--epochs is what a search sets", *base, "--search", "3", "--epochs", "2")
    bench.refuse(2, "Invalid value for '--search'", *base, "--search", "0")
    bench.refuse(2, "Which server shall propose", *base, "--search", "3", "--proposer", "llm")
    done = bench.run(*base, "--search", "3", "--proposer", "llm", "--dry-run")
    assert done.code == 0
    assert json.loads(done.out)["messages"][0]["role"] == "system"
    assert not (bench.folder / "best.search.jsonl").exists()
    monkeypatch.setattr("modelgpt_cli.model_generator.search.study.find_spec", lambda name: None)
    bench.refuse(1, 'pip install "modelgpt-cli[search]"', *base, "--search", "3")


@pytest.mark.slow
def test_ctrl_c_ends_the_search_and_writes_the_best_so_far(start: Start, iris_model: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(iris_model / "iris.csv").iloc[::4]
    rows.to_csv(tmp_path / "train.csv", index=False)
    running = start("tune", iris_model / "model.onnx", "--data", "train.csv", "--search", "500", "-o", "best.onnx")
    said = ""
    assert running.stderr is not None
    for line in running.stderr:
        said += line
        if line[:5].strip() == "1":
            break
    running.send_signal(signal.SIGINT)
    out, more = running.communicate(timeout=120)
    assert running.returncode == 0, said + more
    assert "Interrupted: the best so far is compared and written." in more
    assert out == "best.onnx\n"
    assert (tmp_path / "best.onnx").stat().st_size > 10_000
