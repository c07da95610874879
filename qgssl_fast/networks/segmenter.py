"""The segmenter f: a named network with its normalisation inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from .options import plain
from .registry import build_network, check_size
from .taps import Taps, find_taps, with_dropped, with_features
from .weights import SavedModule

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Segmenter(SavedModule):
    """f: images float [B, C, *S] in [0, 1] -> logits [B, 1, *S] (binary) or [B, num_classes, *S].

    network: a name of :func:`list_networks`; options: go to its constructor. image_size: pixels (voxels) a side of the
    images it is meant for; others are taken too where the network can. mean, std: per channel, of images in [0, 1];
    None: ImageNet's for three channels, else 0.5 and 0.25. Of several outputs (deep supervision) the finest is given.
    Raises InputError for unknown names and options, sizes and values that the network cannot take.
    """

    kind = "segmenter"

    def __init__(
        self,
        network: str = "BasicUNet",
        spatial_dims: int = 2,
        in_channels: int = 3,
        num_classes: int = 2,
        image_size: Sequence[int] = (96, 96),
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise InputError(f"segmenter: num_classes must be 2 or more (background counts), got {num_classes}")
        if len(image_size) != spatial_dims:
            raise InputError(f"segmenter: image_size must have {spatial_dims} sides, got {list(image_size)}")
        options = plain(network, options or {})
        out_channels = 1 if num_classes == 2 else num_classes
        self.network, self._multiple, self._smallest = build_network(
            network, spatial_dims, in_channels, out_channels, image_size, options
        )
        check_size(network, image_size, self._multiple, self._smallest)
        self.name, self.spatial_dims, self.num_classes = network, spatial_dims, num_classes
        self.normalize = Normalize(in_channels, spatial_dims, mean, std)
        self._taps: Taps | None = None
        self.extra: dict[str, Any] = {}
        self.arguments = {
            "network": network,
            "spatial_dims": spatial_dims,
            "in_channels": in_channels,
            "num_classes": num_classes,
            "image_size": [int(side) for side in image_size],
            # The file holds the weights: building the network again must not fetch ImageNet's.
            "options": options | {"encoder_weights": None} if network.startswith("smp:") else options,
        }

    def forward(self, images: Tensor, *, features: bool = False, drop: float = 0.0) -> Any:
        """images float [B, C, *S] in [0, 1] -> logits [B, 1 or num_classes, *S].

        features: (logits, features [B, F, *S'] that the last layer makes classes of). drop: (logits, logits with each
        channel of the encoder's features dropped with this probability before the decoder sees them).
        """
        images = self.normalize(images, self.name)
        check_size(self.name, images.shape[2:], self._multiple, self._smallest)
        if features:
            return with_features(self.network, self._found_taps(images), lambda: self._logits(images))
        if drop:
            return with_dropped(self.network, self._found_taps(images), lambda: self._logits(images), drop)
        return self._logits(images)

    def _logits(self, images: Tensor) -> Tensor:
        out = self.network(images)
        if isinstance(out, (list, tuple)):
            return out[-1]  # U-Net++ lists its outputs from coarse to fine
        if out.ndim == self.spatial_dims + 3:
            return out[:, 0]  # DynUNet stacks them in training, the finest first
        return out

    def _found_taps(self, images: Tensor) -> Taps:
        if self._taps is None:
            one, channels = images[:1].detach(), 1 if self.num_classes == 2 else self.num_classes
            self._taps = find_taps(self.network, lambda: self.network(one), tuple(one.shape[2:]), channels)
        return self._taps


class Normalize(nn.Module):
    """(images - mean) / std per channel, after a check of what came; statistics are buffers, saved with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, channels: int, spatial_dims: int, mean: Sequence[float] | None, std: Sequence[float] | None
    ) -> None:
        super().__init__()
        usual = IMAGENET if channels == 3 else ((0.5,) * channels, (0.25,) * channels)
        self.channels, self.spatial_dims = channels, spatial_dims
        for name, given, default in (("mean", mean, usual[0]), ("std", std, usual[1])):
            values = torch.tensor(list(default if given is None else given), dtype=torch.float32)
            if values.shape != (channels,) or not bool(torch.isfinite(values).all()):
                raise InputError(f"{name}: wanted {channels} finite values, one a channel, got {values.tolist()}")
            if name == "std" and bool((values <= 0).any()):
                raise InputError(f"std: must be > 0, got {values.tolist()}")
            self.register_buffer(name, values)

    def forward(self, images: Tensor, owner: str) -> Tensor:
        if not images.is_floating_point():
            raise TypeError(f"{owner}: images must be floating in [0, 1], got {images.dtype}")
        if images.ndim != self.spatial_dims + 2 or images.shape[1] != self.channels:
            shape = ", ".join(["B", str(self.channels), *"DHW"[3 - self.spatial_dims :]])
            raise InputError(f"{owner}: images must be [{shape}], got {list(images.shape)}")
        each = (1, -1, *[1] * self.spatial_dims)
        return (images - self.mean.to(images.dtype).view(each)) / self.std.to(images.dtype).view(each)
