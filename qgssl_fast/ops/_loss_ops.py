"""The losses as torch operators with gradients: what ops/losses.py checks and settles goes through here.

Layouts are those of kernels/reference/losses.py, where each function is written out. The gradient is by the logits
alone (of soft Dice by both arguments), once: it has no gradient of its own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import backend as backends
from ..kernels.reference.losses import shares, weighted
from ._library import define, differentiable, direct
from ._loss_at_once import AtOnce, kernel_of, loss_at_once, total_of


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
    losses, sums = _call("loss_sums", logits.requires_grad, arguments)
    return losses, sums


def mean_loss(
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    weights: Tensor,
    loss: str,
    target_logits: bool,
    backend: str,
) -> Tensor:
    """sum(w l) / sum(w), 0 where all w are 0; a sample whose pixels all have weight 0 has weight 0.

    Of pixels that count alike the gradient is made while they are at hand: of squares and divergences in one pass, of
    entropy and Dice by a second one while a CPU's cache holds the sample. (A GPU has no such cache, and would pass once
    more over the gradient to scale it.)
    """
    wanted = logits.requires_grad and torch.is_grad_enabled()
    at_once = wanted and pixels is None and (loss != "entropy_dice" or logits.device.type == "cpu")
    if at_once and _plain(logits):
        return AtOnce.apply(logits, target, weights, loss, target_logits, backend)  # type: ignore[no-any-return]
    arguments = (logits, target, pixels, weights, loss, target_logits, at_once, backend)
    out: Tensor = _call("mean_loss", logits.requires_grad, arguments)[0]
    return out


def dice(probs: Tensor, target: Tensor, backend: str) -> Tensor:
    """Soft Dice [B, K]; differentiable in both."""
    scores, _ = _call("dice_sums", probs.requires_grad or target.requires_grad, (probs, target, backend))
    out: Tensor = scores
    return out


def _call(name: str, wanted: bool, arguments: tuple[Any, ...]) -> Any:
    """The kernel itself, the kernel with a gradient, or the operator, which costs more than a small batch does."""
    if not direct(arguments[0]):
        return _operators[name](*arguments)
    if not _plain(arguments[0]):
        return _functional[name].apply(*arguments)
    if wanted and torch.is_grad_enabled():
        return _eager[name].apply(*arguments)
    return _served[name](*arguments)


def _plain(x: Tensor) -> bool:
    """Neither traced nor wrapped by torch.func."""
    return direct(x) and torch._C._functorch.peek_interpreter_stack() is None


def _loss_sums(
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    loss: str,
    target_logits: bool,
    ignore_index: int | None,
    backend: str,
) -> tuple[Tensor, Tensor]:
    kernel = kernel_of("loss_sums", logits, backend)
    losses, sums = kernel(logits, target, pixels, loss, target_logits, ignore_index)
    return losses, sums


def _loss_gradient(weights: Tensor, sums: Tensor, logits: Tensor, *rest: Any) -> Tensor:
    out: Tensor = kernel_of("loss_gradient", logits, rest[-1])(weights, sums, logits, *rest[:-1])
    return out


def _mean_loss(
    logits: Tensor,
    target: Tensor,
    pixels: Tensor | None,
    weights: Tensor,
    loss: str,
    target_logits: bool,
    at_once: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean, each sample's share in it, and what the gradient needs: itself where it is made at once (nobody then
    asks for the shares), else sums."""
    if at_once:
        mean, gradient = loss_at_once(logits, target, weights, loss, target_logits, backend)
        return mean, weights.new_empty(0), gradient
    losses, sums = _loss_sums(logits, target, pixels, loss, target_logits, None, backend)
    weights = weights if pixels is None else weights * (sums[:, 0] > 0)
    w = shares(weights, total_of(weights))
    return weighted(losses, w), w, sums


