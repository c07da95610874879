"""Segmentation losses per sample, in plain torch: the truth that fused kernels are measured against.

Shapes are checked and layouts settled by :mod:`qgssl_fast.ops.losses`: `logits` [B, K, *S] with K = 1 (sigmoid) or
K = C (softmax); `target` labels [B, 1, *S], or probabilities or logits [B, K, *S]; `pixels` (weights) [B, 1, *S] or
None. Sums are taken in float32, in float64 where the input is float64. Gradients are written out, as kernels have them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6
"""Smoothing of the soft Dice (2 tp + EPS) / (|p| + |t| + EPS): exactly 1 where both are empty, about 0 where one is."""


def loss_sums(
    logits: Tensor, target: Tensor, pixels: Tensor | None, loss: str, target_logits: bool, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    """Losses [B], and what their gradient needs [B, 1 + 2F]: V = sum(v), then sum(v p t), sum(v (p + t)) + eps of each
    foreground class for "entropy_dice" (F = 0 for the others).

    "entropy_dice": 0.5 CE + 0.5 (1 - mean soft Dice of the foreground classes), CE = sum(v l) / V; "mse": sum(v (p -
    t)^2) / (K V); "kl": sum(v sum_k t_k (log t_k - log p_k)) / V, of one logit the background too. 0 where V is 0.
    """
    z, p, t, v = _settle(logits, target, pixels, target_logits, ignore_index)
    weight = v.flatten(1).sum(1)
    if loss == "mse":
        return _mean((p - t).square().mean(1, keepdim=True), v), weight[:, None]
    if loss == "kl":
        own = torch.special.xlogy(t, t).sum(1, keepdim=True)
        if z.shape[1] == 1:
            own = own + torch.special.xlogy(1 - t, 1 - t)
        return _mean(own + cross_entropy(z, t), v), weight[:, None]
    sums = _sums(_foreground(p), _foreground(t), v)
    dice = (2 * sums[..., 0] + EPS) / sums[..., 1]
    losses = 0.5 * _mean(cross_entropy(z, t), v) + 0.5 * (1 - dice.mean(1))
    return losses, torch.cat((weight[:, None], sums.flatten(1)), 1)


def loss_gradient(
    weights: Tensor,
    sums: Tensor,
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    loss: str,
    target_logits: bool,
    ignore_index: int | None,
) -> Tensor:
    """d sum(weights * losses) / d logits = v (a (p_k T - t_k) + p_k (h_k - sum_j p_j h_j)), T = sum_j t_j, with h the
    loss's derivative by the probabilities; of one logit v (a (p - t) + h p (1 - p))."""
    _, p, t, v = _settle(logits, target, pixels, target_logits, ignore_index)
    one = (-1, *[1] * (p.ndim - 1))
    share = (weights / sums[:, 0].where(sums[:, 0] > 0, torch.inf)).view(one)
    a, h = share, torch.zeros_like(p)
    if loss == "mse":
        a, h = 0 * share, 2 * share / p.shape[1] * (p - t)
    elif loss == "entropy_dice":
        tp, area = sums[:, 1:].unflatten(1, (-1, 2)).unbind(2)
        part = -0.5 * weights[:, None] / tp.shape[1]
        both, either = (x.view(*x.shape, *one[2:]) for x in (2 * part / area, part * (2 * tp + EPS) / area**2))
        a = 0.5 * share
        _foreground(h).copy_(both * _foreground(t) - either)
    if p.shape[1] == 1:
        gradient = v * (a * (p - t) + h * p * (1 - p))
    else:
        gradient = v * (a * (p * t.sum(1, keepdim=True) - t) + p * (h - (p * h).sum(1, keepdim=True)))
    return torch.empty_like(logits).copy_(gradient)


