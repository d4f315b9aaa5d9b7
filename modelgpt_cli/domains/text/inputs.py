"""Head inputs φ: what the head sees of a text, or of a pair of texts. From token states to a row of numbers.

Shapes: N rows, T tokens, E state size, p head inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from modelgpt_cli.domains.text.sentence_encoder import SentenceEncoder

PRODUCT = 8.0
COSINE = 3.0
"""Scales that bring a pair's inputs to about the size of the texts' own."""
EPS = 1e-12


def head_inputs(states: Tensor, mask: Tensor, segments: Tensor, pair: bool) -> Tensor:
    """Pool token states into φ, (N, p) float32.

    Parameters
    ----------
    states : (N, T, E)
    mask, segments : (N, T)
        See `Tokens`. A text without tokens gives zeros.
    """
    states = states.float()
    present = mask.to(states.dtype)
    if not pair:
        return _mean(states, present)
    second = segments.to(states.dtype) * present
    u, v = _mean(states, present - second), _mean(states, second)  # (N, E) each
    return compared(u, v)


def encoder_inputs(
    encoder: nn.Module,
    ids: Tensor,
    mask: Tensor,
    segments: Tensor,
    pair: bool,
    types: bool,
    word_layer: bool = False,
) -> Tensor:
    """What the head sees of token ids, (N, p) float32, by transformers' encoder or one of ours.

    Parameters
    ----------
    ids, mask, segments : int64 (N, T)
        See `Tokens`.
    types : bool
        Whether the encoder is told the segments.
    word_layer : bool
        Whether the same of what enters the first layer follows, of encoders that have layers.
    """
    if isinstance(encoder, SentenceEncoder):
        if not pair:
            return encoder(ids, mask)  # type: ignore[no-any-return]
        second = segments * mask
        return compared(encoder(ids, mask - second), encoder(ids, second))
    given = {"input_ids": ids, "attention_mask": mask} | ({"token_type_ids": segments} if types else {})
    if not word_layer:
        return head_inputs(encoder(**given).last_hidden_state, mask, segments, pair)
    states = encoder(**given, output_hidden_states=True).hidden_states
    return torch.cat([head_inputs(states[i], mask, segments, pair) for i in (-1, 0)], 1)


def compared(u: Tensor, v: Tensor) -> Tensor:
    """Return the inputs of pairs of texts, (N, p), from a direction (N, E) of each."""
    product = u * v
    return torch.cat([u, v, (u - v).abs(), product * PRODUCT, product.sum(1, keepdim=True) * COSINE], 1)


def _mean(states: Tensor, weight: Tensor) -> Tensor:
    """The direction of the mean over some tokens: length 1, or 0 where there are none. (N, E)"""
    total = (states * weight[..., None]).sum(1)
    direction: Tensor = total / total.norm(dim=1, keepdim=True).clamp(min=EPS)
    return direction
