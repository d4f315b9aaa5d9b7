"""The search: cards by how near their words are to those asked for, in the default text encoder's space."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from modelgpt_cli.core.paths import cache_folder, keep
from modelgpt_cli.sources.catalogue.cards import DataCard


def vectors_folder() -> Path:
    """Where embeddings of cards are kept, a file each: so that a catalogue is embedded once."""
    return cache_folder() / "cards"


def rank(words: str, cards: Sequence[DataCard], folder: Path | None = None) -> list[tuple[DataCard, float]]:
    """The cards, best first, each with the cosine between its words and those asked for.

    Parameters
    ----------
    folder : Path, optional
        Of the cache; `vectors_folder` by default.
    """
    if not cards:
        return []
    vectors = embed_cached([words, *(card.search_text() for card in cards)], folder or vectors_folder())
    scores = vectors[1:] @ vectors[0]
    return [(cards[i], float(scores[i])) for i in np.argsort(-scores, kind="stable")]


def embed_cached(texts: Sequence[str], folder: Path) -> np.ndarray:
    """Unit vectors of texts (n, E), those that were embedded before from the cache.

    A file's name is a hash of encoder and text, so that a card that changes is embedded anew; the text is not kept.
    """
    from modelgpt_cli.parameter_generator.default_encoder import DEFAULT_ENCODER

    hashes = [hashlib.sha256(f"{DEFAULT_ENCODER}\0{text}".encode()).hexdigest() for text in texts]
    paths = [folder / f"{name}.npy" for name in hashes]
    vectors = [_load(path) for path in paths]
    lacking = [i for i, vector in enumerate(vectors) if vector is None]
    if lacking:
        from modelgpt_cli.parameter_generator.text_encoder import TextEncoder

        found = TextEncoder()([texts[i] for i in lacking])
        found /= np.linalg.norm(found, axis=1, keepdims=True)
        for i, vector in zip(lacking, found, strict=True):
            vectors[i] = vector
            _save(paths[i], vector)
    return np.stack([vector for vector in vectors if vector is not None])


def _load(path: Path) -> np.ndarray | None:
    """A kept vector; None where there is none that can be read."""
    from modelgpt_cli.parameter_generator.text_encoder import EMBEDDING

    try:
        vector: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return vector if vector.shape == (EMBEDDING,) and np.isfinite(vector).all() else None


def _save(path: Path, vector: np.ndarray) -> None:
    """Keep a vector."""
    content = io.BytesIO()
    np.save(content, vector)
    keep(path, content.getvalue(), private=True)
