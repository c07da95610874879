"""The kernels of the public `affine` and `elastic`, on top of the rows of the same names."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from . import warp
from .program import Draw


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    """masks: uint8 [B, H, W], 0 and 1; matrices: int32 [B, 2, 3], Q16.16, from target to source."""
    out = warp.resample(masks.cpu().contiguous().numpy(), matrices.cpu().numpy(), truncate)
    return torch.from_numpy(out).to(masks.device)


def elastic(masks: Tensor, amplitude: int, smoothness: int, seed: int, sample_ids: Tensor) -> Tensor:
    """masks: uint8 [B, H, W], 0 and 1; amplitude, smoothness: px, Q16.16. Words: those of a row at position 0."""
    params = np.array([amplitude, smoothness], np.int32)
    out = warp.elastic(masks.cpu().contiguous().numpy(), params, Draw(seed, sample_ids.cpu().numpy(), 0))
    return torch.from_numpy(out).to(masks.device)
