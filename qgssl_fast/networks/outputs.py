"""What logits say: probabilities, hard labels, how sure they are."""

from __future__ import annotations

import torch
from torch import Tensor


def probabilities(logits: Tensor) -> Tensor:
    """[B, 1, *S] by sigmoid, [B, C, *S] by softmax; in float32, since half precision saturates."""
    return logits.float().sigmoid() if logits.shape[1] == 1 else logits.float().softmax(1)


def hard_labels(logits: Tensor) -> Tensor:
    """uint8 [B, *S]: logit > 0, or the largest class."""
    if logits.shape[1] == 1:
        return (logits.squeeze(1) > 0).to(torch.uint8)
    return logits.argmax(1).to(torch.uint8)


def confidence(probs: Tensor) -> Tensor:
    """[B, *S]: the probability of the likeliest class; of [B, 1, *S] max(p, 1 - p)."""
    return torch.maximum(probs, 1 - probs).squeeze(1) if probs.shape[1] == 1 else probs.amax(1)


def entropy(probs: Tensor) -> Tensor:
    """[B, *S]: -sum_c p_c log p_c in nats; of [B, 1, *S] with the background."""
    if probs.shape[1] == 1:
        probs = torch.cat([probs, 1 - probs], 1)
    return torch.special.entr(probs).sum(1)
