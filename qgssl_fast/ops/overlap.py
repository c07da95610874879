"""How far two masks agree: the counts, and Dice made of them."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backend as backends
from . import _check
from ._library import define, direct

_MOST_CLASSES = 256  # labels are bytes


def overlap(a: Tensor, b: Tensor, num_classes: int = 2, *, backend: str = "auto") -> Tensor:
    """int32 [B, C-1, 3]: for each class but the background, the pixels in both masks, in `a`, in `b`.

    a, b: uint8 or bool [B, H, W] or [B, D, H, W] of one shape, any strides. With two classes nonzero counts as 1; with
    more, pixels are labels 0..C-1. A label >= num_classes raises InputError on the CPU; on a GPU it fails an
    asynchronous device assertion, as indices out of range do in torch, so that the host does not wait.
    TypeError for other dtypes; InputError for other shapes, shapes or devices that differ, num_classes not in 2..256.
    """
    if direct(a) and direct(b):
        return _serve(a, b, num_classes, backend)
    _check_input(a, b, num_classes)
    out: Tensor = _operator(a, b, num_classes, backend)
    return out


def dice(a: Tensor, b: Tensor, num_classes: int = 2, *, backend: str = "auto") -> Tensor:
    """Dice 2 |a and b| / (|a| + |b|) as float32: [B] for two classes, [B, C-1] for more; 1 where both are empty.

    Arguments and errors as for :func:`overlap`.
    """
    return dice_of(overlap(a, b, num_classes, backend=backend))


def dice_of(counts: Tensor) -> Tensor:
    """Dice of the counts that :func:`overlap` gives: [B, C-1, 3] -> float32 [B, C-1], or [B] where C = 2."""
    twice = 2 * counts[..., 0].float()  # both operands below 2^24 are exact, beyond that rounded once
    total = (counts[..., 1].long() + counts[..., 2]).float()
    scores = torch.where(total > 0, twice / total, 1.0)
    return scores.squeeze(1) if counts.shape[1] == 1 else scores


def _check_input(a: Tensor, b: Tensor, num_classes: int) -> int:
    _check.masks("overlap", "a", a)
    _check.masks("overlap", "b", b)
    _check.same_shape("overlap", a, b)
    num_classes = _check.integer("overlap", "num_classes", num_classes, 2, _MOST_CLASSES)
    _check.pixels("overlap", "a", a)
    return num_classes


def _serve(a: Tensor, b: Tensor, num_classes: int, backend: str) -> Tensor:
    num_classes = _check_input(a, b, num_classes)
    kernel = backends.kernel("overlap", a.device, backend)
    if a.shape[0] == 0:
        return torch.empty((0, num_classes - 1, 3), dtype=torch.int32, device=a.device)
    if num_classes > 2:
        _check.labels("overlap", "a", a, num_classes)
        _check.labels("overlap", "b", b, num_classes)
    out: Tensor = kernel(a, b, num_classes)
    return out


backends.register("overlap", stem="overlap", backends=backends.NAMES)
_operator = define(
    "overlap(Tensor a, Tensor b, int num_classes=2, str backend='auto') -> Tensor",
    lambda a, b, num_classes=2, backend="auto": _serve(a, b, num_classes, backend),
    lambda a, b, num_classes=2, backend="auto": torch.empty(
        (a.shape[0], num_classes - 1, 3), dtype=torch.int32, device=a.device
    ),
)
