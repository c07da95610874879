"""Overlap counts straight from the bytes, in C++ for CPU tensors and in CUDA for CUDA tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu, gpu


def overlap(a: Tensor, b: Tensor, num_classes: int = 2) -> Tensor:
    a, b = a.contiguous(), b.contiguous()
    batch = a.shape[0]
    pixels = a.numel() // batch
    counts = torch.empty((batch, num_classes - 1, 3), dtype=torch.int32, device=a.device)
    arguments = (a.data_ptr(), b.data_ptr(), counts.data_ptr(), num_classes, batch, pixels)
    if a.is_cuda:
        with torch.cuda.device(a.device):
            gpu().overlap(*arguments, torch.cuda.current_stream().cuda_stream)
    else:
        cpu().overlap(*arguments, torch.get_num_threads())
    return counts
