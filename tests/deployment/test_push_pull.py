"""Models to places and back: what comes is what was sent, or nothing is kept."""

from __future__ import annotations

import inspect
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import huggingface_hub
import pytest
from bad_input import Bench
from tiny_models import tiny_model

from modelgpt_cli import bundle, pull, push
from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.deployment.bundle.archive import read_bundle
from modelgpt_cli.deployment.transfer.places import HubRepo, find_place

REAL = huggingface_hub.HfApi


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model.onnx and a bundle of it."""
    root = tmp_path_factory.mktemp("kept")
    tiny_model(root / "model.onnx", {"a": "numeric"}, labels=("x", "y"), weight={"a": [1.0, -1.0]})
    bundle(root / "model.onnx", output=root / "m.bundle.zip", rows=2)
    return root


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's store in memory, emptied before and after."""
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


@pytest.mark.parametrize("name", ["model.onnx", "m.bundle.zip"])
@pytest.mark.parametrize("to", ["folder", "folder/sub", "memory://models", "file"])
def test_there_and_back(name: str, to: str, kept: Path, memory: Any, tmp_path: Path) -> None:
    if to == "file":
        to = (tmp_path / "by-url").as_uri()
    elif to.startswith("folder"):
        to = str(tmp_path / to)
    sent = push(kept / name, to)
    assert sent.address == f"{to}/{name}@sha256:{sent.sha256}"
    came = pull(sent.address, output=tmp_path / f"back-{name}")
    assert came.pinned
    assert came.kind == ("bundle" if name.endswith("zip") else "model")
    assert (tmp_path / f"back-{name}").read_bytes() == (kept / name).read_bytes()
    with pytest.raises(UsageError, match="already exists"):
        push(kept / name, to)
    assert push(kept / name, to, force=True).address == sent.address


