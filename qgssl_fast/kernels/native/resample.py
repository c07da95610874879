"""The public `affine` and `elastic` on bits, in C++, for CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu, size_of


def affine(masks: Tensor, matrices: Tensor, truncate: bool) -> Tensor:
    masks, matrices = masks.contiguous(), matrices.cpu().contiguous()
    out = torch.empty(masks.shape, dtype=torch.uint8)
    pointers = (masks.data_ptr(), out.data_ptr(), matrices.data_ptr())
    cpu().affine(*pointers, truncate, size_of(masks), torch.get_num_threads())
    return out


def elastic(masks: Tensor, amplitude: int, smoothness: int, seed: int, sample_ids: Tensor) -> Tensor:
    masks, ids = masks.contiguous(), sample_ids.to("cpu", torch.int64).contiguous()
    out = torch.empty(masks.shape, dtype=torch.uint8)
    chance = (amplitude, smoothness, seed, ids.data_ptr())
    cpu().elastic(masks.data_ptr(), out.data_ptr(), *chance, size_of(masks), torch.get_num_threads())
    return out
