"""FixMatch: what the student is sure of on the weak view is its label on the strong one."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ops.losses import consistency
from ..quality.guide import Guide, Taught, Verdict
from .base import Method, Network, Unlabelled, judged


class FixMatch(Method):
    """l_u = mean over all pixels of [max p_w >= threshold] H(y, p_s), y = argmax p_w (Sohn et al. 2020, eq. 4).

    p_w is the student's own prediction on the weak view, without a gradient, p_s that on the strong view; H is the
    cross-entropy. Pixels that are not sure count in the mean, with 0. With a guide's weights of samples and pixels
    it is sum w [..] H / sum w.
    """

    name = "fixmatch"
    source = "Sohn et al. 2020"
    own_threshold = True

    def __init__(self, threshold: float = 0.95) -> None:
        if not 0 <= threshold <= 1:
            raise InputError(f"method {self.name}: threshold must be 0 <= threshold <= 1, got {threshold}")
        self.threshold = threshold

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            taught = Taught(batch.weak, student(batch.weak), None, batch.progress)
        verdict, logs = judged(guide, taught)
        sure = (taught.confidence >= self.threshold).float()
        logits = student(batch.strong)
        loss = sure_entropy(logits, verdict.labels, worth(verdict), sure)
        return loss, logits, logs | {"pixels_sure": sure.mean()}


def worth(verdict: Verdict) -> Tensor:
    """Weights of samples times those of pixels, [B, *S]."""
    pixels = verdict.pixels if verdict.pixels is not None else torch.ones_like(verdict.labels, dtype=torch.float32)
    return pixels * verdict.weights.view(-1, *[1] * (pixels.ndim - 1))


def sure_entropy(logits: Tensor, labels: Tensor, worth: Tensor, sure: Tensor) -> Tensor:
    """sum(worth * sure * H(labels, p)) / sum(worth) over all pixels of the batch; 0 where nothing is worth anything."""
    pixels = worth * sure
    share, total = pixels.flatten(1).mean(1), worth.flatten(1).mean(1).sum()
    # KL(y || p) of a hard y is the cross-entropy. consistency gives its mean over the pixels that count.
    return consistency(logits, labels, share, "kl", pixels) * share.sum() / total.where(total > 0, 1)
