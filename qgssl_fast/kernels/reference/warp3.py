"""Rows that move the voxels of volumes: affine, elastic. Masks uint8 0/1 [n, D, H, W]; coordinates Q16.16 voxels."""

from __future__ import annotations

import math

import numpy as np

from ...recipes.operations import SPACING_ONE
from .program import ONE, Draw, between
from .spline import BYTES_GAIN, SQRT_3, spline_weights, upsample
from .turn import cos_sin

_MOST_SPACING = 112  # voxels between nodes of an elastic field
_MOST_GAIN = 263168  # 4 voxels a unit, so that all stays within 32 bits


def affine(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Scaled, rotated and shifted about the mask's centroid or the volume's centre, in space.

    Words: scale, angle about z, shift along x and y, angles about y and x, shift along z; angles all have the same
    bounds. With p = cos_z sin_y and q = sin_z sin_y, the rotation is R_z R_y R_x =
    [cos_z cos_y, p sin_x - sin_z cos_x, p cos_x + sin_z sin_x], [sin_z cos_y, q sin_x + cos_z cos_x,
    q cos_x - cos_z sin_x], [-sin_y, cos_y sin_x, cos_y cos_x], each product of two rounded down to Q16.16, then times
    1 / scale, then element (i, j) times the voxel's side j over side i. An empty mask stays empty.
    """
    low, high, degrees, reach, about_centre, truncate = (int(p) for p in params[:6])
    size = masks.shape[:0:-1]  # x first
    sides = (SPACING_ONE, *draw.spacing[::-1])
    words = draw.words(7).T
    inverse = ((1 << 32) + (scale := between(words[0], low, high)) // 2) // scale
    (cz, sz), (cy, sy), (cx, sx) = (cos_sin(between(words[k], -degrees, degrees)) for k in (1, 4, 5))
    p, q = cz * sy >> 16, sz * sy >> 16
    rotation = (
        (cz * cy >> 16, p * sx - sz * cx >> 16, p * cx + sz * sx >> 16),
        (sz * cy >> 16, q * sx + cz * cx >> 16, q * cx - cz * sx >> 16),
        (-sy, cy * sx >> 16, cy * cx >> 16),
    )
    steps = [
        [(inverse * element >> 16) * to // side for element, to in zip(row, sides)]
        for row, side in zip(rotation, sides)
    ]
    centre = [np.int64((s - 1) * ONE // 2) for s in size] if about_centre else centroid(masks)
    shifts = (between(words[k], -reach * side, reach * side) for k, side in zip((2, 3, 6), size))
    at = [c + shift for c, shift in zip(centre, shifts)]
    # source = A (target - centre - shift) + centre
    starts = [c - (sum(a * x for a, x in zip(row, at)) >> 16) for c, row in zip(centre, steps)]
    matrices = np.stack([np.stack([*row, start], axis=1) for row, start in zip(steps, starts)], axis=1)
    return resample(masks, matrices, bool(truncate))


def centroid(masks: np.ndarray) -> list[np.ndarray]:
    """x, y and z of the foreground's mean, Q16.16, rounded down; 0 for an empty mask."""
    counts = [masks.sum(axis=tuple(a for a in (1, 2, 3) if a != axis), dtype=np.int64) for axis in (3, 2, 1)]
    area = np.maximum(counts[0].sum(axis=1), 1)
    return [(c @ np.arange(c.shape[1]) << 16) // area for c in counts]


def resample(masks: np.ndarray, matrices: np.ndarray, truncate: bool = False) -> np.ndarray:
    """Source of voxel (x, y, z): matrices @ (x, y, z, 1), Q16.16 int [n, 3, 4], first row x. Outside is 0.

    Nearest: voxel (s + 2**15) >> 16. Truncating: s is rounded to 1/32 voxel, and the result is 1 only where every one
    of the eight neighbours that has weight in linear interpolation is 1.
    """
    depth, height, width = masks.shape[1:]
    x, y, z = np.arange(width), np.arange(height)[:, None], np.arange(depth)[:, None, None]
    out = np.zeros_like(masks)
    for mask, sample, matrix in zip(masks, out, matrices.astype(np.int64).tolist()):
        source = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in matrix]
        padded = np.pad(mask, 1)
        if not truncate:
            sample[:] = _look(padded, *(s + ONE // 2 >> 16 for s in source))
            continue
        parts = [s + 1024 >> 11 for s in source]
        corners = [(part >> 5, (part & 31) != 0) for part in parts]
        sample[:] = 1
        for corner in range(8):
            places, weighs = [], np.ones(sample.shape, bool)
            for axis, (whole, has_part) in enumerate(corners):
                beyond = corner >> axis & 1
                places.append(whole + beyond)
                if beyond:
                    weighs &= has_part
            sample &= _look(padded, *places) | ~weighs
    return out


def _look(padded: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Values of a volume with a border of one voxel of 0."""
    depth, height, width = padded.shape
    at = (np.clip(axis + 1, 0, side - 1) for axis, side in ((z, depth), (y, height), (x, width)))
    return padded[tuple(at)]


def elastic(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """As `warp.elastic` along three axes, in space: amplitude and smoothness are those along x, in voxels of each axis.

    Node m (raster order, x fastest) has block m of plane 1: its x, y and z are the byte sums of words 0, 1, 2 - 510.
    The spline is taken along z (>> 6), along y (>> 2), along x, which leaves 1/65536 of a node's unit. A voxel's side
    that is not x's divides amplitude and smoothness, rounded half up. Nodes are at most 112 voxels apart, and a unit
    moves by at most 4 voxels.
    """
    size = masks.shape[1:]
    amplitudes, spacings = frame(int(params[0]), int(params[1]), draw.spacing)
    weights = [spline_weights(spacing) for spacing in spacings]
    nodes = [(side - 1) // spacing + 4 for side, spacing in zip(size, spacings)]
    words = draw.words(4 * math.prod(nodes), 1).astype("<u4", order="C")
    lattice = words.view(np.uint8).reshape(-1, *nodes, 4, 4).sum(axis=-1, dtype=np.int32) - np.int32(510)
    lattice = np.moveaxis(lattice[..., :3], 4, 0)
    plane = upsample(lattice, weights[0], size[0], 2) >> 6
    line = upsample(plane, weights[1], size[1], 3) >> 2
    field = upsample(line, weights[2], size[2], 4) >> 12
    x, y, z = np.arange(size[2]), np.arange(size[1])[:, None], np.arange(size[0])[:, None, None]
    at = []
    for axis, pixels, amplitude in zip(range(3), (x, y, z), amplitudes[::-1]):
        moved = (field[axis] * np.int32(gain(amplitude, weights)) >> 4) + np.int32(ONE // 2) >> 16
        at.append(np.clip(pixels + moved, 0, size[2 - axis] - 1))
    return masks[np.arange(len(masks))[:, None, None, None], at[2], at[1], at[0]]


def frame(amplitude: int, smoothness: int, spacing: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Along z, y, x: the amplitude in Q16.16 voxels, and the voxels between nodes."""
    sides = (*spacing, SPACING_ONE)
    amplitudes, smoothnesses = ([(v * SPACING_ONE + s // 2) // s for s in sides] for v in (amplitude, smoothness))
    return amplitudes, [min(max((v * SQRT_3 + (1 << 31)) >> 32, 1), _MOST_SPACING) for v in smoothnesses]


def gain(amplitude: int, weights: list[np.ndarray]) -> int:
    """Q16.16 voxels of displacement per unit of the lattice, so that the field's mean variance is amplitude**2."""
    powers = [int((w.astype(np.int64) ** 2).sum()) // w.shape[1] for w in weights]
    deviation = math.isqrt(math.prod(powers) >> 16)  # of a lattice of variance 1, in 1/65536
    return min(amplitude * BYTES_GAIN // (deviation << 10), _MOST_GAIN)
