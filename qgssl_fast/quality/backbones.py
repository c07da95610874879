"""Encoders of the quality predictor: each maps [B, C, *S] to pooled features [B, F] (global average pooling)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, unknown
from ..networks import options as opt
from ..networks.registry import require

RESERVED = (
    "spatial_dims", "in_channels", "n_input_channels", "out_channels", "num_classes", "feed_forward", "pretrained",
    "model_name", "block", "layers", "progress", "bias_downsample",
)  # fmt: skip


class Small(nn.Sequential):
    """Double convolutions, each block's first with stride 2: light enough for training on two CPU cores.

    features: channels of the blocks. norm: MONAI's name of a normalisation, or (name, options).
    """

    def __init__(
        self,
        spatial_dims: int,
        in_channels: int,
        features: Sequence[int] = (32, 64, 128, 256),
        norm: str | tuple[str, dict[str, Any]] = "batch",
    ) -> None:
        from monai.networks.blocks.convolutions import Convolution

        channels = (in_channels, *features)
        blocks = [
            Convolution(spatial_dims, a, b, strides=stride, act="relu", norm=norm, adn_ordering="NA", bias=False)
            for before, after in zip(channels, features)
            for a, b, stride in ((before, after, 2), (after, after, 1))
        ]
        pool = nn.AdaptiveAvgPool2d(1) if spatial_dims == 2 else nn.AdaptiveAvgPool3d(1)
        super().__init__(*blocks, pool, nn.Flatten(1))


def _resnet18(spatial_dims: int, in_channels: int, **options: Any) -> nn.Module:
    from monai.networks.nets.resnet import resnet18

    return resnet18(
        spatial_dims=spatial_dims, n_input_channels=in_channels, feed_forward=False, bias_downsample=False, **options
    )


def _resnet_arguments() -> Callable[..., Any]:
    from monai.networks.nets.resnet import ResNet

    return ResNet


def _densenet121(spatial_dims: int, in_channels: int, **options: Any) -> nn.Module:
    from monai.networks.nets.densenet import DenseNet121

    network = DenseNet121(spatial_dims=spatial_dims, in_channels=in_channels, out_channels=1, **options)
    network.class_layers.out = nn.Identity()
    return network


def _densenet_arguments() -> Callable[..., Any]:
    from monai.networks.nets.densenet import DenseNet

    return DenseNet


def _efficientnet_b0(spatial_dims: int, in_channels: int, **options: Any) -> nn.Module:
    from monai.networks.nets.efficientnet import EfficientNetBN

    network = EfficientNetBN(
        "efficientnet-b0", pretrained=False, spatial_dims=spatial_dims, in_channels=in_channels, **options
    )
    network._fc = nn.Identity()  # type: ignore[assignment]
    network._dropout = nn.Identity()  # type: ignore[assignment]
    return network


def _efficientnet_arguments() -> Callable[..., Any]:
    from monai.networks.nets.efficientnet import EfficientNetBN

    return EfficientNetBN


BACKBONES: dict[str, tuple[str, Callable[..., nn.Module], Callable[[], Callable[..., Any]]]] = {
    "resnet18": ("18 layers (He et al. 2016), the published choice", _resnet18, _resnet_arguments),
    "efficientnet-b0": ("EfficientNet-B0 (Tan and Le 2019)", _efficientnet_b0, _efficientnet_arguments),
    "densenet121": ("121 layers (Huang et al. 2017)", _densenet121, _densenet_arguments),
    "small": ("four strided double convolutions, for training on a CPU", Small, lambda: Small),
}


def list_backbones() -> dict[str, str]:
    """Every backbone name with a line about it."""
    docs = {name: entry[0] for name, entry in BACKBONES.items()}
    return docs | {"timm:<model>": "any 2D model of timm, ImageNet weights (extra: pretrained)"}


def build_backbone(name: str, spatial_dims: int, in_channels: int, options: dict[str, Any]) -> nn.Module:
    """An encoder for `in_channels` channels, images and masks together.

    Raises InputError for an unknown name or option and for values that the encoder cannot take.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, list_backbones())
    _, build, arguments = BACKBONES[name]
    opt.check_options(name, options, opt.arguments_of(arguments(), RESERVED))
    return opt.construct(name, build, spatial_dims=spatial_dims, in_channels=in_channels, **opt.tuples(options))


def build_timm(name: str, spatial_dims: int, image_channels: int, options: dict[str, Any]) -> nn.Module:
    """A timm model for the image channels alone, to be widened by :func:`widen_first_convolution`."""
    if spatial_dims != 2:
        raise InputError(f"{name}: spatial_dims must be 2, got {spatial_dims}")
    require(name, "timm", "pretrained")
    import timm

    opt.check_options(name, options, ["weights"])
    weights = options.get("weights", "imagenet")
    if weights not in ("imagenet", None):
        raise InputError(f"{name}: weights must be imagenet or null, got {weights!r}")
    return opt.construct(
        name,
        timm.create_model,
        model_name=name.removeprefix("timm:"),
        pretrained=weights is not None,
        in_chans=image_channels,
        num_classes=0,
    )


@torch.no_grad()
def widen_first_convolution(encoder: nn.Module, image_channels: int, mask_channels: int, mean_filter: bool) -> None:
    """Let the first convolution take the masks too; with `mean_filter` a mask's filter starts as the images' mean.

    The encoder's first convolution has either the image channels (a pretrained one) or all of them already.
    """
    for parent in encoder.modules():
        for key, child in parent.named_children():
            if isinstance(child, (nn.Conv2d, nn.Conv3d)):
                both = image_channels + mask_channels
                if child.in_channels != both:
                    wide = type(child)(
                        both, child.out_channels, child.kernel_size, child.stride, child.padding, child.dilation,  # type: ignore[arg-type]
                        bias=child.bias is not None,
                    )  # fmt: skip
                    wide.weight[:, :image_channels] = child.weight
                    if child.bias is not None and wide.bias is not None:
                        wide.bias.copy_(child.bias)
                    setattr(parent, key, _same_padding(child, wide))
                    child = wide
                if mean_filter:
                    child.weight[:, image_channels:] = child.weight[:, :image_channels].mean(1, keepdim=True)
                return
    raise InputError(f"{type(encoder).__name__} has no convolution that could take the masks")


def _same_padding(old: nn.Module, new: nn.Module) -> nn.Module:
    if type(old) not in (nn.Conv2d, nn.Conv3d):
        raise InputError(f"{type(old).__name__}: a first convolution of this kind cannot be widened by the masks")
    return new


def count_features(encoder: nn.Module, channels: int, spatial_dims: int) -> int:
    """The F of [B, F], by one small forward pass in eval mode."""
    training = encoder.training
    with torch.no_grad():
        features: Tensor = encoder.eval()(torch.zeros(1, channels, *[32] * spatial_dims))
    encoder.train(training)
    return features.shape[1]
