"""The domain of dense vision: what each pixel of an image belongs to. A domain of its own beside that of whole images,
whose networks and files it shares; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain
from modelgpt_cli.domains.image.annotations import BESIDE, SUFFIXES

DOMAIN = Domain(
    name="dense",
    title="images with masks",
    rows="images",
    package=__name__,
    pipelines={"segmentation": "image-segmentation"},
    roles={"scene": "image"},
    task="segmentation",
    metrics=("miou", "pixel_accuracy"),
    suffixes=SUFFIXES,
    beside=BESIDE,
)
