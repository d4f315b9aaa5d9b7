"""Mixing several fits of the head by their held-out predictions (stacking; Wolpert 1992, Breiman 1996).

One best candidate is a noisy choice where rows are few; a mix is not, and as every candidate is a head on the same
inputs, the mix ships as one head. Shapes: J candidates, N rows, C outputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from modelgpt_cli.domains.tabular.lbfgs import minimise

STEPS = 30
SHARE_PRIOR = 1.0
"""Rows' worth of pull towards equal shares."""
SCALE_PRIOR = 8.0
"""Rows' worth of pull of the logits' common scale towards 1."""
LEAST_SHARE = 0.02
"""Candidates with a smaller share are left out."""


def row_losses(outputs: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Log-loss, or squared error where `n_classes` is 0, of outputs (N, C) for y (N,) at each row, float64 (N,)."""
    if n_classes:
        return F.cross_entropy(outputs.double(), y, reduction="none")
    return (outputs[:, 0].double() - y.double()).square()


def stack_logits(outputs: Tensor, labels: Tensor) -> Tensor:
    """Weights (J,) >= 0 for logits (J, N, C) that minimise the log-loss of their sum; labels int64 (N,).

    The weights' sum is the inverse of a temperature (Guo et al. 2017), so the mix is calibrated as well.
    """
    J = len(outputs)
    flat = outputs.flatten(1)  # (J, N C)
    hot = torch.nn.functional.one_hot(labels, outputs.shape[-1]).to(outputs.dtype)

    def objective(theta: Tensor) -> tuple[Tensor, Tensor]:  # (1, 1, J + 1): shares as logits, log of the scale
        shares, scale = theta[0, 0, :J].softmax(0), theta[0, 0, J].exp()
        log_p = (shares @ flat * scale).view(hot.shape).log_softmax(-1)
        error = (log_p.exp() - hot).flatten()  # derivative by the logits
        by_share = scale * (flat @ error)
        prior = SHARE_PRIOR * (J * shares - 1) / J
        gradient = torch.cat([shares * (by_share - shares @ by_share) + prior, (shares @ by_share)[None]])
        gradient[J] += SCALE_PRIOR * theta[0, 0, J]
        loss = -(log_p * hot).sum() - SHARE_PRIOR * shares.log().mean() + 0.5 * SCALE_PRIOR * theta[0, 0, J] ** 2
        return (loss / len(labels))[None], gradient[None, None] / len(labels)

    theta = minimise(objective, torch.zeros(1, 1, J + 1), STEPS)[0, 0]
    return _drop_small(theta[:J].softmax(0)) * theta[J].exp()


def stack_numbers(outputs: Tensor, target: Tensor) -> Tensor:
    """Weights (J,) >= 0 with sum 1 for predictions (J, N) that minimise the squared error of their sum; target (N,)."""
    J, N = outputs.shape
    spread = target.var().clamp(min=1e-30)

    def objective(theta: Tensor) -> tuple[Tensor, Tensor]:
        shares = theta[0, 0].softmax(0)
        error = shares @ outputs - target
        by_share = 2 * (outputs @ error) / spread
        loss = error.square().sum() / spread - SHARE_PRIOR * shares.log().mean()
        gradient = shares * (by_share - shares @ by_share) + SHARE_PRIOR * (J * shares - 1) / J
        return (loss / N)[None], gradient[None, None] / N

    return _drop_small(minimise(objective, torch.zeros(1, 1, J, dtype=outputs.dtype), STEPS)[0, 0].softmax(0))


def _drop_small(shares: Tensor) -> Tensor:
    shares = torch.where(shares < LEAST_SHARE, 0.0, shares)
    return shares / shares.sum()
