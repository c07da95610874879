"""Erosion, dilation, opening and closing on bits, in CUDA."""

from __future__ import annotations

import torch
from torch import Tensor

from ..native import size_of
from ..native.morph import CODES
from . import launch


def erode(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run("erode", masks, radius, out)


def dilate(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run("dilate", masks, radius, out)


def opening(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run("opening", masks, radius, out)


def closing(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return _run("closing", masks, radius, out)


def _run(op: str, masks: Tensor, radius: int, out: Tensor | None) -> Tensor:
    masks = masks.contiguous()
    out = torch.empty_like(masks) if out is None else out
    arguments = (masks.data_ptr(), out.data_ptr(), CODES[op], radius, size_of(masks))
    launch(op, "morph", *arguments, device=masks.device)
    return out
