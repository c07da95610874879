"""Losses in Triton: a program takes some blocks of a sample's pixels, all classes of a pixel at once.

Sums of each program are added up by torch in a fixed order, without atomics. Tensors are read as they lie: by one
stride where all have their pixels evenly spaced (contiguous, channels-last, slices of batch or class), else by lines.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.losses import shares, weighted
from ._layout import as_numbers, even, offset, strides
from .soft_dice import dice_gradient, dice_sums

__all__ = ["dice_gradient", "dice_sums", "loss_at_once", "loss_gradient", "loss_sums"]

_BLOCKS = 8  # of a program
_EPS = 1e-6
_LOSSES = {"entropy_dice": 0, "mse": 1, "kl": 2}
_LABELS, _PROBABILITIES, _LOGITS = range(3)


@triton.jit
def _softmax(z, BINARY: tl.constexpr):
    """Of [ROWS, BLOCK] logits: probabilities, logits less their largest, log of the rest's sum; of one logit
    p, min(x, 0) and log(1 + exp(-|x|))."""
    if BINARY:
        e = tl.exp(-tl.abs(z))
        s = 1 + e
        p = tl.where(z < 0, e, 1.0) / s
        below = tl.minimum(z, 0.0)
        rest = tl.sum(tl.log(s) + (e - (s - 1)) / s, 0)
    else:
        below = z - tl.max(z, 0)[None, :]
        e = tl.exp(below)
        s = tl.sum(e, 0)
        p = e / s[None, :]
        rest = tl.log(s)
    return p, below, rest


@triton.jit
def _t_log_t(t):
    return tl.where(t > 0, t * tl.log(tl.where(t > 0, t, 1.0)), 0.0)


# fmt: off
@triton.jit
def loss_kernel(
    z_ptr, t_ptr, v_ptr, slopes_ptr, out_ptr, totals_ptr,
    z_sample, z_class, z_pixel, z_line, z_plane,
    t_sample, t_class, t_pixel, t_line, t_plane,
    v_sample, v_pixel, v_line, v_plane,
    out_sample, out_class, out_pixel, out_line, out_plane,
    pixels, width, height, classes, ignored,
    LINES: tl.constexpr, LOSS: tl.constexpr, FORM: tl.constexpr, BINARY: tl.constexpr, WEIGHTED: tl.constexpr,
    IGNORES: tl.constexpr, LOSS_WANTED: tl.constexpr, GRAD_WANTED: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr, BLOCKS: tl.constexpr,
):
    # fmt: on
    """totals [batch, programs, 2 + 2 ROWS]: sums of v l, v, then v p t and v (p + t) of each class;
    slopes [batch, 2 + 2 ROWS]: what the gradient of entropy, squares and Dice is multiplied by."""
    sample = tl.program_id(1).to(tl.int64)
    row = tl.arange(0, ROWS)
    real = (row < classes)[:, None]
    wide = row.to(tl.int64)[:, None]
    loss_sum = tl.zeros([BLOCK], tl.float32)
    weight_sum = tl.zeros([BLOCK], tl.float32)
    both_sum = tl.zeros([ROWS, BLOCK], tl.float32)
    any_sum = tl.zeros([ROWS, BLOCK], tl.float32)
    if GRAD_WANTED:
        slopes = slopes_ptr + sample * (2 + 2 * ROWS)
        entropy_slope = tl.load(slopes)
        square_slope = tl.load(slopes + 1)
        both_slope = tl.load(slopes + 2 + row)[:, None]
        any_slope = tl.load(slopes + 2 + ROWS + row)[:, None]
    for block in range(BLOCKS):
        at = (tl.program_id(0) * BLOCKS + block).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < pixels
        tile = real & inside[None, :]
        z_at = offset(at, z_pixel, z_line, z_plane, width, height, LINES)
        z = tl.load(z_ptr + sample * z_sample + wide * z_class + z_at[None, :], mask=tile, other=0.0)
        z = tl.where(real, z.to(tl.float32), float("-inf"))
        p, below, rest = _softmax(z, BINARY)
        v = inside.to(tl.float32)
        if WEIGHTED:
            v_at = offset(at, v_pixel, v_line, v_plane, width, height, LINES)
            v = tl.load(v_ptr + sample * v_sample + v_at, mask=inside, other=0.0).to(tl.float32)
        own = tl.zeros([BLOCK], tl.float32)
        t_at = offset(at, t_pixel, t_line, t_plane, width, height, LINES)
        if FORM == 0:
            label = tl.load(t_ptr + sample * t_sample + t_at, mask=inside, other=0)
            t = (label[None, :] == (row + 1 if BINARY else row)[:, None]).to(tl.float32)
            if IGNORES:
                v = tl.where(label == ignored, 0.0, v)
        else:
            t = tl.load(t_ptr + sample * t_sample + wide * t_class + t_at[None, :], mask=tile, other=0.0)
            t = t.to(tl.float32)
            if FORM == 2:
                given = tl.where(real, t, float("-inf"))
                t, given_below, given_rest = _softmax(given, BINARY)
                if BINARY:  # t log t + (1 - t) log(1 - t)
                    own = tl.sum(t * given - tl.maximum(given, 0.0), 0) - given_rest
                else:
                    own = tl.sum(tl.where(real, t * given_below, 0.0), 0) - given_rest
            elif LOSS == 2:
                own = tl.sum(_t_log_t(t) + (_t_log_t(1 - t) if BINARY else 0.0), 0)
        t = tl.where(real, t, 0.0)
        mass = tl.sum(t, 0)
        off = p - t
        if LOSS_WANTED:
            if LOSS == 1:
                loss = tl.sum(off * off, 0)
            elif BINARY:
                loss = tl.sum(tl.maximum(z, 0.0) - z * t, 0) + rest
            else:
                loss = mass * rest - tl.sum(tl.where(t != 0, t * below, 0.0), 0)
            if LOSS == 2:
                loss += own
            loss_sum += tl.where(v != 0, v * loss, 0.0)
            weight_sum += v
            if LOSS == 0:
                both_sum += v[None, :] * (p * t)
                any_sum += v[None, :] * (p + t)
        if GRAD_WANTED:
            h = off * square_slope
            if LOSS == 0:
                h = both_slope * t + any_slope
            if BINARY:
                grad = entropy_slope * off + h * p * (1 - p)
            else:
                grad = entropy_slope * (p * mass[None, :] - t) + p * (h - tl.sum(p * h, 0)[None, :])
            grad = tl.where(v[None, :] != 0, v[None, :] * grad, 0.0).to(out_ptr.dtype.element_ty)
            to = offset(at, out_pixel, out_line, out_plane, width, height, LINES)
            tl.store(out_ptr + sample * out_sample + wide * out_class + to[None, :], grad, mask=tile)
    if LOSS_WANTED:
        totals = totals_ptr + (sample * tl.num_programs(0) + tl.program_id(0)) * (2 + 2 * ROWS)
        tl.store(totals, tl.sum(loss_sum))
        tl.store(totals + 1, tl.sum(weight_sum))
        if LOSS == 0:
            tl.store(totals + 2 + row, tl.sum(both_sum, 1))
            tl.store(totals + 2 + ROWS + row, tl.sum(any_sum, 1))


def loss_sums(
    logits: Tensor, target: Tensor, pixels: Tensor | None, loss: str, target_logits: bool, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    totals = _run(logits, target, pixels, None, None, loss, target_logits, ignore_index)
    return _finish(totals, logits.shape[1], loss)


def loss_gradient(
    weights: Tensor,
    sums: Tensor,
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    loss: str,
    target_logits: bool,
    ignore_index: int | None,
) -> Tensor:
    gradient = torch.empty_like(logits)
    slopes = _slopes(weights, sums, logits.shape[1], loss)
    _run(logits, target, pixels, slopes, gradient, loss, target_logits, ignore_index)
    return gradient


def loss_at_once(
    logits: Tensor, target: Tensor, weights: Tensor, total: Tensor | None, loss: str, target_logits: bool
) -> tuple[Tensor, Tensor]:
    w = shares(weights, total)
    if loss == "entropy_dice":  # its gradient needs the sums
        losses, sums = loss_sums(logits, target, None, loss, target_logits, None)
        return weighted(losses, w), loss_gradient(w, sums, logits, target, None, loss, target_logits, None)
    gradient = torch.empty_like(logits)
    count = torch.full_like(w, logits[:1, 0].numel())[:, None]
    slopes = _slopes(w, count, logits.shape[1], loss)
    totals = _run(logits, target, None, slopes, gradient, loss, target_logits, None, both=True)
    return weighted(_finish(totals, logits.shape[1], loss)[0], w), gradient


def _rows(classes: int) -> int:
    return 1 if classes == 1 else max(2, triton.next_power_of_2(classes))


def block_of(rows: int) -> int:
    """Pixels of a block: up to 16 classes a thread has all of a pixel, in registers."""
    return max(128, 1024 // rows) if rows <= 16 else max(16, 2048 // rows)


def warps_of(rows: int, lines: bool) -> int:
    """One logit's blocks are long: with 4 a thread has 8 pixels, which by lines do not fit into registers."""
    return 8 if rows > 32 or (lines and rows == 1) else 4


