"""Rows that change the boundary only: a random edge, a smoothed one. Masks uint8 0/1 [n, *S]."""

from __future__ import annotations

import numpy as np
import torch

from ...recipes.operations import MOST_SMOOTHING, smoothing_weights
from . import morph
from .program import Draw


def jagged(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Each pixel of the band dilate(radius) & ~erode(radius) is 1 with probability p, drawn by `Draw.chance`."""
    radius, probability = (int(p) for p in params[:2])
    tensor, radii = torch.from_numpy(masks), draw.radii(radius, masks.ndim - 1)
    inside = morph.erode(tensor, radii).numpy()
    band = morph.dilate(tensor, radii).numpy() > inside
    return np.where(band, draw.chance(masks.shape[1:], probability), masks).astype(np.uint8)


def smooth(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Gaussian blur by integer weights w, then 2 * sum > (sum of w)**2; outside, the nearest pixel is repeated.

    Of volumes, each axis has the weights of its own radius (up to 31), and what x and y make is rounded half up to
    1/2**14 before z: 2 * sum > (that of the sums of w along x and y) * (sum of w along z).
    """
    sums, total = blur(masks, draw.radii(int(params[0]), masks.ndim - 1))
    return (2 * sums > total).astype(np.uint8)


def blur(masks: np.ndarray, radii: tuple[int, ...]) -> tuple[np.ndarray, int]:
    """Sums int32 [n, *S], as `smooth` describes them, and what they come to where all is 1."""
    axes = masks.ndim - 1
    kernels = [smoothing_weights(min(radius, MOST_SMOOTHING)) for radius in radii]
    totals = [weights[0] + 2 * sum(weights[1:]) for weights in kernels]
    plane = _blur(_blur(masks.astype(np.int32), kernels[-1], axis=axes), kernels[-2], axis=axes - 1)
    whole = totals[-1] * totals[-2]
    if axes == 2:
        return plane, whole
    return _blur(plane + (1 << 13) >> 14, kernels[0], axis=1), (whole + (1 << 13) >> 14) * totals[0]


def _blur(values: np.ndarray, weights: tuple[int, ...], axis: int) -> np.ndarray:
    radius, length = len(weights) - 1, values.shape[axis]
    padding = [(0, 0)] * values.ndim
    padding[axis] = (radius, radius)
    padded = np.moveaxis(np.pad(values, padding, mode="edge"), axis, 0)
    out = padded[radius : radius + length] * weights[0]
    for distance, weight in enumerate(weights[1:], 1):
        before, after = padded[radius - distance :][:length], padded[radius + distance :][:length]
        out += (before + after) * weight
    return np.moveaxis(out, 0, axis)
