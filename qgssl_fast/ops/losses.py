"""Losses per sample and their quality-weighted mean (Abhishek and Hamarneh 2026), differentiable, in 2D and 3D.

Logits are [B, 1, *S] (binary, sigmoid) or [B, C, *S] (softmax, 2 to 255 classes). The dtype of a target says what it
is: integer or bool means hard labels, [B, *S] or [B, 1, *S]; floating means probabilities, [B, C, *S] (binary:
[B, 1, *S] or [B, *S]). Targets, teachers and weights are constants: no gradient flows into them.

float32, float16 and bfloat16 of any strides are read as they lie and summed in float32 or better; no softmax, sigmoid
or one-hot is stored. float64 is computed by plain torch. The gradient has the dtype of the logits and no gradient of
its own. Under autocast the losses take logits as they come.

Values of labels and weights are checked only where the environment has QGSSL_DEBUG=1, since looking at them makes the
host wait; otherwise a label outside the classes counts as no class. ``backend=`` is as for all operations.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import InputError
from . import _loss_at_once
from . import _loss_ops as ops

KINDS = {"mse": "mse", "kl": "kl", "bce_dice": "entropy_dice", "ce_dice": "entropy_dice"}
MOST_CLASSES = 255


def over_ranks(mean: Callable[[Tensor], Tensor] | None) -> None:
    """What makes of this process's sum of weights the mean of all ranks' sums; None for a process alone.

    A trainer of several ranks sets it; the mean over ranks of :func:`consistency` is then that of all samples.
    """
    _loss_at_once.mean_over_ranks = mean


def soft_dice(probs: Tensor, target: Tensor, *, backend: str = "auto") -> Tensor:
    """Soft Dice (2 sum(p t) + 1e-6) / (sum(p) + sum(t) + 1e-6) of each sample and foreground class; both empty is 1.

    probs: floating, [B, 1, *S] or [B, C, *S] (channel 0 is background). With three axes, or exactly the shape of a hard
    target, it is read as [B, *S]. target: hard labels or probabilities, see the module.
    Returns [B] (binary) or [B, C-1], float32 (float64 for float64). Differentiable in both arguments.
    Raises TypeError for integer probs, InputError for shapes that do not match.
    """
    name = "soft_dice"
    _floating(name, "probs", probs)
    if probs.ndim == 3 or (probs.shape == target.shape and not target.is_floating_point() and probs.shape[1:2] != (1,)):
        probs = probs.unsqueeze(1)
    channels = _channels(name, "probs", probs)
    _served(name, probs, backend)
    target = _target(name, "target", target, probs)
    if channels == 1:
        return ops.dice(probs, target, backend).squeeze(1)
    return ops.dice(probs[:, 1:], target[:, 1:] if target.is_floating_point() else target, backend)


def bce_dice(logits: Tensor, target: Tensor, *, backend: str = "auto") -> Tensor:
    """0.5 BCE + 0.5 (1 - soft Dice) of each sample (Abhishek and Hamarneh 2026: the supervised loss, and PL-QW's).

    BCE = mean over pixels of max(x, 0) - x t + log(1 + exp(-|x|)), soft Dice of p = sigmoid(x) as in :func:`soft_dice`.

    logits: [B, 1, *S], floating. target: hard labels or probabilities, see the module. Returns [B] (empty for batch 0).
    Raises TypeError for integer logits, InputError for shapes that do not match or for more than one channel.
    """
    _logits("bce_dice", logits, "bce_dice", backend)
    target = _target("bce_dice", "target", target.detach(), logits)
    return ops.loss_sums(logits, target, None, "entropy_dice", False, None, backend)[0]


def ce_dice(logits: Tensor, target: Tensor, ignore_index: int | None = None, *, backend: str = "auto") -> Tensor:
    """0.5 cross-entropy + 0.5 (1 - mean soft Dice of the foreground classes) of each sample.

    CE = mean over pixels of -sum_k t_k log p_k, p = softmax(x), soft Dice as in :func:`soft_dice`.

    logits: [B, C, *S], floating, C >= 2. target: labels 0..C-1 or probabilities, see the module. ignore_index: pixels
    with this label count nowhere (labels only); a sample of nothing else has loss 0. A class that the target does not
    have costs 1/(2(C-1)) unless the prediction of it is empty too. Returns [B] (empty for batch 0).
    Raises TypeError for integer logits, InputError for shapes that do not match, for one channel, and for ignore_index
    with soft targets.
    """
    _logits("ce_dice", logits, "ce_dice", backend)
    if ignore_index is not None and target.is_floating_point():
        raise InputError("ce_dice: ignore_index needs a target of integer labels, got probabilities")
    target = _target("ce_dice", "target", target.detach(), logits, ignore_index)
    return ops.loss_sums(logits, target, None, "entropy_dice", False, ignore_index, backend)[0]


def consistency(
    student: Tensor,
    teacher: Tensor,
    weights: Tensor | None,
    kind: str,
    pixel_weights: Tensor | None = None,
    *,
    teacher_logits: bool = False,
    backend: str = "auto",
) -> Tensor:
    """sum_i w_i l_i / sum_i w_i over the samples of a batch; exactly 0, with a zero gradient, where all w are 0.

    (Abhishek and Hamarneh 2026: L_unsup of PL-QW and the other -QW methods.) With pixel weights v the mean
    over pixels in l_i becomes sum(v l) / sum(v), and Dice takes v in all three sums; a sample whose v are all 0
    has no weight. A sample without weight has no part in the sum, whatever its logits.

    student: logits [B, 1, *S] or [B, C, *S]. teacher: probabilities (floating) or hard labels (integer, bool), see the
    module; with teacher_logits=True logits, shaped like the student's. weights: [B], >= 0, None for all 1.
    pixel_weights: [B, *S] or [B, 1, *S], >= 0.
    kind, with p the student's probabilities and t the teacher's:
    "mse": l = mean over classes and pixels of (p - t)^2 (Tarvainen and Valpola 2017);
    "kl": l = mean over pixels of KL(t || p) = sum_k t_k (log t_k - log p_k), of one channel the background included;
    "bce_dice" (one channel) and "ce_dice" (C channels): l as in the functions of these names.
    Returns a scalar; 0 for batch 0.
    Raises TypeError for integer logits or weights, InputError for an unknown kind, shapes that do not match, weights
    of the wrong length, and teacher_logits with labels.
    """
    name = "consistency"
    if kind not in KINDS:
        raise InputError(f"{name}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    _logits(name, student, kind, backend)
    if teacher_logits and not teacher.is_floating_point():
        raise InputError(f"{name}: teacher_logits=True needs a floating teacher, got {teacher.dtype}")
    target = _target(name, "teacher", teacher.detach() if teacher.requires_grad else teacher, student)
    if weights is None:
        weights = student.new_ones(student.shape[0])
    _floating(name, "weights", weights)
    if weights.ndim != 1 or weights.shape[0] != student.shape[0]:
        raise InputError(f"{name}: weights must be [{student.shape[0]}], one a sample, got {_shape(weights)}")
    _beside(name, "weights", weights, student)
    if pixel_weights is not None:
        _floating(name, "pixel_weights", pixel_weights)
        pixel_weights = _plane(name, "pixel_weights", pixel_weights.detach(), student)
    if _debugging():
        _check_weights(name, weights, pixel_weights)
    dtype = torch.float64 if student.dtype == torch.float64 else torch.float32
    if weights.dtype != dtype or weights.requires_grad:
        weights = weights.detach().to(dtype)
    return ops.mean_loss(student, target, pixel_weights, weights, KINDS[kind], teacher_logits, backend)


def _target(name: str, what: str, target: Tensor, like: Tensor, ignore_index: int | None = None) -> Tensor:
    """Labels as [B, 1, *S], probabilities as [B, K, *S] like the logits."""
    if target.is_complex():
        raise TypeError(f"{name}: {what} must be integer, bool or floating, got {target.dtype}")
    channels = like.shape[1]
    if not target.is_floating_point():
        labels = _plane(name, what, target, like)
        if _debugging():
            _check_labels(name, what, labels, max(2, channels), ignore_index)
        return labels
    if channels == 1:
        return _plane(name, what, target, like)
    _beside(name, what, target, like)
    if target.shape != like.shape:
        raise InputError(
            f"{name}: {what} of probabilities must be {_shape(like)} like the logits, got {_shape(target)}"
        )
    return target


def _plane(name: str, what: str, x: Tensor, like: Tensor) -> Tensor:
    """[B, 1, *S] from [B, *S] or [B, 1, *S]."""
    _beside(name, what, x, like)
    shape = like.shape
    if shape[1] == 1 and x.shape == shape:
        return x
    plane = (shape[0], *shape[2:])
    if x.shape == (plane[0], 1, *plane[1:]):
        return x
    if x.shape != plane:
        raise InputError(f"{name}: {what} must be {list(plane)} for logits {_shape(like)}, got {_shape(x)}")
    return x.unsqueeze(1)


def _beside(name: str, what: str, x: Tensor, like: Tensor) -> None:
    if x.device != like.device:
        raise InputError(f"{name}: {what} must be on the logits' device {like.device}, got {x.device}")


def _logits(name: str, logits: Tensor, kind: str, backend: str) -> None:
    _floating(name, "logits", logits)
    channels = _channels(name, "logits", logits)
    if kind == "bce_dice" and channels != 1:
        raise InputError(
            f"{name}: bce_dice takes logits [B, 1, *S], got {_shape(logits)}; ce_dice is for several classes"
        )
    if kind == "ce_dice" and channels == 1:
        raise InputError(
            f"{name}: ce_dice takes logits [B, C, *S] with C >= 2, got {_shape(logits)}; bce_dice is for one"
        )
    _served(name, logits, backend)


def _channels(name: str, what: str, x: Tensor) -> int:
    shape = x.shape
    if len(shape) not in (4, 5) or 0 in shape[1:]:
        raise InputError(f"{name}: {what} must be [B, C, H, W] or [B, C, D, H, W] and hold pixels, got {_shape(x)}")
    if shape[1] > MOST_CLASSES:
        raise InputError(f"{name}: {what} must have at most {MOST_CLASSES} classes, got {shape[1]}")
    return shape[1]


def _served(name: str, x: Tensor, backend: str) -> None:
    if backend not in ("auto", "reference") and x.dtype == torch.float64:
        raise InputError(f"{name}: backend {backend!r} cannot serve float64; can: reference")


def _floating(name: str, what: str, x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(f"{name}: {what} must be floating, got {x.dtype}")


def _debugging() -> bool:
    return not torch.compiler.is_compiling() and os.environ.get("QGSSL_DEBUG", "0") not in ("", "0")


def _check_labels(name: str, what: str, labels: Tensor, classes: int, ignore_index: int | None) -> None:
    labels = labels.long() if ignore_index is None else labels.long()[labels.long() != ignore_index]  # sync
    if labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= classes):  # sync
        raise InputError(
            f"{name}: {what} must hold labels 0..{classes - 1}, got {int(labels.min())}..{int(labels.max())}"
        )


def _check_weights(name: str, weights: Tensor, pixel_weights: Tensor | None) -> None:
    for what, values in (("weights", weights), ("pixel_weights", pixel_weights)):
        if values is not None and not bool((values >= 0).all()):  # sync
            raise InputError(f"{name}: {what} must be >= 0, got {float(values.min())}")


def _shape(x: Tensor) -> str:
    return str(list(x.shape))
