"""The domain of detection: where in an image things are, as boxes, and of which class. A domain of its own beside dense
vision, whose maps it shares; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(
    name="detection",
    title="images with boxes",
    rows="images",
    package=__name__,
    pipelines={"detection": "object-detection"},
    roles={"view": "image"},
    task="detection",
    metrics=("map50", "map"),
)
