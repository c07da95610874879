"""Erosion, dilation, opening and closing on bits, in C++ for CPU tensors and in CUDA for CUDA tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ...recipes.operations import OPERATIONS
from . import cpu, gpu, size_of

_CODES = {name: OPERATIONS[name].code for name in ("erode", "dilate", "opening", "closing")}


def erode(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _CODES["erode"], radius)


def dilate(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _CODES["dilate"], radius)


def opening(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _CODES["opening"], radius)


def closing(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _CODES["closing"], radius)


def _run(masks: Tensor, op: int, radius: int) -> Tensor:
    masks = masks.contiguous()
    out = torch.empty_like(masks)
    size = size_of(masks)
    if not masks.is_cuda:
        cpu().morph(masks.data_ptr(), out.data_ptr(), op, radius, size, torch.get_num_threads())
        return out
    with torch.cuda.device(masks.device):
        # Bit planes in global memory for masks that shared memory cannot hold; empty where it can.
        scratch = torch.empty(gpu().morph_scratch(size), dtype=torch.int32, device=masks.device)
        where = (scratch.data_ptr(), scratch.numel(), torch.cuda.current_stream().cuda_stream)
        gpu().morph(masks.data_ptr(), out.data_ptr(), op, radius, size, where)
    return out
