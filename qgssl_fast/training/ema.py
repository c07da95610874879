"""The teacher: an exponential moving average of the student's weights."""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Ema(Generic[Network]):
    """Teacher = d * teacher + (1 - d) * student after every step t (from 0), d = min(decay, (1 + t) / (10 + t)).

    Parameters and floating buffers (batch norm's running mean and variance) are averaged, integer buffers (its count of
    batches) copied: one foreach call for each of the two, however many tensors there are.
    The teacher is in eval mode and never needs a gradient.
    """

    def __init__(self, student: Network, decay: float) -> None:
        self.decay = decay
        self.teacher: Network = copy.deepcopy(student)
        self.teacher.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module, step: int) -> None:
        """Take in the student after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        theirs = [*student.parameters(), *student.buffers()]
        ours = [*self.teacher.parameters(), *self.teacher.buffers()]
        floating = [i for i, tensor in enumerate(ours) if tensor.is_floating_point()]
        torch._foreach_lerp_([ours[i] for i in floating], [theirs[i].detach() for i in floating], 1 - decay)
        whole = [i for i, tensor in enumerate(ours) if not tensor.is_floating_point()]
        if whole:
            torch._foreach_copy_([ours[i] for i in whole], [theirs[i] for i in whole])
