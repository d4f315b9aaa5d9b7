"""`push` and `pull`: a model or a bundle to a place and back. What is printed, pulls what was pushed or nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import MODEL_NAME, atomic_write, check_model_file, sha256
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.deployment.bundle import golden
from modelgpt_cli.deployment.bundle.archive import MANIFEST, SUFFIX, read_bundle, read_manifest
from modelgpt_cli.deployment.bundle.verify import verify
from modelgpt_cli.deployment.report.card import card_text
from modelgpt_cli.deployment.transfer.places import CARD, HubRepo, find_place, split_pin
from modelgpt_cli.runtime.inspect import inspect
from modelgpt_cli.runtime.session import Model


@dataclass(frozen=True)
class Pushed:
    """What was sent, or would be."""

    address: str
    """With its hash: what `pull` takes."""
    sha256: str
    size_bytes: int
    files: dict[str, int]
    """What lies there, with sizes in bytes."""
    golden_source: str
    """Whose rows a bundle holds; "" for a model, which holds none."""
    sent: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Pulled:
    """What was fetched."""

    path: Path
    sha256: str
    size_bytes: int
    pinned: bool
    """Whether the hash was known beforehand, and is this."""
    kind: str
    """What it is: "model" or "bundle"."""
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"path": str(self.path), "seconds": round(self.seconds, 3)}


def push(
    file: str | os.PathLike[str],
    to: str,
    *,
    public: bool = False,
    licence: str | None = None,
    dry_run: bool = False,
    force: bool = False,
) -> Pushed:
    """Write a model or a bundle to a place.

    Parameters
    ----------
    file : path-like
        A ``model.onnx``, or what `bundle` wrote.
    to : str
        A folder or a file's path; ``hf://owner/name[@revision]``; or a URL that fsspec knows, such as ``s3://bucket/models``.
    public : bool
        Whether a repository of the hub that has to be made is to be seen by everybody.
    licence : str, optional
        Of a model, for the card that it gets on the hub.
    dry_run : bool
        Send nothing; return what would be sent.
    force : bool
        Replace what is there.

    Returns
    -------
    Pushed
        Its address has the hash, by which `pull` gets this very file or nothing.

    Raises
    ------
    UsageError
        There is no such file or address, or something is there already.
    ModelGPTError
        It is neither a model nor a whole bundle, or a library is absent.
    UnreachableError
        The place is out of reach, or refuses.
    """
    start = time.perf_counter()
    path = Path(file)
    check_model_file(path)
    if split_pin(to)[1]:
        raise UsageError(f"{to} has a hash.", "It is what push prints.", "Leave it out.")
    name = path.name
    place = find_place(to, name, public=public)
    files, extra, source = {name: path.stat().st_size}, {}, ""
    if path.suffix.lower() == SUFFIX:
        verify(path).check()
        content = read_bundle(path)
        source = str(parse_json(content[golden.FILE])["source"])
    else:
        inspect(path)
        content = {}
    if isinstance(place, HubRepo):
        if not content and path.suffix.lower() != ".onnx":
            raise UsageError(f"{path} is not for a hub.", "A bundle or a model.onnx is.", "Export it first.")
        extra = content or {MODEL_NAME: path.read_bytes(), CARD: card_text(Model(path), None, licence).encode()}
        files = {name: len(part) for name, part in sorted(extra.items())}
    if not dry_run:
        place.put(path, extra, force=force)
    digest = sha256(path)
    return Pushed(
        f"{place.address}@sha256:{digest}",
        digest,
        path.stat().st_size,
        files,
        source,
        not dry_run,
        time.perf_counter() - start,
    )


def pull(source: str, *, output: str | os.PathLike[str], force: bool = False) -> Pulled:
    """Fetch a model or a bundle; a file appears only if it is whole and has the hash that it should have.

    Parameters
    ----------
    source : str
        An address as `push` prints it; without ``@sha256:…`` whatever lies there is taken.
    output : path-like
    force : bool
        Replace an existing file.

    Raises
    ------
    UsageError
        There is nothing at the address, or the output exists.
    ModelGPTError
        What came has another hash, or is neither a model nor a whole bundle.
    UnreachableError
        The place is out of reach.
    """
    start = time.perf_counter()
    address, wanted = split_pin(source)
    place = find_place(address)
    with atomic_write(output, force=force) as temporary:
        place.get(temporary)
        found = sha256(temporary)
        if wanted and found != wanted:
            raise ModelGPTError(
                f"{address} is not what was pushed.",
                f"Its SHA-256 is {found}, and {wanted} was asked for.",
                "Nothing was kept. Ask whoever gave you the address.",
            )
        kind = _kind(temporary, address)
    path = Path(output)
    return Pulled(path, found, path.stat().st_size, bool(wanted), kind, time.perf_counter() - start)


def _kind(file: Path, address: str) -> str:
    """What a file is that came from elsewhere.

    Raises
    ------
    ModelGPTError
        It is nothing of ours, or a bundle that is not whole.
    """
    with open(file, "rb") as opened:
        is_zip = opened.read(4) == b"PK\x03\x04"
    try:
        if not is_zip:
            inspect(file)
            return "model"
        files = read_bundle(file)
        _check_whole(files)
    except ModelGPTError as error:
        words = f"{error.problem} {error.cause}".replace(str(file), "It").strip()
        raise ModelGPTError(f"{address} is neither a model nor a bundle.", words, "Nothing was kept.") from error
    return "bundle"


def _check_whole(files: Mapping[str, bytes]) -> None:
    import hashlib

    try:
        listed = read_manifest(files)
    except ValueError as error:
        raise ModelGPTError(f"{error}.") from error
    for name, entry in listed.items():
        if name not in files or hashlib.sha256(files[name]).hexdigest() != entry.get("sha256"):
            raise ModelGPTError(f"{name} is not as {MANIFEST} has it.")
