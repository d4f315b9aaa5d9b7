"""Text cells to token ids, with the tokenizer that a model file carries. Between `runtime.session` and the graph.

Shapes: N rows, T tokens of the longest text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from modelgpt_cli.core.errors import ModelGPTError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def load_tokenizer(text: str | None) -> Tokenizer:
    """Read a tokenizer from its JSON.

    Raises
    ------
    ModelGPTError
        There is none, it is damaged, or the library `tokenizers` is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ModelGPTError(
            "This model reads text, for which the library tokenizers is needed.",
            "",
            "Install it: pip install tokenizers",
        ) from error
    try:
        tokenizer = Tokenizer.from_str(text or "")
    except Exception as error:  # tokenizers' errors have no common base but Exception
        raise ModelGPTError(
            "The model's tokenizer can't be read.", str(error), "Build or export the model again."
        ) from error
    tokenizer.no_padding()
    return tokenizer


def is_missing(cell: Any) -> bool:
    """Whether a text cell is empty: None, NaN, or nothing but blanks."""
    return cell is None or cell != cell or not str(cell).strip()


def token_ids(tokenizer: Tokenizer, cells: Sequence[Any]) -> list[list[int]]:
    """Token ids of each cell; none for a missing one. Equal cells are read once."""
    texts = ["" if is_missing(cell) else str(cell) for cell in cells]
    distinct = [text for text in dict.fromkeys(texts) if text]
    known = dict(zip(distinct, (encoded.ids for encoded in tokenizer.encode_batch(distinct)), strict=True))
    return [known[text] if text else [] for text in texts]


def padded(ids: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids as the graph takes them: ids (N, T), 0 behind the end, and attention mask (N, T); int64."""
    lengths = np.array([len(row) for row in ids], dtype=np.int64)
    width = max(1, int(lengths.max(initial=0)))
    mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
    result = np.zeros((len(ids), width), dtype=np.int64)
    result[mask.astype(bool)] = [token for row in ids for token in row]
    return result, mask
