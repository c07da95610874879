"""Cubic B-splines over a lattice of random nodes: what elastic fields are made of."""

from __future__ import annotations

import numpy as np

SQRT_3 = 113512  # Q16.16
BYTES_GAIN = 454050  # 2**26 / standard deviation of the sum of four uniform bytes, sqrt(4 (256**2 - 1) / 12)


def spline_weights(spacing: int) -> np.ndarray:
    """int32 [4, spacing]: cubic B-spline at phase j / spacing, in 1/256; the third takes what rounding leaves."""
    j, h = np.arange(spacing, dtype=np.int64), spacing
    exact = [(h - j) ** 3, 3 * j**3 - 6 * j**2 * h + 4 * h**3, j**3]  # over 6 h**3
    first, second, last = ((256 * e + 3 * h**3) // (6 * h**3) for e in exact)
    return np.stack([first, second, 256 - first - second - last, last]).astype(np.int32)


def upsample(lattice: np.ndarray, weights: np.ndarray, side: int, axis: int) -> np.ndarray:
    spacing, count = weights.shape[1], lattice.shape[axis] - 3
    shape = [1] * (lattice.ndim + 1)
    shape[axis + 1] = spacing
    nodes = [np.expand_dims(lattice.take(range(k, k + count), axis), axis + 1) for k in range(4)]
    fine = nodes[0] * weights[0].reshape(shape)
    for k in (1, 2, 3):
        fine += nodes[k] * weights[k].reshape(shape)
    whole = fine.reshape(*lattice.shape[:axis], count * spacing, *lattice.shape[axis + 1 :])
    return whole[(slice(None),) * axis + (slice(side),)]
