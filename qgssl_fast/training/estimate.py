"""How long a run will take, from a few timed steps of its own networks."""

from __future__ import annotations

import math
import time

import torch
from torch import nn

from ..networks import Segmenter
from ..quality.predictor import QualityPredictor
from .config import Config
from .inputs import Inputs


def estimate_seconds(
    config: Config, inputs: Inputs, wanting: int, weak: Segmenter, predictor: QualityPredictor, segmenter: Segmenter
) -> float:
    """Seconds of all stages, `wanting` methods using unlabelled images: the networks' time and a quarter more."""
    device = inputs.stores["train"].device
    labelled, seg = len(inputs.stores["train"]), config.segmenter
    count = max(2, min(16, 2**18 // math.prod(config.images.size)))
    images = torch.rand(count, inputs.channels, *config.images.size, device=device)
    masks = (images[:, 0] > 0.5).to(torch.uint8)
    weak_steps = config.weak.steps_per_epoch or -(-labelled // config.weak.batch)
    seconds = config.weak.epochs * weak_steps * min(config.weak.batch, labelled) * _per_image(weak, images)
    quality = config.quality
    per_epoch = quality.steps_per_epoch or -(-labelled * quality.corruptions_per_image // quality.batch)
    seconds += quality.epochs * per_epoch * quality.batch * _per_image(predictor, images, masks)
    steps = seg.epochs * (seg.steps_per_epoch or -(-labelled // seg.labelled_batch))
    active = max(0.0, 1 - seg.method_lambda.start / seg.epochs)
    unlabelled = wanting * active * seg.unlabelled_batch * 1.5  # teacher and predictor cost about half a student's step
    seconds += steps * (len(config.methods) * seg.labelled_batch + unlabelled) * _per_image(segmenter, images)
    return 1.25 * seconds


def _per_image(model: nn.Module, *inputs: torch.Tensor) -> float:
    model.train()
    took = []
    for _ in range(5):
        began = time.perf_counter()
        model(*inputs).sum().backward()
        if inputs[0].is_cuda:
            torch.cuda.synchronize()  # sync
        took.append(time.perf_counter() - began)
    model.zero_grad(set_to_none=True)
    return min(took) / len(inputs[0])
