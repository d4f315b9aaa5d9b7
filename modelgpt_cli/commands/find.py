"""``modelgpt find``: words in, cards of data sets out."""

from __future__ import annotations

import click

from modelgpt_cli.commands import options as o


@o.command(
    "find",
    """
modelgpt find "which iris species a flower is" --catalog cards/
modelgpt find "angry customers" --catalog cards.jsonl -k 3 --json
modelgpt find "spam in text messages" --hub""",
)
@click.argument("words")
@o.catalog_option()
@o.option("--hub", is_flag=True, help="Search the Hugging Face hub too; this sends it the words.")
@o.option("-k", "--top", "k", type=click.IntRange(1, 10_000), metavar="N", default=5, help="Results to show.")
@o.json_option
def find(words: str, catalog: str | None, hub: bool, k: int, as_json: bool) -> None:
    """Search dataset cards for data.

    Cards are YAML files in a folder, or one YAML or JSONL file: name, title, description, licence, task, columns. The
    number beside a name is its similarity to your words, 1 at most. To build with one: build --data-from NAME.
    """
    from modelgpt_cli import api
    from modelgpt_cli.commands.output import result, result_json, say

    found = api.find(words, catalog=catalog, hub=hub, k=k)
    if as_json:
        result_json({"results": [card.to_dict() | {"score": score} for card, score in found]})
        return
    if not found:
        say("Found nothing.")
    for card, score in found:
        result(f"{card.name}  {score:.2f}\n{card.words()}")
