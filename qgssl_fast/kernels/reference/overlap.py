"""Sizes of two masks and of what they share, the integers that Dice is made of."""

from __future__ import annotations

import torch
from torch import Tensor


def overlap(a: Tensor, b: Tensor, num_classes: int = 2) -> Tensor:
    """int32 [B, C-1, 3]: per class 1..C-1 the pixels in both, in `a`, in `b`. a, b: uint8 or bool [B, *S].

    With two classes every nonzero pixel is of class 1; with more, pixels are labels 0..C-1.
    """
    a, b = a.flatten(1), b.flatten(1)
    if num_classes == 2:
        a, b = a != 0, b != 0
    counts = []
    for label in range(1, num_classes):
        in_a, in_b = a == label, b == label
        counts.append(torch.stack([(in_a & in_b).sum(1), in_a.sum(1), in_b.sum(1)], dim=1))
    return torch.stack(counts, dim=1).to(torch.int32)
