"""The quality predictor g: how good is this mask of this image, without the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import Faults, InputError
from ..networks.options import plain
from ..networks.segmenter import Normalize
from ..networks.taps import find_levels, with_outputs
from ..networks.weights import SavedModule
from .backbones import build_backbone, build_timm, count_features, list_backbones, widen_first_convolution
from .calibration import KNOTS, isotonic
from .dense import ErrorDecoder

__all__ = ["QualityPredictor", "list_backbones"]

HEAD: dict[str, Any] = {"dropout": 0.15, "hidden": 256, "dense": 0}
PROBE = 64  # px a side of the images that show where the encoder's feature maps are


class QualityPredictor(SavedModule):
    """g: (images, masks) -> predicted Dice of each mask with the truth, in (0, 1) (Abhishek and Hamarneh 2026).

    Masks are appended to the image channels as {0, 1} or probabilities, one channel a foreground class. Head: global
    average pooling, dropout 0.15, linear 256, ReLU, dropout 0.075, linear num_classes - 1, sigmoid.

    backbone: resnet18, efficientnet-b0, densenet121, small, or timm:<model> (2D, extra `pretrained`).
    mean, std: per image channel, of images in [0, 1]; None: ImageNet's for three channels, else 0.5 and 0.25.
    options: `dropout` (the first; the second is half of it), `hidden`, `mask_filter` ("mean": the mask's part of each
    first filter starts as the mean of the images' part; "random"; default "mean" for timm), `dense` (channels of the
    decoder that says where masks are wrong; 0, the default: none); others go to the backbone.
    :meth:`calibrate` makes its scores mean what they say; until then they are the sigmoid's.
    Raises InputError for unknown names and options and for values that cannot be.
    """

    kind = "quality predictor"
    calibration: Tensor
    """Float [num_classes - 1, KNOTS]: the calibrated quality at raw scores 0, 1 / (KNOTS - 1) ... 1."""

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
        self.decoder: ErrorDecoder | None = None
        if own["dense"]:
            probe = torch.zeros(1, in_channels + classes, *[PROBE] * spatial_dims)
            self._levels, channels = find_levels(self.encoder, probe)
            outputs = 1 if num_classes == 2 else num_classes
            self.decoder = ErrorDecoder(spatial_dims, in_channels + classes, channels, outputs, own["dense"])
        self.normalize = Normalize(in_channels, spatial_dims, mean, std)
        self.register_buffer("calibration", torch.linspace(0, 1, KNOTS).repeat(classes, 1))
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

    def forward(self, images: Tensor, masks: Tensor, calibrated: bool = True, dense: bool = False) -> Any:
        """Predicted quality of each sample, float [B] (two classes) or [B, num_classes - 1]; `dense`: that and the
        dense head's logits.

        images: float [B, C, *S] in [0, 1]. masks: hard labels, integer or bool, [B, *S] or [B, 1, *S]; or floating
        probabilities, [B, *S] (two classes), [B, num_classes - 1, *S], or [B, num_classes, *S] with the background
        first, which is dropped. The gradient flows into floating masks. Raises InputError where the shapes do not fit.
        """
        pixels = None
        if dense:
            scores, pixels = self.dense(images, masks)
        else:
            scores = self.logits(images, masks)
        quality = self.calibrated(scores.sigmoid()) if calibrated else scores.sigmoid()
        return (quality, pixels) if dense else quality

    def logits(self, images: Tensor, masks: Tensor) -> Tensor:
        """The raw score before the sigmoid."""
        return self._scores(self.encoder(self._inputs(images, masks)))

    def dense(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the quality, as :meth:`logits`, and of each pixel: [B, 1, *S], whether it is wrong, or
        [B, num_classes, *S], which label is right. InputError where there is no dense head."""
        if self.decoder is None:
            raise InputError("quality predictor: it has no dense head (it was built without the option dense)")
        inputs = self._inputs(images, masks)
        features, maps = with_outputs(self.encoder, self._levels, lambda: self.encoder(inputs))
        return self._scores(features), self.decoder(maps, inputs)

    def spread(self, images: Tensor, masks: Tensor, passes: int) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the calibrated quality over `passes` under the head's dropout (Gal and
        Ghahramani 2016); the encoder runs once. Shapes as :meth:`forward`."""
        features = self.encoder(self._inputs(images, masks))
        training = self.head.training
        self.head.train()
        several = torch.stack([self.calibrated(self._scores(features).sigmoid()) for _ in range(passes)])
        self.head.train(training)
        return several.mean(0), several.std(0, correction=0)

    def calibrated(self, raw: Tensor) -> Tensor:
        """Raw scores [B] or [B, num_classes - 1] by the calibration, linear between its knots."""
        scores = raw.view(len(raw), self.num_classes - 1).float()
        at = (scores * (KNOTS - 1)).clamp(0, KNOTS - 1)
        low = at.detach().floor().clamp(max=KNOTS - 2)
        table = self.calibration.float().expand(len(raw), -1, -1)
        a, b = (table.gather(2, (low.long() + k).unsqueeze(2)).squeeze(2) for k in (0, 1))
        return (a + (at - low) * (b - a)).view_as(raw).to(raw.dtype)

    @torch.no_grad()
    def calibrate(self, raw: Any, true: Any) -> None:
        """Let scores mean what they say: isotonic regression of `true` on the `raw` scores, [N] or [N, C - 1]."""
        raw, true = (np.asarray(x, np.float64).reshape(len(x), -1) for x in (raw, true))
        knots = np.linspace(0, 1, KNOTS)
        table = np.stack([isotonic(raw[:, k], true[:, k], knots) for k in range(raw.shape[1])])
        self.calibration.copy_(torch.from_numpy(table))

    def _scores(self, features: Tensor) -> Tensor:
        scores = self.head(features)
        return scores.squeeze(1) if self.num_classes == 2 else scores

    def _inputs(self, images: Tensor, masks: Tensor) -> Tensor:
        images = self.normalize(images, "quality predictor")
        return torch.cat([images, self.mask_channels(images, masks)], 1)

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

    def check(
        self,
        channels: int | None = None,
        num_classes: int | None = None,
        spatial_dims: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        name: str = "quality predictor",
    ) -> None:
        """Raise InputError, saying all that is wrong, where it was not trained for such images; None: not looked at.

        mean, std: of the images at hand, in [0, 1]; they must lie within half a standard deviation, and a factor of 2,
        of those that it normalises by: images of another range or kind lie further off.
        """
        faults = Faults()
        wanted = {"image channels": channels, "classes": num_classes, "spatial dimensions": spatial_dims}
        own = (self.normalize.channels, self.num_classes, self.spatial_dims)
        for (what, value), mine in zip(wanted.items(), own):
            if value is not None and value != mine:
                faults.add(f"was trained for {mine} {what}, wanted {value}")
        ours, theirs = self.normalize.mean.tolist(), self.normalize.std.tolist()
        if mean is not None and len(mean) == len(ours):
            for k, (a, m, s) in enumerate(zip(mean, ours, theirs)):
                if abs(a - m) > 0.5 * s:
                    faults.add(
                        f"normalises channel {k} by mean {m:.3f} and deviation {s:.3f}, the images' mean is {a:.3f}"
                    )
        if std is not None and len(std) == len(theirs):
            for k, (a, s) in enumerate(zip(std, theirs)):
                if not s / 2 <= a <= 2 * s:
                    faults.add(f"normalises channel {k} by deviation {s:.3f}, the images' is {a:.3f}")
        faults.check(name)

    @classmethod
    def load(cls, path: str | Path, **expected: Any) -> Any:
        """Read a predictor that :meth:`save` wrote, on the CPU, in eval mode; `expected`: as :meth:`check` takes.

        Raises InputError for any other file, and where it was not trained for what is expected.
        """
        found = super().load(path)
        found.check(**expected, name=str(path))
        return found


def _check_head(own: dict[str, Any]) -> None:
    if not isinstance(own["dropout"], (int, float)) or not 0 <= own["dropout"] < 1:
        raise InputError(f"quality predictor: dropout must be 0 <= dropout < 1, got {own['dropout']!r}")
    if not isinstance(own["hidden"], int) or own["hidden"] < 1:
        raise InputError(f"quality predictor: hidden must be 1 or more, got {own['hidden']!r}")
    if not isinstance(own["dense"], int) or own["dense"] < 0:
        raise InputError(f"quality predictor: dense must be 0 or more channels, got {own['dense']!r}")
    if own["mask_filter"] not in ("mean", "random"):
        raise InputError(f"quality predictor: mask_filter must be mean or random, got {own['mask_filter']!r}")
