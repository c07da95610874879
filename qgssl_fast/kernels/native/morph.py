"""Erosion, dilation, opening and closing on bits, in C++ for CPU tensors and in CUDA for CUDA tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu, cuda_scratch, gpu

# Numbers of core/program.h; a test compares them with the built module's.
_NONE, _ERODE, _DILATE = 0, 16, 17


def erode(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _ERODE, _NONE, radius)


def dilate(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _DILATE, _NONE, radius)


def opening(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _ERODE, _DILATE, radius)


def closing(masks: Tensor, radius: int) -> Tensor:
    return _run(masks, _DILATE, _ERODE, radius)


def _run(masks: Tensor, first: int, second: int, radius: int) -> Tensor:
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
                *(masks.data_ptr(), out.data_ptr(), first, second, radius, batch, depth, height, width),
                *(scratch.data_ptr(), scratch.numel(), stream),
            )
        return out
    threads = torch.get_num_threads()
    cpu().morph(masks.data_ptr(), out.data_ptr(), first, second, radius, batch, depth, height, width, threads)
    return out
