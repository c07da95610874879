"""UniMatch: FixMatch with two strong views and a view of dropped features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..quality.guide import Guide, Taught
from .base import Method, Unlabelled, judged
from .fixmatch import sure_entropy, worth
from .mixing import box_of_area, mix


class UniMatch(Method):
    """L_u = mean of [max p_w >= threshold] (0.5 H(p_w, p_fp) + 0.25 (H(p_w, p_s1) + H(p_w, p_s2))) (Yang et al. 2023,
    section 3.4, with lambda = mu = 0.5), p_w made hard; the mean is over all pixels, weighted as in `fixmatch`.

    p_fp: the student on the weak view, each channel of the encoder's features dropped with probability `drop`.
    p_s1, p_s2: the student on two strong views, of which a part `cutmix` have a box (2 to 40 % of the image) from the
    next image of the batch; labels and worth are mixed alike.
    """

    name = "unimatch"
    source = "Yang et al. 2023"
    strong_views = 2
    own_threshold = True

    def __init__(self, threshold: float = 0.95, drop: float = 0.5, cutmix: float = 0.5) -> None:
        for name, value in (("threshold", threshold), ("cutmix", cutmix)):
            if not 0 <= value <= 1:
                raise InputError(f"method {self.name}: {name} must be 0 <= {name} <= 1, got {value}")
        if not 0 < drop < 1:
            raise InputError(f"method {self.name}: drop must be 0 < drop < 1, got {drop}")
        self.threshold, self.drop, self.cutmix = threshold, drop, cutmix

    def method_loss(
        self, student: Any, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        clean, dropped = student(batch.weak, drop=self.drop)
        taught = Taught(batch.weak, clean.detach(), None, batch.progress)
        verdict, logs = judged(guide, taught)
        value, sure = worth(verdict), (taught.confidence >= self.threshold).float()
        loss = 0.5 * sure_entropy(dropped, verdict.labels, value, sure)
        for view in (batch.strong, batch.strong if batch.second is None else batch.second):
            count, space, device = len(view), view.shape[2:], view.device
            box = box_of_area(count, 0.02, 0.4, 0.3, space, device)
            box = box & (torch.rand(count, device=device) < self.cutmix).view(-1, *[1] * len(space))
            images, labels, weights, kept = (
                mix(x.roll(1, 0), x, box.float()) for x in (view, verdict.labels, value, sure)
            )
            loss = loss + 0.25 * sure_entropy(student(images), labels, weights, kept)
        return loss, clean, logs | {"pixels_sure": sure.mean()}
