"""The domain of texts; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(name="text", title="texts", rows="texts", package=__name__, roles={"text": "text", "pair": "text"})
