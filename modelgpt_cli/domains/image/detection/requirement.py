"""What a requirement of a detector says. Between the requirement's file and the build."""

from __future__ import annotations

from modelgpt_cli.domains.image.dense.claims import MarkedImageClaims
from modelgpt_cli.domains.image.detection import DOMAIN

_CLAIMS = MarkedImageClaims(
    DOMAIN,
    "A detector",
    "boxes",
    "Give --data PATH, a folder of images with annotations; ten images with all their things marked are a start.",
)
claims, check, require = _CLAIMS.claims, _CLAIMS.check, _CLAIMS.require
keys_of, written_columns = _CLAIMS.keys_of, _CLAIMS.written_columns
