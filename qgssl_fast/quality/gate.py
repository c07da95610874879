"""A guide acts only as strongly as it has been shown to help, on masks whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from .guide import Combined, Guide
from .judged import CorrectionGuide, PredictorGuide, QualityGuide, QualityMapGuide

STRENGTHS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Shown:
    """How much a guide brings: its strength in [0, 1]; the gain of Dice there, with its standard error over images."""

    strength: float
    gain: float
    error: float

    def __str__(self) -> str:
        return f"strength {self.strength:.2f} (Dice {self.gain:+.4f} ± {self.error:.4f})"


def find_strength(guide: Guide, images: Tensor, masks: Tensor, truth: Tensor, image_ids: Tensor) -> dict[str, Shown]:
    """Set the strength of a guide (of each that is joined) to the one that serves best, and tell it by name.

    images: uint8, or floats in [0, 1], [M, C, *S], of which the guide's predictor has not learnt. masks: uint8 [N, *S],
    made by networks that were not trained on these images. truth: uint8 [M, *S]. image_ids: int64 [N], which image each
    mask is of.
    A gain is: for a guide that corrects, Dice of the corrected less that of the given masks; for weights of samples,
    Dice in their weighted mean less in the plain mean; for weights of pixels, Dice counted in weighted pixels less in
    plain ones. Of 1/4, 1/2, 3/4 and 1 the strength with the largest gain less its standard error is taken (images are
    the unit), 0 where none is above 0. Guides without a predictor, and regularisers, keep 1.
    """
    if len(masks) != len(image_ids) or len(images) != len(truth):
        raise InputError(
            f"find_strength: wanted as many image ids as masks and masks as images, "
            f"got {len(image_ids)} and {len(masks)}, {len(truth)} and {len(images)}"
        )
    found = {}
    for one in guide.guides if isinstance(guide, Combined) else [guide]:
        gain = next((measure for cls, measure in GAINS.items() if isinstance(one, cls)), None)
        if gain is None or not len(masks):
            continue
        tried = [Shown(0.0, 0.0, 0.0)]
        for strength in STRENGTHS:
            one.strength = strength
            tried.append(Shown(strength, *_mean_over_images(gain(one, images, masks, truth, image_ids), image_ids)))
        best = max(tried, key=lambda shown: (shown.gain - shown.error, shown.strength))
        one.strength = best.strength
        found[one.name] = best
    return found


def _by_batch(
    function: Callable[[Tensor, Tensor, Tensor], Tensor], images: Tensor, masks: Tensor, truth: Tensor, ids: Tensor
) -> Tensor:
    """`function` of images in [0, 1], masks and their truth, 64 at a time."""
    parts = [function(in_unit(images[at]), mask, truth[at]) for at, mask in zip(ids.split(64), masks.split(64))]
    return torch.cat(parts)


def _samples(guide: QualityGuide, images: Tensor, masks: Tensor, truth: Tensor, ids: Tensor) -> Tensor:
    weights = _by_batch(lambda x, m, t: guide.weights(x, m), images, masks, truth, ids)
    scores = _dice(masks, truth[ids], guide)
    if not weights.any():
        return torch.zeros_like(scores)
    part, plain = weights / weights.mean(), scores.mean()
    guided = (part * scores).mean()
    # Each mask's share in the difference of the two means, to first order: their mean is the difference itself.
    return guided - plain + part * (scores - guided) - (scores - plain)


def _pixels(guide: QualityMapGuide, images: Tensor, masks: Tensor, truth: Tensor, ids: Tensor) -> Tensor:
    def gain(x: Tensor, m: Tensor, t: Tensor) -> Tensor:
        own, _, _ = guide._chances(x, m)
        v = guide.soften((2 * own - 1).clamp(min=0))
        right, wrong = ((m == t) & (t > 0)).float(), (m != t).float()
        both, errors = (v * right).flatten(1).sum(1), (v * wrong).flatten(1).sum(1)
        plain = _accuracy(right.flatten(1).sum(1), wrong.flatten(1).sum(1))
        return _accuracy(both, errors).where(both + errors > 0, plain) - plain

    return _by_batch(gain, images, masks, truth, ids)


def _corrections(guide: CorrectionGuide, images: Tensor, masks: Tensor, truth: Tensor, ids: Tensor) -> Tensor:
    def gain(x: Tensor, m: Tensor, t: Tensor) -> Tensor:
        return _dice(guide.correct(x, m)[0], t, guide) - _dice(m, t, guide)

    return _by_batch(gain, images, masks, truth, ids)


GAINS: dict[type, Callable[..., Tensor]] = {
    QualityGuide: _samples,
    QualityMapGuide: _pixels,
    CorrectionGuide: _corrections,
}


def _accuracy(right: Tensor, wrong: Tensor) -> Tensor:
    """2 tp / (2 tp + fp + fn), 1 where there is nothing."""
    total = 2 * right + wrong
    return (2 * right / total.where(total > 0, 1)).where(total > 0, 1)


def _dice(a: Tensor, b: Tensor, guide: PredictorGuide) -> Tensor:
    scores = dice(a, b, guide.predictor.num_classes)
    return scores.mean(1) if scores.ndim == 2 else scores


def _mean_over_images(gains: Tensor, ids: Tensor) -> tuple[float, float]:
    """Mean, and its standard error with images as the unit: masks of one image are not independent."""
    images = ids.unique()
    each = torch.stack([gains[ids == k].mean() for k in images])
    error = each.std() / len(each) ** 0.5 if len(each) > 1 else each.new_zeros(())
    return float(gains.mean()), float(error)
