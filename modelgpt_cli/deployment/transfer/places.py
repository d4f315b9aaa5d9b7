"""Where models are kept: a folder, a repository of the Hugging Face hub, or any URL that fsspec knows.

Only what a user names is ever connected to, and only by ``push`` and ``pull``.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from modelgpt_cli.core.errors import ModelGPTError, UnreachableError, UsageError
from modelgpt_cli.core.files import MODEL_NAME, atomic_write
from modelgpt_cli.core.quiet import quiet
from modelgpt_cli.deployment.bundle.archive import MANIFEST, SIGNATURE, check_name, read_manifest, zipped

HUB = "hf://"
CARD = "README.md"
_PIN = re.compile(r"(?P<place>.+)@sha256:(?P<digest>[0-9a-fA-F]{64})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?:::[A-Za-z0-9+.-]+)*://")
_REPO = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+?)(?:@(?P<revision>[\w./-]+?))?(?:/(?P<file>[\w./ -]+))?")
_SUFFIXES = (".onnx", ".zip", ".safetensors")


class Place(Protocol):
    """Somewhere that keeps one model or bundle."""

    @property
    def address(self) -> str:
        """As a user would name it, without the hash."""

    def put(self, file: Path, extra: Mapping[str, bytes], *, force: bool) -> None:
        """Write a file there.

        Parameters
        ----------
        extra : mapping of str to bytes
            For hubs: what is to lie there in place of the archive, or beside the model.
        force : bool
            Whether what is there may be replaced.
        """

    def get(self, file: Path) -> None:
        """Read it into a file."""


def split_pin(address: str) -> tuple[str, str]:
    """Return an address without its hash, and the hash; "" where there is none.

    Raises
    ------
    UsageError
        The hash is none.

    Examples
    --------
    >>> split_pin("models/m.onnx")
    ('models/m.onnx', '')
    >>> split_pin("m.onnx@sha256:" + "AB" * 32) == ("m.onnx", "ab" * 32)
    True
    """
    found = _PIN.fullmatch(address)
    if found is not None:
        return found["place"], found["digest"].lower()
    if "@sha256:" in address:
        raise UsageError(f"{address} has no whole SHA-256.", "It is 64 hex digits behind @sha256:.", "Copy it again.")
    return address, ""


def find_place(address: str, name: str = "", *, public: bool = False) -> Place:
    """Return the place of an address.

    Parameters
    ----------
    address : str
        Without a hash.
    name : str
        What the file is called there where the address names a folder; "" to read.
    public : bool
        Whether a repository that has to be made is to be seen by everybody.

    Raises
    ------
    UsageError
        It is no address.
    """
    if address.startswith(HUB):
        return HubRepo.parse(address, public=public)
    if _SCHEME.match(address):
        return StoreFile.parse(address, name)
    path = Path(address)
    if name and (path.is_dir() or path.suffix.lower() not in _SUFFIXES):
        path = path / name
    return LocalFile(path)


@dataclass(frozen=True)
class LocalFile:
    """A file in a folder."""

    path: Path

    @property
    def address(self) -> str:
        """Its path."""
        return os.fspath(self.path)

    def put(self, file: Path, extra: Mapping[str, bytes], *, force: bool) -> None:
        """Copy a file there, whole or not at all; its folder is made."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ModelGPTError(f"Can't make {self.path.parent}.", error.strerror or "") from error
        with atomic_write(self.path, force=force) as temporary:
            temporary.write_bytes(file.read_bytes())

    def get(self, file: Path) -> None:
        """Copy it."""
        if self.path.is_dir():
            raise UsageError(f"{self.path} is a folder.", "A model or a bundle is to be named.", "Name the file in it.")
        if not self.path.is_file():
            raise UsageError(f"There is no file {self.path}.", "", "Check the address.")
        file.write_bytes(self.path.read_bytes())


