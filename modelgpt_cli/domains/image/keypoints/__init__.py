"""The domain of key points: where in an image the named points of one object are. A domain of its own beside dense
vision, whose maps it shares; its parts are the modules that `core.domain.PARTS` lists."""

from modelgpt_cli.core.domain import Domain
from modelgpt_cli.domains.image.annotations import BESIDE, SUFFIXES

DOMAIN = Domain(
    name="keypoints",
    title="images with key points",
    rows="images",
    package=__name__,
    pipelines={"keypoints": "keypoint-detection"},
    roles={"subject": "image"},
    task="keypoints",
    metrics=("nme", "pck"),
    suffixes=SUFFIXES,
    beside=BESIDE,
)
