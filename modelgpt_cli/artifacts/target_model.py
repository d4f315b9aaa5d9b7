"""What every domain's target model is to the code that saves, exports and measures it, and how a file becomes one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.domain import Domain, domain_names, find_domain
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.runtime.session import damaged

if TYPE_CHECKING:
    from torch import Tensor, nn


class TargetModel(Protocol):
    """A target network T with its parameters: a domain's rows in, answers out.

    Attributes
    ----------
    blueprint : Blueprint
    """

    blueprint: Blueprint

    def state(self) -> dict[str, Tensor]:
        """Return all tensors by name, as `Models.load` takes them."""
        ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Yield the trainable tensors."""
        ...

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trainable tensors with their names."""
        ...

    @property
    def target_std(self) -> float:
        """The target's standard deviation; 1 where it is classes."""
        ...

    def predict(self, rows: Any, /) -> np.ndarray:
        """Return probabilities (N, C) or predictions (N, 1) of the domain's rows, float32."""
        ...

    def extras(self) -> dict[str, str]:
        """Return what a file must hold beside tensors and blueprint, by the name of its metadata entry."""
        ...

    def empty_rows(self) -> Any:
        """Return one row with nothing in it, to pass through the model where any row will do."""
        ...


class Models(Protocol):
    """A domain's part ``model``."""

    def load(
        self, blueprint: Blueprint, state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path
    ) -> TargetModel:
        """Rebuild a target model from what its file holds.

        Parameters
        ----------
        blueprint : Blueprint
        state : mapping of str to Tensor
        extras : mapping of str to str
            The file's other metadata entries; `TargetModel.extras` are among them.
        path : Path
            The file, for messages.

        Raises
        ------
        KeyError
            A tensor is missing.
        ModelGPTError
            Something else is, or the tensors are not those of the blueprint.
        """
        ...


def make_target_model(
    model_card: Mapping[str, Any], state: Mapping[str, Tensor], extras: Mapping[str, str], path: Path
) -> TargetModel:
    """Rebuild a model of any domain from what its file holds.

    Parameters
    ----------
    model_card : mapping
        See `modelgpt_cli.artifacts.model_card`.
    state : mapping of str to Tensor
    extras : mapping of str to str
        The file's other metadata entries.
    path : Path
        The file, for messages.

    Raises
    ------
    ModelGPTError
        Something is missing, or the tensors are not those of the blueprint.
    """
    try:
        blueprint = Blueprint.from_dict(model_card["blueprint"])
        models: Models = find_own_domain(blueprint, path).part("model")
        model = models.load(blueprint, state, extras, path)
    except KeyError as error:
        raise damaged(path, f"{error} is missing.") from error
    except ModelGPTError as error:
        if str(path) in error.problem:
            raise
        raise ModelGPTError(
            f"{path} can't be loaded: {error.problem[0].lower()}{error.problem[1:]}", error.cause, error.hint
        ) from error
    except Exception as error:  # a file that contradicts itself can end anywhere below
        raise damaged(path, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}") from error
    return model


def find_own_domain(blueprint: Blueprint, path: Path) -> Domain:
    """Return the domain of a model that was read from a file.

    Raises
    ------
    ModelGPTError
        It is none that is registered here.
    """
    if blueprint.domain not in domain_names():
        raise damaged(path, f"It is of the domain {blueprint.domain!r}, which this modelgpt doesn't know.")
    return find_domain(blueprint.domain)
