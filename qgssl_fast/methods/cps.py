"""Cross pseudo supervision: two networks that began differently, each learns from the other's hard mask."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import InputError
from ..ops.losses import consistency
from ..quality.guide import Guide, Taught
from .base import Method, Network, Unlabelled, entropy_dice_kind, judged


class Cps(Method):
    """L_cps = mean over pixels of l_ce(p_1, y_2) + l_ce(p_2, y_1), y_k the hard mask of network k for the same image,
    without a gradient (Chen et al. 2021, eq. 2; the sum is eq. 3's L_cps for unlabelled images).

    A guide judges each y: w_2 = its weight of y_2 weighs what network 1 learns, and the other way round.
    The first network is the one that is kept. loss: "entropy" (published) or "entropy_dice" (0.5 CE + 0.5 Dice, as the
    supervised loss is).
    """

    name = "cps"
    source = "Chen et al. 2021"
    networks = 2

    def __init__(self, loss: str = "entropy") -> None:
        if loss not in ("entropy", "entropy_dice"):
            raise InputError(f"method {self.name}: loss must be entropy or entropy_dice, got {loss!r}")
        self.kind = loss

    def method_loss(
        self, student: Sequence[Network], teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Sequence[Tensor], dict[str, Tensor]]:
        first, second = (network(batch.weak) for network in student)
        total, logs = first.new_zeros(()), dict[str, Tensor]()
        for learner, other in ((first, second), (second, first)):
            taught = Taught(batch.weak, other.detach(), None, batch.progress)
            verdict, logs = judged(guide, taught)
            # KL(y || p) of a hard y is the cross-entropy: y's own entropy is 0.
            kind = "kl" if self.kind == "entropy" else entropy_dice_kind(learner)
            total = total + consistency(learner, verdict.labels, verdict.weights, kind, verdict.pixels)
        return total, (first, second), logs
