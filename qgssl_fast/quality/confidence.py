"""Guides that ask the teacher alone how sure it is; no predictor."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.outputs import entropy, probabilities
from .guide import Guide, Taught, Verdict


def _in_unit(guide: str, name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise InputError(f"guide {guide}: {name} must be 0 <= {name} <= 1, got {value}")
    return value


class ThresholdGuide(Guide):
    """PL-T: a pixel counts 1 where the teacher's confidence max_c p_c is `threshold` or more, else 0."""

    name = "threshold"
    weighs = True

    def __init__(self, threshold: float = 0.9) -> None:
        self.threshold = _in_unit(self.name, "threshold", threshold)

    def judge(self, taught: Taught) -> Verdict:
        pixels = (taught.confidence >= self.threshold).float()
        return Verdict(taught.labels, pixels.new_ones(len(pixels)), pixels, {"pixels_kept": pixels.mean()})


class ConfidenceGuide(Guide):
    """PL-C: w = c^2 [c >= threshold], c the mean over pixels of the teacher's confidence."""

    name = "confidence"
    weighs = True

    def __init__(self, threshold: float = 0.9, temperature: float = 2.0) -> None:
        self.threshold = _in_unit(self.name, "threshold", threshold)
        if not temperature >= 0:
            raise InputError(f"guide {self.name}: temperature must be >= 0, got {temperature}")
        self.temperature = temperature

    def judge(self, taught: Taught) -> Verdict:
        mean = taught.confidence.flatten(1).mean(1)
        return Verdict(
            taught.labels, mean**self.temperature * (mean >= self.threshold), None, {"confidence": mean.mean()}
        )


class UncertaintyGuide(Guide):
    """UA-MT (Yu et al. 2019, eq. 2 and 3): a pixel counts 1 where u = -sum_c mu_c log mu_c < H(t), else 0.

    mu is the mean of `passes` probabilities of the teacher under dropout and Gaussian noise on its input (standard
    deviation `noise`, cut at twice that); H(t) = (3/4 + 1/4 exp(-5 (1 - t)^2)) log C rises with the progress t.
    A teacher without dropout layers is asked under noise alone. Only dropout layers leave the eval mode.
    """

    name = "uncertainty"
    weighs = True
    asks_teacher = True

    def __init__(self, passes: int = 8, noise: float = 0.1) -> None:
        if passes < 1:
            raise InputError(f"guide {self.name}: passes must be >= 1, got {passes}")
        if not noise >= 0:
            raise InputError(f"guide {self.name}: noise must be >= 0, got {noise}")
        self.passes, self.noise = passes, noise

    @torch.no_grad()
    def judge(self, taught: Taught) -> Verdict:
        if taught.model is None:
            raise InputError(f"guide {self.name} asks a teacher by dropout, got none")
        mean = torch.zeros_like(taught.probs)
        with dropout_on(taught.model):
            for _ in range(self.passes):
                mean += probabilities(taught.model(self._noisy(taught.images))) / self.passes
        classes = max(2, mean.shape[1])
        pixels = (entropy(mean) < ramped_threshold(taught.progress) * math.log(classes)).float()
        return Verdict(taught.labels, pixels.new_ones(len(pixels)), pixels, {"pixels_kept": pixels.mean()})

    def _noisy(self, images: Tensor) -> Tensor:
        return images + (torch.randn_like(images) * self.noise).clamp(-2 * self.noise, 2 * self.noise)


def ramped_threshold(progress: float | Tensor) -> Tensor:
    """3/4 to 1 along Laine and Aila's sigmoid ramp: the part of the largest entropy up to which pixels count."""
    return 0.75 + 0.25 * torch.exp(-5 * (1 - torch.as_tensor(progress).clamp(0, 1)) ** 2)


@contextmanager
def dropout_on(network: nn.Module) -> Iterator[None]:
    """Dropout layers drop, all others stay as they are."""
    layers = [m for m in network.modules() if isinstance(m, nn.modules.dropout._DropoutNd)]
    before = [layer.training for layer in layers]
    for layer in layers:
        layer.train()
    try:
        yield
    finally:
        for layer, training in zip(layers, before):
            layer.train(training)