def _dice_sums(probs: Tensor, target: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    scores, sums = kernel_of("dice_sums", probs, backend)(probs, target)
    return scores, sums


def _dice_gradient(
    weights: Tensor, sums: Tensor, probs: Tensor, target: Tensor, of_target: bool, backend: str
) -> Tensor:
    kernel = kernel_of("dice_gradient", probs, backend)
    out: Tensor = kernel(weights, sums, probs, target, of_target)
    return out


def _accumulated(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _fake_sums(logits: Tensor, target: Tensor, pixels: Tensor | None, loss: str, *_: Any) -> tuple[Tensor, Tensor]:
    width = 1 + 2 * max(1, logits.shape[1] - 1) if loss == "entropy_dice" else 1
    dtype = _accumulated(logits)
    return logits.new_empty(logits.shape[0], dtype=dtype), logits.new_empty(logits.shape[0], width, dtype=dtype)


def _fake_mean(
    logits: Tensor, target: Tensor, pixels: Tensor | None, weights: Tensor, loss: str, _: bool, at_once: bool, *__: Any
) -> tuple[Tensor, Tensor, Tensor]:
    losses, sums = _fake_sums(logits, target, pixels, loss)
    of_samples = losses.new_empty(0) if at_once else torch.empty_like(losses)
    return losses.new_empty(()), of_samples, torch.empty_like(logits) if at_once else sums


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
    "mean_loss": define(
        f"mean_loss(Tensor logits, Tensor target, Tensor? pixels, Tensor weights, {_COMMON}, bool at_once,"
        " str backend) -> (Tensor, Tensor, Tensor)",
        _mean_loss,
        _fake_mean,
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
    run = _loss_gradient if _plain(grad) else _operators["loss_gradient"]
    return (run(grad, sums, logits, target, pixels, *ctx.rest), *nothing)


def _keep_mean(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    logits, target, pixels, _, ctx.loss, ctx.target_logits, ctx.at_once, ctx.backend = inputs
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*(output[2:] if ctx.at_once else (logits, target, pixels, *output[1:])))


def _differentiate_mean(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    nothing = (None,) * 7
    if grad is None:
        return (None, *nothing)
    if not ctx.at_once:
        logits, target, pixels, shares, sums = ctx.saved_tensors
        run = _loss_gradient if _plain(grad) else _operators["loss_gradient"]
        rest = (logits, target, pixels, ctx.loss, ctx.target_logits, None, ctx.backend)
        return (run(grad * shares, sums, *rest), *nothing)
    return (ctx.saved_tensors[0] * grad, *nothing)


def _keep_dice(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    probs, target, ctx.backend = inputs
    ctx.save_for_backward(probs, target, output[1])


def _differentiate_dice(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    if grad is None:
        return (None,) * 3
    probs, target, sums = ctx.saved_tensors
    run = _dice_gradient if _plain(grad) else _operators["dice_gradient"]
    made = [
        run(grad, sums, probs, target, bool(of_target), ctx.backend) if wanted else None
        for of_target, wanted in enumerate(ctx.needs_input_grad[:2])
    ]
    return (*made, None)


def _add(name: str, served: Any, backward: Any, keep: Any) -> None:
    differentiable(name, backward, keep)

    def forward(ctx: Any, *arguments: Any) -> Any:
        output = served(*arguments)
        keep(ctx, arguments, output)
        return output

    # Torch's transforms ask for a setup_context, which costs each call 80 microseconds more.
    parts = {"forward": forward, "backward": backward}
    apart = {"forward": served, "backward": backward, "setup_context": keep}
    _served[name] = served
    for made, functions in ((_eager, parts), (_functional, apart)):
        methods = {key: staticmethod(function) for key, function in functions.items()}
        made[name] = type(name, (torch.autograd.Function,), methods)


for _name in ("loss_sums", "loss_gradient", "loss_at_once", "dice_sums", "dice_gradient"):
    backends.register(_name, stem="losses", backends=("triton", "native", "reference"))
_served: dict[str, Any] = {}
_eager: dict[str, Any] = {}
_functional: dict[str, Any] = {}
_add("loss_sums", _loss_sums, _differentiate_sums, _keep_sums)
_add("mean_loss", _mean_loss, _differentiate_mean, _keep_mean)
_add("dice_sums", _dice_sums, _differentiate_dice, _keep_dice)
