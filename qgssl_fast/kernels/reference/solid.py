"""A ball or a Gaussian in place of the foreground of a volume. Masks uint8 0/1 [n, D, H, W].

Both are the voxels nearest to the centroid, by q = sum over the axes of weight * distance**2, with distances in
1/16 voxel and weights below 2**28: the smallest q, as many as are wanted, and all that equal the last of them.
"""

from __future__ import annotations

import numpy as np

from ...recipes.operations import SPACING_ONE
from .program import ONE

_MOST = 1 << 14  # of what two of make a weight


def ball(masks: np.ndarray, whole_centre: bool, spacing: tuple[int, int]) -> np.ndarray:
    """A ball in space, of as many voxels as the mask; the sides of a voxel are halved until they are below 2**14."""
    sides = np.array([*spacing, SPACING_ONE], np.int64)
    while (sides >= _MOST).any():
        sides >>= 1
    out = np.zeros_like(masks)
    for mask, sample in zip(masks, out):
        if mask.any():
            centre, _ = _moments(mask)
            sixteenths = centre >> 8 << 4 if whole_centre else centre + 8 >> 4
            sample[:] = nearest(mask.shape, sixteenths, sides**2, int(mask.sum()))
    return out


def gaussian(masks: np.ndarray, factor: int) -> np.ndarray:
    """Axis-aligned, with the mask's centroid and variances v, cut so that `factor` / 2**16 of its voxels stay.

    The variances are halved until they are below 2**14, at least 1; an axis' weight is the product of the other two's.
    """
    out = np.zeros_like(masks)
    for mask, sample in zip(masks, out):
        if not mask.any():
            continue
        centre, variance = _moments(mask)
        while (variance >= _MOST).any():
            variance >>= 1
        v = np.maximum(variance, 1)
        wanted = int(np.clip(int(mask.sum()) * factor + ONE // 2 >> 16, 1, mask.size))
        sample[:] = nearest(mask.shape, centre + 8 >> 4, np.array([v[1] * v[2], v[0] * v[2], v[0] * v[1]]), wanted)
    return out


def nearest(size: tuple[int, ...], centre: np.ndarray, weights: np.ndarray, wanted: int) -> np.ndarray:
    """bool [D, H, W]; centre in 1/16 voxel, weights of z, y, x."""
    axes = (16 * np.arange(side) - c for side, c in zip(size, centre.tolist()))
    z, y, x = (w * d * d for w, d in zip(weights.tolist(), axes))
    q = z[:, None, None] + y[:, None] + x
    return q <= np.partition(q.reshape(-1), wanted - 1)[wanted - 1]


def _moments(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of z, y, x: the mean in 1/256 voxel, rounded down, and the variance in 1/65536 voxel**2 about it."""
    mean, variance = np.zeros(3, np.int64), np.zeros(3, np.int64)
    area = int(mask.sum())
    for axis, side in enumerate(mask.shape):
        counts = mask.sum(axis=tuple(a for a in range(3) if a != axis), dtype=np.int64)
        mean[axis] = (int(counts @ np.arange(side)) << 8) // area
        far = np.arange(side) - (mean[axis] >> 8)
        first, second = int(counts @ far), int(counts @ (far * far))
        variance[axis] = (second << 16) // area - ((first << 8) // area) ** 2
    return mean, variance
