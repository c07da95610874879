"""A loss over a batch with its gradient made in the same call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .. import backend as backends

mean_over_ranks: Callable[[Tensor], Tensor] | None = None  # set by losses.over_ranks


def kernel_of(name: str, x: Tensor, backend: str) -> Any:
    # Only torch itself computes in float64.
    return backends.kernel(name, x.device, "reference" if x.dtype == torch.float64 else backend)


def total_of(weights: Tensor) -> Tensor | None:
    """What weights are divided by; None: their sum."""
    return None if mean_over_ranks is None else mean_over_ranks(weights.sum())


def loss_at_once(
    logits: Tensor, target: Tensor, weights: Tensor, loss: str, target_logits: bool, backend: str
) -> tuple[Tensor, Tensor]:
    kernel = kernel_of("loss_at_once", logits, backend)
    mean, gradient = kernel(logits, target, weights, total_of(weights), loss, target_logits)
    return mean, gradient


class AtOnce(torch.autograd.Function):
    """The mean, with a gradient that the forward call has made: for plain tensors, where no operator is needed.

    The gradient is handed on as it lies, so it serves once; a second ``backward`` makes it anew.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, weights: Tensor, *rest: Any) -> Tensor:
        mean, ctx.gradient = loss_at_once(logits, target, weights, *rest)
        ctx.rest = rest
        ctx.save_for_backward(logits, target, weights)
        return mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is None:
            gradient = loss_at_once(*ctx.saved_tensors, *ctx.rest)[1]
        return _times(gradient, grad), None, None, None, None, None


def _times(gradient: Tensor, grad: Tensor) -> Tensor:
    """gradient * grad, in its own place; on a CPU the usual case of a loss without a factor costs no pass."""
    return gradient if grad.device.type == "cpu" and grad.item() == 1 else gradient.mul_(grad)
