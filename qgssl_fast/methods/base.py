"""What a method is, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..quality.guides import Guide


@dataclass(frozen=True)
class Unlabelled:
    """An unlabelled batch: two views of the same images in the same geometry."""

    weak: Tensor
    """Float [B, C, *S] in [0, 1], changed in geometry only: what the teacher and the guides see."""
    strong: Tensor
    """The same geometry with a strong appearance change: what the student sees."""


@dataclass
class Losses:
    """The two terms of an unlabelled batch, kept apart since each has its own schedule."""

    method: Tensor | None = None
    """What the method is named for, a scalar; None where it has nothing of that kind."""
    regularizer: Tensor | None = None
    """What the guide adds, 1 - mean g(x, student's probabilities), a scalar; None where it adds nothing."""
    logs: dict[str, Tensor] = field(default_factory=dict)
    """Detached 0-dim tensors; reading them is left to the loop, since it makes the host wait."""


class Method(ABC):
    """Says which loss an unlabelled batch gets: L = L_supervised + lambda(t) * loss.

    A subclass writes :meth:`method_loss` alone; the regularisation is added here, so that any method can have it.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    """Where the method was published."""
    needs_teacher: ClassVar[bool] = False
    """Whether `teacher`, an exponential moving average of the student, is used."""
    networks: ClassVar[int] = 1
    """How many differently initialised students are trained; with more than one, `student` and `teacher` are tuples."""
    needs_unlabelled: ClassVar[bool] = True
    """Whether it has a loss of its own; without one, a regularising guide may still want unlabelled images."""

    @abstractmethod
    def method_loss(
        self, student: nn.Module, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor | None, Tensor | None, dict[str, Tensor]]:
        """The method's own loss or None; the student's logits, for the regulariser, where it has run; logs."""

    def losses(self, student: nn.Module, teacher: nn.Module | None, batch: Unlabelled, guide: Guide) -> Losses:
        """Both terms, for a loop that gives each its own lambda(t).

        The regulariser judges the student's probabilities by the weak view, which looks as what the predictor has seen;
        where the method ran the student already (on the strong view, of the same geometry) that prediction is used.
        """
        loss, logits, logs = self.method_loss(student, teacher, batch, guide)
        logs = {name: value.detach() for name, value in logs.items()}
        if not guide.regularizes:
            return Losses(loss, None, logs)
        if logits is None:
            logits = student(batch.weak)
        regularizer = guide.regularization(batch.weak, probabilities(logits))
        if regularizer is not None:
            logs["regularizer_quality"] = 1 - regularizer.detach()
        return Losses(loss, regularizer, logs)

    def loss(
        self, student: nn.Module, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of both terms, a scalar, and logs (detached 0-dim tensors); 0 where there is neither."""
        both = self.losses(student, teacher, batch, guide)
        terms = [term for term in (both.method, both.regularizer) if term is not None]
        return (sum(terms[1:], terms[0]) if terms else batch.weak.new_zeros(())), both.logs

    def check(self, guide: Guide) -> None:
        """Raise InputError where this guide makes no sense here."""
        if guide.weighs and not self.needs_unlabelled:
            raise InputError(f"{self.name} has no unlabelled loss that guide {guide.name} could weigh")

    def wants_unlabelled(self, guide: Guide) -> bool:
        """Whether, with this guide, unlabelled batches are used at all."""
        return self.needs_unlabelled or guide.regularizes


def probabilities(logits: Tensor) -> Tensor:
    """[B, 1, *S] by sigmoid, [B, C, *S] by softmax; in float32, since half precision saturates."""
    return logits.float().sigmoid() if logits.shape[1] == 1 else logits.float().softmax(1)


def hard_labels(logits: Tensor) -> Tensor:
    """uint8 [B, *S]: logit > 0, or the largest class."""
    if logits.shape[1] == 1:
        return (logits.squeeze(1) > 0).to(torch.uint8)
    return logits.argmax(1).to(torch.uint8)


@torch.no_grad()
def teach(name: str, teacher: nn.Module | None, images: Tensor) -> Tensor:
    """The teacher's logits: eval mode, no gradient."""
    if teacher is None:
        raise InputError(f"{name} needs a teacher (an exponential moving average of the student), got none")
    if teacher.training:
        teacher.eval()
    return teacher(images)
