"""Dice of pairs of 224x224 masks, as hard counts."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..kernels.reference import overlap as reference
from ..ops.overlap import dice, dice_of
from .case import Case, Check, Contender, Run, Work, Wrong, copy_limit, need, serves
from .shapes import lesions

COUNT, SIDE = 64, 224


@functools.cache
def pairs() -> tuple[Tensor, Tensor]:
    masks = lesions(SIDE, COUNT)
    return masks, masks.roll(5, 1)


def want() -> Check:
    truth = dice_of(reference.overlap(*pairs(), 2))

    def check(got: Any) -> None:
        worst = float((torch.as_tensor(got).float().reshape(-1) - truth).abs().max())
        if worst > 1e-6:
            raise Wrong(f"Dice differs from the reference's by up to {worst:.2g}")

    return check


def ours(name: str) -> Run:
    a, b = pairs()
    return lambda: dice(a, b, backend=name)


def numpy() -> Run:
    both = [tuple(mask.bool().numpy() for mask in pair) for pair in zip(*pairs())]
    count = np.count_nonzero
    return lambda: np.array([2 * count(a & b) / (count(a) + count(b)) for a, b in both])


def eager() -> Run:
    a, b = (masks.flatten(1).bool() for masks in pairs())
    return lambda: 2 * (a & b).sum(1) / (a.sum(1) + b.sum(1))


def monai() -> Run:
    compute_dice = need("monai.metrics").compute_dice
    a, b = (masks[:, None].float() for masks in pairs())
    return lambda: compute_dice(a, b)


def _contender(name: str, kind: str, factory: Any) -> Contender:
    return Contender(name, kind, lambda: Work(factory(), COUNT, want()))


DICE = Case(
    "dice", "overlap", "Dice of two masks, 224x224", "pairs", 2 * SIDE**2,
    (
        _contender("native", "ours", lambda: ours(serves("native"))),
        _contender("reference", "reference", lambda: ours("reference")),
        _contender("numpy", "peer", numpy), _contender("torch", "peer", eager), _contender("monai", "peer", monai),
        copy_limit(2 * SIDE**2, COUNT),
    ),
)  # fmt: skip
CASES = (DICE,)
