"""Guides: what a sample or a pixel of an unlabelled batch is worth, and what pulls predictions towards good masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..networks.options import arguments_of, check_options
from .predictor import QualityPredictor


class Guide:
    """The guide `none`: every sample counts 1, no regularisation. Others override what they change."""

    name = "none"
    weighs = False
    """Whether it makes weights other than 1."""
    regularizes = False
    """Whether :meth:`regularization` gives a loss."""

    def score(self, images: Tensor, masks: Tensor) -> Tensor | None:
        """Quality of each pseudo-mask, [B], no gradient; None where the guide has no idea of it."""
        return None

    def weigh(self, score: Tensor | None, images: Tensor) -> Tensor:
        """Weights [B] from the scores; `images` say how many and where."""
        return torch.ones(images.shape[0], device=images.device)

    def weights(self, images: Tensor, masks: Tensor) -> Tensor:
        """Weight of each sample, float32 [B], >= 0, no gradient. masks: hard labels [B, *S]."""
        return self.weigh(self.score(images, masks), images)

    def pixel_weights(self, images: Tensor, probs: Tensor) -> Tensor | None:
        """Weight of each pixel, [B, *S], no gradient, from the teacher's probabilities; None: all 1."""
        return None

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor | None:
        """A scalar loss of the student's probabilities, differentiable in them; None where the guide has none."""
        return None


class _PredictorGuide(Guide):
    """A guide that owns a predictor: freezes it, and keeps it in eval mode whatever is around it does."""

    def __init__(self, predictor: QualityPredictor | None) -> None:
        if predictor is None:
            raise InputError(f"guide {self.name} needs a quality predictor")
        self.predictor = predictor.requires_grad_(False).eval()

    def predict(self, images: Tensor, masks: Tensor) -> Tensor:
        if self.predictor.training:
            self.predictor.eval()
        return self.predictor(images, masks)


class QualityGuide(_PredictorGuide):
    """PL-QW: w = q^T [q >= tau], q = g(x, mask), T = temperature, tau = threshold (Abhishek and Hamarneh 2026).

    With several classes q is the mean of their scores, or their minimum (`classes="minimum"`).
    The predictor is frozen: its parameters no longer ask for a gradient.
    Its :meth:`regularization` is that of QAR, for loops that want both; methods use it only from `regularizer`.
    """

    name = "quality"
    weighs = True

    def __init__(
        self,
        predictor: QualityPredictor | None,
        threshold: float = 0.5,
        temperature: float = 2.0,
        classes: str = "mean",
    ) -> None:
        super().__init__(predictor)
        if not 0 <= threshold <= 1:
            raise InputError(f"guide {self.name}: threshold must be 0 <= threshold <= 1, got {threshold}")
        if not temperature >= 0:
            raise InputError(f"guide {self.name}: temperature must be >= 0, got {temperature}")
        if classes not in ("mean", "minimum"):
            raise InputError(f"guide {self.name}: classes must be mean or minimum, got {classes!r}")
        self.threshold, self.temperature, self.classes = threshold, temperature, classes

    @torch.no_grad()
    def score(self, images: Tensor, masks: Tensor) -> Tensor:
        q = self.predict(images, masks).float()
        if q.ndim == 2:
            return q.mean(1) if self.classes == "mean" else q.amin(1)
        return q

    def weigh(self, score: Tensor | None, images: Tensor) -> Tensor:
        if score is None:
            raise TypeError(f"guide {self.name}: weigh needs the scores")
        return score**self.temperature * (score >= self.threshold)

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor:
        """1 - mean g(x, probs), a scalar; probs as the predictor takes them, soft; the gradient flows into them."""
        return _one_minus_quality(self, images, probs)


class QualityRegularizer(_PredictorGuide):
    """QAR: L = 1 - mean g(x, f(x)), differentiated through the frozen predictor (Abhishek and Hamarneh 2026)."""

    name = "regularizer"
    regularizes = True

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor:
        """1 - mean g(x, probs), a scalar; probs as the predictor takes them, soft; the gradient flows into them."""
        return _one_minus_quality(self, images, probs)


def _one_minus_quality(guide: _PredictorGuide, images: Tensor, probs: Tensor) -> Tensor:
    if not probs.is_floating_point():
        raise TypeError(f"guide {guide.name}: regularization needs probabilities, got {probs.dtype}")
    if images.shape[0] == 0:
        return probs.sum()
    return 1 - guide.predict(images, probs).float().mean()


GUIDES: dict[str, tuple[type[Guide], str]] = {
    "none": (Guide, "every sample counts 1"),
    "quality": (QualityGuide, "samples weighted by predicted quality, q^T [q >= tau]"),
    "regularizer": (QualityRegularizer, "1 - predicted quality of the student's soft masks as a loss"),
}


def list_guides() -> dict[str, str]:
    """Every guide name with a line about it."""
    return {name: doc for name, (_, doc) in GUIDES.items()}


def make_guide(name: str, predictor: QualityPredictor | None = None, **options: Any) -> Guide:
    """Build a guide by name; guides that judge by a predictor need one, the others do not look at it.

    Raises InputError for an unknown name (listing those that are there), an unknown option, a missing predictor.
    """
    if name not in GUIDES:
        raise unknown("guide", name, GUIDES)
    cls = GUIDES[name][0]
    check_options(f"guide {name}", options, arguments_of(cls, ["predictor"]) if cls is not Guide else [])
    build: Callable[..., Guide] = cls
    return build(**options) if cls is Guide else build(predictor, **options)
