"""Pseudo-labels, and pixels of one class pulled together in the space of the student's last features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError
from ..ops.losses import consistency
from ..quality.guide import Guide, Verdict
from .base import Method, Unlabelled, entropy_dice_kind, judged, teach


class Contrastive(Method):
    """L = L_PL + weight * L_NCE, L_NCE = mean over anchors i of -log(e^(i.i+/t) / (e^(i.i+/t) + sum_i- e^(i.i-/t))).

    InfoNCE (van den Oord et al. 2018, eq. 4) between pixels as Wang et al. 2021 (Exploring Cross-Image Pixel Contrast,
    eq. 3, with one positive an anchor), t the temperature. i, i+, i- are the student's last features of the strong
    view, of length 1: i and i+ of one (pseudo-)class, `negatives` i- of the others, drawn among the batch's pixels
    where the teacher's confidence is `confidence` or more and the guide's weights are not 0; anchors count with their
    sample's and pixel's weight. A class with too few pixels has fewer anchors. L_PL: see `pseudo_label`.
    """

    name = "contrastive"
    source = "Wang et al. 2021 on pseudo-labels (CL, CL-QW: Abhishek and Hamarneh 2026)"
    needs_teacher = True

    def __init__(
        self, weight: float = 0.1, temperature: float = 0.1, negatives: int = 256, confidence: float = 0.9
    ) -> None:
        if not (temperature > 0 and negatives >= 1 and weight >= 0 and 0 <= confidence <= 1):
            raise InputError(
                f"method {self.name}: wanted weight >= 0, temperature > 0, negatives >= 1, 0 <= confidence <= 1, "
                f"got {weight}, {temperature}, {negatives}, {confidence}"
            )
        self.weight, self.temperature, self.negatives, self.confidence = weight, temperature, negatives, confidence

    def method_loss(
        self, student: Any, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        taught = teach(self.name, teacher, batch.weak, batch.progress)
        verdict, logs = judged(guide, taught)
        logits, features = student(batch.strong, features=True)
        kind = entropy_dice_kind(logits)
        loss = consistency(logits, verdict.labels, verdict.weights, kind, verdict.pixels)
        sure = (taught.confidence >= self.confidence).float()
        contrast = self.contrast(features, verdict, sure, max(2, logits.shape[1]))
        return loss + self.weight * contrast, logits, logs | {"contrast": contrast}

    def contrast(self, features: Tensor, verdict: Verdict, sure: Tensor, classes: int) -> Tensor:
        """L_NCE, a scalar; 0 where no class has two sure pixels and another class one. sure: [B, *S], 0 or 1."""
        worth = sure * verdict.weights.view(-1, *[1] * (sure.ndim - 1))
        worth = worth if verdict.pixels is None else worth * verdict.pixels
        space = features.shape[2:]  # the features may be coarser than the labels
        worth = F.interpolate(worth[:, None], space).flatten()
        labels = F.interpolate(verdict.labels[:, None].float(), space).flatten()
        vectors = F.normalize(features.float(), dim=1).movedim(1, -1).flatten(0, -2)
        total, count = vectors.new_zeros(()), vectors.new_zeros(())
        for k in range(classes):
            own, others = worth * (labels == k), worth * (labels != k)
            anchors, away = draw(own, 2 * self.negatives), draw(others, self.negatives)
            half = len(anchors) // 2
            anchor, positive = anchors[:half], anchors[half : 2 * half]
            near = (vectors[anchor] * vectors[positive]).sum(1, keepdim=True)
            far = vectors[anchor] @ vectors[away].T
            far = far.masked_fill(others[away] == 0, -torch.inf)
            losses = -F.log_softmax(torch.cat([near, far], 1) / self.temperature, 1)[:, 0]
            weight = own[anchor] * (own[positive] > 0) * (others[away] > 0).any()
            total, count = total + (weight * losses).sum(), count + weight.sum()
        return total / count.where(count > 0, 1)


def draw(worth: Tensor, count: int) -> Tensor:
    """Indices of `count` different entries (or all), at random; those over 0 come first."""
    keys = torch.rand(worth.shape, device=worth.device) * (worth > 0)
    return keys.topk(min(count, len(keys))).indices
