"""What a requirement of a model of dense vision says. Between the requirement's file and the build."""

from __future__ import annotations

from modelgpt_cli.domains.image.dense import DOMAIN
from modelgpt_cli.domains.image.dense.claims import MarkedImageClaims

_CLAIMS = MarkedImageClaims(
    DOMAIN,
    "A segmentation",
    "masks",
    "Give --data PATH, a folder with images/ and masks/; ten labelled images are a start.",
    words=True,
)
NEEDED = _CLAIMS.needed
claims, check, require = _CLAIMS.claims, _CLAIMS.check, _CLAIMS.require
keys_of, written_columns = _CLAIMS.keys_of, _CLAIMS.written_columns