def loss_at_once(
    logits: Tensor, target: Tensor, weights: Tensor, total: Tensor | None, loss: str, target_logits: bool
) -> tuple[Tensor, Tensor]:
    """sum(w l) / total and its gradient, with all pixels alike. Samples without weight do not matter, NaN included.

    total: a scalar; None for sum(w). Where it is 0 so are both results.
    """
    losses, sums = loss_sums(logits, target, None, loss, target_logits, None)
    w = shares(weights, total)
    gradient = loss_gradient(w, sums, logits, target, None, loss, target_logits, None)
    return weighted(losses, w), gradient


def shares(weights: Tensor, total: Tensor | None) -> Tensor:
    """Of each sample in a mean that is weighted; all 0 where the total is."""
    total = weights.sum() if total is None else total
    return weights / total.clamp_min(torch.finfo(weights.dtype).tiny)


def weighted(losses: Tensor, shares: Tensor) -> Tensor:
    """What a sample without a share has as loss does not matter, NaN included."""
    return (shares * losses.where(shares != 0, 0)).sum()


def dice_sums(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Soft Dice [B, K] and its sums [B, K, 2]: sum(p t), sum(p) + sum(t) + eps. Class k of labels is k + 1."""
    sums = _sums(*_pair(probs, target))
    return (2 * sums[..., 0] + EPS) / sums[..., 1], sums


def dice_gradient(weights: Tensor, sums: Tensor, probs: Tensor, target: Tensor, of_target: bool) -> Tensor:
    """d sum(weights * dice) / d probs = weights (2 t - dice) / (sum(p) + sum(t) + eps); by the target, p for t."""
    p, t = _pair(probs, target)
    dice = (2 * sums[..., 0] + EPS) / sums[..., 1]
    scale, dice = (x.view(*x.shape, *[1] * (p.ndim - 2)) for x in (weights / sums[..., 1], dice))
    gradient = scale * (2 * (p if of_target else t) - dice)
    return torch.empty_like(target if of_target else probs).copy_(gradient)


def accumulate(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def probabilities(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def one_hot(labels: Tensor, classes: Tensor, dtype: torch.dtype) -> Tensor:
    """Labels [B, 1, *S] as [B, K, *S]. A label outside the classes is in no channel."""
    return (labels.long() == classes.view(-1, *[1] * (labels.ndim - 2))).to(dtype)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """[B, 1, *S]: -sum_k t_k log p_k, for K = 1 the binary one."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return -(target * F.log_softmax(logits, 1)).sum(1, keepdim=True)


def _settle(
    logits: Tensor, target: Tensor, pixels: Tensor | None, target_logits: bool, ignore_index: int | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Logits, probabilities, target as probabilities, weights of pixels."""
    z = accumulate(logits)
    v = torch.ones_like(z[:, :1]) if pixels is None else pixels.to(z.dtype)
    if target.is_floating_point():
        t = target.to(z.dtype)
        return z, probabilities(z), probabilities(t) if target_logits else t, v
    classes = torch.arange(z.shape[1], device=z.device) + (1 if z.shape[1] == 1 else 0)  # one logit is label 1's
    if ignore_index is not None:
        v = v * (target.long() != ignore_index)
    return z, probabilities(z), one_hot(target, classes, z.dtype), v


def _foreground(x: Tensor) -> Tensor:
    return x if x.shape[1] == 1 else x[:, 1:]


def _sums(p: Tensor, t: Tensor, v: Tensor | float = 1.0) -> Tensor:
    both, either = ((v * x).flatten(2).sum(2) for x in (p * t, p + t))
    return torch.stack((both, either + EPS), 2)


def _mean(values: Tensor, v: Tensor) -> Tensor:
    """[B]: sum(v l) / sum(v), 0 where all v are 0."""
    total = v.flatten(1).sum(1)
    return (v * values).flatten(1).sum(1) / total.where(total > 0, 1)


def _pair(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    p = accumulate(probs)
    if target.is_floating_point():
        return p, target.to(p.dtype)
    return p, one_hot(target, 1 + torch.arange(p.shape[1], device=p.device), p.dtype)
