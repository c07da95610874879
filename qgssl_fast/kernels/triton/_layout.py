"""How a sample's pixels lie, for kernels that go through them by number."""

from __future__ import annotations

import itertools

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def offset(at, pixel, line, plane, width, height, LINES: tl.constexpr):
    """Of the pixels number `at` from a sample's first. Without LINES all lie `pixel` apart, whatever the sides."""
    if LINES:
        y = at // width
        z = y // height
        found = (at - y * width) * pixel + (y - z * height) * line + z * plane
    else:
        found = at * pixel
    return found


def as_numbers(x: Tensor) -> Tensor:
    """Bools as bytes."""
    return x.view(torch.uint8) if x.dtype == torch.bool else x


def even(*tensors: Tensor) -> bool:
    """Whether in each of [B, C, *S] a sample's pixels lie at even distances; else kernels go by lines and planes."""
    return all(outer == side * stride for x in tensors for (_, outer), (side, stride) in itertools.pairwise(_axes(x)))


def strides(x: Tensor, lines: bool) -> tuple[int, int, int, int, int]:
    """Of sample, class, pixel, line, plane."""
    if lines:
        inner = x.stride()[2:]
        return x.stride(0), x.stride(1), inner[-1], inner[-2], inner[-3] if len(inner) == 3 else 0
    axes = _axes(x)
    return x.stride(0), x.stride(1), axes[-1][1] if axes else 1, 0, 0


def _axes(x: Tensor) -> list[tuple[int, int]]:
    """Side and stride of each axis of pixels that is longer than 1."""
    return [(side, stride) for side, stride in zip(x.shape[2:], x.stride()[2:]) if side > 1]
