"""Rows that replace a mask by a simple shape. Masks uint8 0/1 [n, *S]; an empty mask stays empty.

Outlines are of images: in a volume each plane gets its own, as a reader draws them slice by slice.
"""

from __future__ import annotations

import numpy as np

from . import conic, contour, parts, solid
from .program import ONE, Draw


def bounding_box(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """The smallest box that holds all foreground, filled."""
    out = np.ones_like(masks)
    for axis in range(1, masks.ndim):
        others = tuple(a for a in range(1, masks.ndim) if a != axis)
        line = masks.any(axis=others, keepdims=True)
        back = np.flip(np.logical_or.accumulate(np.flip(line, axis), axis=axis), axis)
        out &= np.logical_or.accumulate(line, axis=axis) & back
    return out


def convex_hull(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """The convex hull of all foreground pixels, filled by `contour.fill`."""
    return _each(masks, lambda mask: contour.fill(contour.hull(mask), mask.shape))


def polygon(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """The largest component's outline with at most `vertices` corners, by `contour.simplify`, filled."""
    vertices = int(params[0])
    largest = parts.largest_only(_planes(masks), params, draw).reshape(masks.shape)
    return _each(largest, lambda mask: contour.fill(contour.simplify(contour.trace(mask), vertices), mask.shape))


def ellipse(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """The ellipse fitted to the largest component's corners, filled; the mask itself where none fits."""
    out = masks.copy()
    for sample, mask in zip(_planes(out), parts.largest_only(_planes(masks), params, draw)):
        if mask.any() and (fitted := conic.ellipse(contour.trace(mask), mask.shape)) is not None:
            sample[:] = fitted
    return out


def circular_blob(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """A disc about the centroid with the mask's area: pixels with 355 * distance**2 <= 113 * area.

    Nearest: the centroid in 1/16 px. Truncating: a whole centroid and a whole radius, both rounded down. Of volumes,
    a ball of as many voxels as the mask has, by `solid.nearest`; truncating: about a whole centroid.
    """
    if masks.ndim == 4:
        return solid.ball(masks, bool(params[0]), draw.spacing)
    moments = Moments(masks)
    if params[0]:
        dx, dy = moments.x - (moments.cx >> 8), moments.y - (moments.cy >> 8)
        # isqrt of area / pi, without a square root: the discs of radius r = 1, 2, ... that are small enough.
        radius = np.array([_whole_radius(int(area)) for area in moments.area])[:, None, None]
        return _unless_empty(moments, dx * dx + dy * dy <= radius * radius)
    dx, dy = 16 * moments.x - (moments.cx + 8 >> 4), 16 * moments.y - (moments.cy + 8 >> 4)
    return _unless_empty(moments, 355 * (dx * dx + dy * dy) <= 113 * 256 * moments.area[:, None, None])


def _whole_radius(area: int) -> int:
    low, high = 0, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if 355 * middle * middle <= 113 * area else (low, middle)
    return low


def gaussian_blob(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """An axis-aligned Gaussian with the mask's centroid and variances, cut so that `area` times the mask's area stays.

    q = dx**2 vy + dy**2 vx with distances in 1/16 px and variances scaled below 2**15; the mask is q <= T for the
    smallest T that holds enough pixels (all of equal q come together). Of volumes by `solid.gaussian`.
    """
    if masks.ndim == 4:
        return solid.gaussian(masks, int(params[0]))
    moments = Moments(masks)
    vx, vy = moments.variances()
    dx, dy = 16 * moments.x - (moments.cx + 8 >> 4), 16 * moments.y - (moments.cy + 8 >> 4)
    q = (dx * dx * vy[:, None, None] + dy * dy * vx[:, None, None]).reshape(len(masks), -1)
    wanted = np.clip(moments.area * int(params[0]) + ONE // 2 >> 16, 1, q.shape[1])
    inside = [values <= np.partition(values, k - 1)[k - 1] for values, k in zip(q, wanted.tolist())]
    return _unless_empty(moments, np.array(inside, bool).reshape(masks.shape))


class Moments:
    """area int64 [n]; centroid cx, cy in 1/256 px, rounded down, [n, 1, 1]; pixel coordinates x, y."""

    def __init__(self, masks: np.ndarray) -> None:
        self.columns, self.rows = masks.sum(axis=1, dtype=np.int64), masks.sum(axis=2, dtype=np.int64)
        self.area = self.rows.sum(axis=1)
        self.x, self.y = np.arange(masks.shape[2]), np.arange(masks.shape[1])[:, None]
        self.cx, self.cy = (self._mean(c)[:, None, None] for c in (self.columns, self.rows))

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Along x and y, both shifted right until they are below 2**15, at least 1."""
        vx, vy = (self._variance(counts) for counts in (self.columns, self.rows))
        while (large := np.maximum(vx, vy) >= 1 << 15).any():
            vx, vy = np.where(large, vx >> 1, vx), np.where(large, vy >> 1, vy)
        return np.maximum(vx, 1), np.maximum(vy, 1)

    def _mean(self, counts: np.ndarray) -> np.ndarray:
        return ((counts @ np.arange(counts.shape[1])) << 8) // np.maximum(self.area, 1)

    def _variance(self, counts: np.ndarray) -> np.ndarray:
        """In 1/65536 px**2, about the mean: from the distances to the mean's whole pixel, so that nothing overflows."""
        n = np.maximum(self.area, 1)
        far = np.arange(counts.shape[1]) - (self._mean(counts) >> 8)[:, None]
        first, second = (counts * far).sum(axis=1), (counts * far * far).sum(axis=1)
        return (second << 16) // n - ((first << 8) // n) ** 2


def _unless_empty(moments: Moments, out: np.ndarray) -> np.ndarray:
    return (out & (moments.area > 0)[:, None, None]).astype(np.uint8)


def _each(masks: np.ndarray, make) -> np.ndarray:
    made = [make(mask) if mask.any() else mask for mask in _planes(masks)]
    return np.stack(made).reshape(masks.shape) if made else masks


def _planes(masks: np.ndarray) -> np.ndarray:
    """The planes of all masks, one after the other: a view."""
    return masks.reshape(-1, *masks.shape[-2:])
