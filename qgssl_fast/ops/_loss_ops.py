"""The losses as torch operators with gradients: what ops/losses.py checks and settles goes through here.

Layouts are those of kernels/reference/losses.py, where each function is written out. The gradient is by the logits
alone (of soft Dice by both arguments), once: it has no gradient of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import backend as backends
from ._library import define, differentiable, direct

_FUNCTIONS = ("loss_sums", "loss_gradient", "loss_at_once", "dice_sums", "dice_gradient")


def loss_sums(
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    loss: str,
    target_logits: bool,
    ignore_index: int | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    """Losses [B] and their sums; differentiable in the logits."""
    arguments = (logits, target, pixels, loss, target_logits, ignore_index, backend)
    run = _loss_sums if _alone(logits) else _operators["loss_sums"]
    losses, sums = run(*arguments)
    return losses, sums


def weighted_loss(
    logits: Tensor, target: Tensor, weights: Tensor, loss: str, target_logits: bool, backend: str
) -> Tensor:
    """sum(weights * losses) of "mse" or "kl" with all pixels alike, its gradient made while the pixels are at hand."""
    total, _ = _operators["loss_at_once"](logits, target, weights, loss, target_logits, backend)
    out: Tensor = total
    return out


def dice(probs: Tensor, target: Tensor, backend: str) -> Tensor:
    """Soft Dice [B, K]; differentiable in both."""
    run = _dice_sums if _alone(probs) and not target.requires_grad else _operators["dice_sums"]
    scores, _ = run(probs, target, backend)
    out: Tensor = scores
    return out


def weighted_sum(weights: Tensor, losses: Tensor) -> Tensor:
    """sum(w l); what a sample without weight has as loss does not matter."""
    return (weights * losses.where(weights != 0, 0)).sum()


def _alone(logits: Tensor) -> bool:
    return direct(logits) and not (logits.requires_grad and torch.is_grad_enabled())


def _kernel(name: str, x: Tensor, backend: str) -> Any:
    # Only torch itself computes in float64.
    return backends.kernel(name, x.device, "reference" if x.dtype == torch.float64 else backend)


def _loss_sums(
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    loss: str,
    target_logits: bool,
    ignore_index: int | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = _kernel("loss_sums", logits, backend)
    losses, sums = kernel(logits, target, pixels, loss, target_logits, ignore_index)
    return losses, sums


def _loss_gradient(weights: Tensor, sums: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    out: Tensor = _kernel("loss_gradient", logits, rest[-1])(weights, sums, logits, *rest[:-1])
    return out


def _loss_at_once(
    logits: Tensor, target: Tensor, weights: Tensor, loss: str, target_logits: bool, backend: str
) -> tuple[Tensor, Tensor]:
    losses, gradient = _kernel("loss_at_once", logits, backend)(logits, target, weights, loss, target_logits)
    return weighted_sum(weights, losses), gradient


def _dice_sums(probs: Tensor, target: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    scores, sums = _kernel("dice_sums", probs, backend)(probs, target)
    return scores, sums


def _dice_gradient(
    weights: Tensor, sums: Tensor, probs: Tensor, target: Tensor, of_target: bool, backend: str
) -> Tensor:
    kernel = _kernel("dice_gradient", probs, backend)
    out: Tensor = kernel(weights, sums, probs, target, of_target)
    return out


def _accumulated(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fake_sums(logits: Tensor, target: Tensor, pixels: Tensor | None, loss: str, *_: Any) -> tuple[Tensor, Tensor]:
    width = 1 + 2 * max(1, logits.shape[1] - 1) if loss == "entropy_dice" else 1
    dtype = _accumulated(logits)
    return logits.new_empty(logits.shape[0], dtype=dtype), logits.new_empty(logits.shape[0], width, dtype=dtype)


def _fake_dice(probs: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    dtype = _accumulated(probs)
    return probs.new_empty(probs.shape[:2], dtype=dtype), probs.new_empty(*probs.shape[:2], 2, dtype=dtype)


_COMMON = "str loss, bool target_logits"
_operators = {
    "loss_sums": define(
        f"loss_sums(Tensor logits, Tensor target, Tensor? pixels, {_COMMON}, int? ignore_index, str backend)"
        " -> (Tensor, Tensor)",
        _loss_sums,
        _fake_sums,
    ),
    "loss_gradient": define(
        f"loss_gradient(Tensor weights, Tensor sums, Tensor logits, Tensor target, Tensor? pixels, {_COMMON},"
        " int? ignore_index, str backend) -> Tensor",
        _loss_gradient,
        lambda weights, sums, logits, *_: torch.empty_like(logits),
    ),
    "loss_at_once": define(
        f"loss_at_once(Tensor logits, Tensor target, Tensor weights, {_COMMON}, str backend) -> (Tensor, Tensor)",
        _loss_at_once,
        lambda logits, *_: (logits.new_empty((), dtype=_accumulated(logits)), torch.empty_like(logits)),
    ),
    "dice_sums": define(
        "dice_sums(Tensor probs, Tensor target, str backend) -> (Tensor, Tensor)",
        _dice_sums,
        _fake_dice,
    ),
    "dice_gradient": define(
        "dice_gradient(Tensor weights, Tensor sums, Tensor probs, Tensor target, bool of_target, str backend)"
        " -> Tensor",
        _dice_gradient,
        lambda weights, sums, probs, target, of_target, backend: torch.empty_like(target if of_target else probs),
    ),
}


def _keep_sums(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    logits, target, pixels, *ctx.rest = inputs
    ctx.save_for_backward(logits, target, pixels, output[1])


def _differentiate_sums(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    nothing = (None,) * 6
    if grad is None:
        return (None, *nothing)
    logits, target, pixels, sums = ctx.saved_tensors
    return (_operators["loss_gradient"](grad, sums, logits, target, pixels, *ctx.rest), *nothing)


def _keep_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[1])


def _scale_gradient(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    (gradient,) = ctx.saved_tensors
    nothing = (None,) * 5
    if grad is None:
        return (None, *nothing)
    if type(grad) is Tensor and type(gradient) is Tensor and grad.device.type == "cpu" and grad.item() == 1:
        return (gradient, *nothing)  # the usual case of a loss without a factor: no further pass
    return ((gradient * grad).to(gradient.dtype), *nothing)


def _keep_dice(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    probs, target, ctx.backend = inputs
    ctx.save_for_backward(probs, target, output[1])


def _differentiate_dice(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 3
    probs, target, sums = ctx.saved_tensors
    made = [
        _operators["dice_gradient"](grad, sums, probs, target, bool(of_target), ctx.backend) if wanted else None
        for of_target, wanted in enumerate(ctx.needs_input_grad[:2])
    ]
    return (*made, None)


for _name in _FUNCTIONS:
    backends.register(_name, stem="losses", backends=("native", "reference"))
differentiable("loss_sums", _differentiate_sums, _keep_sums)
differentiable("loss_at_once", _scale_gradient, _keep_gradient)
differentiable("dice_sums", _differentiate_dice, _keep_dice)
