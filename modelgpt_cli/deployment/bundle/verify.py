"""`verify`: is a bundle whole, signed by whom it should be, and does its model answer as it did? All of it offline."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError, VerificationError
from modelgpt_cli.core.files import MODEL_NAME
from modelgpt_cli.core.json_text import parse_json
from modelgpt_cli.deployment.bundle import golden, sbom
from modelgpt_cli.deployment.bundle.archive import APART, SIGNATURE, read_bundle, read_manifest
from modelgpt_cli.deployment.bundle.bundle import CARD, LICENCES
from modelgpt_cli.deployment.bundle.signature import check_signing, signature_fault
from modelgpt_cli.runtime.session import Model

OK, FAULTY, NOT_CHECKED = "ok", "faulty", "not checked"


@dataclass(frozen=True)
class Verification:
    """What was found of a bundle."""

    path: Path
    model_sha256: str
    checks: dict[str, str]
    """Name of each check → "ok", "faulty", or "not checked" and why."""
    faults: list[str] = field(default_factory=list)
    """One line each."""
    golden_rows: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "path": str(self.path),
            "ok": not self.faults,
            "model_sha256": self.model_sha256,
            "checks": self.checks,
            "faults": self.faults,
            "golden_rows": self.golden_rows,
            "seconds": round(self.seconds, 3),
        }

    def check(self) -> None:
        """Make sure that nothing is wrong.

        Raises
        ------
        VerificationError
            Something is; its cause has a line for each fault.
        """
        if self.faults:
            many = f"{len(self.faults)} faults" if len(self.faults) > 1 else "1 fault"
            raise VerificationError(f"{self.path} has {many}.", "\n".join(self.faults), "Don't use it; get it anew.")


def verify(bundle: str | os.PathLike[str], *, key: str | os.PathLike[str] | None = None) -> Verification:
    """Check a bundle: hashes, signature, licences, bill of materials, and that its golden rows get their answers.

    Parameters
    ----------
    bundle : path-like
        The archive, or a folder that it was unpacked into.
    key : path-like, optional
        The public key that it must be signed with, in PEM; takes the extra ``sign``. Without, a signature isn't looked
        at: then the hashes tell of damage, and not of somebody who changed the files and their hashes.

    Returns
    -------
    Verification
        With all faults that were found.

    Raises
    ------
    ModelGPTError
        It is no bundle.
    UsageError
        There is no such file or key.
    """
    start = time.perf_counter()
    if key is not None:
        check_signing(key)
    files = read_bundle(bundle)
    listed, faults = _checked_files(files)
    checks = {"files": FAULTY if faults else OK}
    changed = {name for name, content in files.items() if name not in APART and not _fits(content, listed.get(name))}
    counted = [0]

    def run(name: str, file: str, check: Callable[[], list[str]]) -> None:
        if file in changed or file not in files:  # what it says counts for nothing
            checks[name] = f"{NOT_CHECKED}: {file} is {'changed' if file in files else 'missing'}"
            return
        found = check()
        checks[name] = FAULTY if found else OK
        faults.extend(found)

    checks["signature"], words = _signature(files, key)
    faults += words
    run("licences", LICENCES, lambda: _licence_faults(files))
    run("sbom", sbom.FILE, lambda: _sbom_faults(files))
    run("golden rows", MODEL_NAME, lambda: _golden_faults(files, changed, counted))
    digest = hashlib.sha256(files[MODEL_NAME]).hexdigest() if MODEL_NAME in files else ""
    return Verification(Path(bundle), digest, checks, faults, counted[0], time.perf_counter() - start)


def _fits(content: bytes, entry: Mapping[str, Any] | None) -> bool:
    return entry is not None and hashlib.sha256(content).hexdigest() == entry.get("sha256")


def _checked_files(files: Mapping[str, bytes]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What the manifest lists, and a line for each file that is not as it says."""
    try:
        listed = read_manifest(files)
    except ValueError as error:
        return {}, [str(error)]
    faults = [f"{name}: missing" for name in listed if name not in files]
    faults += [f"{name}: not in the manifest" for name in files if name not in listed and name not in APART]
    faults += [
        f"{name}: its SHA-256 is {hashlib.sha256(files[name]).hexdigest()[:12]}…, not {str(entry.get('sha256'))[:12]}…"
        for name, entry in listed.items()
        if name in files and not _fits(files[name], entry)
    ]
    needed = (MODEL_NAME, CARD, LICENCES, sbom.FILE, golden.FILE)
    faults += [f"{name}: not in the manifest, which must list it" for name in needed if name not in listed]
    return listed, faults


