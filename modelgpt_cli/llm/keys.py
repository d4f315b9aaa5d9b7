"""Where keys come from: the environment, or the keyring of the operating system; and where they must not be: files."""

from __future__ import annotations

import os
import re

from modelgpt_cli.core.errors import UsageError

SERVICE = "modelgpt"
"""What the keys are filed under in the keyring; the user's name there is the provider's."""
_NAMES = re.compile(r"(?:^|_)(?:api_?key|key|token|secret|password|passwd|authorization|bearer)$")
_VALUES = re.compile(r"\b(?:sk-|gsk_|hf_|xai-)[\w-]{16,}|\b[Bb]earer\s+\S{8,}")
_EXTRA = 'pip install "modelgpt-cli[keyring]"'


def find_key(variable: str | None, provider: str | None) -> str | None:
    """Look for a key: in the environment first, then in the keyring, if there is one.

    Parameters
    ----------
    variable : str, optional
        Name of the environment variable; where there is none, no key is wanted.
    provider : str, optional
        Name that the keyring knows it by; where there is none, the keyring is not asked.

    Raises
    ------
    UsageError
        If the keyring is there but can't be opened.
    """
    if not variable:
        return None
    return os.environ.get(variable, "").strip() or (_from_keyring(provider) if provider else None)


def _from_keyring(provider: str) -> str | None:
    try:
        import keyring
        from keyring.errors import KeyringError, NoKeyringError
    except ImportError:
        return None
    try:
        return (keyring.get_password(SERVICE, provider) or "").strip() or None
    except NoKeyringError:  # a server without a desktop: as if the package were not there
        return None
    except KeyringError as error:
        raise UsageError(
            f"The keyring can't be asked for the key of {provider}.",
            type(error).__name__,  # its words may hold anything
            "Unlock it, or put the key into the environment.",
        ) from None


def key_missing(variable: str, provider: str, otherwise: str = "") -> UsageError:
    """The error for a provider that needs a key and has none."""
    return UsageError(
        f"There is no key for {provider}.",
        f"The variable {variable} is not set, and no keyring holds one.",
        f"Set {variable}, or keep the key in the keyring: {_EXTRA}, then: keyring set {SERVICE} {provider}"
        + (f"\nOr {otherwise}." if otherwise else ""),
    )


def refuse_secret(path: str, name: str, value: object = None, section: str = "") -> None:
    """Refuse a setting in a file that is a key, by its name or by its looks; its value is not shown.

    Raises
    ------
    UsageError
        If it is.
    """
    plain = name.lower().replace("-", "_")
    if _NAMES.search(plain) or (isinstance(value, str) and _VALUES.search(value)):
        shown = f"{section}: {name}" if section else name
        raise UsageError(
            f"{path}: '{shown}' looks like a key, and keys are never read from files.",
            "Files are copied, shared and kept in backups.",
            "Take it out of the file. Put it into the environment (OPENAI_API_KEY, or the variable that a provider's "
            f"api_key_env names), or into the keyring: {_EXTRA}",
        )
