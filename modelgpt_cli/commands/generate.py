"""``modelgpt generate``: a requirement in, labelled rows out."""

from __future__ import annotations

from typing import Any

from modelgpt_cli.commands import options as o
from modelgpt_cli.core.options import GenerateOptions, LLMOptions


@o.command(
    "generate",
    """
modelgpt generate --req req.txt -n 200 -o data.csv --provider ollama --dry-run
modelgpt generate --req req.txt -n 200 -o data.csv --provider openai --max-tokens 50000
modelgpt generate --req req.txt -n 200 -o texts/ --data few.csv --examples 4 --redact
modelgpt generate --req req.txt -n 200 -o data.csv --resume""",
    GenerateOptions,
    LLMOptions,
)
@o.requirement_option(required=True)
@o.option("-o", "--output", metavar="FILE|DIR", required=True, help="data.csv, data.jsonl, or a folder for texts.")
@o.force_option
@o.json_option
def generate(req: str, as_json: bool, **options: Any) -> None:
    """Have an LLM write labelled rows, where there is no data or too little.

    Rows of a table, or texts; each is checked against the requirement's columns and classes, duplicates are dropped,
    and the classes are balanced. The column 'synthetic' (in a folder: the files' names) marks every row; a build never
    learns from the mark. Rows received are kept beside the output until all are written.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json
    from modelgpt_cli.core.files import check_exists

    check_exists(req, "Write one with modelgpt describe DATA -o req.txt.")
    check_exists(options["data"])
    done = api.generate(req, n=options.pop("rows"), **options)
    if done.prompt is not None:
        result(done.prompt)
    elif as_json:
        result_json(done.to_dict())
    elif done.path is not None:
        result(done.path)
