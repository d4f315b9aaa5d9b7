"""The domain of images; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain

DOMAIN = Domain(
    name="image",
    title="images",
    rows="images",
    package=__name__,
    pipelines={"classification": "image-classification"},
    roles={"image": "image"},
    nouns=r"photos?|photographs|pictures|images|snapshots|x-rays|scans|screenshots|drawings",
    doubts=r"\btexts?\b",
)
