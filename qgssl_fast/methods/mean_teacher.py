"""Mean Teacher: the student agrees with the moving average of itself; with the guide `uncertainty` it is UA-MT."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import InputError
from ..ops.losses import consistency
from ..quality.guide import Guide
from .base import Method, Network, Unlabelled, judged, teach


class MeanTeacher(Method):
    """J = E ||f(x, theta', eta') - f(x, theta, eta)||^2 (Tarvainen and Valpola 2017, section 2), as a mean over
    classes and pixels; eta', eta are the weak and the strong view. UA-MT (Yu et al. 2019, eq. 3): the mean is over the
    pixels whose uncertainty is below H(t), sum_v [u_v < H] ||f'_v - f_v||^2 / sum_v [u_v < H]; that is the pixel
    weight of the guide. Samples count with the guide's weight, sum w l / sum w.

    kind: "mse", or "kl", KL(teacher || student) (Tarvainen and Valpola 2017, section 3.2 compare them).
    """

    name = "mean_teacher"
    source = "Tarvainen and Valpola 2017; UA-MT: Yu et al. 2019"
    needs_teacher = True
    hard = False

    def __init__(self, kind: str = "mse") -> None:
        if kind not in ("mse", "kl"):
            raise InputError(f"method {self.name}: kind must be mse or kl, got {kind!r}")
        self.kind = kind

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        taught = teach(self.name, teacher, batch.weak, batch.progress)
        verdict, logs = judged(guide, taught)
        logits = student(batch.strong)
        return consistency(logits, taught.probs, verdict.weights, self.kind, verdict.pixels), logits, logs
