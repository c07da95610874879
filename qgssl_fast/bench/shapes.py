"""Masks to measure on, the same in every run."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@functools.cache
def lesions(side: int, count: int = 64) -> Tensor:
    """uint8 [count, side, side]: smooth random shapes that cover about a fifth of the image."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        y, x = np.mgrid[:side, :side] - side * rng.uniform(0.4, 0.6, (2, 1, 1))
        angle, radius = np.arctan2(y, x), side * rng.uniform(0.15, 0.33)
        for k in (2, 3, 5, 9):
            radius = radius + side * rng.uniform(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6))
        masks.append(np.hypot(x, y) < radius)
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


@functools.cache
def blobs(*shape: int) -> Tensor:
    """uint8 [B, *S]: many pieces, with holes, about half of the picture."""
    noise = torch.rand((shape[0], 1, *(side // 8 for side in shape[1:])), generator=torch.Generator().manual_seed(0))
    smooth = F.interpolate(noise, size=shape[1:], mode="bilinear" if len(shape) == 3 else "trilinear")
    return (smooth[:, 0] > 0.45).to(torch.uint8)


@functools.cache
def ellipsoids(side: int, count: int = 4) -> Tensor:
    """uint8 [count, side, side, side]: ellipsoids of about a tenth of the volume."""
    rng = np.random.default_rng(0)
    at = np.indices((side, side, side), dtype=np.float32)
    masks = []
    for _ in range(count):
        centre, radii = side * rng.uniform(0.4, 0.6, (3, 1, 1, 1)), side * rng.uniform(0.2, 0.35, (3, 1, 1, 1))
        masks.append((((at - centre) / radii) ** 2).sum(0) < 1)
    return torch.from_numpy(np.stack(masks).astype(np.uint8))