def _foreground(classes: int) -> slice:
    return slice(0, 1) if classes == 1 else slice(1, classes)


def _finish(totals: Tensor, classes: int, loss: str) -> tuple[Tensor, Tensor]:
    """Losses and sums, as kernels/reference/losses.py has them."""
    rows = _rows(classes)
    summed = totals.double().sum(1)
    weight = summed[:, 1]
    mean = summed[:, 0] / weight.where(weight > 0, 1)
    if loss != "entropy_dice":
        return (mean / classes if loss == "mse" else mean).float(), weight[:, None].float()
    both, area = (summed[:, 2:].unflatten(1, (2, rows))[:, i, _foreground(classes)] for i in range(2))
    area = area + _EPS
    losses = 0.5 * mean + 0.5 * (1 - ((2 * both + _EPS) / area).mean(1))
    return losses.float(), torch.cat((weight[:, None], torch.stack((both, area), 2).flatten(1)), 1).float()


def _slopes(weights: Tensor, sums: Tensor, classes: int, loss: str) -> Tensor:
    slopes = weights.new_zeros(len(weights), 2 + 2 * _rows(classes))
    share = weights / sums[:, 0].where(sums[:, 0] > 0, torch.inf)
    if loss == "mse":
        slopes[:, 1] = 2 * share / classes
    elif loss == "kl":
        slopes[:, 0] = share
    else:
        both, area = sums[:, 1:].unflatten(1, (-1, 2)).unbind(2)
        part = 0.5 * weights[:, None] / both.shape[1]
        slopes[:, 0] = 0.5 * share
        of_classes = slopes[:, 2:].unflatten(1, (2, -1))
        of_classes[:, 0, _foreground(classes)] = -2 * part / area
        of_classes[:, 1, _foreground(classes)] = part * (2 * both + _EPS) / area**2
    return slopes


