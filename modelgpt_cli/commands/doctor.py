"""``modelgpt doctor``: is everything here that the other commands need?"""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command("doctor", "modelgpt doctor")
@o.option("--base-url", metavar="URL", shared=True, help="The LLM server to try.", show_default="OPENAI_BASE_URL")
@o.option("--provider", metavar="NAME", shared=True, help="The LLM server to try, by name (docs/llm.md).")
@o.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=5.0, help="Seconds to wait for it.")
@o.json_option
@click.pass_context
def doctor(ctx: click.Context, base_url: str | None, provider: str | None, timeout: float, as_json: bool) -> None:
    """Check versions, devices, the shipped checkpoints and the LLM (if one is set up). Exit code 1 if one is broken.

    Where only what runs models is installed (requirements-runtime.txt), what builds them is not looked for. The LLM
    check only asks the server for its list of models; nothing else is sent.
    """
    from modelgpt_cli.commands.cards import checks_text
    from modelgpt_cli.commands.output import result, result_json
    from modelgpt_cli.runtime.doctor import check

    checks = check(base_url=base_url, provider=provider, timeout=timeout)
    broken = any(c.status == "broken" for c in checks)
    if as_json:
        result_json({"ok": not broken, "checks": [c.to_dict() for c in checks]})
    else:
        result(checks_text(checks))
    ctx.exit(1 if broken else 0)
