"""Soft Dice in Triton: a program takes some blocks of pixels of one class of a sample."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ._layout import as_numbers, even, offset, strides

_BLOCK = 1024
_BLOCKS = 16  # of a program
_EPS = 1e-6


@triton.jit
def dice_kernel(
    p_ptr,
    t_ptr,
    slopes_ptr,
    out_ptr,
    totals_ptr,
    p_sample,
    p_class,
    p_pixel,
    p_line,
    p_plane,
    t_sample,
    t_class,
    t_pixel,
    t_line,
    t_plane,
    out_sample,
    out_class,
    out_pixel,
    out_line,
    out_plane,
    pixels,
    width,
    height,
    classes,
    LINES: tl.constexpr,
    LABELS: tl.constexpr,
    GRADIENT: tl.constexpr,
    OF_TARGET: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """totals [batch classes, programs, 2]: sums of p t and p + t; or out = other slopes[0] + slopes[1], other the
    target where the gradient is by probs, else probs. Class k of labels is k + 1."""
    plane = tl.program_id(1)
    sample = (plane // classes).to(tl.int64)
    k = plane % classes
    both_sum = tl.zeros([BLOCK], tl.float32)
    any_sum = tl.zeros([BLOCK], tl.float32)
    for block in range(BLOCKS):
        at = (tl.program_id(0) * BLOCKS + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < pixels
        t_at = t_ptr + sample * t_sample + offset(at, t_pixel, t_line, t_plane, width, height, LINES)
        if LABELS:
            label = tl.load(t_at, mask=inside, other=0)
            t = (inside & (label == k + 1)).to(tl.float32)
        else:
            t = tl.load(t_at + k * t_class, mask=inside, other=0.0).to(tl.float32)
        p_at = p_ptr + sample * p_sample + k * p_class + offset(at, p_pixel, p_line, p_plane, width, height, LINES)
        p = tl.load(p_at, mask=inside, other=0.0).to(tl.float32)
        if GRADIENT:
            other = p if OF_TARGET else t
            grad = other * tl.load(slopes_ptr + 2 * plane) + tl.load(slopes_ptr + 2 * plane + 1)
            to = offset(at, out_pixel, out_line, out_plane, width, height, LINES)
            tl.store(out_ptr + sample * out_sample + k * out_class + to, grad.to(out_ptr.dtype.element_ty), mask=inside)
        else:
            both_sum += p * t
            any_sum += p + t
    if not GRADIENT:
        totals = totals_ptr + 2 * (plane * tl.num_programs(0) + tl.program_id(0))
        tl.store(totals, tl.sum(both_sum))
        tl.store(totals + 1, tl.sum(any_sum))


def dice_sums(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    sums = _run(probs, target, None, None, False).double().sum(1).view(*probs.shape[:2], 2)
    sums[..., 1] += _EPS
    return ((2 * sums[..., 0] + _EPS) / sums[..., 1]).float(), sums.float()


def dice_gradient(weights: Tensor, sums: Tensor, probs: Tensor, target: Tensor, of_target: bool) -> Tensor:
    gradient = torch.empty_like(target if of_target else probs)
    both, area = sums.unbind(2)
    slopes = torch.stack((2 * weights / area, -weights * (2 * both + _EPS) / area**2), 2)
    _run(probs, target, slopes, gradient, of_target)
    return gradient


def _run(probs: Tensor, target: Tensor, slopes: Tensor | None, gradient: Tensor | None, of_target: bool) -> Tensor:
    batch, classes = probs.shape[:2]
    count = probs[:1, 0].numel()
    programs = triton.cdiv(count, _BLOCK * _BLOCKS)
    totals = probs.new_empty((batch * classes, programs, 2) if slopes is None else 1, dtype=torch.float32)
    if batch == 0:
        return totals
    target = as_numbers(target)
    out = probs if gradient is None else gradient
    lines = not even(probs, target, out)
    dice_kernel[(programs, batch * classes)](
        probs,
        target,
        probs if slopes is None else slopes,
        out,
        totals,
        *strides(probs, lines),
        *strides(target, lines),
        *strides(out, lines),
        count,
        *probs.shape[:-3:-1],
        classes,
        LINES=lines,
        LABELS=not target.is_floating_point(),
        GRADIENT=slopes is not None,
        OF_TARGET=of_target,
        BLOCK=_BLOCK,
        BLOCKS=_BLOCKS,
    )
    return totals
