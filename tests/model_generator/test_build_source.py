"""What a build may begin with: data, words, or a requirement; and which options it takes for which domain."""

from __future__ import annotations

from pathlib import Path

import pytest
from bad_input import Bench
from tiny_images import folder_of

from modelgpt_cli import build
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.model_generator.source import begin, is_data
from modelgpt_cli.requirement_generator.requirement_file import read_requirement

# Data -----------------------------------------------------------------------------------------------------------------


def test_data_are_described_and_the_requirement_is_kept(iris_csv: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    report = build(iris_csv, target="species", output=folder / "m.onnx", one_pass=True)
    assert report.requirement == folder / "m.req.txt"
    kept = read_requirement(report.requirement)
    assert kept.target == "species"
    assert kept.author == "offline"
    assert kept.data == str(iris_csv)
    assert "data: ../iris.csv" in report.requirement.read_text()  # from where the file is
    assert report.notes == ["Built in one pass, without cross-validation: nothing is known of how good this model is."]


def test_nothing_is_kept_where_that_is_not_wanted_or_the_build_fails(iris_csv: Path, tmp_path: Path) -> None:
    report = build(str(iris_csv), output=tmp_path / "m.onnx", one_pass=True, keep_requirement=False)
    assert report.requirement is None
    with pytest.raises(UsageError, match="no card 'tabular-0'"):
        build(iris_csv, card="tabular-0", output=tmp_path / "n.onnx")
    assert {path.name for path in tmp_path.iterdir()} == {"iris.csv", "m.onnx"}


def test_a_requirement_that_is_there_stays_without_force(iris_csv: Path, tmp_path: Path) -> None:
    mine = tmp_path / "m.req.txt"
    mine.write_text("Mine.\n")
    with pytest.raises(UsageError, match=r"m\.req\.txt"):
        build(iris_csv, output=tmp_path / "m.onnx", one_pass=True)
    assert mine.read_text() == "Mine.\n"
    build(iris_csv, output=tmp_path / "m.onnx", one_pass=True, force=True)
    assert read_requirement(mine).target == "species"


def test_data_are_named_once(iris_csv: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both are data") as caught:
        build(iris_csv, iris_csv, output=tmp_path / "m.onnx")
    assert "modelgpt describe" in caught.value.hint


def test_the_command_takes_a_folder(bench: Bench, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "things", n=8)
    done = bench.run("build", folder, "-o", "m.safetensors")
    assert done.code == 0, done.err
    assert (bench.folder / "m.req.txt").is_file()
    assert "The requirement is in m.req.txt." in done.err
    assert " with loading), " in done.err
    done = bench.run("build", folder, "-o", "n.safetensors", "--no-req")
    assert done.code == 0, done.err
    assert not (bench.folder / "n.req.txt").exists()


def test_the_command_takes_data_beside_a_requirement(bench: Bench, iris_csv: Path) -> None:
    (bench.folder / "req.txt").write_text("Which iris is it?\n---\ntarget: species\n")
    done = bench.run("build", iris_csv, "--req", "req.txt", "--one-pass", "-o", "m.onnx")
    assert done.code == 0, done.err
    assert not (bench.folder / "m.req.txt").exists()  # there was one
    bench.refuse(2, "both name data", "build", iris_csv, "--req", "req.txt", "--data", iris_csv, "-o", "n.onnx")


@pytest.mark.parametrize("name", ["a.csv", "b.TSV", "c.csv.gz", "d.parquet", "e.zip", "folder"])
def test_what_is_data(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert is_data(str(tmp_path / name))
    assert not is_data(str(tmp_path / "req.txt"))


# Words ----------------------------------------------------------------------------------------------------------------


def test_a_sentence_is_a_requirement(bench: Bench) -> None:
    done = bench.run("build", "sort mails into spam and ham", "-o", "m.safetensors")
    assert done.code == 0, done.err
    assert "Read from the words: classes spam, ham; domain text." in done.err
    report = bench.run("inspect", "m.safetensors", "--json")
    assert '"spam"' in report.out


def test_a_sentence_may_be_about_data(iris_csv: Path, tmp_path: Path) -> None:
    report = build("Tell roses from tulips by their leaves.", iris_csv, output=tmp_path / "m.onnx", one_pass=True)
    assert report.data_used  # whose classes count
    assert report.requirement is None


@pytest.mark.parametrize("source", ["requirement.txt", "my data.csv", "no such/req.txt"])
def test_a_file_that_is_not_there_is_no_sentence(source: str) -> None:
    with pytest.raises(Exception, match=r"no (such )?file") as caught:
        begin(source, {}, beside=None, force=False, cache=False)
    assert source in str(caught.value)


def test_nothing_is_too_little(bench: Bench) -> None:
    bench.refuse(2, "modelgpt describe DATA -o req.txt", "build", "-o", "m.onnx")


# Options --------------------------------------------------------------------------------------------------------------


def test_options_of_another_domain_are_refused(iris_csv: Path, tmp_path: Path) -> None:
    for option, words in ((("backbone", "resnet18"), "--backbone is for"), (("max_tokens", 64), "is for texts")):
        with pytest.raises(UsageError, match=words) as caught:
            build(iris_csv, output=tmp_path / "m.onnx", **dict([option]))
        assert "This is about tables." in caught.value.cause
    with pytest.raises(UsageError, match="--members is for tables"):
        build("Sort mails.\n---\nclasses: [spam, ham]\n", output=tmp_path / "m.onnx", members=4)


def test_what_a_batch_is_given_is_passed_over_where_it_says_nothing(tmp_path: Path) -> None:
    words = "Sort mails.\n---\nclasses: [spam, ham]\n"
    report = build(words, output=tmp_path / "m.safetensors", members=4, lenient=["members"])
    assert report.card == "minilm-l6"


def test_options_that_are_off_are_told_before_anything_is_read(tmp_path: Path) -> None:
    for options, words in (
        ({"member": 4}, "no option 'member'"),
        ({"members": 0}, "--members can't be 0"),
        ({"coverage": 1.0}, "--coverage can't be 1"),
        ({"text_columns": "maybe"}, "--text-columns can't be 'maybe'"),
        ({"max_tokens": 4}, "--max-tokens can't be 4"),
    ):
        with pytest.raises(UsageError, match=words):
            build(tmp_path / "nowhere.txt", output=tmp_path / "m.onnx", **options)
