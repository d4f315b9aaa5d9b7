"""``modelgpt verify``: is a bundle what it was?"""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import VerifyOptions


@o.command(
    "verify",
    """
modelgpt verify model.bundle.zip
modelgpt verify model.bundle.zip --key pub.pem --json""",
    VerifyOptions,
)
@click.argument("bundle", metavar="BUNDLE")
@o.json_option
def verify(bundle: str, as_json: bool, **options: Any) -> None:
    """Check BUNDLE (what modelgpt bundle wrote, or a folder that it was unpacked into) offline: the hashes of its
    files, its signature, licences and bill of materials, and that its model still gives the golden rows their answers.

    Prints the model's SHA-256. Exit code 3 and a line for each fault where something is wrong.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say

    done = api.verify(bundle, **options)
    if as_json:
        result_json(done.to_dict())
    else:
        width = max(map(len, done.checks))
        say("\n".join(f"{name:<{width}}  {found}" for name, found in done.checks.items()))
        if not done.faults:
            result(f"sha256:{done.model_sha256}")
    done.check()
