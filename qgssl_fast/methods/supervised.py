"""Labelled images alone; with the guide `regularizer` it is QAR."""

from __future__ import annotations

from torch import Tensor, nn

from ..quality.guide import Guide
from .base import Method, Network, Unlabelled


class Supervised(Method):
    """SUP: no unlabelled loss. QAR: L_unsup = 1 - mean g(x_u, f(x_u)), by the guide `regularizer`, on the weak view."""

    name = "supervised"
    source = "Abhishek and Hamarneh 2026 (SUP and QAR)"
    needs_unlabelled = False

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[None, None, dict[str, Tensor]]:
        return None, None, {}
