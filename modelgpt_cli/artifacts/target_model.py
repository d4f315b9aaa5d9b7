"""Which domain a model is of. The one place that asks, so that a table's build loads nothing that is for texts
or images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import Tensor

from modelgpt_cli.core.blueprint import Blueprint
from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.domains.shared.tokens import load_tokenizer
from modelgpt_cli.domains.tabular.model import TabularModel
from modelgpt_cli.runtime.session import damaged

if TYPE_CHECKING:
    from typing_extensions import TypeIs

    from modelgpt_cli.domains.image.model import ImageModel
    from modelgpt_cli.domains.text.model import TextModel

TargetModel: TypeAlias = "TabularModel | TextModel | ImageModel"


def is_table(model: TargetModel) -> TypeIs[TabularModel]:
    """Whether a model is of the tabular domain."""
    return model.blueprint.domain == "tabular"


def is_text(model: TargetModel) -> TypeIs[TextModel]:
    """Whether a model is of the text domain."""
    return model.blueprint.domain == "text"


def is_image(model: TargetModel) -> TypeIs[ImageModel]:
    """Whether a model is of the image domain."""
    return model.blueprint.domain == "image"


def make_target_model(
    card: Mapping[str, Any], state: dict[str, Tensor], tokenizer: str | None, path: Path
) -> TargetModel:
    """Rebuild a model from what its file holds.

    Parameters
    ----------
    card : mapping
        See `modelgpt_cli.artifacts.model_card`.
    state : dict of Tensor
    tokenizer : str or None
        The tokenizer's JSON, which a text model needs.
    path : Path
        The file, for messages.

    Raises
    ------
    ModelGPTError
        Something is missing, or the tensors are not those of the blueprint.
    """
    blueprint = Blueprint.from_dict(card["blueprint"])
    try:
        if blueprint.domain == "image":
            from modelgpt_cli.domains.image.model import ImageModel

            return ImageModel(blueprint, state)
        if blueprint.domain != "text":
            return TabularModel(blueprint, state)
        if not tokenizer:
            raise damaged(path, "It carries no tokenizer.")
        from modelgpt_cli.domains.text.model import TextModel

        return TextModel(blueprint, state, load_tokenizer(tokenizer))
    except KeyError as error:
        raise damaged(path, f"{error} is missing.") from error
    except ModelGPTError as error:
        if str(path) in error.problem:
            raise
        raise ModelGPTError(
            f"{path} can't be loaded: {error.problem[0].lower()}{error.problem[1:]}", error.cause, error.hint
        ) from error
