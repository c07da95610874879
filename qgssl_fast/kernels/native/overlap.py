"""Overlap counts straight from the bytes, in C++ for CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu


def overlap(a: Tensor, b: Tensor, num_classes: int = 2) -> Tensor:
    a, b = a.contiguous(), b.contiguous()
    batch = a.shape[0]
    counts = torch.empty((batch, num_classes - 1, 3), dtype=torch.int32)
    pointers = (a.data_ptr(), b.data_ptr(), counts.data_ptr())
    cpu().overlap(*pointers, num_classes, batch, a.numel() // batch, torch.get_num_threads())
    return counts
