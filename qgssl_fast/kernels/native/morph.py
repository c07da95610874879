"""Erosion, dilation, opening and closing on bits, in C++ for CPU tensors and in CUDA for CUDA tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ...recipes.operations import OPERATIONS
from . import cpu, cuda_scratch, gpu

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
    shape = masks.shape
    batch, height, width = shape[0], shape[-2], shape[-1]
    depth = shape[1] if len(shape) == 4 else 1
    if masks.is_cuda:
        with torch.cuda.device(masks.device):
            scratch = cuda_scratch(masks.device, batch, depth, height, width, planes=2)
            stream = torch.cuda.current_stream().cuda_stream
            gpu().morph(
                *(masks.data_ptr(), out.data_ptr(), op, radius, batch, depth, height, width),
                *(scratch.data_ptr(), scratch.numel(), stream),
            )
        return out
    threads = torch.get_num_threads()
    cpu().morph(masks.data_ptr(), out.data_ptr(), op, radius, batch, depth, height, width, threads)
    return out
