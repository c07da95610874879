"""Losses and their gradients, beside torch eager as the published code has it, torch.compile and MONAI.

Each run makes a loss and its gradient by the logits; both are compared with a float64 reference. MONAI's losses are
other means of the same quantities and are compared in their sign alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..ops.losses import ce_dice, consistency
from .case import Case, Check, Contender, Missing, Work, Wrong, copy_limit, need, serves

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
# name: kind, shape of the logits. Probabilities of a teacher for mse, masks for bce_dice, labels for ce_dice.
SHAPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "weighted BCE+Dice, 32x1x224x224": ("bce_dice", (32, 1, 224, 224)),
    "weighted MSE, 32x1x224x224": ("mse", (32, 1, 224, 224)),
    "CE+Dice, 8x4x224x224": ("ce_dice", (8, 4, 224, 224)),
    "CE+Dice, 8x14x224x224": ("ce_dice", (8, 14, 224, 224)),
    "weighted BCE+Dice, 2x1x96x96x96": ("bce_dice", (2, 1, 96, 96, 96)),
    "weighted MSE, 2x1x96x96x96": ("mse", (2, 1, 96, 96, 96)),
    "CE+Dice, 1x4x96x96x96": ("ce_dice", (1, 4, 96, 96, 96)),
    "CE+Dice, 1x14x96x96x96": ("ce_dice", (1, 14, 96, 96, 96)),
}


def inputs(kind: str, shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, target, weights of the samples."""
    g = torch.Generator().manual_seed(0)
    logits = torch.randn(shape, generator=g) * 3
    weights = torch.rand(shape[0], generator=g)
    if kind == "mse":
        return logits, torch.rand(shape, generator=g), weights
    if kind == "bce_dice":
        return logits, (torch.rand(shape, generator=g) < 0.4).float(), weights
    return logits, torch.randint(0, shape[1], (shape[0], *shape[2:]), generator=g), torch.ones(shape[0])


def eager(kind: str) -> Loss:
    def weighted(losses: Tensor, weights: Tensor) -> Tensor:
        return (weights * losses).sum() / weights.sum().clamp_min(1e-6)

    def bce_dice(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        bce = F.binary_cross_entropy_with_logits(z, t, reduction="none").flatten(1).mean(1)
        p, t = z.sigmoid().flatten(1), t.flatten(1)
        dice = (2 * (p * t).sum(1) + 1e-6) / (p.sum(1) + t.sum(1) + 1e-6)
        return weighted(0.5 * bce + 0.5 * (1 - dice), w)

    def mse(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        return weighted((z.sigmoid() - t).square().flatten(1).mean(1), w)

    def ce_dice(z: Tensor, t: Tensor, w: Tensor) -> Tensor:
        if z.dtype == torch.float64:  # cross_entropy with labels of float64 is the same formula
            entropy = -z.log_softmax(1).gather(1, t[:, None]).flatten(1).mean(1)
        else:
            entropy = F.cross_entropy(z, t, reduction="none").flatten(1).mean(1)
        p = z.softmax(1).flatten(2)
        hot = F.one_hot(t, z.shape[1]).movedim(-1, 1).flatten(2).to(z.dtype)
        dice = (2 * (p * hot).sum(2) + 1e-6) / (p.sum(2) + hot.sum(2) + 1e-6)
        return weighted(0.5 * entropy + 0.5 * (1 - dice[:, 1:].mean(1)), w)

    return {"bce_dice": bce_dice, "mse": mse, "ce_dice": ce_dice}[kind]


def compiled(kind: str) -> Loss:
    torch.compiler.reset()
    return torch.compile(eager(kind), fullgraph=True, dynamic=False)


def ours(kind: str) -> Loss:
    serves("native")
    if kind == "ce_dice":
        return lambda z, t, w: ce_dice(z, t).mean()
    return lambda z, t, w: consistency(z, t, w, kind)


def monai_dice_ce(kind: str) -> Loss:
    module = need("monai.losses").DiceCELoss(**_monai(kind))
    return lambda z, t, w: module(z, t if kind == "bce_dice" else t[:, None])


def monai_dice(kind: str) -> Loss:
    module = need("monai.losses").DiceLoss(**_monai(kind))
    return lambda z, t, w: module(z, t if kind == "bce_dice" else t[:, None])


def _monai(kind: str) -> dict[str, bool]:
    if kind == "mse":
        raise Missing("MONAI has no such loss")
    return {"sigmoid": True} if kind == "bce_dice" else {"softmax": True, "to_onehot_y": True}


CONTENDERS: dict[str, tuple[str, Callable[[str], Loss]]] = {
    "ours": ("ours", ours), "eager": ("peer", eager), "compiled": ("peer", compiled),
    "monai_dice_ce": ("peer", monai_dice_ce), "monai_dice": ("peer", monai_dice),
}  # fmt: skip


def work(name: str, shape_name: str) -> Work:
    """A loss and its gradient, for a contender and one of SHAPES."""
    kind, shape = SHAPES[shape_name]
    logits, target, weights = inputs(kind, shape)
    logits.requires_grad_()
    loss = CONTENDERS[name][1](kind)

    def run() -> tuple[Tensor, Tensor]:
        made = loss(logits, target, weights)
        return made, torch.autograd.grad(made, logits)[0]

    return Work(run, shape[0], _check(kind, (logits, target, weights), exact=not name.startswith("monai")))


def _check(kind: str, given: tuple[Tensor, Tensor, Tensor], exact: bool) -> Check:
    def check(got: Any) -> None:
        logits, target, weights = given
        z = logits.detach().double().requires_grad_()
        wanted = eager(kind)(z, target if kind == "ce_dice" else target.double(), weights.double())
        (gradient,) = torch.autograd.grad(wanted, z)
        if not exact:
            if not (got[0] > 0 and F.cosine_similarity(got[1].flatten().double(), gradient.flatten(), dim=0) > 0):
                raise Wrong("the gradient points elsewhere")
            return
        try:
            torch.testing.assert_close(got[0].double(), wanted, rtol=1e-5, atol=0)
            worst = float(gradient.abs().max())
            torch.testing.assert_close(got[1].double(), gradient, rtol=1e-4, atol=1e-5 * worst)
        except AssertionError as error:
            raise Wrong(" ".join(str(error).split())) from None

    return check


def case(name: str, shape_name: str) -> Case:
    """Logits and target are read, a gradient is written."""
    kind, shape = SHAPES[shape_name]
    pixels = math.prod(shape[1:])
    size = 8 * pixels + (8 * pixels // shape[1] if kind == "ce_dice" else 4 * pixels)
    contenders = (
        Contender(one, who, functools.partial(work, one, shape_name))
        for one, (who, _) in CONTENDERS.items()
        if kind != "mse" or not one.startswith("monai")
    )
    title = f"{shape_name}, loss and gradient"
    return Case(name, "losses", title, "samples", size, (*contenders, copy_limit(size, shape[0])))


NAMES = ("bce_dice", "mse", "ce_dice_4", "ce_dice_14", "bce_dice_3d", "mse_3d", "ce_dice_4_3d", "ce_dice_14_3d")
CASES = tuple(case(name, shape) for name, shape in zip(NAMES, SHAPES))
