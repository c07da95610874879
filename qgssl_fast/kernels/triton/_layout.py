"""How a sample's pixels lie, for kernels that step through them evenly."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor


def _axes(x: Tensor) -> list[tuple[int, int]]:
    """Side and stride of each axis of pixels that is longer than 1."""
    return [(side, stride) for side, stride in zip(x.shape[2:], x.stride()[2:]) if side > 1]


def evenly(x: Tensor) -> Tensor:
    """[B, C, *S] as it is where a sample's pixels lie at even distances, else a copy; bool as bytes."""
    x = x.view(torch.uint8) if x.dtype == torch.bool else x
    axes = _axes(x)
    even = all(outer == side * stride for (_, outer), (side, stride) in itertools.pairwise(axes))
    return x if even else x.contiguous()


def strides(x: Tensor) -> tuple[int, int, int]:
    """Of sample, class and pixel."""
    axes = _axes(x)
    return x.stride(0), x.stride(1), axes[-1][1] if axes else 1
