"""Signatures of bundles by OpenSSF's model-signing, with a bare elliptic key, offline. Each is a Sigstore bundle.

Whoever has the public key can check one without modelgpt too: ``model_signing verify key FOLDER --signature
FOLDER/model.sig --public_key pub.pem --ignore-paths FOLDER/model.sig``.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelgpt_cli.core.errors import ModelGPTError, UsageError
from modelgpt_cli.core.files import check_exists
from modelgpt_cli.deployment.bundle.archive import SIGNATURE, check_name

_MAKE = (
    "Make a pair: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out "
    "pub.pem"
)

_NO_KEY = (ValueError, TypeError, AttributeError, OSError)
"""What the libraries raise for a key of another kind, a password, or no key at all."""


def check_signing(key: str | os.PathLike[str]) -> None:
    """Make sure, before any work, that a signature can be made or checked.

    Raises
    ------
    UsageError
        There is no such key.
    ModelGPTError
        model-signing is not installed.
    """
    check_exists(key, _MAKE)
    _library()


def _library() -> Any:
    try:
        import model_signing
    except ImportError as error:  # of the library, or of one that it takes
        raise ModelGPTError(
            f"Signatures need {error.name or 'model-signing'}, which is not installed.",
            "",
            'Install it: pip install "modelgpt-cli[sign]"',
        ) from error
    return model_signing


def sign(files: Mapping[str, bytes], key: str | os.PathLike[str]) -> bytes:
    """Return the signature of a bundle's files.

    Parameters
    ----------
    key : path-like
        A private key in PEM of the curve P-256, P-384 or P-521, without a password.

    Raises
    ------
    UsageError
        It is none.
    """
    check_signing(key)
    with _unpacked(files) as folder:
        signature = folder / SIGNATURE
        try:
            config = _library().signing.Config().use_elliptic_key_signer(private_key=Path(key))
            config.set_hashing_config(_hashing(signature)).sign(folder, signature)
        except _NO_KEY as error:
            raise _no_key(key, "private", error) from error
        return signature.read_bytes()


def signature_fault(files: Mapping[str, bytes], key: str | os.PathLike[str]) -> str:
    """Say what is wrong with a bundle's signature; "" where nothing is.

    Parameters
    ----------
    key : path-like
        The public key.

    Raises
    ------
    UsageError
        It is none.
    """
    check_signing(key)
    with _unpacked(files) as folder:
        signature = folder / SIGNATURE
        try:
            config = _library().verifying.Config().use_elliptic_key_verifier(public_key=Path(key))
        except _NO_KEY as error:
            raise _no_key(key, "public", error) from error
        try:
            config.set_hashing_config(_hashing(signature)).verify(folder, signature)
        except Exception as error:  # it has none of its own, and a damaged file gives errors of several libraries
            words = " ".join(str(error).split())[:200] or type(error).__name__
            return f"the signature isn't of these files by this key ({words})"
    return ""


def _hashing(signature: Path) -> Any:
    return _library().hashing.Config().set_ignored_paths(paths=[signature], ignore_git_paths=False)


def _no_key(key: object, kind: str, error: Exception) -> UsageError:
    words = " ".join(str(error).split())[:200]
    return UsageError(f"{key} is no {kind} key of an elliptic curve in PEM.", words, _MAKE)


@contextmanager
def _unpacked(files: Mapping[str, bytes]) -> Iterator[Path]:
    """Write files into a folder of their own for a while."""
    with tempfile.TemporaryDirectory(prefix="modelgpt-bundle-") as made:
        for name, content in files.items():
            check_name(name, "The bundle")
            path = Path(made, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(made)
