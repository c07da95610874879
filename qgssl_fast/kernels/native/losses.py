"""Losses by the C++ kernels: tensors go as they lie, with their strides; gradients lie as what they are of."""

from __future__ import annotations

import torch
from torch import Tensor

from . import cpu, in_large_pages

_LOSSES = {"entropy_dice": 0, "mse": 1, "kl": 2}
_KINDS = {
    torch.float32: 0,
    torch.float16: 1,
    torch.bfloat16: 2,
    torch.uint8: 3,
    torch.bool: 3,
    torch.int8: 4,
    torch.int16: 5,
    torch.int32: 6,
    torch.int64: 7,
}
_LABELS, _PROBABILITIES, _LOGITS = range(3)
_FORWARD, _BACKWARD, _BOTH = range(3)
_NOTHING = (0,) * 7


def loss_sums(
    logits: Tensor, target: Tensor, pixels: Tensor | None, loss: str, target_logits: bool, ignore_index: int | None
) -> tuple[Tensor, Tensor]:
    losses, sums = torch.empty(logits.shape[0]), _empty_sums(logits, loss)
    _run(logits, target, pixels, None, _FORWARD, loss, target_logits, ignore_index, sums, losses, None)
    return losses, sums


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
    gradient = in_large_pages(torch.empty_like(logits))
    _run(logits, target, pixels, gradient, _BACKWARD, loss, target_logits, ignore_index, sums, None, weights)
    return gradient


def loss_at_once(
    logits: Tensor, target: Tensor, weights: Tensor, total: Tensor | None, loss: str, target_logits: bool
) -> tuple[Tensor, Tensor]:
    mean, gradient = torch.empty(()), in_large_pages(torch.empty_like(logits))
    _run(logits, target, None, gradient, _BOTH, loss, target_logits, None, None, None, weights, mean, total)
    return mean, gradient


def _empty_sums(logits: Tensor, loss: str) -> Tensor:
    foreground = max(1, logits.shape[1] - 1) if loss == "entropy_dice" else 0
    return torch.empty(logits.shape[0], 1 + 2 * foreground)


def dice_sums(probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    scores, sums = torch.empty(probs.shape[:2]), torch.empty(*probs.shape[:2], 2)
    _dice(probs, target, None, None, _FORWARD, sums, scores, None)
    return scores, sums


def dice_gradient(weights: Tensor, sums: Tensor, probs: Tensor, target: Tensor, of_target: bool) -> Tensor:
    gradient = in_large_pages(torch.empty_like(target if of_target else probs))
    of_probs, of_other = (None, gradient) if of_target else (gradient, None)
    _dice(probs, target, of_probs, of_other, _BACKWARD, sums, None, weights)
    return gradient


def _run(  # type: ignore[no-untyped-def]
    logits, target, pixels, gradient, step, loss, target_logits, ignore, sums, losses, weights, mean=None, total=None
):
    form = _LOGITS if target_logits else _PROBABILITIES if target.is_floating_point() else _LABELS
    held = _readable(target), None if pixels is None else _readable(pixels), _floats(weights)
    cpu().losses(
        _plane(logits),
        _plane(held[0]),
        _plane(held[1]),
        _plane(gradient),
        (_LOSSES[loss], form, step, ignore is not None, ignore or 0),
        _size(logits),
        _pointer(sums),
        _pointer(losses),
        _pointer(held[2]),
        _pointer(mean),
        _pointer(total),
        torch.get_num_threads(),
    )


def _dice(probs, target, probs_grad, target_grad, step, sums, scores, weights):  # type: ignore[no-untyped-def]
    form = _PROBABILITIES if target.is_floating_point() else _LABELS
    target, weights = _readable(target), _floats(weights)
    planes = (_plane(probs), _plane(target), _plane(probs_grad), _plane(target_grad))
    pointers = (_pointer(sums), _pointer(scores), _pointer(weights))
    cpu().soft_dice(*planes, form, step, _size(probs), *pointers, torch.get_num_threads())


def _readable(x: Tensor) -> Tensor:
    """As it is, unless its numbers are of a kind that kernels do not read (float64, uint16 and the like)."""
    if x.dtype in _KINDS:
        return x
    return x.float() if x.is_floating_point() else x.long()


def _floats(x: Tensor | None) -> Tensor | None:
    return None if x is None else x.contiguous()


def _pointer(x: Tensor | None) -> int:
    return 0 if x is None else x.data_ptr()


def _plane(x: Tensor | None) -> tuple[int, ...]:
    """Pointer, kind of number, strides of sample, class, z, y, x."""
    if x is None:
        return _NOTHING
    strides = x.stride()
    kind = _KINDS[x.dtype]
    if len(strides) == 5:
        return (x.data_ptr(), kind, *strides)
    return (x.data_ptr(), kind, strides[0], strides[1], 0, *strides[2:])


def _size(x: Tensor) -> tuple[int, ...]:
    shape = x.shape
    return tuple(shape) if len(shape) == 5 else (shape[0], shape[1], 1, shape[2], shape[3])
