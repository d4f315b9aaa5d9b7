"""`bundle`: a model with its card, golden rows, licences, bill of materials and signature, as one archive."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import MODEL_NAME, atomic_write, bundled_model, check_destination, check_exists, sha256
from modelgpt_cli.core.version import __version__
from modelgpt_cli.deployment.bundle import golden, sbom
from modelgpt_cli.deployment.bundle.archive import MANIFEST, SIGNATURE, SUFFIX, as_json, manifest, zipped
from modelgpt_cli.deployment.bundle.signature import check_signing, sign
from modelgpt_cli.deployment.licences import OWN, Component, check_licence, components, own_text, texts
from modelgpt_cli.deployment.report.card import card_text
from modelgpt_cli.deployment.report.measured import data_name, measured
from modelgpt_cli.runtime.session import Model

if TYPE_CHECKING:
    from modelgpt_cli.data.in_memory import Data

CARD, LICENCES, TEXTS = "README.md", "licenses.json", "licenses/"
ROWS = 8


@dataclass(frozen=True)
class Bundle:
    """A bundle that was written."""

    path: Path
    size_bytes: int
    sha256: str
    files: tuple[str, ...]
    golden_rows: int
    golden_source: str
    """Where the golden rows come from: a file's name, or that they are made up."""
    signed: bool
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"path": str(self.path), "files": list(self.files), "seconds": round(self.seconds, 3)}


def bundle(
    model: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str],
    data: Data | None = None,
    target: str | None = None,
    rows: int = ROWS,
    licence: str | None = None,
    key: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Bundle:
    """Write a model with all that goes with it into one archive, which `verify` checks anywhere, offline.

    In it are the ``model.onnx``, a model card (README.md, as the Hugging Face hub shows it), golden rows with expected
    answers, licences of everything inside, a bill of materials (CycloneDX), hashes, and a signature where there is a
    key. Without one, equal models and data give equal bytes.

    Parameters
    ----------
    model : path-like
        A ``model.onnx``.
    output : path-like
        The archive to write; ends in .zip.
    data : optional
        Labelled rows, as for `evaluate`: their metrics go into the card, and some of the rows, **as they are**, into
        the bundle. Without, the golden rows are made up from the model's inputs.
    target : str, optional
        The column of true values.
    rows : int
        How many golden rows, 0 for none.
    licence : str, optional
        The model's own, as an SPDX identifier.
    key : path-like, optional
        Sign with this private key, PEM of an elliptic curve; takes the extra ``sign``.
    force : bool
        Replace an existing file.

    Raises
    ------
    UsageError
        An argument is off, or the file exists.
    ModelGPTError
        The model or the data can't be read, or a library is absent.

    Examples
    --------
    With the model of the example of `build`:

    >>> from modelgpt_cli import bundle, verify
    >>> made = bundle("iris.onnx", output="iris.bundle.zip")
    >>> made.golden_rows, verify("iris.bundle.zip").faults
    (8, [])
    """
    start = time.perf_counter()
    if not os.fspath(output).lower().endswith(SUFFIX):
        raise UsageError(f"Can't write a bundle to {output}.", hint=f"End the name in {SUFFIX}.")
    check_destination(output, force)
    check_licence(licence)
    if key is not None:
        check_signing(key)
    if isinstance(data, (str, os.PathLike)):
        check_exists(data, "Check the path.")
    loaded = Model(model)
    found = None if data is None else measured(loaded, data, target=target, drawn=False)
    name = data_name(data) if data is not None else ""
    samples = golden.make_golden(loaded, data, rows, name, target)
    parts = components(loaded)
    content = bundled_model(loaded.path)
    files = {
        MODEL_NAME: loaded.path.read_bytes() if content is None else content,
        CARD: card_text(loaded, found, licence).encode(),
        golden.FILE: as_json(samples.to_dict()),
        sbom.FILE: as_json(sbom.sbom(loaded, parts, licence, found)),
        **samples.files,
        **_licences(parts, licence),
    }
    files[MANIFEST] = manifest(files, __version__)
    if key is not None:
        files[SIGNATURE] = sign(files, key)
    with atomic_write(output, force=force) as temporary:
        temporary.write_bytes(zipped(files))
    path = Path(output)
    return Bundle(
        path,
        path.stat().st_size,
        sha256(path),
        tuple(sorted(files)),
        len(samples.rows),
        samples.source,
        key is not None,
        time.perf_counter() - start,
    )


def _licences(parts: Sequence[Component], licence: str | None) -> dict[str, bytes]:
    """The list of licences, and their texts as far as packages here have them."""
    files: dict[str, bytes] = {}
    listed = []
    for part in parts:
        entry: dict[str, Any] = {"name": part.name, "spdx": part.licence}
        entry |= {"note": part.note} if part.note else {}
        found = {f"{TEXTS}{name}": text.encode() for name, text in texts(part).items() if part.name != OWN}
        if part.licence == "Apache-2.0" and (text := own_text()):
            found[f"{TEXTS}Apache-2.0.txt"] = text.encode()
        files |= found
        listed.append(entry | {"texts": sorted(found)})
    files[LICENCES] = as_json({"model": licence or "NOASSERTION", "inside": listed})
    return files
