"""Augmentation of a batch on its device: geometry shared by images and masks, and the look of images."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, overload

import torch
from torch import Tensor

from qgssl_fast.errors import Faults, InputError
from qgssl_fast.kernels.reference import augment as reference

GEOMETRY, LOOK, GRAIN = 0, 100, 200  # streams of chance; + 1 for the strong view


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
    """Two looks at the same batch: float32 [B, C, *S] in [0, 1] each, and masks uint8 [B, *S] or None."""

    weak: Tensor
    strong: Tensor
    masks: Tensor | None


@overload
def augment(
    images_u8: Tensor, masks: Tensor, augmentation: Augmentation, *, seed: int, sample_ids: Tensor
) -> tuple[Tensor, Tensor]: ...
@overload
def augment(
    images_u8: Tensor, masks: None, augmentation: Augmentation, *, seed: int, sample_ids: Tensor
) -> tuple[Tensor, None]: ...
def augment(
    images_u8: Tensor, masks: Tensor | None, augmentation: Augmentation, *, seed: int, sample_ids: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Augment a batch: images float32 [B, C, *S] in [0, 1] and masks uint8 [B, *S], under the same geometry.

    images_u8 uint8 [B, C, H, W] or [B, C, D, H, W]; masks uint8 [B, *S] of any labels, or None; sample_ids int64 [B] on
    the same device. Images are sampled bilinearly, masks by nearest neighbour; beyond the border both are reflected.
    A sample's result depends on (seed, sample id) alone, whatever stands in the batch beside it.
    """
    views = augment_views(images_u8, masks, augmentation, None, seed=seed, sample_ids=sample_ids)
    return views.weak, views.masks


def augment_views(
    images_u8: Tensor,
    masks: Tensor | None,
    geometry: Augmentation,
    strong: Augmentation | None,
    *,
    seed: int,
    sample_ids: Tensor,
) -> Views:
    """A weak and a strong view of a batch that lie pixel on pixel.

    geometry: the weak view, whose geometry both share; its look is the weak view's alone. strong: the look of the
    strong view (InputError if it asks for geometry of its own); None makes it the weak view. The rest as in `augment`.
    """
    _check(images_u8, masks, seed, sample_ids)
    if strong is not None and (strong.flip or not strong.flips_only):
        raise InputError(
            "augment_views: strong must have no geometry (flip, rotate_deg, scale, translate), it is shared"
        )
    images, masks = _move(images_u8, masks, geometry, seed, sample_ids)
    weak = _change_look(images, geometry, seed, sample_ids, 0)
    return Views(weak, weak if strong is None else _change_look(images, strong, seed, sample_ids, 1), masks)


def _check(images: Tensor, masks: Tensor | None, seed: int, sample_ids: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise TypeError(f"augment: images must be uint8, got {images.dtype}")
    if images.dim() not in (4, 5):
        raise InputError(f"augment: images must be [B, C, H, W] or [B, C, D, H, W], got {list(images.shape)}")
    if sample_ids.dtype != torch.int64:
        raise TypeError(f"augment: sample_ids must be int64, got {sample_ids.dtype}")
    if sample_ids.shape != images.shape[:1]:
        raise InputError(f"augment: sample_ids must be [{len(images)}], got {list(sample_ids.shape)}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"augment: seed must be an int, got {seed!r}")
    if not 0 <= seed < 2**64:
        raise InputError(f"augment: seed must be in [0, 2^64), got {seed}")
    if masks is not None and masks.dtype != torch.uint8:
        raise TypeError(f"augment: masks must be uint8, got {masks.dtype}")
    if masks is not None and masks.shape != images.shape[:1] + images.shape[2:]:
        raise InputError(f"augment: masks must be {[len(images), *images.shape[2:]]}, got {list(masks.shape)}")
    if len({tensor.device for tensor in (images, masks, sample_ids) if tensor is not None}) > 1:
        raise InputError("augment: images, masks and sample_ids must lie on the same device")


def _move(
    images: Tensor, masks: Tensor | None, a: Augmentation, seed: int, sample_ids: Tensor
) -> tuple[Tensor, Tensor | None]:
    shape = tuple(images.shape[2:])
    dims = len(shape)
    if not images.numel() or (a.flip == 0 and a.flips_only):
        return _to_float(images), None if masks is None else masks.clone()
    u = reference.uniform(seed, sample_ids, 3 + 2 * dims, GEOMETRY)
    flip = 1 - 2 * (u[:, 3 : 3 + dims] < a.flip).to(torch.float32)
    if a.flips_only:
        return _to_float(reference.flip_axes(images, flip, 2)), None if masks is None else reference.flip_axes(
            masks, flip, 1
        )
    done = (u[:, 0] < a.p_geometry).to(torch.float32)
    angle = done * (2 * u[:, 1] - 1) * math.radians(a.rotate_deg)
    low, high = map(math.log, a.scale)
    scale = torch.exp(done * (low + u[:, 2] * (high - low)))
    shift = done[:, None] * (2 * u[:, 3 + dims :] - 1) * a.translate
    grid = reference.sampling_grid(reference.affine_matrices(angle, scale, shift, flip, shape), shape)
    moved = reference.warp(_to_float(images), grid, "bilinear")
    if masks is None:
        return moved, None
    return moved, reference.warp(masks[:, None].to(torch.float32), grid, "nearest")[:, 0].round().to(torch.uint8)


def _to_float(images: Tensor) -> Tensor:
    return images.to(torch.float32).mul_(1 / 255)


def _chosen(strength: Tensor) -> Tensor | slice:
    """The samples with a strength over 0 where the host knows it (CPU), else all: a GPU would have to be waited for."""
    return strength.nonzero()[:, 0] if strength.device.type == "cpu" else slice(None)


def _change_look(images: Tensor, a: Augmentation, seed: int, sample_ids: Tensor, view: int) -> Tensor:
    """Blur, colour, gamma, noise; `images` stays as it is."""
    changed, channels = images, images.shape[1]
    if not images.numel():
        return images
    u = reference.uniform(seed, sample_ids, 9 + channels, LOOK + view)
    v = 2 * u - 1
    column = (-1, *[1] * (images.dim() - 1))
    if a.blur and a.p_blur:
        sigma = (u[:, 0] < a.p_blur).to(torch.float32) * u[:, 1] * a.blur
        rows = _chosen(sigma)
        blurred = reference.blur(images[rows], sigma[rows], a.blur)
        changed = blurred if isinstance(rows, slice) else images.index_copy(0, rows, blurred)
    if a.changes_color:
        done = (u[:, 2] < a.p_color).to(torch.float32)
        gains = 1 + done[:, None] * v[:, 9:] * a.color
        changed = reference.color(
            changed,
            done * v[:, 3] * a.brightness,
            1 + done * v[:, 4] * a.contrast,
            1 + done * v[:, 5] * a.saturation,
            gains,
        )
        if a.gamma:
            changed = changed.clamp_(0, 1).pow_(torch.exp(done * v[:, 6] * a.gamma).view(column))
    if a.noise and a.p_noise:
        deviation = (u[:, 7] < a.p_noise).to(torch.float32) * u[:, 8] * a.noise
        rows = _chosen(deviation)
        grain = reference.noise(seed, sample_ids[rows], tuple(images.shape[1:]), GRAIN + view)
        grain *= deviation[rows].view(column)
        changed = grain.add_(changed) if isinstance(rows, slice) else changed.index_add(0, rows, grain)
    return changed if changed is images else changed.clamp_(0, 1)
