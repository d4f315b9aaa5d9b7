"""``build --batch``: requests in, a folder of models with a manifest out. Nothing is lost that was made."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from modelgpt_cli.batch.manifest import Entry, Manifest
from modelgpt_cli.batch.requests import BadLine, Request, file_states, read_requests
from modelgpt_cli.batch.work import Task, failure
from modelgpt_cli.core.deploy import FORMATS
from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import sha256
from modelgpt_cli.core.options import BatchOptions
from modelgpt_cli.core.progress import hidden

if sys.platform != "win32":
    import fcntl

log = logging.getLogger("modelgpt")
BUILDING = ".building"
"""The folder, in the output, of models that are not finished."""
_TOLD = 5
"""Failures that are reported at the end; the manifest has all."""


@dataclass
class BatchReport:
    """What a batch made.

    Attributes
    ----------
    path : Path
        The folder.
    manifest : Path
    built, failed : int
    kept : int
        Models that were there already, of the same requests.
    seconds : float
    """

    path: Path
    manifest: Path
    built: int = 0
    failed: int = 0
    kept: int = 0
    seconds: float = 0.0

    def check(self) -> None:
        """Make sure that none failed.

        Raises
        ------
        SomeFailedError
            One did, or more.
        """
        if self.failed:
            raise SomeFailedError(
                f"{self.failed:,} of {self.failed + self.built + self.kept:,} models could not be built.",
                f"{self.manifest} has the reasons.",
                "Once they are fixed, the same command (without --force) builds what is missing.",
            )

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self) | {"path": str(self.path), "manifest": str(self.manifest)}


class SomeFailedError(ModelGPTError):
    """Not all models of a batch could be built (exit 1)."""


def build_batch(
    requests: str | Path,
    *,
    output: str | Path,
    jobs: int | None = None,
    engine: str = "processes",
    force: bool = False,
    **options: Any,
) -> BatchReport:
    """Build a model for each request.

    What one line asks for wrongly costs the others nothing: its error is in the manifest. Of a batch that was
    interrupted, or whose requests have changed since, only what is missing, failed or changed is built.

    Parameters
    ----------
    requests : str or Path
        A file with a JSON object a line; ``-`` for stdin. See docs/batch.md.
    output : str or Path
        The folder, made where it is not there.
    jobs : int, optional
        Models built at a time; one for each core where not given.
    engine : {"processes", "ray"}
        On this machine, or on a Ray cluster.
    force : bool
        Build everything anew, and replace files that no batch has made.
    **options
        Of `build`, for all requests. What a request says goes before.

    Raises
    ------
    UsageError
        No line is a request, or a file is in the way; nothing has been built then.
    ModelGPTError
        The folder can't be written.
    """
    start = time.monotonic()
    BatchOptions(jobs=jobs, engine=engine)  # checks them
    bad: list[BadLine] = []
    wanted = read_requests(requests, options, bad)
    states = file_states()
    keys = {request.file: request.key(states) for request in wanted}
    folder = Path(output)
    _make_folder(folder)
    with _alone(folder):
        manifest = Manifest(folder)
        _settle(manifest, folder)
        missing = wanted if force else [r for r in wanted if not _is_there(manifest, folder, r, keys[r.file])]
        if not force:
            _check_free(manifest, folder, missing)
        report = BatchReport(folder, manifest.path, kept=len(wanted) - len(missing), failed=len(bad))
        for line in bad:
            manifest.add(Entry(line.id, "", "failed", line.id, 0.0, error=failure(line.error)))
        if missing:
            manifest.write(manifest.entries)  # without what broke off
            _build_all(missing, keys, folder, manifest, engine, jobs, report)
        ours = [*(line.id for line in bad), *(request.file for request in wanted)]
        others = [path for path in manifest.entries if path not in keys and (folder / path).is_file()]
        manifest.write(ours + others)
    report.seconds = time.monotonic() - start
    _tell(manifest, [*(line.id for line in bad), *(request.file for request in missing)])
    return report


def _build_all(
    requests: list[Request],
    keys: Mapping[str, str],
    folder: Path,
    manifest: Manifest,
    engine: str,
    jobs: int | None,
    report: BatchReport,
) -> None:
    """Build the models; each is noted, and put in its place, as it comes."""
    building = folder / BUILDING / secrets.token_hex(4)  # where no worker of a batch that was killed can write
    building.mkdir(parents=True)
    tasks = [Task(request, keys[request.file], str(building.resolve())) for request in requests]
    try:
        with closing(_run(tasks, engine, jobs)) as entries:
            for entry in tqdm(entries, total=len(tasks), unit=" models", disable=hidden()):
                # In this order: what is noted and not in its place can be found again, see `_settle`.
                manifest.add(entry)
                if entry.built:
                    os.replace(building / entry.path, folder / entry.path)
                    report.built += 1
                else:
                    report.failed += 1
    except KeyboardInterrupt:
        there = f"{report.built + report.kept:,} of {report.kept + len(tasks):,}"
        log.warning("%s models are there; the same command (without --force) goes on.", there)
        raise
    finally:
        _settle(manifest, folder)


def _settle(manifest: Manifest, folder: Path) -> None:
    """Put in its place the model at which a batch broke off, if it is noted already; remove what is half done."""
    for path in (folder / BUILDING).glob("*/*"):
        entry = manifest.entries.get(path.name)
        if entry is not None and entry.built and entry.report["sha256"] == sha256(path):
            os.replace(path, folder / path.name)
    shutil.rmtree(folder / BUILDING, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Make sure that no other batch writes into the folder, where the system can tell."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ModelGPTError(
                f"Another batch is writing into {folder}.", hint="Wait until it is done, or name another folder."
            ) from None
        except OSError:  # some network disks have no locks
            log.debug("%s can't be locked.", folder)
        yield
    finally:
        os.close(handle)


def _run(tasks: list[Task], engine: str, jobs: int | None) -> Generator[Entry]:
    if engine == "ray":
        from modelgpt_cli.batch.cluster import run_ray

        return run_ray(tasks, jobs)
    from modelgpt_cli.batch.processes import run_processes

    return run_processes(tasks, jobs)


def _make_folder(folder: Path) -> None:
    if folder.suffix[1:].lower() in FORMATS and not folder.is_dir():
        raise UsageError(f"{folder} names a model.", hint="-o names the folder of a batch.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder} is no folder.", hint="-o names the folder of a batch.") from None
    except OSError as error:
        raise ModelGPTError(f"The folder {folder} can't be made.", error.strerror or "") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ModelGPTError(f"The folder {folder} is not writable.", hint="Choose another with -o.")


def _is_there(manifest: Manifest, folder: Path, request: Request, key: str) -> bool:
    """Whether a request's model has been made, of just what it would be made of now."""
    entry = manifest.entries.get(request.file)
    return entry is not None and entry.built and entry.key == key and (folder / request.file).is_file()


def _check_free(manifest: Manifest, folder: Path, requests: list[Request]) -> None:
    """Make sure that no file is in the way which no batch has made."""
    there = set(os.listdir(folder)) - set(manifest.entries)
    if blocked := [request.file for request in requests if request.file in there]:
        more = f" and {len(blocked) - 1} more" if len(blocked) > 1 else ""
        raise UsageError(
            f"{folder / blocked[0]}{more} already exists.",
            "No batch has made it.",
            "Name another folder, or --force to replace it.",
        )


def _tell(manifest: Manifest, paths: list[str]) -> None:
    """Say which failed, the first few of them."""
    failed = [entry for path in paths if not (entry := manifest.entries[path]).built]
    for entry in failed[:_TOLD]:
        log.warning("%s failed: %s", entry.id, _words(entry.error))
    if len(failed) > _TOLD:
        log.warning("%d more failed; %s has the reasons.", len(failed) - _TOLD, manifest.path)


def _words(error: Mapping[str, Any]) -> str:
    return " ".join(part.splitlines()[-1] for part in (error["problem"], error["cause"], error["hint"]) if part)
