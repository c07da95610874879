"""The segmentation networks that have names: MONAI's, with defaults, and those of segmentation-models-pytorch."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..errors import InputError, unknown
from . import options as opt

RESERVED = ("spatial_dims", "in_channels", "out_channels", "img_size", "pretrained")


@dataclass(frozen=True)
class Entry:
    """A MONAI network: its defaults where MONAI has none or poor ones, and which image sizes it can take."""

    doc: str
    multiple: int
    """Sides must be a multiple of this many pixels."""
    defaults: dict[str, Any] = field(default_factory=dict)
    smallest: int = 32
    """Sides must be at least this (normalisation needs more than one pixel at the deepest level)."""
    dims: tuple[int, ...] = (2, 3)
    needs: str | None = None
    """A package beyond MONAI's own needs, with the extra that installs it: "einops:transformers"."""
    takes_image_size: bool = False


LEVELS = {"channels": (16, 32, 64, 128, 256), "strides": (2, 2, 2, 2)}

NETWORKS: dict[str, Entry] = {
    "UNet": Entry("residual U-Net, strided convolutions (Kerfoot et al. 2018)", 16, {**LEVELS, "num_res_units": 2}),
    "BasicUNet": Entry("U-Net of double convolutions and max pooling (Falk et al. 2019)", 16),
    "BasicUNetPlusPlus": Entry("U-Net++ with nested skips (Zhou et al. 2018)", 16),
    "AttentionUnet": Entry("U-Net with attention gates (Oktay et al. 2018)", 16, LEVELS),
    "SwinUNETR": Entry(
        "shifted-window transformer encoder (Hatamizadeh et al. 2022)", 32, smallest=64, needs="einops:transformers"
    ),
    "UNETR": Entry(
        "vision-transformer encoder for images of one size (Hatamizadeh et al. 2022)",
        16,
        needs="einops:transformers",
        takes_image_size=True,
    ),
    "SegResNet": Entry("residual encoder and decoder, group norm (Myronenko 2018)", 8, smallest=16),
    "DynUNet": Entry(
        "nnU-Net's U-Net (Isensee et al. 2021)",
        16,
        {"kernel_size": (3,) * 5, "strides": (1, 2, 2, 2, 2), "upsample_kernel_size": (2,) * 4},
    ),
    "FlexibleUNet": Entry("U-Net on an EfficientNet or ResNet encoder", 32, {"backbone": "efficientnet-b0"}, 64),
}


def list_networks() -> dict[str, str]:
    """Every name with a line about it. `smp:<Architecture>:<encoder>` stands for all of segmentation-models-pytorch."""
    docs = {name: f"{entry.doc}; sides a multiple of {entry.multiple}" for name, entry in NETWORKS.items()}
    return docs | {
        "smp:<Architecture>:<encoder>": "segmentation-models-pytorch, 2D, ImageNet weights (extra: pretrained)"
    }


def build_network(
    name: str,
    spatial_dims: int,
    in_channels: int,
    out_channels: int,
    image_size: Sequence[int],
    options: dict[str, Any],
) -> tuple[nn.Module, int, int]:
    """Build a network by name; the numbers beside it: its sides are a multiple of the first and at least the second.

    options: go to its constructor, over our defaults.
    Raises InputError for an unknown name or option, a missing package, a value that the network cannot take.
    """
    if name.startswith("smp:"):
        return _build_smp(name, spatial_dims, in_channels, out_channels, options), 32, 64
    if name not in NETWORKS:
        raise unknown("network", name, list_networks())
    entry = NETWORKS[name]
    if spatial_dims not in entry.dims:
        raise InputError(f"{name}: spatial_dims must be one of {entry.dims}, got {spatial_dims}")
    if entry.needs is not None:
        require(name, *entry.needs.split(":"))
    import monai.networks.nets  # takes a second: only when a network is built

    constructor = getattr(monai.networks.nets, name)
    opt.check_options(name, options, opt.arguments_of(constructor, RESERVED))
    settled: dict[str, Any] = {"spatial_dims": spatial_dims, "in_channels": in_channels, "out_channels": out_channels}
    if entry.takes_image_size:
        settled["img_size"] = tuple(image_size)
    arguments = entry.defaults | opt.tuples(options)
    if "strides" in entry.defaults and "channels" in options and "strides" not in options:
        arguments["strides"] = (2,) * (len(arguments["channels"]) - 1)
    network = opt.construct(name, constructor, **settled, **arguments)
    multiple = _multiple(entry, arguments)
    return network, multiple, entry.smallest if multiple == entry.multiple else 2 * multiple


def check_size(name: str, size: Sequence[int], multiple: int, smallest: int) -> None:
    """Raise InputError where a network cannot take images of this size (pixels a side)."""
    if any(side % multiple or side < smallest for side in size):
        raise InputError(f"{name}: image sides must be a multiple of {multiple}, at least {smallest}, got {list(size)}")


def require(owner: str, package: str, extra: str) -> None:
    """Raise InputError, saying what to install, where a package is not there."""
    if importlib.util.find_spec(package) is None:
        raise InputError(f"{owner} needs {package}, which is not installed: pip install 'qgssl_fast[{extra}]'")


def _multiple(entry: Entry, arguments: dict[str, Any]) -> int:
    """By how much the deepest level is smaller than the image, where the arguments say so."""
    if "strides" in arguments:
        return math.prod(max(s) if isinstance(s, tuple) else s for s in arguments["strides"])
    if "blocks_down" in arguments:
        return 2 ** (len(arguments["blocks_down"]) - 1)
    if "patch_size" in arguments:
        return arguments["patch_size"] ** 5
    return entry.multiple


def _build_smp(name: str, spatial_dims: int, in_channels: int, out_channels: int, options: dict[str, Any]) -> nn.Module:
    parts = name.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError(
            f"network: wanted smp:<Architecture>:<encoder>, such as smp:UnetPlusPlus:resnet34, got {name!r}"
        )
    if spatial_dims != 2:
        raise InputError(f"{name}: spatial_dims must be 2, got {spatial_dims}")
    require(name, "segmentation_models_pytorch", "pretrained")
    import segmentation_models_pytorch as smp

    model = smp.base.SegmentationModel
    architectures = {key: cls for key, cls in vars(smp).items() if isinstance(cls, type) and issubclass(cls, model)}
    if parts[1] not in architectures:
        raise unknown(f"{name}: architecture", parts[1], architectures)
    constructor = architectures[parts[1]]
    reserved = ("encoder_name", "in_channels", "classes", "activation", "aux_params")
    opt.check_options(name, options, opt.arguments_of(constructor, reserved))
    settled = {"encoder_name": parts[2], "in_channels": in_channels, "classes": out_channels}
    given = {"encoder_weights": "imagenet"} | opt.tuples(options)
    return opt.construct(name, constructor, **settled, **given)
