"""Pseudo-labels: the teacher's hard mask is the label."""

from __future__ import annotations

from torch import Tensor, nn

from ..ops.losses import consistency
from ..quality.guides import Guide
from .base import Method, Unlabelled, hard_labels, probabilities, teach


class PseudoLabel(Method):
    """L_unsup = sum_i w_i l_i / sum_i w_i, 0 where all w are 0, with y_i the EMA teacher's hard mask of the weak view.

    l_i = 0.5 BCE + 0.5 (1 - soft Dice) of the student on the strong view against y_i (several classes: CE in place of
    BCE); w_i = guide.weights(x_i, y_i), which is q^T [q >= tau], q = g(x_i, y_i), for PL-QW.
    """

    name = "pseudo_label"
    source = "Lee 2013; PL-QW: Abhishek and Hamarneh 2026"
    needs_teacher = True

    def method_loss(
        self, student: nn.Module, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        taught = teach(self.name, teacher, batch.weak)
        labels = hard_labels(taught)
        score = guide.score(batch.weak, labels)
        weights = guide.weigh(score, batch.weak)
        pixel_weights = guide.pixel_weights(batch.weak, probabilities(taught))
        logits = student(batch.strong)
        kind = "bce_dice" if logits.shape[1] == 1 else "ce_dice"
        logs = {"weight_mean": weights.mean(), "weight_zero": (weights == 0).float().mean()}
        if score is not None:
            logs["quality_mean"] = score.mean()
        return consistency(logits, labels, weights, kind, pixel_weights), logits, logs
