"""The build step of the package: `prompts/` and `weights/` lie beside `modelgpt_cli/` and travel inside it."""

from __future__ import annotations

from setuptools.command.build_py import build_py


class BuildPackage(build_py):  # type: ignore[misc]  # setuptools has no types
    """Build every package that `find:` sees, and those that setup.cfg maps to other folders.

    setup.cfg says which folders these are (`package_dir`), and what of them travels (`package_data`,
    `exclude_package_data`).
    """

    def finalize_options(self) -> None:
        """Add the mapped packages to the list before the sources are looked up."""
        packages = self.distribution.packages
        for name in self.distribution.package_dir or {}:
            if name and name not in packages:
                packages.append(name)
        super().finalize_options()