@dataclass(frozen=True)
class StoreFile:
    """A file behind a URL that fsspec knows: s3://, gs://, memory://, file://, https:// and others."""

    address: str

    @classmethod
    def parse(cls, address: str, name: str) -> StoreFile:
        """Return the file of a URL, below it where it names a folder."""
        if name and PurePosixPath(address).suffix.lower() not in _SUFFIXES:
            address = f"{address.rstrip('/')}/{name}"
        return cls(address)

    def put(self, file: Path, extra: Mapping[str, bytes], *, force: bool) -> None:
        """Upload a file; by most stores it appears when all of it is there."""
        content = file.read_bytes()

        def write(system: Any, path: str) -> None:
            if not force and system.exists(path):
                raise UsageError(f"{self.address} already exists.", hint="Give another name, or --force to replace it.")
            parent = system._parent(path)
            if parent and parent != path:
                system.makedirs(parent, exist_ok=True)
            system.pipe_file(path, content)

        self._with_system(write)

    def get(self, file: Path) -> None:
        """Download it."""

        def read(system: Any, path: str) -> None:
            file.write_bytes(system.cat_file(path))

        self._with_system(read)

    def _with_system(self, do: Callable[[Any, str], None]) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise ModelGPTError(
                f"{self.address} needs fsspec, which is not installed.", "", "Install it: pip install fsspec"
            ) from error
        try:
            do(*url_to_fs(self.address))
        except ModelGPTError:
            raise
        except FileNotFoundError as error:
            raise UsageError(f"There is no {self.address}.", "", "Check the address.") from error
        except ImportError as error:  # fsspec names the library that the protocol takes
            raise ModelGPTError(f"{self.address} needs another library.", str(error), "Install it with pip.") from error
        except ValueError as error:
            raise UsageError(f"{self.address} is no address that fsspec knows.", str(error)[:300]) from error
        except Exception as error:  # each store's client has errors of its own
            words = " ".join(str(error).split())[:300] or type(error).__name__
            raise UnreachableError(f"{self.address} is out of reach.", words) from error


@dataclass(frozen=True)
class HubRepo:
    """A model repository of the Hugging Face hub, or of the one that ``HF_ENDPOINT`` names.

    A bundle lies there unpacked, so that the hub shows its card, and is packed again, to the same bytes, when it is
    read. A model lies there with a card.
    """

    repo: str
    revision: str
    file: str
    public: bool = False

    @classmethod
    def parse(cls, address: str, *, public: bool) -> HubRepo:
        """Return the repository of ``hf://owner/name[@revision][/file]``."""
        found = _REPO.fullmatch(address.removeprefix(HUB).rstrip("/"))
        if found is None:
            raise UsageError(f"{address} names no repository.", "", f"Write {HUB}owner/name.")
        return cls(found["repo"], found["revision"] or "", found["file"] or "", public)

    @property
    def address(self) -> str:
        """With its scheme."""
        revision = f"@{self.revision}" if self.revision else ""
        return f"{HUB}{self.repo}{revision}" + (f"/{self.file}" if self.file else "")

    def put(self, file: Path, extra: Mapping[str, bytes], *, force: bool) -> None:
        """Upload in one commit; the history of the repository keeps what was there."""
        with _reaching(self.address), tempfile.TemporaryDirectory(prefix="modelgpt-push-") as made:
            for name, content in extra.items():
                path = Path(made, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            api = _api()
            visibility: dict[str, Any] = {"private": not self.public}
            api.create_repo(self.repo, exist_ok=True, **visibility)
            if not force and any(name in extra and name != CARD for name in api.list_repo_files(self.repo)):
                raise UsageError(
                    f"{self.address} has a model already.", "", "Give another name, or --force to commit over it."
                )
            api.upload_folder(
                repo_id=self.repo,
                folder_path=made,
                revision=self.revision or None,
                commit_message="Upload a model by modelgpt push",
                delete_patterns=[MANIFEST, SIGNATURE, "golden/*"],  # of a bundle that lay there before
            )

    def get(self, file: Path) -> None:
        """Download the file that is named, else the bundle, else the model."""
        with _reaching(self.address):
            names = [] if self.file else _api().list_repo_files(self.repo, revision=self.revision or None)
            if self.file or MANIFEST not in names:
                file.write_bytes(self._read(self.file or MODEL_NAME))
                return
            files = {MANIFEST: self._read(MANIFEST)}
            try:
                listed = read_manifest(files)
            except ValueError as error:
                raise ModelGPTError(f"{self.address} holds no bundle.", f"Its {error}.") from error
            for name in [*listed, *([SIGNATURE] if SIGNATURE in names else [])]:
                check_name(name, self.address)
                files[name] = self._read(name)
        file.write_bytes(zipped(files))

    def _read(self, name: str) -> bytes:
        from huggingface_hub import hf_hub_download

        path = hf_hub_download(self.repo, name, revision=self.revision or None, endpoint=_endpoint())
        return Path(path).read_bytes()


def _endpoint() -> str | None:
    return (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None


def _api() -> Any:
    from huggingface_hub import HfApi

    return HfApi(endpoint=_endpoint(), library_name="modelgpt-cli")


@contextmanager
def _reaching(address: str) -> Iterator[None]:
    """Turn the hub client's errors into ours."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError as error:
        raise ModelGPTError(
            f"{address} needs huggingface_hub, which is not installed.", "", "Install it: pip install huggingface_hub"
        ) from error
    try:
        with quiet("huggingface_hub"):  # it tells of each of its tries
            yield
    except ModelGPTError:
        raise
    except Exception as error:  # it and the HTTP library below have errors of their own, which differ by version
        words = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreachableError(
            f"{address} can't be reached, or doesn't allow it.", words, "To write, sign in: hf auth login"
        ) from error
