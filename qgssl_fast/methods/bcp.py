"""Bidirectional copy-paste: labelled and unlabelled images in one picture, labels and pseudo-labels in one mask."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..ops.corrupt import corrupt
from ..ops.losses import consistency
from ..quality.guide import Guide
from ..recipes import Recipe, load_recipe
from .base import Method, Network, Unlabelled, entropy_dice_kind, judged, teach
from .mixing import box_of_part, mix


class Bcp(Method):
    """L_in + L_out of mixed images X_in = X_l M + X_u (1 - M) and X_out = X_u M + X_l (1 - M)
    (Bai et al. 2023, section 3).

    M is 0 in a box whose sides are `box` of the image's. L_seg = 0.5 (B)CE + 0.5 (1 - soft Dice) counts the labelled
    pixels with 1 and those of pseudo-labels with `alpha`: L_in = L_seg M + alpha L_seg (1 - M), L_out the other way.
    Pseudo-labels are the EMA teacher's hard masks, of each class its largest component (`largest`); a guide's weights
    of samples and pixels are for them alone. One half of the unlabelled batch goes in, the other is pasted upon.
    """

    name = "bcp"
    source = "Bai et al. 2023"
    needs_teacher = True
    needs_labelled = True

    def __init__(self, alpha: float = 0.5, box: float = 2 / 3, largest: bool = True) -> None:
        if not (alpha >= 0 and 0 < box < 1):
            raise InputError(f"method {self.name}: wanted alpha >= 0 and 0 < box < 1, got {alpha} and {box}")
        self.alpha, self.box, self.largest = alpha, box, largest

    def method_loss(
        self, student: Network, teacher: nn.Module | None, batch: Unlabelled, guide: Guide
    ) -> tuple[Tensor, None, dict[str, Tensor]]:
        if batch.labelled is None:
            raise InputError(f"{self.name} mixes labelled images in: wanted Unlabelled.labelled, got none")
        taught = teach(self.name, teacher, batch.weak, batch.progress)
        verdict, logs = judged(guide, taught)
        labels = verdict.labels
        if self.largest:
            labels = corrupt(labels, largest_component(), num_classes=max(2, taught.logits.shape[1])).masks
        images, masks = batch.labelled
        count, total = max(1, len(labels) // 2), batch.weak.new_zeros(())
        every = torch.arange(count, device=images.device)
        background = (~box_of_part(count, self.box, images.shape[2:], images.device)).float()
        for first, own in ((0, background), (len(labels) - count, 1 - background)):
            unlabelled, labelled = every + first, (every + first) % len(images)
            mixed = mix(images[labelled], batch.weak[unlabelled], own)
            target = mix(masks[labelled], labels[unlabelled], own)
            pixels = 1 - own if verdict.pixels is None else (1 - own) * verdict.pixels[unlabelled]
            logits = student(mixed)
            kind = entropy_dice_kind(logits)
            total = total + consistency(logits, target, None, kind, own)
            total = total + self.alpha * consistency(logits, target, verdict.weights[unlabelled], kind, pixels)
        return total, None, logs


@cache
def largest_component() -> Recipe:
    """The recipe that keeps of each mask its largest component (8-connected)."""
    return load_recipe("paper").only("largest_only")
