"""Mixing images of a batch: proportions and boxes, drawn on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def beta(count: int, alpha: float, like: Tensor) -> Tensor:
    """[count] from Beta(alpha, alpha)."""
    if alpha == 1:
        return torch.rand(count, device=like.device)
    return torch._sample_dirichlet(torch.full((count, 2), alpha, device=like.device))[:, 0]


def mix(a: Tensor, b: Tensor, proportion: Tensor) -> Tensor:
    """proportion * a + (1 - proportion) * b; proportion [B], or a mask [B, *S] for a, b [B, C, *S] or [B, *S]."""
    if proportion.ndim == 1:
        proportion = proportion.view(-1, *[1] * (a.ndim - 1))
    elif a.ndim > proportion.ndim:
        proportion = proportion.unsqueeze(1)
    if not a.is_floating_point():
        return torch.where(proportion > 0, a, b)
    return b + proportion.to(a.dtype) * (a - b)


def box_of_part(count: int, part: float, space: Sequence[int], device: torch.device) -> Tensor:
    """bool [count, *space]: a box whose sides are `part` of the image's, uniform among the places where it fits."""
    sides = torch.full((count, len(space)), part, device=device)
    return _boxes(sides, torch.rand(count, len(space), device=device), space)


def box_of_area(
    count: int, low: float, high: float, aspect: float, space: Sequence[int], device: torch.device
) -> Tensor:
    """bool [count, *space]: a box that is U(low, high) of the image, each side's stretch log-uniform in
    [aspect, 1 / aspect], cut at the image's.
    """
    u = torch.rand(count, 2 * len(space) + 1, device=device)
    share = low + (high - low) * u[:, :1]
    stretch = aspect ** (2 * u[:, 1 : 1 + len(space)] - 1)
    even = stretch / stretch.log().mean(1, keepdim=True).exp()
    return _boxes((share ** (1 / len(space)) * even).clamp(max=1), u[:, 1 + len(space) :], space)


def _boxes(sides: Tensor, place: Tensor, space: Sequence[int]) -> Tensor:
    inside = torch.ones(len(sides), *space, dtype=torch.bool, device=sides.device)
    for axis, length in enumerate(space):
        side = (sides[:, axis] * length).floor()
        first = (place[:, axis] * (length - side + 1)).floor()
        at = torch.arange(length, device=sides.device)
        line = (at >= first[:, None]) & (at < (first + side)[:, None])
        inside &= line.view(len(sides), *[length if k == axis else 1 for k in range(len(space))])
    return inside
