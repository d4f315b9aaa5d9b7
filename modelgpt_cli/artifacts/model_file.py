"""Model files of any format, read back."""

from __future__ import annotations

from pathlib import Path

from modelgpt_cli.artifacts.backends import format_of, load_backend
from modelgpt_cli.artifacts.target_model import TargetModel, make_target_model
from modelgpt_cli.core.errors import UsageError
from modelgpt_cli.core.files import MODEL_NAME, bundled_model, check_model_file
from modelgpt_cli.runtime.session import damaged

_UNNAMED = "safetensors"
"""The format that a file of any other name is tried as."""


def load_model(path: str | Path) -> TargetModel:
    """Read a model from ``model.safetensors``, or from an fp32 ``model.onnx`` of ours.

    Raises
    ------
    ModelGPTError
        The file is absent, corrupted or foreign.
    UsageError
        It is a bundle.
    """
    path = Path(path)
    check_model_file(path)
    if bundled_model(path) is not None:
        raise UsageError(
            f"{path} is a bundle.", f"Its {MODEL_NAME} is needed.", f"Unpack it: unzip {path} {MODEL_NAME}"
        )
    found = load_backend(format_of(path) or _UNNAMED).read(path)
    model = make_target_model(found.model_card, found.state, found.extras, path)
    _check(model, path)
    return model


def _check(model: TargetModel, path: Path) -> None:
    """Make sure that the tensors are numbers and fit each other: an empty row has to pass through them."""
    broken = next((name for name, p in model.named_parameters() if not bool(p.isfinite().all())), None)
    if broken is not None:
        raise damaged(path, "Some of its parameters are no finite numbers.")
    try:
        outputs = model.predict(model.empty_rows()).shape[1]
    except Exception as error:  # a file that contradicts itself can end anywhere below
        raise damaged(path, "Its tensors don't fit each other, or its columns.") from error
    if outputs != model.blueprint.n_outputs:
        raise damaged(path, f"It has {outputs} outputs and {model.blueprint.n_outputs} labels.")
