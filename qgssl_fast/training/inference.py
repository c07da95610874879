"""Masks from a trained segmenter, and its Dice."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..methods import hard_labels
from ..ops.overlap import dice
from ..ops.pixels import in_unit
from .ranks import gather, own


@torch.no_grad()
def predict(model: nn.Module, images: Tensor, batch: int = 64) -> Tensor:
    """Hard masks uint8 `[N, *S]` for images `[N, C, *S]` of a store; the model is put in eval mode and back."""
    training = model.training
    model.eval()
    device = next(model.parameters()).device  # the images may lie in host memory
    masks = [hard_labels(model(in_unit(part.to(device)))) for part in images.split(batch)]
    model.train(training)
    return torch.cat(masks) if masks else torch.zeros((0, *images.shape[2:]), dtype=torch.uint8, device=device)


def mean_dice(model: nn.Module, images: Tensor, masks: Tensor, num_classes: int) -> float:
    """Mean Dice over images (and foreground classes) of the model's hard masks; each rank predicts some of them."""
    mine = own(len(images))
    found = dice(predict(model, images[mine]), masks[mine].to(next(model.parameters()).device), num_classes)
    return gather(found, len(images)).mean().item()  # sync