def test_what_was_changed_is_not_kept(kept: Path, memory: Any, tmp_path: Path) -> None:
    address = push(kept / "model.onnx", "memory://models").address
    tiny_model(tmp_path / "other.onnx", {"a": "numeric"}, labels=("x", "y"))
    push(tmp_path / "other.onnx", "memory://models/model.onnx", force=True)
    with pytest.raises(ModelGPTError, match="not what was pushed"):
        pull(address, output=tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    assert not pull(address.partition("@")[0], output=tmp_path / "m.onnx").pinned
    memory.pipe_file("/models/page.onnx", b"<html>not found</html>")
    with pytest.raises(ModelGPTError, match="neither a model nor a bundle"):
        pull("memory://models/page.onnx", output=tmp_path / "page.onnx")
    files = read_bundle(kept / "m.bundle.zip")
    del files["README.md"]
    from modelgpt_cli.deployment.bundle.archive import zipped

    memory.pipe_file("/models/b.zip", zipped(files))
    with pytest.raises(ModelGPTError, match="neither a model nor a bundle") as raised:
        pull("memory://models/b.zip", output=tmp_path / "b.zip")
    assert "README.md" in raised.value.cause
    assert {path.name for path in tmp_path.iterdir()} == {"other.onnx", "m.onnx"}


def test_bad_addresses(kept: Path, memory: Any, tmp_path: Path) -> None:
    for address, words in (
        (f"{tmp_path}/m.onnx@sha256:12", "no whole SHA-256"),
        (f"{tmp_path}/no.onnx", "There is no file"),
        (str(tmp_path), "is a folder"),
        ("memory://models/no.onnx", "There is no memory"),
        ("hf://only-one-name", "names no repository"),
        ("nonsense://a/b.onnx", "no address that fsspec knows"),
    ):
        with pytest.raises(UsageError, match=words):
            pull(address, output=tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="has a hash"):
        push(kept / "model.onnx", f"memory://m@sha256:{'0' * 64}")
    with pytest.raises(ModelGPTError):
        push(Path(__file__), "memory://m")
    assert not memory.store


def test_a_damaged_bundle_is_not_sent(kept: Path, memory: Any, tmp_path: Path) -> None:
    raw = (kept / "m.bundle.zip").read_bytes()
    (tmp_path / "b.zip").write_bytes(raw.replace(b"Classify a tiny table", b"Classify a huge table"))
    with pytest.raises(ModelGPTError):
        push(tmp_path / "b.zip", "memory://models")
    assert not memory.store


def test_the_parts_of_a_hub_address() -> None:
    repo = find_place("hf://me/irises@v1.2/model.onnx")
    assert repo == HubRepo("me/irises", "v1.2", "model.onnx")
    assert repo.address == "hf://me/irises@v1.2/model.onnx"
    assert find_place("hf://me/irises").address == "hf://me/irises"


# The hub --------------------------------------------------------------------------------------------------------------


class FakeHub:
    """What `HfApi` and `hf_hub_download` do, on a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: list[tuple[str, bool]] = []

    def create_repo(self, repo: str, *, exist_ok: bool, private: bool) -> None:
        inspect.signature(REAL.create_repo).bind(None, repo, exist_ok=exist_ok, private=private)
        assert exist_ok
        self.made.append((repo, private))
        (self.root / repo).mkdir(parents=True, exist_ok=True)

    def list_repo_files(self, repo: str, revision: str | None = None) -> list[str]:
        folder = self.root / repo
        return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]

    def upload_folder(self, *, repo_id: str, folder_path: str, delete_patterns: list[str], **more: Any) -> None:
        given = {"repo_id": repo_id, "folder_path": folder_path, "delete_patterns": delete_patterns, **more}
        inspect.signature(REAL.upload_folder).bind(None, **given)  # the real one takes the same
        for name in self.list_repo_files(repo_id):
            if any(Path(name).match(pattern) for pattern in delete_patterns):
                (self.root / repo_id / name).unlink()
        shutil.copytree(folder_path, self.root / repo_id, dirs_exist_ok=True)

    def download(self, repo: str, name: str, **_: Any) -> str:
        return str(self.root / repo / name)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    found = FakeHub(tmp_path / "hub")
    monkeypatch.setattr("huggingface_hub.HfApi", lambda **_: found)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", found.download)
    return found


def test_a_bundle_lies_unpacked_on_the_hub(kept: Path, hub: FakeHub, tmp_path: Path) -> None:
    seen = push(kept / "m.bundle.zip", "hf://me/m", dry_run=True)
    assert not seen.sent
    assert {"README.md", "model.onnx", "manifest.json"} <= set(seen.files)
    assert not hub.made, "nothing is sent"
    sent = push(kept / "m.bundle.zip", "hf://me/m")
    assert sent.address == seen.address == f"hf://me/m@sha256:{sent.sha256}"
    assert hub.made == [("me/m", True)], "it is private"
    assert (hub.root / "me/m/README.md").read_text(encoding="utf-8").startswith("---\nlicense: unknown\n")
    pull(sent.address, output=tmp_path / "back.zip")
    assert (tmp_path / "back.zip").read_bytes() == (kept / "m.bundle.zip").read_bytes()
    with pytest.raises(UsageError, match="has a model already"):
        push(kept / "model.onnx", "hf://me/m")
    (hub.root / "me/m/golden.json").write_text("{}")
    with pytest.raises(ModelGPTError, match="not what was pushed"):
        pull(sent.address, output=tmp_path / "again.zip")
    plain = push(kept / "model.onnx", "hf://me/m", force=True, public=True)
    pull(plain.address, output=tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").read_bytes() == (kept / "model.onnx").read_bytes()


def test_the_hub_out_of_reach_is_one_error(kept: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    bench.refuse(4, "can't be reached", "pull", f"hf://me/m/model.onnx@sha256:{'0' * 64}", "-o", "m.onnx")
    with pytest.raises(UnreachableError):
        push(kept / "model.onnx", "hf://me/m")


class _Hub(BaseHTTPRequestHandler):
    """As much of a hub as downloads ask for."""

    def __init__(self, content: bytes, *args: Any) -> None:
        self._content = content
        super().__init__(*args)

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        self._head()
        self.wfile.write(self._content)

    def _head(self) -> None:
        found = self.path == "/me/m/resolve/main/model.onnx"
        self.send_response(200 if found else 404)
        for name, value in (("ETag", '"abc"'), ("X-Repo-Commit", "0" * 40), ("Content-Length", len(self._content))):
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_real_download(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (kept / "model.onnx").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Hub, content))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    try:
        digest = push(kept / "model.onnx", str(tmp_path / "place")).sha256
        pull(f"hf://me/m/model.onnx@sha256:{digest}", output=tmp_path / "m.onnx")
        assert (tmp_path / "m.onnx").read_bytes() == content
        with pytest.raises(UnreachableError):
            pull("hf://me/m/no.onnx", output=tmp_path / "no.onnx")
    finally:
        server.shutdown()
        server.server_close()


def test_the_commands_print_an_address(kept: Path, bench: Bench) -> None:
    done = bench.run("push", kept / "model.onnx", "models")
    assert done.out.startswith("models/model.onnx@sha256:")
    back = bench.run("pull", done.out.strip(), "-o", "m.onnx", "--json")
    assert json.loads(back.out)["pinned"] is True
    dry = bench.run("push", kept / "m.bundle.zip", "hf://me/m", "--dry-run")
    assert "Would be sent, with golden rows: made up from the model's inputs. Nothing was." in dry.err
