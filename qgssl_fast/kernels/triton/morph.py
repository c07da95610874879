"""Erosion, dilation, opening and closing in Triton: one pass an axis, each reading the window of every pixel."""

from __future__ import annotations

import math

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.morph import into

_BLOCK = 4096


@triton.jit
def window_kernel(
    src, dst, pixels, axis_length, axis_step, reach, ERODE: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr
):
    """dst = maximum (erosion: minimum) of src != 0 over `reach` pixels both ways along the axis, cut at its ends.

    src, dst: uint8 [pixels]; pixel i is number i // axis_step % axis_length of its line. WIDE: 64-bit offsets.
    """
    program = tl.program_id(0)
    if WIDE:
        program = program.to(tl.int64)
    at = program * BLOCK + tl.arange(0, BLOCK)
    inside = at < pixels
    place = at // axis_step % axis_length
    found = tl.full([BLOCK], 1 if ERODE else 0, tl.int32)
    for offset in range(-reach, reach + 1):
        there = inside & (place + offset >= 0) & (place + offset < axis_length)
        value = (tl.load(src + at + offset * axis_step, mask=there, other=1 if ERODE else 0) != 0).to(tl.int32)
        if ERODE:
            found = found & value
        else:
            found = found | value
    tl.store(dst + at, found.to(tl.uint8), mask=inside)


def erode(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return into(out, _run(masks, radius, True))


def dilate(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return into(out, _run(masks, radius, False))


def opening(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return dilate(erode(masks, radius), radius, out)


def closing(masks: Tensor, radius: int, out: Tensor | None = None) -> Tensor:
    return erode(dilate(masks, radius), radius, out)


def _run(masks: Tensor, radius: int, erode: bool) -> Tensor:
    shape = masks.shape
    out = masks.contiguous().view(torch.uint8)
    pixels = out.numel()
    wide = pixels + _BLOCK > 2**31
    for axis in range(1, masks.dim()):
        source, out = out, torch.empty_like(out)
        length, step = shape[axis], math.prod(shape[axis + 1 :])
        grid = (triton.cdiv(pixels, _BLOCK),)
        window_kernel[grid](source, out, pixels, length, step, min(radius, length - 1), erode, wide, _BLOCK)
    return out.view(masks.dtype)
