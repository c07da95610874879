"""Augmentation of a batch on its device: geometry shared by images and masks, and the look of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import NamedTuple, overload

import torch
from torch import Tensor

from qgssl_fast import backend as backends
from qgssl_fast.errors import Faults, InputError
from qgssl_fast.kernels.reference.augment import ONE, SCALES, Finish, Geometry, Look
from qgssl_fast.kernels.reference.packed import PackedMasks

backends.register("augment", stem="augment", backends=("triton", "native", "reference"))


@dataclass(frozen=True)
class Augmentation:
    """How far a sample may be changed; every default leaves it as it is. Draws are uniform unless said otherwise."""

    flip: float = 0.0  # probability of a flip, for each axis
    rotate_deg: float = 0.0  # largest rotation, degrees, in the plane of the last two axes
    scale: tuple[float, float] = (1.0, 1.0)  # zoom, log-uniform; > 1 enlarges
    translate: float = 0.0  # largest shift, as a part of each side
    p_geometry: float = 1.0  # probability that rotation, scale and shift are done
    brightness: float = 0.0  # largest offset, images in [0, 1]
    contrast: float = 0.0  # factor in 1 -+ this, about the image's mean
    saturation: float = 0.0  # factor in 1 -+ this, about the grey value
    color: float = 0.0  # each channel's factor in 1 -+ this
    gamma: float = 0.0  # exponent log-uniform in exp(-+ this)
    p_color: float = 1.0  # probability that the five above are done
    noise: float = 0.0  # largest standard deviation, images in [0, 1]
    p_noise: float = 1.0  # probability of noise
    blur: float = 0.0  # largest sigma, px
    p_blur: float = 1.0  # probability of blur

    def __post_init__(self) -> None:
        faults = Faults()
        object.__setattr__(self, "scale", tuple(self.scale))
        for name, top in LIMITS.items():
            value = getattr(self, name)
            if not 0 <= value <= top:  # false for NaN too
                faults.add(f"{name} must be in [0, {top:g}], got {value}")
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1] < math.inf:
            faults.add(f"scale must be (low, high) with 0 < low <= high, got {self.scale}")
        faults.check("Augmentation")

    @property
    def flips_only(self) -> bool:
        """Whether no pixel is interpolated."""
        return (self.rotate_deg, self.scale, self.translate) == (0, (1, 1), 0) or self.p_geometry == 0

    @property
    def changes_color(self) -> bool:
        return self.p_color > 0 and any((self.brightness, self.contrast, self.saturation, self.color, self.gamma))

    def geometry_only(self) -> Augmentation:
        """The same geometry, the look untouched."""
        return replace(self, p_color=0.0, p_noise=0.0, p_blur=0.0)

    @lru_cache(maxsize=32)  # noqa: B019 (frozen, and few)
    def geometry(self) -> Geometry:
        """As kernels take it."""
        low, high = map(math.log, self.scale)
        inverse = [round(ONE * math.exp(-(low + (high - low) * k / SCALES))) for k in range(SCALES + 1)]
        moves = 0 if self.flips_only else _chance(self.p_geometry)
        return Geometry(
            _chance(self.flip), moves, round(self.rotate_deg * ONE), round(self.translate * ONE), tuple(inverse)
        )

    @lru_cache(maxsize=32)  # noqa: B019
    def look(self) -> Look:
        """As kernels take it."""
        color = _chance(self.p_color) if self.changes_color else 0
        chances = (_chance(self.p_blur if self.blur else 0), color, _chance(self.p_noise if self.noise else 0))
        strengths = (self.blur, self.brightness, self.contrast, self.saturation, self.color, self.gamma, self.noise)
        return Look(*chances, *strengths)


def _chance(probability: float) -> int:
    return round(probability * 2**32)


LIMITS: dict[str, float] = {field.name: 1.0 for field in fields(Augmentation) if field.name != "scale"} | {
    "rotate_deg": 180.0,
    "gamma": 2.0,
    "blur": 8.0,
}


def weak_view() -> Augmentation:
    """Flips, moderate geometry, a slight change of light: for labelled images and the teacher."""
    return Augmentation(
        flip=0.5, rotate_deg=20, scale=(0.85, 1.2), translate=0.08, brightness=0.05, contrast=0.1, color=0.05
    )


def strong_view() -> Augmentation:
    """A strong change of looks and no geometry: for the student, on top of the geometry of the weak view."""
    return Augmentation(
        brightness=0.2, contrast=0.4, saturation=0.4, color=0.2, gamma=0.4, p_color=0.9,
        noise=0.08, p_noise=0.5, blur=1.2, p_blur=0.4,
    )  # fmt: skip


def image_only() -> Augmentation:
    """Brightness, contrast, colour jitter and slight noise: for the quality predictor (arXiv 2606.01753, phase 1)."""
    return Augmentation(
        brightness=0.1, contrast=0.2, saturation=0.2, color=0.1, p_color=0.8, noise=0.03, p_noise=0.5
    )  # fmt: skip


class Views(NamedTuple):
    """Two looks at the same batch: [B, C, *S] each, and masks uint8 [B, *S] or None."""

    weak: Tensor
    strong: Tensor
    masks: Tensor | None


Statistics = tuple[Sequence[float], Sequence[float]]


@overload
def augment(
    images: Tensor,
    masks: Tensor | PackedMasks,
    augmentation: Augmentation,
    *,
    seed: int,
    sample_ids: Tensor,
    index: Tensor | None = None,
    normalisation: Statistics | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]: ...
@overload
def augment(
    images: Tensor,
    masks: None,
    augmentation: Augmentation,
    *,
    seed: int,
    sample_ids: Tensor,
    index: Tensor | None = None,
    normalisation: Statistics | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, None]: ...
def augment(
    images: Tensor,
    masks: Tensor | PackedMasks | None,
    augmentation: Augmentation,
    *,
    seed: int,
    sample_ids: Tensor,
    index: Tensor | None = None,
    normalisation: Statistics | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, Tensor | None]:
    """Augment a batch: images [B, C, *S] in [0, 1] and masks uint8 [B, *S], under the same geometry.

    images uint8, or float16 in [0, 1], [B, C, H, W] or [B, C, D, H, W]; masks uint8 [B, *S] of any labels, or packed,
    or None; sample_ids int64 [B] on the same device. With index, int64 [B], images and masks are a store's, of which
    these rows are taken. normalisation: mean and standard deviation of each channel of images in [0, 1], taken off and
    divided by at last; dtype: float32, float16 or bfloat16 of the result; channels_last: its memory format.
    Images are sampled linearly, masks by nearest neighbour; beyond the border both are reflected. A sample's result
    depends on (seed, sample id) alone, whatever stands in the batch beside it; masks and places of pixels are the same
    bits on every backend.
    """
    views = augment_views(
        images, masks, augmentation, None, seed=seed, sample_ids=sample_ids, index=index, normalisation=normalisation,
        dtype=dtype, channels_last=channels_last, backend=backend,
    )  # fmt: skip
    return views.weak, views.masks


def augment_views(
    images: Tensor,
    masks: Tensor | PackedMasks | None,
    geometry: Augmentation,
    strong: Augmentation | None,
    *,
    seed: int,
    sample_ids: Tensor,
    index: Tensor | None = None,
    normalisation: Statistics | None = None,
    dtype: torch.dtype = torch.float32,
    channels_last: bool = False,
    backend: str = "auto",
) -> Views:
    """A weak and a strong view of a batch that lie pixel on pixel.

    geometry: the weak view, whose geometry both share; its look is the weak view's alone. strong: the look of the
    strong view (InputError if it asks for geometry of its own); None makes it the weak view. The rest as in `augment`.
    """
    _check(images, masks, seed, sample_ids, index)
    if strong is not None and (strong.flip or not strong.flips_only):
        raise InputError(
            "augment_views: strong must have no geometry (flip, rotate_deg, scale, translate), it is shared"
        )
    finish = _finish(images.shape[1], normalisation, dtype, channels_last)
    if backend == "auto" and images.device.type != "cpu" and backends.refusal("triton", images.device):
        backend = "reference"  # plain torch on the device; the C++ kernel would bring the whole store to the host
    kernel = backends.kernel("augment", images.device, backend)
    if index is None:
        index = torch.arange(len(images), device=images.device)
    looks = (geometry.look(),) if strong is None else (geometry.look(), strong.look())
    if not len(index):
        made: Sequence[Tensor] = [finish.of(images[:0].to(torch.float32)) for _ in looks]
        if masks is not None:
            made = [*made, torch.empty((0, *images.shape[2:]), dtype=torch.uint8, device=images.device)]
    else:
        made = kernel(images, masks, index, geometry.geometry(), looks, seed, sample_ids, finish)
    return Views(made[0], made[len(looks) - 1], None if masks is None else made[-1])


def _finish(channels: int, normalisation: Statistics | None, dtype: torch.dtype, channels_last: bool) -> Finish:
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise TypeError(f"augment: dtype must be float32, float16 or bfloat16, got {dtype}")
    if normalisation is None:
        return Finish(dtype, channels_last)
    mean, deviation = (tuple(map(float, numbers)) for numbers in normalisation)
    if len(mean) != channels or len(deviation) != channels:
        raise InputError(
            f"augment: normalisation must be {channels} means and deviations, got {len(mean)} and {len(deviation)}"
        )
    if not all(map(math.isfinite, mean + deviation)) or min(deviation) <= 0:
        raise InputError(f"augment: normalisation must be finite with deviations > 0, got {mean} and {deviation}")
    return Finish(dtype, channels_last, tuple(1 / d for d in deviation), tuple(-m / d for m, d in zip(mean, deviation)))


def _check(
    images: Tensor, masks: Tensor | PackedMasks | None, seed: int, sample_ids: Tensor, index: Tensor | None
) -> None:
    if images.dtype not in (torch.uint8, torch.float16):
        raise TypeError(f"augment: images must be uint8 or float16, got {images.dtype}")
    if images.dim() not in (4, 5):
        raise InputError(f"augment: images must be [B, C, H, W] or [B, C, D, H, W], got {list(images.shape)}")
    batch = len(images) if index is None else len(index)
    for name, numbers in (("sample_ids", sample_ids), ("index", index)):
        if numbers is None:
            continue
        if numbers.dtype != torch.int64:
            raise TypeError(f"augment: {name} must be int64, got {numbers.dtype}")
        if numbers.shape != (batch,):
            raise InputError(f"augment: {name} must be [{batch}], got {list(numbers.shape)}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"augment: seed must be an int, got {seed!r}")
    if not 0 <= seed < 2**64:
        raise InputError(f"augment: seed must be in [0, 2^64), got {seed}")
    bits = masks.bits if isinstance(masks, PackedMasks) else masks
    if bits is not None and bits.dtype != torch.uint8:
        raise TypeError(f"augment: masks must be uint8, got {bits.dtype}")
    if isinstance(masks, PackedMasks):
        wanted = [len(images), masks.bits.shape[1], -(-math.prod(images.shape[2:]) // 8)]
        if masks.shape != images.shape[2:] or list(masks.bits.shape) != wanted or not 1 <= wanted[1] <= 8:
            raise InputError(
                f"augment: packed masks must be {wanted} bits of {list(images.shape[2:])}, got "
                f"{list(masks.bits.shape)} of {list(masks.shape)}"
            )
    elif masks is not None and masks.shape != images.shape[:1] + images.shape[2:]:
        raise InputError(f"augment: masks must be {[len(images), *images.shape[2:]]}, got {list(masks.shape)}")
    if len({tensor.device for tensor in (images, bits, sample_ids, index) if tensor is not None}) > 1:
        raise InputError("augment: images, masks, sample_ids and index must lie on the same device")
