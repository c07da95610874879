"""Rows that move pixels: shift, affine, grid, elastic. Masks uint8 0/1 [n, *S]; outside the image is 0.

Every output pixel looks up its source, whose coordinates are Q16.16 pixels (int64 here; |x| < 2**31 for sides up to
4096). Nearest: pixel (s + 2**15) >> 16. Truncating: the coordinates are rounded to 1/32 px, and the output is 1 only
where every one of the four neighbours that has weight in linear interpolation is 1.
"""

from __future__ import annotations

import numpy as np

from . import warp3
from .program import ONE, Draw, between
from .spline import BYTES_GAIN, SQRT_3, spline_weights, upsample
from .turn import cos_sin


def shift(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Moved by whole pixels: axis a by between(word a, -r S_a, r S_a) in Q16.16, cut towards 0."""
    size = np.array(masks.shape[1:])
    reach = int(params[0]) * size
    drawn = np.stack([between(w, -r, r) for w, r in zip(draw.words(len(size)).T, reach.tolist())], axis=1)
    moves = np.sign(drawn) * (np.abs(drawn) >> 16)
    out = np.zeros_like(masks)
    for mask, sample, move in zip(masks, out, moves.tolist()):
        to = tuple(slice(max(m, 0), max(s + min(m, 0), 0)) for m, s in zip(move, size.tolist()))
        source = tuple(slice(max(-m, 0), max(s + min(-m, 0), 0)) for m, s in zip(move, size.tolist()))
        sample[to] = mask[source]
    return out


def affine(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Scaled, rotated and shifted about the mask's centroid or the image's centre.

    Words: scale, angle, shift along x, shift along y, all uniform in Q16.16. An empty mask stays empty. Volumes as
    `warp3.affine` has them.
    """
    if masks.ndim == 4:
        return warp3.affine(masks, params, draw)
    low, high, degrees, reach, about_centre, truncate = (int(p) for p in params[:6])
    height, width = masks.shape[1:]
    words = draw.words(4).T
    inverse_scale = _inverse(between(words[0], low, high))
    cosine, sine = cos_sin(between(words[1], -degrees, degrees))
    a, b = inverse_scale * cosine >> 16, inverse_scale * sine >> 16
    if about_centre:
        cx, cy = np.int64((width - 1) * ONE // 2), np.int64((height - 1) * ONE // 2)
    else:
        cx, cy = centroid(masks)
    # source = A (target - centre - shift) + centre, with A = rotation back / scale.
    x = cx + between(words[2], -reach * width, reach * width)
    y = cy + between(words[3], -reach * height, reach * height)
    matrices = np.stack([a, -b, cx - (a * x - b * y >> 16), b, a, cy - (b * x + a * y >> 16)], axis=1)
    return resample(masks, matrices.reshape(-1, 2, 3), bool(truncate))


def resample(masks: np.ndarray, matrices: np.ndarray, truncate: bool = False) -> np.ndarray:
    """Source of pixel (x, y): matrices @ (x, y, 1), Q16.16 int [n, 2, 3], first row x."""
    height, width = masks.shape[1:]
    farthest = np.abs(matrices.astype(np.int64)) @ np.array([width, height, 1])
    # All but extreme matrices fit 32 bits, in half the time.
    kind = np.int32 if farthest.max(initial=0) < (1 << 31) - ONE else np.int64
    m = matrices.astype(kind)[:, :, :, None, None]
    x, y = np.arange(width, dtype=kind), np.arange(height, dtype=kind)[:, None]
    sx, sy = (m[:, i, 0] * x + (m[:, i, 1] * y + m[:, i, 2]) for i in (0, 1))
    if not truncate:
        return _gather(masks, sx + ONE // 2 >> 16, sy + ONE // 2 >> 16)
    qx, qy = sx + 1024 >> 11, sy + 1024 >> 11  # 1/32 px, the resolution of OpenCV's weights
    right = np.zeros_like(masks)
    right[:, :, :-1] = masks[:, :, 1:]
    pair = masks & right
    lower, lower_pair = np.zeros_like(masks), np.zeros_like(masks)
    lower[:, :-1], lower_pair[:, :-1] = masks[:, 1:], pair[:, 1:]
    taps = masks | pair << 1 | (masks & lower) << 2 | (pair & lower_pair) << 3  # one bit for each set of taps
    which = (qx & 31 != 0).view(np.uint8) | (qy & 31 != 0).view(np.uint8) << 1
    return _gather(taps, qx >> 5, qy >> 5) >> which & 1


def grid(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Each of `cells` cells of an axis is stretched: before scaling, the source steps by f_k a pixel in cell k.

    Cell k starts at pixel k S // cells; f_k = between(word, 1 - stretch, 1 + stretch); x has the first `cells` words,
    y the next, then z. With E the sum of the steps before a pixel, its source is E S / (E of the whole axis), rounded
    to the nearest pixel of the image: the axis keeps its ends.
    """
    cells, stretch = int(params[0]), int(params[1])
    axes = masks.ndim - 1
    factors = between(draw.words(axes * cells), ONE - stretch, ONE + stretch)
    out = masks
    for k in range(axes):
        axis = axes - k
        source = _steps(factors[:, k * cells : (k + 1) * cells], masks.shape[axis])
        shape = [len(masks)] + [1] * axes
        shape[axis] = masks.shape[axis]
        out = np.take_along_axis(out, source.reshape(shape), axis)
    return out


def _steps(factors: np.ndarray, side: int) -> np.ndarray:
    cells = factors.shape[1]
    step = factors[:, ((np.arange(side) + 1) * cells - 1) // side]
    ends = np.cumsum(step, axis=1)
    sources = (ends - step) * (side * ONE) // np.maximum(ends[:, -1:], 1)
    return np.clip(sources + ONE // 2 >> 16, 0, side - 1)


def elastic(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Moved by a smooth random field: standard deviation `amplitude` px, correlation length `smoothness` px.

    White noise that is blurred by a Gaussian of that width, made as a cubic B-spline over a lattice of spacing
    h = round(sqrt(3) smoothness) px: the spline's own standard deviation is h / sqrt(3). Node m (raster order) has
    words 2 m and 2 m + 1 of plane 1: its x and y are the sum of the word's four bytes - 510. Weights are of 1/256.
    The source is the nearest pixel; outside, the nearest pixel of the image. Volumes as `warp3.elastic` has them.
    """
    if masks.ndim == 4:
        return warp3.elastic(masks, params, draw)
    height, width = masks.shape[1:]
    spacing = max((int(params[1]) * SQRT_3 + (1 << 31)) >> 32, 1)
    weights = spline_weights(spacing)
    nodes = [(side - 1) // spacing + 4 for side in (height, width)]
    words = draw.words(2 * nodes[0] * nodes[1], 1).astype("<u4", order="C")
    lattice = words.view(np.uint8).reshape(-1, *nodes, 2, 4).sum(axis=-1, dtype=np.int32) - np.int32(510)
    lattice = np.moveaxis(lattice, 3, 0)
    field = upsample(upsample(lattice, weights, height, 2), weights, width, 3)
    moved = ((field >> 10) * np.int32(elastic_gain(int(params[0]), spacing)) >> 6) + np.int32(ONE // 2) >> 16
    x = np.clip(np.arange(width, dtype=np.int32) + moved[0], 0, width - 1)
    y = np.clip(np.arange(height, dtype=np.int32)[:, None] + moved[1], 0, height - 1)
    return _take(masks, x, y, width)


def elastic_gain(amplitude: int, spacing: int) -> int:
    """Q16.16 px of displacement per unit of the lattice, so that the field's mean variance is amplitude**2."""
    power = int((spline_weights(spacing).astype(np.int64) ** 2).sum()) // spacing
    return amplitude * BYTES_GAIN // (power << 10)


def _gather(masks: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values at pixels (x, y), 0 outside the image."""
    n, height, width = masks.shape
    padded = np.zeros((n, height + 2, width + 2), masks.dtype)
    padded[:, 1:-1, 1:-1] = masks
    return _take(padded, np.clip(x, -1, width) + 1, np.clip(y, -1, height) + 1, width + 2)


def _take(masks: np.ndarray, x: np.ndarray, y: np.ndarray, width: int) -> np.ndarray:
    first = np.arange(len(masks))[:, None, None] * (masks.shape[1] * masks.shape[2])
    return masks.reshape(-1).take(y * width + x + first)


def centroid(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the foreground's mean, Q16.16, rounded down; 0 for an empty mask."""
    columns, rows = masks.sum(axis=1, dtype=np.int64), masks.sum(axis=2, dtype=np.int64)
    area = np.maximum(rows.sum(axis=1), 1)
    x, y = columns @ np.arange(masks.shape[2]), rows @ np.arange(masks.shape[1])
    return (x << 16) // area, (y << 16) // area


def _inverse(scale: np.ndarray) -> np.ndarray:
    return ((1 << 32) + scale // 2) // scale
