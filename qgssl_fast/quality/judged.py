"""Guides that own a quality predictor."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .dense import chance_of_labels
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
        return self._ready()(images, masks)

    def _ready(self) -> QualityPredictor:
        if self.predictor.training:
            self.predictor.eval()
        return self.predictor

    @torch.no_grad()
    def _chances(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return chance_of_labels(self._ready().dense(images, masks)[1], masks)

    def correct(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Labels uint8 [B, *S] and pixel weights [B, *S]: see :class:`CorrectionGuide`. masks: hard labels [B, *S]."""
        own, label, best = self._chances(images, masks)
        changed = best > 1 - self.strength / 2
        right = torch.where(changed, best, own)
        return torch.where(changed, label, masks.to(torch.uint8)), self.soften((2 * right - 1).clamp(min=0))


class QualityGuide(PredictorGuide):
    """PL-QW: w = q^T [q >= tau], q = g(x, mask), T = temperature, tau = threshold (Abhishek and Hamarneh 2026).

    With several classes q is the mean of their scores, or their minimum (`classes="minimum"`).
    passes: over so many passes under the head's dropout q is the mean less `caution` standard deviations; 0: one pass
    without dropout. The predictor is frozen: its parameters no longer ask for a gradient.
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
        passes: int = 0,
        caution: float = 1.0,
    ) -> None:
        super().__init__(predictor)
        if not 0 <= threshold <= 1:
            raise InputError(f"guide {self.name}: threshold must be 0 <= threshold <= 1, got {threshold}")
        if not temperature >= 0:
            raise InputError(f"guide {self.name}: temperature must be >= 0, got {temperature}")
        if classes not in ("mean", "minimum"):
            raise InputError(f"guide {self.name}: classes must be mean or minimum, got {classes!r}")
        if not (passes >= 0 and caution >= 0):
            raise InputError(f"guide {self.name}: passes and caution must be >= 0, got {passes} and {caution}")
        self.threshold, self.temperature, self.classes = threshold, temperature, classes
        self.passes, self.caution = passes, caution

    @torch.no_grad()
    def score(self, images: Tensor, masks: Tensor) -> Tensor:
        """q of each mask, float32 [B], no gradient."""
        if self.passes:
            mean, deviation = self._ready().spread(images, masks, self.passes)
            q = (mean - self.caution * deviation).clamp(min=0).float()
        else:
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


class _DenseGuide(PredictorGuide):
    weighs = True

    def __init__(self, predictor: QualityPredictor | None) -> None:
        super().__init__(predictor)
        if self.predictor.decoder is None:
            raise InputError(f"guide {self.name} needs a predictor with a dense head, this one was trained without")


class QualityMapGuide(_DenseGuide):
    """A pixel counts max(0, 1 - 2e), e the predicted probability that its label is wrong."""

    name = "quality_map"

    def judge(self, taught: Taught) -> Verdict:
        own, _, _ = self._chances(taught.images, taught.labels)
        pixels = self.soften((2 * own - 1).clamp(min=0))
        logs = {"error_mean": (1 - own).mean(), "pixel_weight_mean": pixels.mean()}
        return Verdict(taught.labels, pixels.new_ones(len(pixels)), pixels, logs)


class CorrectionGuide(_DenseGuide):
    """Pixels whose label is wrong with probability e > 0.5 change it; a pixel counts |2e - 1|.

    Several classes: the new label is the likeliest one, p its probability, and a pixel counts max(0, 2p - 1), which is
    the same for two. A strength s below 1 changes only where p > 1 - s / 2, and weighs by 1 - s + s max(0, 2p - 1).
    """

    name = "correction"
    corrects = True

    def judge(self, taught: Taught) -> Verdict:
        labels, pixels = self.correct(taught.images, taught.labels)
        logs = {"pixels_changed": (labels != taught.labels).float().mean(), "pixel_weight_mean": pixels.mean()}
        return Verdict(labels, pixels.new_ones(len(pixels)), pixels, logs)


def _one_minus_quality(guide: PredictorGuide, images: Tensor, probs: Tensor) -> Tensor:
    if not probs.is_floating_point():
        raise TypeError(f"guide {guide.name}: regularization needs probabilities, got {probs.dtype}")
    if images.shape[0] == 0:
        return probs.sum()
    # The raw score: calibration may be flat in places, where no gradient would come through.
    return 1 - guide._ready()(images, probs, calibrated=False).float().mean()
