"""Pseudo-labels: the teacher's hard mask is the label."""

from __future__ import annotations

from torch import Tensor, nn

from ..ops.losses import consistency
from ..quality.guide import Guide
from .base import Method, Network, Unlabelled, entropy_dice_kind, judged, teach


class PseudoLabel(Method):
    """L_unsup = sum_i w_i l_i / sum_i w_i, 0 where all w are 0, with y_i the EMA teacher's hard mask of the weak view.

    l_i = 0.5 BCE + 0.5 (1 - soft Dice) of the student on the strong view against y_i (several classes: CE in place of
    BCE); w_i is the guide's, q^T [q >= tau], q = g(x_i, y_i), for PL-QW (Abhishek and Hamarneh 2026).
    """

    name = "pseudo_label"
    source = "Lee 2013; PL-QW: Abhishek and Hamarneh 2026"
    needs_teacher = True

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        verdict, logs = judged(guide, teach(self.name, teacher, batch.weak, batch.progress))
        logits = student(batch.strong)
        kind = entropy_dice_kind(logits)
        return consistency(logits, verdict.labels, verdict.weights, kind, verdict.pixels), logits, logs
