"""The kernels of the public `affine` and `elastic`, on top of the rows of the same names."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import warp, warp3
from .program import ISOTROPIC, Draw


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    """masks: uint8 or bool [B, H, W] or [B, D, H, W], nonzero = 1; matrices: int32 [B, 2, 3] or [B, 3, 4], Q16.16, from
    target to source."""
    resample = warp.resample if masks.dim() == 3 else warp3.resample
    return torch.from_numpy(resample(_flags(masks), matrices.cpu().numpy(), truncate)).to(masks.device)


def elastic(
    masks: Tensor,
    amplitude: int,
    smoothness: int,
    seed: int,
    sample_ids: Tensor,
    spacing: tuple[int, int] = ISOTROPIC,
) -> Tensor:
    """masks: uint8 or bool [B, *S], nonzero = 1; amplitude, smoothness: Q16.16 px. Words of a row at position 0."""
    params = np.array([amplitude, smoothness], np.int32)
    out = warp.elastic(_flags(masks), params, Draw(seed, sample_ids.cpu().numpy(), 0, spacing=spacing))
    return torch.from_numpy(out).to(masks.device)


def _flags(masks: Tensor) -> np.ndarray:
    return (masks.cpu().contiguous().numpy() != 0).astype(np.uint8)
