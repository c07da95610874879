"""What a guide is: it says what the samples and pixels of an unlabelled batch are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.outputs import confidence, hard_labels, probabilities


@dataclass(frozen=True)
class Taught:
    """What a network said of a batch: the pseudo-labels that a guide judges. No gradient."""

    images: Tensor
    """Float [B, C, *S] in [0, 1], as the teacher saw them."""
    logits: Tensor
    """[B, 1 or classes, *S]."""
    model: nn.Module | None = None
    """The teacher, for guides that ask it again; None where a student taught."""
    progress: float | Tensor = 1.0
    """How much of the training is done, 0 to 1."""

    @cached_property
    def probs(self) -> Tensor:
        return probabilities(self.logits)

    @cached_property
    def labels(self) -> Tensor:
        """uint8 [B, *S]."""
        return hard_labels(self.logits)

    @cached_property
    def confidence(self) -> Tensor:
        """Probability of the likeliest class, [B, *S]."""
        return confidence(self.probs)


@dataclass(frozen=True)
class Verdict:
    """A guide's judgement of pseudo-labels. No gradient."""

    labels: Tensor
    """uint8 [B, *S]: the pseudo-labels, changed where the guide corrects."""
    weights: Tensor
    """float32 [B], >= 0."""
    pixels: Tensor | None = None
    """float32 [B, *S], >= 0; None: all 1."""
    logs: dict[str, Tensor] = field(default_factory=dict)


class Guide:
    """The guide `none`: every sample counts 1, no regularisation. Others override what they change."""

    name = "none"
    weighs = False
    """Whether it makes weights other than 1, of samples or pixels."""
    corrects = False
    """Whether it changes pseudo-labels."""
    regularizes = False
    """Whether :meth:`regularization` gives a loss."""
    asks_teacher = False
    """Whether it runs the teacher again."""
    judges = False
    """Whether it owns a quality predictor."""
    strength = 1.0
    """How far its weights may go from 1 (and its corrections from none): what a gate found that it deserves."""

    def judge(self, taught: Taught) -> Verdict:
        """Labels and weights for what a network said."""
        return Verdict(taught.labels, torch.ones(len(taught.images), device=taught.images.device))

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor | None:
        """A scalar loss of the student's probabilities, differentiable in them; None where the guide has none."""
        return None

    def soften(self, weights: Tensor) -> Tensor:
        """1 - s + s w, with s the guide's strength."""
        return weights if self.strength == 1 else 1 - self.strength + self.strength * weights


class Combined(Guide):
    """Several guides at once: their weights are multiplied, one may correct, one may regularise."""

    def __init__(self, guides: Sequence[Guide]) -> None:
        self.guides = guides
        self.name = "+".join(guide.name for guide in guides)
        self.weighs = any(guide.weighs for guide in guides)
        self.corrects = any(guide.corrects for guide in guides)
        self.regularizes = any(guide.regularizes for guide in guides)
        self.asks_teacher = any(guide.asks_teacher for guide in guides)
        self.judges = any(guide.judges for guide in guides)
        for what in ("corrects", "regularizes"):
            if sum(getattr(guide, what) for guide in guides) > 1:
                raise InputError(f"guide {self.name}: one guide at most {what}")
        names = [guide.name for guide in guides]
        if len(set(names)) < len(names) or "none" in names:
            raise InputError(f"guide {self.name}: wanted different guides, none of them none")

    def judge(self, taught: Taught) -> Verdict:
        found = [guide.judge(taught) for guide in self.guides]
        labels, weights, pixels = taught.labels, found[0].weights, found[0].pixels
        for guide, verdict in zip(self.guides, found):
            labels = verdict.labels if guide.corrects else labels
        for verdict in found[1:]:
            weights = weights * verdict.weights
            pixels = verdict.pixels if pixels is None else pixels * (1 if verdict.pixels is None else verdict.pixels)
        return Verdict(labels, weights, pixels, {k: v for verdict in found for k, v in verdict.logs.items()})

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor | None:
        for guide in self.guides:
            if guide.regularizes:
                return guide.regularization(images, probs)
        return None
