"""Masks moved by affine matrices or by a smooth random field; nearest pixels, decided in Q16.16 fixed point."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .. import backend as backends
from ..errors import InputError
from ..recipes.operations import LONGEST_SIDE, to_fixed
from . import _check
from ._library import define
from .corrupt import numbers

for _name in ("affine", "elastic"):
    backends.register(_name, stem="resample", backends=("cuda", "triton", "native", "reference"))


def affine(masks: Tensor, matrices: Tensor, *, truncate: bool = False, backend: str = "auto") -> Tensor:
    """Each mask through its matrix: pixel (x, y) of the result looks at matrices @ (x, y, 1) of the input.

    masks: uint8 or bool [B, H, W], nonzero = 1, sides up to 4096. matrices: [B, 2, 3], x first, in pixels; int32 is
    Q16.16, floats are rounded to that (half to even). Outside the image is 0. truncate: a pixel is 1 only where every
    neighbour with weight in linear interpolation is 1, else the nearest pixel counts. Returns uint8 [B, H, W].
    Volumes [B, D, H, W] take matrices [B, 3, 4], for (x, y, z, 1).
    """
    axes = _check_sides("affine", masks)
    if not isinstance(matrices, Tensor) or not (matrices.dtype == torch.int32 or matrices.is_floating_point()):
        kind = getattr(matrices, "dtype", type(matrices).__name__)
        raise TypeError(f"affine: matrices must be int32 (Q16.16) or float, got {kind}")
    if matrices.shape != (masks.shape[0], axes, axes + 1):
        raise InputError(f"affine: matrices must be {[masks.shape[0], axes, axes + 1]}, got {list(matrices.shape)}")
    _check.same_device("affine", "matrices", matrices, masks)
    out: Tensor = _affine(masks, to_q16(matrices), truncate, backend)
    return out


def elastic(
    masks: Tensor,
    amplitude_px: float,
    smoothness_px: float,
    *,
    seed: int = 0,
    sample_ids: Tensor | None = None,
    spacing: Sequence[float] | None = None,
    backend: str = "auto",
) -> Tensor:
    """Each mask bent by a smooth random field, a function of (seed, sample id).

    masks: uint8 or bool [B, H, W] or [B, D, H, W], nonzero = 1. amplitude_px: standard deviation of the
    displacement along each axis, 0 .. 64. smoothness_px: that of the Gaussian that would blur white noise so,
    0.5 .. 64.
    seed: [0, 2**64). sample_ids: integers [B], default 0 .. B-1. spacing: of volumes, the sides (z, y, x) of a voxel in
    any one unit, default equal; px are voxels along x. Returns uint8, shaped as masks.
    """
    axes = _check_sides("elastic", masks)
    sides = _check.spacing("elastic", spacing, axes)
    for name, value, low in (("amplitude_px", amplitude_px, 0), ("smoothness_px", smoothness_px, 0.5)):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"elastic: {name} must be a number, got {type(value).__name__}")
        if not low <= value <= 64:
            raise InputError(f"elastic: {name} must be in [{low}, 64] px, got {value}")
    seed = _check.integer("elastic", "seed", seed, 0, 2**64 - 1)
    ids = numbers("elastic", "sample_ids", sample_ids, masks)
    # The schema knows signed integers only.
    signed = seed - 2**64 if seed >= 2**63 else seed
    out: Tensor = _elastic(masks, to_fixed(amplitude_px), to_fixed(smoothness_px), signed, ids, list(sides), backend)
    return out


def to_q16(matrices: Tensor) -> Tensor:
    """int32 Q16.16 of a float tensor in pixels: the one place where that is rounded. int32 is taken as it is."""
    if matrices.dtype == torch.int32:
        return matrices
    scaled = (matrices.double() * 65536).round()
    fits, text = (scaled.abs() < 2**31).all(), "affine: matrices must be finite and within 32768 px"
    if scaled.device.type != "cpu":
        torch._assert_async(fits, text)
    elif not bool(fits):
        raise InputError(text)
    return scaled.to(torch.int32)


def _check_sides(op: str, masks: Tensor) -> int:
    """How many axes masks have."""
    _check.masks(op, "masks", masks)
    _check.pixels(op, "masks", masks)
    if max(masks.shape[1:]) > LONGEST_SIDE:
        raise InputError(f"{op}: sides must be up to {LONGEST_SIDE} px, got {list(masks.shape)}")
    return masks.dim() - 1


def _serve_affine(masks: Tensor, matrices: Tensor, truncate: bool, backend: str = "auto") -> Tensor:
    kernel = backends.kernel("affine", masks.device, backend)
    out: Tensor = kernel(masks, matrices, truncate)
    return out


def _serve_elastic(
    masks: Tensor,
    amplitude: int,
    smoothness: int,
    seed: int,
    sample_ids: Tensor,
    spacing: list[int],
    backend: str = "auto",
) -> Tensor:
    kernel = backends.kernel("elastic", masks.device, backend)
    out: Tensor = kernel(masks, amplitude, smoothness, seed % 2**64, sample_ids, tuple(spacing))
    return out


def _like(masks: Tensor, *args: object) -> Tensor:
    return torch.empty(masks.shape, dtype=torch.uint8, device=masks.device)


_affine = define(
    "affine(Tensor masks, Tensor matrices, bool truncate, str backend='auto') -> Tensor", _serve_affine, _like
)
_elastic = define(
    "elastic(Tensor masks, int amplitude, int smoothness, int seed, Tensor sample_ids, int[] spacing, "
    "str backend='auto') -> Tensor",
    _serve_elastic,
    _like,
)
