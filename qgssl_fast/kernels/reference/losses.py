"""Segmentation losses per sample, in plain torch: the truth that fused kernels are measured against.

Shapes are checked and layouts settled by :mod:`qgssl_fast.ops.losses`: `logits` [B, K, *S] with K = 1 (sigmoid) or
K = C (softmax), `target` [B, K, *S] as probabilities (one-hot for hard labels), `pixels` (weights)
[B, 1, *S] or None.
Sums are taken in float32, in float64 where the input is float64.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

EPS = 1e-6
"""Smoothing of the soft Dice (2 tp + EPS) / (|p| + |t| + EPS): exactly 1 where both are empty, about 0 where one is."""


def accumulate(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def one_hot(labels: Tensor, channels: int, dtype: torch.dtype) -> Tensor:
    """Labels [B, *S] as [B, K, *S]; K = 1 has label 1 alone. A label outside the classes is in no channel."""
    classes = torch.arange(channels, device=labels.device) if channels > 1 else torch.ones(1, device=labels.device)
    return (labels.unsqueeze(1) == classes.view(-1, *[1] * (labels.ndim - 1))).to(dtype)


def soft_dice(probs: Tensor, target: Tensor, pixels: Tensor | None = None) -> Tensor:
    """[B, K]: (2 sum(v p t) + eps) / (sum(v p) + sum(v t) + eps), v the pixel weights (1 where None)."""
    p, t = accumulate(probs).flatten(2), accumulate(target).flatten(2)
    v = 1 if pixels is None else accumulate(pixels).flatten(2)
    return (2 * (v * p * t).sum(2) + EPS) / ((v * p).sum(2) + (v * t).sum(2) + EPS)


def pixel_mean(values: Tensor, pixels: Tensor | None) -> Tensor:
    """[B] from values [B, *S]: sum(v l) / sum(v); 0 where all pixel weights of a sample are 0."""
    values = values.flatten(1)
    if pixels is None:
        return values.mean(1)
    v = accumulate(pixels).flatten(1)
    total = v.sum(1)
    return (v * values).sum(1) / total.where(total > 0, 1)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """[B, *S]: -sum_k t_k log p_k, for K = 1 the binary one."""
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none").squeeze(1)
    return -(target * F.log_softmax(logits, 1)).sum(1)


def entropy_dice(logits: Tensor, target: Tensor, pixels: Tensor | None = None) -> Tensor:
    """[B]: 0.5 CE + 0.5 (1 - mean soft Dice of the foreground classes); a sample without pixel weight has 0."""
    logits = accumulate(logits)
    target = target.to(logits.dtype)
    binary = logits.shape[1] == 1
    probs = logits.sigmoid() if binary else logits.softmax(1)[:, 1:]
    dice = soft_dice(probs, target if binary else target[:, 1:], pixels)
    return 0.5 * pixel_mean(cross_entropy(logits, target), pixels) + 0.5 * (1 - dice.mean(1))


def squared(logits: Tensor, target: Tensor, pixels: Tensor | None = None) -> Tensor:
    """[B]: mean over classes and pixels of (p - t)^2."""
    logits = accumulate(logits)
    probs = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
    return pixel_mean((probs - target.to(probs.dtype)).square().mean(1), pixels)


def divergence(logits: Tensor, target: Tensor, pixels: Tensor | None = None) -> Tensor:
    """[B]: mean over pixels of KL(t || p) = sum_k t_k (log t_k - log p_k); the binary one counts the background too."""
    logits = accumulate(logits)
    target = target.to(logits.dtype)
    own = torch.special.xlogy(target, target).sum(1)
    if logits.shape[1] == 1:
        own = own + torch.special.xlogy(1 - target, 1 - target).sum(1)
    return pixel_mean(own + cross_entropy(logits, target), pixels)


def weighted_mean(losses: Tensor, weights: Tensor, pixels: Tensor | None = None) -> Tensor:
    """sum(w l) / sum(w); 0 where all w are 0. A sample none of whose pixels counts has no weight."""
    weights = weights.to(losses.dtype)
    if pixels is not None:
        weights = weights * (pixels.flatten(1) > 0).any(1)
    total = weights.sum()
    return (weights * losses).sum() / total.where(total > 0, 1)
