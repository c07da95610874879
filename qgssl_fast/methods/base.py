"""What a method is, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.outputs import hard_labels, probabilities
from ..quality.guide import Guide, Taught, Verdict

Network = Callable[..., Any]
"""A :class:`~qgssl_fast.networks.Segmenter`, or what wraps one: images -> logits."""
Students = Network | Sequence[Network]

__all__ = ["Losses", "Method", "Unlabelled", "entropy_dice_kind", "hard_labels", "judged", "probabilities", "teach"]


@dataclass(frozen=True)
class Unlabelled:
    """An unlabelled batch: views of the same images in the same geometry, and what a method may want beside."""

    weak: Tensor
    """Float [B, C, *S] in [0, 1], changed in geometry only: what the teacher and the guides see."""
    strong: Tensor
    """The same geometry with a strong appearance change: what the student sees."""
    second: Tensor | None = None
    """Another strong view, where the method has `strong_views` = 2."""
    labelled: tuple[Tensor, Tensor] | None = None
    """Images float [L, C, *S] and masks uint8 [L, *S] of the labelled batch, where the method `needs_labelled`."""
    progress: float | Tensor = 1.0
    """How much of the training is done, 0 to 1; a loop that never waits for the host gives a 0-dim tensor."""


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
    """How many differently initialised students are trained; with more than one, `student` is a sequence of them."""
    needs_unlabelled: ClassVar[bool] = True
    """Whether it has a loss of its own; without one, a regularising guide may still want unlabelled images."""
    needs_labelled: ClassVar[bool] = False
    """Whether its unlabelled loss uses labelled images too."""
    strong_views: ClassVar[int] = 1
    hard: ClassVar[bool] = True
    """Whether targets are hard pseudo-labels, which a guide may correct."""
    own_threshold: ClassVar[bool] = False
    """Whether it leaves out unsure pixels by itself."""

    @abstractmethod
    def method_loss(
        self, student: Any, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor | None, Tensor | Sequence[Tensor] | None, dict[str, Tensor]]:
        """The method's own loss or None; the student's logits for `batch`, which the regulariser judges (of each of
        several students; None: the regulariser runs them on the weak view); logs."""

    def losses(self, student: Students, teacher: nn.Module | None, batch: Unlabelled, guide: Guide) -> Losses:
        """Both terms, for a loop that gives each its own lambda(t).

        The regulariser judges the student's probabilities by the weak view, which looks as what the predictor has seen;
        where the method ran the student already (on a view of the same geometry) that prediction is used.
        Raises InputError where several networks are trained and some of them give the regulariser nothing to judge.
        """
        loss, logits, logs = self.method_loss(student, teacher, batch, guide)
        logs = {name: value.detach() for name, value in logs.items()}
        if not guide.regularizes:
            return Losses(loss, None, logs)
        students = [student] if callable(student) else list(student)
        if logits is None:
            logits = [one(batch.weak) for one in students]
        each = [logits] if isinstance(logits, Tensor) else list(logits)
        if len(each) != len(students):
            raise InputError(
                f"{self.name}: guide {guide.name} wants the logits of all {len(students)} networks, got {len(each)}"
            )
        terms = [guide.regularization(batch.weak, probabilities(one)) for one in each]
        regularizer = torch.stack([term for term in terms if term is not None]).mean()
        logs["regularizer_quality"] = 1 - regularizer.detach()
        return Losses(loss, regularizer, logs)

    def loss(
        self, student: Students, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum of both terms, a scalar, and logs (detached 0-dim tensors); 0 where there is neither."""
        both = self.losses(student, teacher, batch, guide)
        terms = [term for term in (both.method, both.regularizer) if term is not None]
        return (sum(terms[1:], terms[0]) if terms else batch.weak.new_zeros(())), both.logs

    def check(self, guide: Guide) -> None:
        """Raise InputError with the reason where this guide makes no sense here."""
        if guide.weighs and not self.needs_unlabelled:
            raise InputError(f"{self.name} has no unlabelled loss that guide {guide.name} could weigh")
        if guide.corrects and not self.hard:
            raise InputError(f"{self.name} has soft targets: there are no labels that guide {guide.name} could correct")
        if guide.asks_teacher and not self.needs_teacher:
            raise InputError(f"{self.name} has no teacher that guide {guide.name} could ask")
        if self.own_threshold and "threshold" in guide.name.split("+"):
            raise InputError(f"{self.name} leaves out unsure pixels by itself (option threshold): no guide threshold")

    def wants_unlabelled(self, guide: Guide) -> bool:
        """Whether, with this guide, unlabelled batches are used at all."""
        return self.needs_unlabelled or guide.regularizes


@torch.no_grad()
def teach(name: str, teacher: nn.Module | None, images: Tensor, progress: float | Tensor = 1.0) -> Taught:
    """What the teacher says: eval mode, no gradient."""
    if teacher is None:
        raise InputError(f"{name} needs a teacher (an exponential moving average of the student), got none")
    if teacher.training:
        teacher.eval()
    return Taught(images, teacher(images), teacher, progress)


def judged(guide: Guide, taught: Taught) -> tuple[Verdict, dict[str, Tensor]]:
    """The guide's verdict and what to log of it."""
    verdict = guide.judge(taught)
    weights = verdict.weights
    return verdict, {"weight_mean": weights.mean(), "weight_zero": (weights == 0).float().mean()} | verdict.logs


def entropy_dice_kind(logits: Tensor) -> str:
    """The kind of `consistency` that is 0.5 (B)CE + 0.5 (1 - soft Dice) for these logits."""
    return "bce_dice" if logits.shape[1] == 1 else "ce_dice"
