"""The kernels of the public `affine` and `elastic`, on top of the rows of the same names."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import warp
from .program import Draw


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    """masks: uint8 or bool [B, H, W], nonzero = 1; matrices: int32 [B, 2, 3], Q16.16, from target to source."""
    out = warp.resample(_flags(masks), matrices.cpu().numpy(), truncate)
    return torch.from_numpy(out).to(masks.device)


def elastic(masks: Tensor, amplitude: int, smoothness: int, seed: int, sample_ids: Tensor) -> Tensor:
    """masks: uint8 or bool [B, H, W], nonzero = 1; amplitude, smoothness: Q16.16 px. Words of a row at position 0."""
    params = np.array([amplitude, smoothness], np.int32)
    out = warp.elastic(_flags(masks), params, Draw(seed, sample_ids.cpu().numpy(), 0))
    return torch.from_numpy(out).to(masks.device)


def _flags(masks: Tensor) -> np.ndarray:
    return (masks.cpu().contiguous().numpy() != 0).astype(np.uint8)
