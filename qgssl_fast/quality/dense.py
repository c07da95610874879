"""The dense head: where is this mask wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ErrorDecoder(nn.Module):
    """From an encoder's feature maps, finest first, and its input to a logit of each pixel, [B, out_channels, *S].

    Top down: each level is a 1x1 convolution to `width` channels, added to the enlarged coarser one, then a 3x3
    convolution (Lin et al. 2017, feature pyramids); at last the input's own channels join.
    """

    def __init__(
        self, spatial_dims: int, in_channels: int, channels: Sequence[int], out_channels: int, width: int
    ) -> None:
        super().__init__()
        convolution = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d

        def block(inside: int) -> nn.Sequential:
            return nn.Sequential(convolution(inside, width, 3, padding=1, bias=False), norm(width), nn.ReLU())

        self.mode = "bilinear" if spatial_dims == 2 else "trilinear"
        self.lateral = nn.ModuleList(convolution(c, width, 1) for c in channels)
        self.blocks = nn.ModuleList(block(width) for _ in channels)
        self.last = nn.Sequential(block(width + in_channels), convolution(width, out_channels, 1))

    def forward(self, features: Sequence[Tensor], inputs: Tensor) -> Tensor:
        x: Tensor | None = None
        for lateral, block, feature in reversed(list(zip(self.lateral, self.blocks, features))):
            level = lateral(feature)
            x = block(level if x is None else level + self._enlarged(x, feature))
        assert x is not None
        return self.last(torch.cat([self._enlarged(x, inputs), inputs], 1))

    def _enlarged(self, x: Tensor, like: Tensor) -> Tensor:
        return F.interpolate(x, like.shape[2:], mode=self.mode, align_corners=False)


def dense_loss(logits: Tensor, errors: Tensor, truth: Tensor) -> Tensor:
    """What the dense head is trained by, a scalar.

    Two classes, logits [B, 1, *S]: binary cross-entropy with the errors uint8 [B, *S] that `corrupt` gives. More,
    logits [B, C, *S]: cross-entropy with the true labels uint8 [B, *S], so that the head names the right class.
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0].float(), errors.float())
    return F.cross_entropy(logits.float(), truth.long())


def chance_of_labels(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How likely each pixel's label is right, [B, *S] in (0, 1); the likeliest label, uint8; how likely that one is.

    logits: of the dense head. labels: integer [B, *S]. Two classes: the error e is the sigmoid, the other label is
    right with probability e. More: the softmax says each label's.
    """
    labels = labels.to(torch.uint8)
    if logits.shape[1] == 1:
        error = logits[:, 0].float().sigmoid()
        own, other = 1 - error, error
        return own, torch.where(other > own, 1 - labels, labels), torch.maximum(own, other)
    probs = logits.float().softmax(1)
    best, label = probs.max(1)
    return probs.gather(1, labels.long().unsqueeze(1)).squeeze(1), label.to(torch.uint8), best