def _run(logits, target, pixels, slopes, gradient, loss, target_logits, ignore, both=False):  # type: ignore[no-untyped-def]
    batch, classes = logits.shape[:2]
    count = logits[:1, 0].numel()
    rows = _rows(classes)
    block = block_of(rows)
    programs = triton.cdiv(count, block * _BLOCKS)
    forward = slopes is None or both
    totals = logits.new_empty((batch, programs, 2 + 2 * rows) if forward else 1, dtype=torch.float32)
    if batch == 0:
        return totals
    target = as_numbers(target)
    weights, out = logits if pixels is None else as_numbers(pixels), logits if gradient is None else gradient
    lines = not even(logits, target, weights, out)
    form = _LOGITS if target_logits else _PROBABILITIES if target.is_floating_point() else _LABELS
    ignores = ignore is not None and torch.iinfo(target.dtype).min <= ignore <= torch.iinfo(target.dtype).max
    loss_kernel[(programs, batch)](
        logits,
        target,
        weights,
        logits if slopes is None else slopes,
        out,
        totals,
        *strides(logits, lines),
        *strides(target, lines),
        *(strides(weights, lines)[i] for i in (0, 2, 3, 4)),
        *strides(out, lines),
        count,
        *logits.shape[:-3:-1],
        classes,
        ignore if ignores else 0,
        LINES=lines,
        LOSS=_LOSSES[loss],
        FORM=form,
        BINARY=classes == 1,
        WEIGHTED=pixels is not None,
        IGNORES=ignores,
        LOSS_WANTED=forward,
        GRAD_WANTED=slopes is not None,
        ROWS=rows,
        BLOCK=block,
        BLOCKS=_BLOCKS,
        num_warps=warps_of(rows, lines),
    )
    return totals
