"""The domain of tables; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(
    name="tabular",
    title="tables",
    rows="rows",
    package=__name__,
    pipelines={"classification": "tabular-classification", "regression": "tabular-regression"},
    nouns="rows",
    signs=(
        r"\b(?:columns|tables?|csv|spreadsheets?|excel|features|measures?|measurements|counts|numbers|frequencies|values"
        r"|scores|statistics|findings|pixels|segments|regions)\b"
        r"|\bfrom (?!(?:an?|the) )[\w' -]+(?:, [\w' -]+)+,? and [\w' -]+"  # a list of columns: "from age, pay and job"
    ),
    # "56 image measurements" may be of a table, and "a table of photos" of photos.
    doubts=r"\b(?:image|picture|photograph\w*|x-ray|scann\w+|page|text)\b",
)
