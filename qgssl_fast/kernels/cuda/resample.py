"""The public `affine` and `elastic` on bits, in CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from ..native import size_of
from ..reference.program import ISOTROPIC
from . import launch


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    masks, matrices = masks.contiguous(), matrices.contiguous()
    out = torch.empty(masks.shape, dtype=torch.uint8, device=masks.device)
    pointers = (masks.data_ptr(), out.data_ptr(), matrices.data_ptr())
    launch("affine", "affine", *pointers, truncate, size_of(masks), masks.dim() - 1, device=masks.device)
    return out


def elastic(
    masks: Tensor,
    amplitude: int,
    smoothness: int,
    seed: int,
    sample_ids: Tensor,
    spacing: tuple[int, int] = ISOTROPIC,
) -> Tensor:
    masks, ids = masks.contiguous(), sample_ids.contiguous()
    out = torch.empty(masks.shape, dtype=torch.uint8, device=masks.device)
    field = ((amplitude, smoothness), seed, ids.data_ptr())
    frame = (masks.dim() - 1, 2, *spacing)
    pointers = (masks.data_ptr(), out.data_ptr())
    launch("elastic", "elastic", *pointers, *field, size_of(masks), frame, device=masks.device)
    return out
