"""Erosion, dilation, opening and closing on bits, in C++ for CPU tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from ...recipes.operations import OPERATIONS
from . import cpu, in_large_pages, size_of

CODES = {name: OPERATIONS[name].code for name in ("erode", "dilate", "opening", "closing")}


def erode(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run(masks, CODES["erode"], radius, out)


def dilate(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run(masks, CODES["dilate"], radius, out)


def opening(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run(masks, CODES["opening"], radius, out)


def closing(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run(masks, CODES["closing"], radius, out)


def _run(masks: Tensor, op: int, radius: int, out: Tensor | None) -> Tensor:
    masks = masks.contiguous()
    out = in_large_pages(torch.empty_like(masks)) if out is None else out
    cpu().morph(masks.data_ptr(), out.data_ptr(), op, radius, size_of(masks), torch.get_num_threads())
    return out
