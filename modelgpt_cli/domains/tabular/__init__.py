"""The domain of tables; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(name="tabular", title="tables", rows="rows", package=__name__)
