"""The transformation block M (Equation 2): four sets of tokens that exchange information.

Shapes: B batch of tasks, n support rows, d features, C classes, D width, K channels, V exchange width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Tokens:
    """The four sets of tokens of a batch of tasks."""

    features: Tensor  # (B, d, D)
    support: Tensor  # (B, n, D)
    classes: Tensor  # (B, C, D)
    world: Tensor  # (B, D): the global token
    spare: Tensor | None = None  # (B, T, D): learned tokens beside the support's, room to think in


@dataclass
class Evidence:
    """What the tokens read from: the support rows themselves.

    Attributes
    ----------
    channels : (B, n, d, K)
        Feature channels of the support rows; zero for padded features.
    membership : (B, n, C)
        One-hot labels, or the standardised target (C = 1) for regression.
    feature_mask : (B, d)
        True where a feature is real, False where it pads.
    """

    channels: Tensor
    membership: Tensor
    feature_mask: Tensor


class FeedForward(nn.Module):
    """Pre-norm feed-forward update; its output projection starts at zero."""

    def __init__(self, width: int, norm: str = "layer") -> None:
        super().__init__()
        self.norm = make_norm(norm, width)
        self.up = nn.Linear(width, 2 * width)
        self.down = zero_init(nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.down(F.gelu(self.up(self.norm(x))))
        return out


class SelfAttention(nn.Module):
    """Pre-norm multi-head self-attention update; its output projection starts at zero."""

    def __init__(self, width: int, heads: int, norm: str = "layer") -> None:
        super().__init__()
        self.heads = heads
        self.norm = make_norm(norm, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = zero_init(nn.Linear(width, width))

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        B, n, D = x.shape
        qkv = self.qkv(self.norm(x)).view(B, n, 3, self.heads, D // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, n, D / heads) each
        attend = None if mask is None else mask[:, None, None, :]
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=attend)
        out: Tensor = x + self.out(mixed.transpose(1, 2).reshape(B, n, D))
        return out


class Block(nn.Module):
    """One round of exchange between the four sets of tokens."""

    def __init__(self, width: int, heads: int, n_channels: int, exchange: int, norm: str = "layer") -> None:
        super().__init__()
        self.exchange = exchange
        self.n_channels = n_channels
        self.support_norm = make_norm(norm, width)
        self.support_value = nn.Linear(width, exchange)
        self.to_features = zero_init(nn.Linear(n_channels * exchange, width))
        self.feature_norm = make_norm(norm, width)
        self.feature_value = nn.Linear(width, n_channels * exchange)
        self.to_support = zero_init(nn.Linear(exchange, width))
        self.class_norm = make_norm(norm, width)
        self.to_classes = zero_init(nn.Linear(width, width))
        self.class_value = zero_init(nn.Linear(width, width))
        self.mix_features = nn.ModuleList([SelfAttention(width, heads, norm), FeedForward(width, norm)])
        self.mix_support = nn.ModuleList([SelfAttention(width, heads, norm), FeedForward(width, norm)])
        self.mix_classes = nn.ModuleList([SelfAttention(width, heads, norm), FeedForward(width, norm)])
        self.world_in = nn.Sequential(make_norm(norm, 3 * width), nn.Linear(3 * width, width), nn.GELU())
        self.world_update = zero_init(nn.Linear(width, width))
        self.world_out = zero_init(nn.Linear(width, 3 * width))

    def forward(self, t: Tokens, e: Evidence) -> Tokens:
        t = self._tell_world(t)
        features = t.features + self._read_rows(t.support, e)
        features = self._mix(self.mix_features, features, e.feature_mask)
        if t.support.shape[1] == 0:  # requirement-only: no rows to exchange with
            classes = self._mix(self.mix_classes, t.classes)
            return self._hear(Tokens(features, t.support, classes, t.world, t.spare), e)
        support = t.support + self._read_features(features, e)
        support, spare = self._mix_rows(support, t.spare)
        classes = self._mix(self.mix_classes, t.classes + self._pool_classes(support, e))
        support = support + e.membership @ self.class_value(self.class_norm(classes))
        return self._hear(Tokens(features, support, classes, t.world, spare), e)

    def _tell_world(self, t: Tokens) -> Tokens:
        """Every token hears the global token."""
        f, s, c = self.world_out(t.world)[:, None].chunk(3, -1)  # (B, 1, D) each
        return Tokens(t.features + f, t.support + s, t.classes + c, t.world, t.spare)

    def _read_rows(self, support: Tensor, e: Evidence) -> Tensor:
        """Features read the rows: channelsᵀ · support tokens, a mean over rows. (B, d, D)"""
        B, n, d, K = e.channels.shape
        value = self.support_value(self.support_norm(support))  # (B, n, V)
        read = e.channels.reshape(B, n, d * K).transpose(1, 2) @ value / max(n, 1)  # (B, d K, V)
        read_out: Tensor = self.to_features(read.view(B, d, K * self.exchange))
        return read_out

    def _read_features(self, features: Tensor, e: Evidence) -> Tensor:
        """Rows read their features: channels · feature tokens. (B, n, D)"""
        B, n, d, K = e.channels.shape
        value = self.feature_value(self.feature_norm(features)).view(B, d * K, self.exchange)
        scale = e.feature_mask.sum(1).clamp(min=1).rsqrt()[:, None, None]  # (B, 1, 1)
        read_out: Tensor = self.to_support(e.channels.reshape(B, n, d * K) @ value * scale)
        return read_out

    def _pool_classes(self, support: Tensor, e: Evidence) -> Tensor:
        """Classes take the mean of their rows (regression: rows weighted by the target). (B, C, D)"""
        weight = e.membership.abs().sum(1).clamp(min=1)  # (B, C)
        pooled = e.membership.transpose(1, 2) @ self.support_norm(support) / weight[..., None]
        tokens: Tensor = self.to_classes(pooled)
        return tokens

    def _hear(self, t: Tokens, e: Evidence) -> Tokens:
        """The global token hears the means of the other three sets."""
        mask = e.feature_mask[..., None].to(t.features.dtype)
        f = (t.features * mask).sum(1) / mask.sum(1).clamp(min=1)
        s = t.support.sum(1) / max(t.support.shape[1], 1)
        heard = self.world_in(torch.cat([f, s, t.classes.mean(1)], -1))
        return Tokens(t.features, t.support, t.classes, t.world + self.world_update(heard), t.spare)

    def _mix_rows(self, support: Tensor, spare: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Support and spare tokens attend to each other."""
        if spare is None:
            return self._mix(self.mix_support, support), None
        mixed = self._mix(self.mix_support, torch.cat([support, spare], 1))
        n = support.shape[1]
        return mixed[:, :n], mixed[:, n:]

    @staticmethod
    def _mix(layers: nn.ModuleList, x: Tensor, mask: Tensor | None = None) -> Tensor:
        attention, feed_forward = layers
        mixed: Tensor = feed_forward(attention(x, mask))
        return mixed


def make_norm(kind: str, width: int) -> nn.Module:
    """A normalisation of tokens: ``layer``, or ``rms`` without a mean or a bias."""
    return nn.RMSNorm(width, eps=1e-5) if kind == "rms" else nn.LayerNorm(width)


def zero_init(layer: nn.Linear) -> nn.Linear:
    """Start a residual branch as a no-op."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
