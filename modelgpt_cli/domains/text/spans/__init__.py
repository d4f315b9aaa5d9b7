"""The domain of marked texts: spans within a text that have a class. A domain of its own beside that of whole texts,
whose encoder it shares; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(
    name="marked",
    title="marked texts",
    rows="texts",
    package=__name__,
    pipelines={"spans": "token-classification"},
    roles={"marked": "text"},
    task="spans",
    metrics=("f1",),
    verbs=r"extract|highlight|mark|tag|pull out",
    suffixes=(".json", ".jsonl", ".ndjson", ".conll", ".conllu", ".iob", ".iob2", ".bio", ".bioes", ".tsv", ".txt"),
)
