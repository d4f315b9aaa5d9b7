"""Files are written whole or not at all, and what ships with the package is found."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from modelgpt_cli.core import assets
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import atomic_write, check_destination
from modelgpt_cli.requirement_generator.prompt import answer_key, load_prompt


def test_a_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with atomic_write(out) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not out.exists()
    assert out.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]
    assert stat.S_IMODE(out.stat().st_mode) & 0o600 == 0o600


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    out = tmp_path / "out.txt"
    out.write_text("old")

    def fail() -> None:
        with atomic_write(out, force=True) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert out.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


def test_force_replaces_and_keeps_the_mode_and_the_link(tmp_path: Path) -> None:
    out, link = tmp_path / "out.txt", tmp_path / "link.txt"
    out.write_text("old")
    out.chmod(0o640)
    link.symlink_to(out)
    with atomic_write(link, force=True) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert out.read_text() == "new"
    assert stat.S_IMODE(out.stat().st_mode) == 0o640


def test_a_file_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    with pytest.raises(UsageError, match="already exists"), atomic_write(out):
        out.write_text("another's")
    assert out.read_text() == "another's"
    assert [p.name for p in tmp_path.iterdir()] == ["out.txt"]


@pytest.mark.parametrize(
    ("path", "words"),
    [("", "is a folder"), ("old.txt", "--force"), ("no/out.txt", "mkdir -p"), ("pipe", "ordinary file")],
)
def test_a_bad_destination_is_told_before_any_work(tmp_path: Path, path: str, words: str) -> None:
    (tmp_path / "old.txt").write_text("old")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelGPTError, match=words):
        check_destination(tmp_path / path)


def test_a_device_is_never_replaced() -> None:
    with pytest.raises(UsageError, match="ordinary file"):
        check_destination("/dev/null", force=True)


def test_a_folder_without_write_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere, so the answer is put in its mouth
    with pytest.raises(ModelGPTError, match="not writable"):
        check_destination(tmp_path / "out.txt")


def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    with pytest.raises(ModelGPTError, match="Free some space"), atomic_write(tmp_path / "out.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_assets_are_looked_for_in_the_package_then_in_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "modelgpt_cli"
    (package / "prompts").mkdir(parents=True)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "table.yaml").touch()
    monkeypatch.setattr(assets, "_PACKAGE", package)
    assert assets.asset("prompts", "table.yaml") == tmp_path / "prompts" / "table.yaml"
    (package / "prompts" / "table.yaml").touch()
    assert assets.asset("prompts", "table.yaml") == package / "prompts" / "table.yaml"
    with pytest.raises(ModelGPTError) as caught:
        assets.asset("weights", "none.bin")
    assert str(package / "weights") in caught.value.cause
    assert str(tmp_path / "weights") in caught.value.cause


def test_a_prompt_template_with_another_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text("system: a\nuser: b\nschema: {}\nretry: c\nmore: d\n")
    with pytest.raises(ModelGPTError, match="exactly retry, schema, system, user"):
        load_prompt(path)
    assert answer_key(load_prompt()) == "requirement"
