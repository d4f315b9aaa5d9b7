"""``modelgpt doctor``: is everything here that the other commands need?"""

from __future__ import annotations

from typing import Any

import click

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import DoctorOptions


@o.command("doctor", "modelgpt doctor\nmodelgpt doctor --model model.onnx", DoctorOptions)
@o.json_option
@click.pass_context
def doctor(ctx: click.Context, /, as_json: bool, model: str | None, **options: Any) -> None:
    """Check versions, devices, the shipped checkpoints and the LLM (if one is set up). Exit code 1 if one is broken.

    Where only the runtime is installed (requirements-runtime.txt), what builds models is not checked. The LLM check
    only asks the server for its list of models; nothing else is sent.

    With --model it says of a model file which onnxruntime is the oldest that loads it, and whether browsers and
    phones do.
    """
    from modelgpt_cli.commands.cards import checks_text
    from modelgpt_cli.commands.output import result, result_json

    if model is not None:
        from modelgpt_cli.deployment.compatibility import check_file

        checks = check_file(model)
    else:
        from modelgpt_cli.runtime.doctor import check

        checks = check(**options)
    broken = any(c.status == "broken" for c in checks)
    if as_json:
        result_json({"ok": not broken, "checks": [c.to_dict() for c in checks]})
    else:
        result(checks_text(checks))
    ctx.exit(1 if broken else 0)
