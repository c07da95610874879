"""Guides that own a quality predictor."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .guide import Guide, Taught, Verdict
from .predictor import QualityPredictor


class PredictorGuide(Guide):
    """A guide that owns a predictor: freezes it, and keeps it in eval mode whatever is around it does."""

    judges = True

    def __init__(self, predictor: QualityPredictor | None) -> None:
        if predictor is None:
            raise InputError(f"guide {self.name} needs a quality predictor")
        self.predictor = predictor.requires_grad_(False).eval()

    def predict(self, images: Tensor, masks: Tensor) -> Tensor:
        if self.predictor.training:
            self.predictor.eval()
        return self.predictor(images, masks)


class QualityGuide(PredictorGuide):
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
        """q of each mask, float32 [B], no gradient."""
        q = self.predict(images, masks).float()
        if q.ndim == 2:
            return q.mean(1) if self.classes == "mean" else q.amin(1)
        return q

    def weigh(self, score: Tensor) -> Tensor:
        """Weights [B] from the scores."""
        return self.soften(score**self.temperature * (score >= self.threshold))

    def weights(self, images: Tensor, masks: Tensor) -> Tensor:
        """Weight of each sample, float32 [B], >= 0, no gradient. masks: hard labels [B, *S]."""
        return self.weigh(self.score(images, masks))

    def judge(self, taught: Taught) -> Verdict:
        score = self.score(taught.images, taught.labels)
        return Verdict(taught.labels, self.weigh(score), None, {"quality_mean": score.mean()})

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor:
        """1 - mean g(x, probs), a scalar; probs as the predictor takes them, soft; the gradient flows into them."""
        return _one_minus_quality(self, images, probs)


class QualityRegularizer(PredictorGuide):
    """QAR: L = 1 - mean g(x, f(x)), differentiated through the frozen predictor (Abhishek and Hamarneh 2026)."""

    name = "regularizer"
    regularizes = True

    def regularization(self, images: Tensor, probs: Tensor) -> Tensor:
        """1 - mean g(x, probs), a scalar; probs as the predictor takes them, soft; the gradient flows into them."""
        return _one_minus_quality(self, images, probs)


def _one_minus_quality(guide: PredictorGuide, images: Tensor, probs: Tensor) -> Tensor:
    if not probs.is_floating_point():
        raise TypeError(f"guide {guide.name}: regularization needs probabilities, got {probs.dtype}")
    if images.shape[0] == 0:
        return probs.sum()
    return 1 - guide.predict(images, probs).float().mean()
