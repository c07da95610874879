"""The quality predictor g: how good is this mask of this image, without the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..networks.options import plain
from ..networks.segmenter import Normalize
from ..networks.weights import SavedModule
from .backbones import build_backbone, build_timm, count_features, list_backbones, widen_first_convolution

__all__ = ["QualityPredictor", "list_backbones"]

HEAD: dict[str, Any] = {"dropout": 0.15, "hidden": 256}


class QualityPredictor(SavedModule):
    """g: (images, masks) -> predicted Dice of each mask with the truth, in (0, 1) (Abhishek and Hamarneh 2026).

    Masks are appended to the image channels as {0, 1} or probabilities, one channel a foreground class. Head: global
    average pooling, dropout 0.15, linear 256, ReLU, dropout 0.075, linear num_classes - 1, sigmoid.

    backbone: resnet18, efficientnet-b0, densenet121, small, or timm:<model> (2D, extra `pretrained`).
    mean, std: per image channel, of images in [0, 1]; None: ImageNet's for three channels, else 0.5 and 0.25.
    options: `dropout` (the first; the second is half of it), `hidden`, `mask_filter` ("mean": the mask's part of each
    first filter starts as the mean of the images' part; "random"; default "mean" for timm); others go to the backbone.
    Raises InputError for unknown names and options and for values that cannot be.
    """

    kind = "quality predictor"

    def __init__(
        self,
        backbone: str = "resnet18",
        spatial_dims: int = 2,
        in_channels: int = 3,
        num_classes: int = 2,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise InputError(f"quality predictor: num_classes must be 2 or more (background counts), got {num_classes}")
        if spatial_dims not in (2, 3):
            raise InputError(f"quality predictor: spatial_dims must be 2 or 3, got {spatial_dims}")
        options = plain(backbone, options or {})
        pretrained = backbone.startswith("timm:")
        own = HEAD | {"mask_filter": "mean" if pretrained else "random"}
        own |= {name: options[name] for name in own if name in options}
        rest = {name: value for name, value in options.items() if name not in own}
        _check_head(own)
        classes = num_classes - 1
        if pretrained:
            self.encoder = build_timm(backbone, spatial_dims, in_channels, rest)
        else:
            self.encoder = build_backbone(backbone, spatial_dims, in_channels + classes, rest)
        widen_first_convolution(self.encoder, in_channels, classes, own["mask_filter"] == "mean")
        features = count_features(self.encoder, in_channels + classes, spatial_dims)
        self.head = nn.Sequential(
            nn.Dropout(own["dropout"]),
            nn.Linear(features, own["hidden"]),
            nn.ReLU(inplace=True),
            nn.Dropout(own["dropout"] / 2),
            nn.Linear(own["hidden"], classes),
        )
        self.normalize = Normalize(in_channels, spatial_dims, mean, std)
        self.spatial_dims, self.num_classes = spatial_dims, num_classes
        self.extra: dict[str, Any] = {}
        self.arguments = {
            "backbone": backbone,
            "spatial_dims": spatial_dims,
            "in_channels": in_channels,
            "num_classes": num_classes,
            # The file holds the weights: building the network again must not fetch ImageNet's.
            "options": options | {"weights": None} if pretrained else options,
        }

    def forward(self, images: Tensor, masks: Tensor) -> Tensor:
        """Predicted quality of each sample, float [B] (two classes) or [B, num_classes - 1].

        images: float [B, C, *S] in [0, 1]. masks: hard labels, integer or bool, [B, *S] or [B, 1, *S]; or floating
        probabilities, [B, *S] (two classes), [B, num_classes - 1, *S], or [B, num_classes, *S] with the background
        first, which is dropped. The gradient flows into floating masks. Raises InputError where the shapes do not fit.
        """
        return self.logits(images, masks).sigmoid()

    def logits(self, images: Tensor, masks: Tensor) -> Tensor:
        """The same before the sigmoid."""
        images = self.normalize(images, "quality predictor")
        channels = self.mask_channels(images, masks)
        scores = self.head(self.encoder(torch.cat([images, channels], 1)))
        return scores.squeeze(1) if self.num_classes == 2 else scores

    def mask_channels(self, images: Tensor, masks: Tensor) -> Tensor:
        """Masks in any of the forms of :meth:`forward` as [B, num_classes - 1, *S] in the dtype of the images."""
        batch, space, classes = images.shape[0], images.shape[2:], self.num_classes - 1
        if masks.shape == (batch, *space):
            masks = masks.unsqueeze(1)
        if masks.shape[:1] != (batch,) or masks.shape[2:] != space:
            raise InputError(
                f"quality predictor: masks must be [{batch}, *{list(space)}] like the images, got {list(masks.shape)}"
            )
        if not masks.is_floating_point() and masks.shape[1] == 1:
            labels = torch.arange(1, self.num_classes, device=masks.device).view(1, -1, *[1] * self.spatial_dims)
            return (masks == labels).to(images.dtype)
        if masks.is_floating_point() and masks.shape[1] == self.num_classes:
            masks = masks[:, 1:]
        if not masks.is_floating_point() or masks.shape[1] != classes:
            raise InputError(
                f"quality predictor: wanted labels in one channel or probabilities in {classes}, "
                f"got {masks.dtype} in {masks.shape[1]}"
            )
        return masks.to(images.dtype)


def _check_head(own: dict[str, Any]) -> None:
    if not isinstance(own["dropout"], (int, float)) or not 0 <= own["dropout"] < 1:
        raise InputError(f"quality predictor: dropout must be 0 <= dropout < 1, got {own['dropout']!r}")
    if not isinstance(own["hidden"], int) or own["hidden"] < 1:
        raise InputError(f"quality predictor: hidden must be 1 or more, got {own['hidden']!r}")
    if own["mask_filter"] not in ("mean", "random"):
        raise InputError(f"quality predictor: mask_filter must be mean or random, got {own['mask_filter']!r}")
