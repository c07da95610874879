"""Erosion, dilation, opening and closing by a box of side 2 radius + 1 along each axis, cut at the border."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

Radius = int | tuple[int, ...]  # of all axes, or of each


def dilate(masks: Tensor, radius: Radius, out: Tensor | None = None) -> Tensor:
    """Maximum over the window. masks: uint8 or bool [B, H, W] or [B, D, H, W], nonzero = 1; same shape and dtype, into
    `out` where that is given."""
    dims = masks.dim() - 1
    radii = (radius,) * dims if isinstance(radius, int) else radius
    pool = F.max_pool2d if dims == 2 else F.max_pool3d
    found = (masks != 0).float().unsqueeze(1)
    for axis in range(dims):
        reach = min(radii[axis], masks.shape[1 + axis])  # a window that holds the whole axis need not be larger
        side = [2 * reach + 1 if a == axis else 1 for a in range(dims)]
        found = pool(found, side, stride=1, padding=[s // 2 for s in side])
    return into(out, found.squeeze(1).to(masks.dtype))


def erode(masks: Tensor, radius: Radius, out: Tensor | None = None) -> Tensor:
    """Minimum over the window: the complement of the dilated complement."""
    return into(out, (dilate(masks == 0, radius) == 0).to(masks.dtype))


def opening(masks: Tensor, radius: Radius, out: Tensor | None = None) -> Tensor:
    return dilate(erode(masks, radius), radius, out)


def closing(masks: Tensor, radius: Radius, out: Tensor | None = None) -> Tensor:
    return erode(dilate(masks, radius), radius, out)


def into(out: Tensor | None, made: Tensor) -> Tensor:
    return made if out is None else out.copy_(made)
