"""Where the files that travel with the code are: `prompts/` and `weights/`.

In an installed wheel they lie inside the package; in a checkout, and in an editable install, beside it.
"""

from __future__ import annotations

from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError

_PACKAGE = Path(__file__).resolve().parents[1]


def asset(*parts: str) -> Path:
    """Find a shipped file or folder, such as ``asset("prompts", "table.yaml")``.

    Parameters
    ----------
    *parts : str
        The path below the project's top level.

    Returns
    -------
    Path
        The first of package folder and checkout that has it.

    Raises
    ------
    ModelGPTError
        If neither does; lists where it looked.
    """
    tried = [root.joinpath(*parts) for root in (_PACKAGE, _PACKAGE.parent)]
    for path in tried:
        if path.exists():
            return path
    raise ModelGPTError(
        f"{'/'.join(parts)} did not come with this installation.",
        "Looked at " + " and ".join(str(path) for path in tried) + ".",
        "Reinstall it: pip install --force-reinstall modelgpt-cli",
    )
