"""The domain of texts; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(
    name="text",
    title="texts",
    rows="texts",
    package=__name__,
    pipelines={"classification": "text-classification", "regression": "text-classification"},
    roles={"text": "text", "pair": "text"},
    nouns=(
        r"e-?mails?|mails?|texts|(?<=\ba )text|(?<=\beach )text|reviews?|messages?|tweets?|comments?|sentences?"
        r"|headlines?|articles|tickets?|questions|posts|abstracts|complaints"
    ),
)
