"""The public `affine` and `elastic` on bits, in C++, for CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ..reference.program import ISOTROPIC
from . import cpu, in_large_pages, size_of


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    masks, matrices = masks.contiguous(), matrices.cpu().contiguous()
    out = in_large_pages(torch.empty(masks.shape, dtype=torch.uint8))
    pointers = (masks.data_ptr(), out.data_ptr(), matrices.data_ptr())
    cpu().affine(*pointers, truncate, size_of(masks), masks.dim() - 1, torch.get_num_threads())
    return out


def elastic(
    masks: Tensor,
    amplitude: int,
    smoothness: int,
    seed: int,
    sample_ids: Tensor,
    spacing: tuple[int, int] = ISOTROPIC,
) -> Tensor:
    masks, ids = masks.contiguous(), sample_ids.to("cpu", torch.int64).contiguous()
    out = in_large_pages(torch.empty(masks.shape, dtype=torch.uint8))
    field = ((amplitude, smoothness), seed, ids.data_ptr())
    frame = (masks.dim() - 1, 2, *spacing)
    cpu().elastic(masks.data_ptr(), out.data_ptr(), *field, size_of(masks), frame, torch.get_num_threads())
    return out