def _signature(files: Mapping[str, bytes], key: str | os.PathLike[str] | None) -> tuple[str, list[str]]:
    if SIGNATURE not in files:
        missing = [f"{SIGNATURE}: missing, and --key asks for a signature"] if key is not None else []
        return FAULTY if missing else f"{NOT_CHECKED}: not signed", missing
    if key is None:
        return f"{NOT_CHECKED}: give the public key with --key", []
    fault = signature_fault(files, key)
    return (FAULTY, [f"{SIGNATURE}: {fault}"]) if fault else (OK, [])


def _licence_faults(files: Mapping[str, bytes]) -> list[str]:
    try:
        inside = parse_json(files[LICENCES])["inside"]
        entries = [(str(one["name"]), str(one["spdx"]), [str(text) for text in one["texts"]]) for one in inside]
    except (ValueError, KeyError, TypeError) as error:
        return [f"{LICENCES}: can't be read ({error})"]
    faults = [f"{LICENCES}: lists nothing"] if not entries else []
    faults += [f"{LICENCES}: {name} has no licence" for name, spdx, _ in entries if not spdx]
    return faults + [
        f"{LICENCES}: {name} names the text {text}, which is missing"
        for name, _, texts in entries
        for text in texts
        if text not in files
    ]


def _sbom_faults(files: Mapping[str, bytes]) -> list[str]:
    try:
        found = parse_json(files[sbom.FILE])
        stated = found["metadata"]["component"]["hashes"][0]["content"]
        names = {one["name"] for one in found["components"]}
        licensed = {one["name"] for one in parse_json(files[LICENCES])["inside"]} if LICENCES in files else names
        if found["bomFormat"] != "CycloneDX":
            return [f"{sbom.FILE}: not CycloneDX"]
    except (ValueError, KeyError, TypeError, IndexError) as error:
        return [f"{sbom.FILE}: can't be read ({error})"]
    faults = [f"{sbom.FILE}: {name} is not in {LICENCES}" for name in sorted(names - licensed)]
    if MODEL_NAME in files and stated != hashlib.sha256(files[MODEL_NAME]).hexdigest():
        faults.append(f"{sbom.FILE}: it is of another {MODEL_NAME}")
    return faults


def _golden_faults(files: Mapping[str, bytes], changed: set[str], counted: list[int]) -> list[str]:
    """Let the model answer; a line for each row whose answers are others."""
    if golden.FILE not in files or golden.FILE in changed:
        return [f"{golden.FILE}: changed or missing, so no row was compared"]
    try:
        expected = golden.read_golden(files[golden.FILE], files)
    except ValueError as error:
        return [str(error)]
    with tempfile.TemporaryDirectory(prefix="modelgpt-bundle-") as folder:
        path = Path(folder, MODEL_NAME)
        path.write_bytes(files[MODEL_NAME])
        try:
            found = golden.answers(Model(path), expected.rows, files)
        except UsageError as error:
            return [f"{MODEL_NAME}: {error.problem}"]
        except ModelGPTError as error:
            if isinstance(error.__cause__, ImportError):  # a library is absent here, and the bundle isn't to blame
                raise
            words = f"{error.problem} {error.cause}".replace(str(path), MODEL_NAME)
            return [f"{MODEL_NAME}: {' '.join(words.split())}"]
    if len(found) != len(expected.expected):
        return [f"{golden.FILE}: {len(found)} answers to {len(expected.expected)} rows"]
    counted[0] = len(found)
    return golden.differences(expected, found)
