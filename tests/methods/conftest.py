"""A tiny batch, two networks with features, and the published formulas' parts in plain torch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qgssl_fast.methods import Unlabelled
from qgssl_fast.networks import Segmenter
from qgssl_fast.quality import QualityPredictor

OPTIONS = {"channels": [4, 8, 8], "strides": [2, 2], "num_res_units": 0, "norm": "batch"}


def network(classes, seed, **options):
    torch.manual_seed(seed)
    return Segmenter("UNet", num_classes=classes, image_size=(16, 16), options=OPTIONS | options)


@pytest.fixture(params=[2, 3], ids=["binary", "classes"])
def setting(request):
    """student, teacher, batch, predictor."""
    classes = request.param
    g = torch.Generator().manual_seed(0)
    weak, strong, second, images = torch.rand(4, 5, 3, 16, 16, generator=g)
    masks = torch.randint(0, classes, (3, 16, 16), generator=g, dtype=torch.uint8)
    batch = Unlabelled(weak, strong, second, (images[:3], masks), 0.5)
    torch.manual_seed(2)
    predictor = QualityPredictor("small", num_classes=classes, options={"features": [8, 8], "hidden": 16})
    return network(classes, 0), network(classes, 1).eval(), batch, predictor


def probs_of(logits):
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)


def labels_of(logits):
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def confidence_of(logits):
    p = probs_of(logits)
    return torch.maximum(p, 1 - p)[:, 0] if p.shape[1] == 1 else p.amax(1)


def entropy_of(logits, labels):
    """Cross-entropy of each pixel, [B, H, W]."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float(), reduction="none")
    return nn.functional.cross_entropy(logits, labels.long(), reduction="none")


def entropy_dice(logits, labels, v=None):
    """0.5 (B)CE + 0.5 (1 - soft Dice) of one sample, [K, H, W] and [H, W], with pixel weights v [H, W]."""
    v = torch.ones(labels.shape) if v is None else v
    entropy = (v * entropy_of(logits[None], labels[None])[0]).sum() / v.sum()
    p = probs_of(logits[None])[0]
    pairs = [(p[k], (labels == (k if len(p) > 1 else 1)).float()) for k in range(1 if len(p) > 1 else 0, len(p))]
    dice = [(2 * (v * p * t).sum() + 1e-6) / ((v * p).sum() + (v * t).sum() + 1e-6) for p, t in pairs]
    return 0.5 * entropy + 0.5 * (1 - torch.stack(dice).mean())


def weighted(losses, w):
    return sum(a * b for a, b in zip(losses, w)) / sum(w)


def quality_weights(predictor, images, labels, threshold, temperature=2):
    q = predictor.eval()(images, labels.byte()).detach()
    q = q.mean(1) if q.ndim == 2 else q
    return q**temperature * (q >= threshold)
