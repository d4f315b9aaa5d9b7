"""What a requirement of a model of key points says. Between the requirement's file and the build."""

from __future__ import annotations

from modelgpt_cli.domains.image.dense.claims import MarkedImageClaims
from modelgpt_cli.domains.image.keypoints import DOMAIN

_CLAIMS = MarkedImageClaims(
    DOMAIN,
    "A model of key points",
    "key points",
    "Give --data PATH, a folder of images with a COCO JSON; twenty labelled images are a start.",
)
claims, check, require = _CLAIMS.claims, _CLAIMS.check, _CLAIMS.require
keys_of, written_columns = _CLAIMS.keys_of, _CLAIMS.written_columns
