"""Text tasks with cards, and the episodes that meta-training draws from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_texts import SIZE, loaded, pairs_frame, stars_frame, tiny_backbone, topics_frame, write_task, write_tasks

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.domains.shared.tasks import Draw, Episode, draw_episode, fixed_episode
from modelgpt_cli.domains.text.backbone import Backbone
from modelgpt_cli.domains.text.tasks import FAMILIES, GLUE, TextTask, held_out, read_tasks, templates
from modelgpt_cli.domains.text.tokens import Encoded, prepare_tokenizer
from modelgpt_cli.parameter_generator.text_encoder import TextEncoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_backbone(tmp_path_factory.mktemp("text") / "tiny")


@pytest.fixture(scope="module")
def backbone(folder: Path) -> Backbone:
    return loaded(folder)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory, folder: Path, backbone: Backbone) -> dict[str, TextTask]:
    """The tiny tasks, with two further wordings of the classes of one of them."""
    root = write_tasks(tmp_path_factory.mktemp("texts") / "tasks")
    wordings = {
        "topics": {
            "requirements": ["What is it about?"],
            "labels": {"sport": ["ball games", "matches"], "food": ["meals", "cook"], "money": ["cash", "a bank"]},
        }
    }
    found = read_tasks(root, TextEncoder(str(folder)), prepare_tokenizer(backbone.tokenizer, 64), wordings)
    return {task.name: task for task in found}


def test_no_task_of_glue_is_held_out_and_families_stay_together() -> None:
    assert not any(held_out(name, 0.999) for name in GLUE)
    assert not held_out("mr", 0.999)  # the same films as sst2
    for name, family in FAMILIES.items():
        assert all(held_out(name, share) == held_out(family, share) for share in np.linspace(0, 1, 21))
    names = [f"task {i}" for i in range(400)]
    assert 0.15 < np.mean([held_out(name, 0.25) for name in names]) < 0.35
    for small, large in ((0.1, 0.25), (0.25, 0.6)):  # a larger share only adds tasks
        assert all(held_out(name, large) for name in names if held_out(name, small))


def test_tasks_are_read_with_all_their_words(tasks: dict[str, TextTask]) -> None:
    assert sorted(tasks) == ["alike", "sst2", "stars", "topics", "waters"]
    topics = tasks["topics"]
    assert topics.classes == ("sport", "food", "money")
    assert (len(topics.parts["train"].y), len(topics.parts["test"].y)) == (60, 30)
    assert topics.requirements.shape == (4, SIZE)  # description, title, a template, and the further one
    assert topics.names.shape == (3, 3, SIZE)  # wordings, classes
    assert [len(rows) for rows in topics.name_rows] == [3, 3, 3]
    assert not np.allclose(topics.names[0], topics.names[1], atol=1e-2)
    assert (tasks["alike"].pair, tasks["topics"].pair) == (True, False)
    assert tasks["alike"].parts["train"].rows.second[0] < tasks["alike"].parts["train"].rows.lengths[0]
    stars = tasks["stars"]
    assert stars.regression
    assert stars.classes == ()
    mean, std = stars.scale
    assert mean == pytest.approx(12.5, abs=0.5)
    assert std == pytest.approx(2.5, abs=0.3)


def test_requirements_as_the_offline_writer_would_put_them() -> None:
    assert templates(("yes", "no"), True) == ["Classify each pair of texts into yes or no."]
    assert templates((), False) == ["Predict a numeric value for each text, a regression."]
    many = templates(tuple(f"c{i}" for i in range(77)), False)
    assert many == ["Classify each text into one of 77 classes such as c0, c1, c2."]


def rows_in(part: Encoded, drawn: Encoded) -> set[int]:
    """Which rows of a part were drawn: no two of them are alike."""
    place = {tuple(row): i for i, row in enumerate(part.ids)}
    assert len(place) == len(part)
    return {place[tuple(row)] for row in drawn.ids}


FEW = Draw(query=10, query_tokens=0)


def episodes(task: TextTask, count: int, draw: Draw | None = None) -> list[Episode]:
    return [draw_episode(task, np.random.default_rng([3, i]), draw or FEW) for i in range(count)]


@pytest.mark.parametrize("name", ["topics", "waters", "alike", "stars"])
def test_no_row_is_both_learnt_from_and_judged_by(tasks: dict[str, TextTask], name: str) -> None:
    part = tasks[name].parts["train"]
    for episode in episodes(tasks[name], 30):
        support, query = rows_in(part.rows, episode.support), rows_in(part.rows, episode.query)
        assert not support & query
        assert len(support) == len(episode.support) == len(episode.target)
        assert 0 < len(query) == len(episode.query) == len(episode.answer) <= 10


def test_an_episode_has_some_of_the_classes_and_their_right_labels(tasks: dict[str, TextTask]) -> None:
    task = tasks["waters"]
    part = task.parts["train"]
    sizes, orders = set(), set()
    for episode in episodes(task, 40, Draw(query=10, query_tokens=0, subset=0.7, name_dropout=0.0, other_names=0.0)):
        count = len(episode.words.names)
        sizes.add(count)
        chosen = [int(np.flatnonzero((task.names[0] == row.numpy()).all(1))[0]) for row in episode.words.names]
        orders.add(tuple(chosen))
        for rows, labels in ((episode.support, episode.target.argmax(1)), (episode.query, episode.answer)):
            place = {tuple(row): i for i, row in enumerate(part.rows.ids)}
            truth = [part.y[place[tuple(row)]] for row in rows.ids]
            assert [chosen[label] for label in labels] == truth
        assert episode.target.sum(1).eq(1).all()
        assert episode.target.sum(0).ge(1).all(), "a class without a row"
        assert episode.names is not None
        assert [row.tolist() for row in episode.names.ids] == [task.name_rows[0].ids[c].tolist() for c in chosen]
    assert sizes == {2, 3, 4}
    assert len(orders) > 5


def test_words_are_varied_and_withheld(tasks: dict[str, TextTask]) -> None:
    task = tasks["topics"]
    shares = {"requirement_dropout": 0.3, "name_dropout": 0.3, "other_names": 0.5}
    drawn = episodes(task, 80, Draw(query=4, query_tokens=0, subset=0.0, **shares))
    sentences = {tuple(e.words.requirement.tolist()) for e in drawn}
    assert len(sentences) == 1 + len(task.requirements)  # and none
    namings = {tuple(e.words.names.flatten().tolist()) for e in drawn if e.names is not None}
    assert len(namings) > 5
    withheld = [e for e in drawn if e.names is None]
    assert 8 < len(withheld) < 45
    assert not any(e.words.names.any() for e in withheld)
    assert len({len(e.support) for e in drawn}) > 3


def test_limits_of_an_episode_are_kept(tasks: dict[str, TextTask]) -> None:
    draw = Draw(query=6, query_tokens=0, max_support=7, max_classes=3, subset=0.0)
    drawn = episodes(tasks["waters"], 30, draw)
    assert {len(e.words.names) for e in drawn} <= {2, 3}
    assert max(len(e.support) for e in drawn) <= 7
    assert max(len(e.query) for e in drawn) <= 6
    many = Draw(query=6, query_tokens=0, max_support=2, subset=0.0)
    assert {len(e.support) for e in episodes(tasks["waters"], 10, many)} == {4}, "one row of each class at least"


def test_short_texts_are_asked_more_often_for_the_same_work(tasks: dict[str, TextTask]) -> None:
    task = tasks["waters"]
    length = np.mean(task.parts["train"].rows.lengths)
    for tokens, expected in ((0, 4), (int(8 * length), 8), (10_000, 16)):  # never more than four times as many
        draw = Draw(query=4, query_tokens=tokens, subset=0.0, max_support=4)
        counts = [len(e.query) for e in episodes(task, 5, draw)]
        assert counts == pytest.approx([expected] * 5, abs=1), tokens


def test_misled_episodes_have_each_name_at_another_class(tasks: dict[str, TextTask]) -> None:
    task = tasks["topics"]
    draw = Draw(query=6, query_tokens=0, subset=0.0, name_dropout=0.0, other_names=0.0, misled=0.5)
    drawn = episodes(task, 40, draw)
    assert 8 < sum(e.misled for e in drawn) < 32
    right = [row.tolist() for row in task.name_rows[0].ids]
    for episode in drawn:
        assert episode.names is not None
        called = [row.tolist() for row in episode.names.ids]
        assert sorted(called) == sorted(right)
        wrong = [a != b for a, b in zip(called, right, strict=True)]
        assert wrong == [episode.misled] * 3
        assert np.allclose(episode.words.names, task.names[0][[right.index(name) for name in called]])


def test_balanced_queries_are_drawn_class_by_class(tmp_path: Path, folder: Path, backbone: Backbone) -> None:
    frame = topics_frame(240, ("sport", "food"))
    rare = frame[frame["label"] == "food"].index[12:]
    write_task(tmp_path / "t" / "rare", frame.drop(rare), labels=("sport", "food"))
    (task,) = read_tasks(tmp_path / "t", TextEncoder(str(folder)), prepare_tokenizer(backbone.tokenizer, 64))
    share = {}
    for balanced in (0.0, 1.0):
        # With two classes no subset is drawn, and they keep their order: food is the second.
        drawn = episodes(task, 40, Draw(query=8, query_tokens=0, balanced=balanced))
        share[balanced] = np.mean([float((e.answer == 1).float().mean()) for e in drawn])
    assert share[0.0] < 0.25
    assert share[1.0] > 0.3


def test_an_episode_is_a_function_of_its_random_numbers(tasks: dict[str, TextTask]) -> None:
    one, two, other = (draw_episode(tasks["waters"], np.random.default_rng(seed), Draw()) for seed in (5, 5, 6))
    assert [row.tolist() for row in one.support.ids] == [row.tolist() for row in two.support.ids]
    assert torch.equal(one.answer, two.answer)
    assert torch.equal(one.words.names, two.words.names)
    assert [row.tolist() for row in one.query.ids] != [row.tolist() for row in other.query.ids]


def test_numbers_are_standardised_by_the_training_rows(tasks: dict[str, TextTask]) -> None:
    task = tasks["stars"]
    mean, std = task.scale
    (episode,) = episodes(task, 1)
    place = {tuple(row): i for i, row in enumerate(task.parts["train"].rows.ids)}
    truth = [task.parts["train"].y[place[tuple(row)]] for row in episode.query.ids]
    np.testing.assert_allclose(episode.answer * std + mean, truth, rtol=1e-5)
    assert episode.words.regression
    assert episode.names is None
    assert episode.target.shape == (len(episode.support), 1)


def test_a_validation_is_on_test_rows_with_the_cards_own_words(tasks: dict[str, TextTask]) -> None:
    task = tasks["topics"]
    episode = fixed_episode(task, 4, np.random.default_rng(0), query=20)
    assert rows_in(task.parts["test"].rows, episode.query)
    assert not {tuple(r) for r in episode.query.ids} & {tuple(r) for r in task.parts["train"].rows.ids}
    assert episode.target.sum(0).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(episode.words.requirement, task.requirements[0])
    np.testing.assert_array_equal(episode.words.names, task.names[0])


def test_a_folder_without_cards_is_refused(tmp_path: Path, folder: Path, backbone: Backbone) -> None:
    with pytest.raises(UsageError, match="No text tasks with cards"):
        read_tasks(tmp_path, TextEncoder(str(folder)), backbone.tokenizer)


def unlisted(folder: Path) -> None:
    (folder / "card.yaml").write_text("title: a\ndescription: b\nlabels: [sport, food]\n")


def without_words(folder: Path) -> None:
    (folder / "card.yaml").write_text("labels: [sport, food, money]\n")


def no_mapping(folder: Path) -> None:
    (folder / "card.yaml").write_text("[1]\n")


def without_test(folder: Path) -> None:
    (folder / "test.csv.gz").unlink()


@pytest.mark.parametrize("damage", [unlisted, without_words, no_mapping, without_test])
def test_a_broken_task_is_named(tmp_path: Path, folder: Path, backbone: Backbone, damage: Callable) -> None:
    damage(write_task(tmp_path / "t" / "topics", topics_frame(30), labels=("sport", "food", "money")))
    with pytest.raises(UsageError, match="t/topics can't be read") as caught:
        read_tasks(tmp_path / "t", TextEncoder(str(folder)), backbone.tokenizer)
    assert "card.yaml" in caught.value.hint


def test_files_of_pairs_and_numbers_are_what_the_card_says(tmp_path: Path, folder: Path, backbone: Backbone) -> None:
    write_task(tmp_path / "t" / "pairs", pairs_frame(30), labels=("same", "other"), test="dev")
    write_task(tmp_path / "t" / "scores", stars_frame(30), title="Scores")
    encoder = TextEncoder(str(folder))
    pairs, scores = read_tasks(tmp_path / "t", encoder, prepare_tokenizer(backbone.tokenizer, 64))
    assert (pairs.name, pairs.pair, pairs.regression) == ("pairs", True, False)
    assert (scores.name, scores.pair, scores.regression) == ("scores", False, True)
    assert set(pairs.parts["train"].y) == {0, 1}
