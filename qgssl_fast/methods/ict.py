"""Interpolation consistency: the prediction for a mixed image is the mix of the predictions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ops.losses import consistency
from ..quality.guide import Guide
from .base import Method, Network, Unlabelled, judged, teach
from .mixing import beta, mix


class Ict(Method):
    """L_US = l(f(Mix_k(u_j, u_m)), Mix_k(f'(u_j), f'(u_m))), Mix_k(a, b) = k a + (1 - k) b, k ~ Beta(alpha, alpha),
    l the squared error of probabilities, f' the EMA teacher (Verma et al. 2019, eq. 1 and 4).

    u_m is the next image of the batch, k is drawn for each pair. Both are weak views. A guide's weights (of samples and
    pixels) are mixed as the images are: w = k w_j + (1 - k) w_m.
    """

    name = "ict"
    source = "Verma et al. 2019"
    needs_teacher = True
    hard = False

    def __init__(self, alpha: float = 1.0) -> None:
        if not alpha > 0:
            raise InputError(f"method {self.name}: alpha must be > 0, got {alpha}")
        self.alpha = alpha

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        taught = teach(self.name, teacher, batch.weak, batch.progress)
        verdict, logs = judged(guide, taught)
        k = beta(len(batch.weak), self.alpha, batch.weak)

        def mixed(values: Tensor) -> Tensor:
            return mix(values, values.roll(1, 0), k)

        pixels = None if verdict.pixels is None else mixed(verdict.pixels)
        with torch.no_grad():
            target = mixed(taught.probs)
        return consistency(student(mixed(batch.weak)), target, mixed(verdict.weights), "mse", pixels), None, logs
