"""The ellipse that fits an outline best, in fixed point.

Least squares on the corners, as OpenCV's fitEllipse does it: first A u^2 + B u v + C v^2 + D u + E v = 1 with the
corners' mean as the origin, then, about the centre that this has, A u^2 + B u v + C v^2 = 1.
"""

from __future__ import annotations

import numpy as np

_UNIT = 14  # fraction bits of coordinates: 1 is the largest distance from the mean along an axis
_FRACTION = 24  # fraction bits of the normal equations; products stay below 2**62


def ellipse(points: np.ndarray, size: tuple[int, int]) -> np.ndarray | None:
    """uint8 [H, W]: pixels inside or on the fitted ellipse, or None where fewer than 5 points or no ellipse fits.

    points: int64 [k, 2]. A pixel farther than 4 units from the mean along an axis is outside.
    """
    count = len(points)
    if count < 5:
        return None
    total = points.sum(axis=0)
    unit = int(np.abs(points * count - total).max())
    u, v = ((points * count - total) * (1 << _UNIT) // unit).T
    conic = _solve([u * u >> _UNIT, u * v >> _UNIT, v * v >> _UNIT, u, v])
    if conic is None:
        return None
    a, b, c, d, e = (value >> 8 for value in conic)  # Q16
    determinant = (4 * a * c - b * b) >> _UNIT
    if a <= 0 or determinant <= 0:
        return None
    u0, v0 = (b * e - 2 * c * d) // determinant, (b * d - 2 * a * e) // determinant
    if max(abs(u0), abs(v0)) > 4 << _UNIT:
        return None
    u, v = u - u0, v - v0
    conic = _solve([u * u >> _UNIT, u * v >> _UNIT, v * v >> _UNIT])
    if conic is None:
        return None
    a, b, c = (value >> 8 for value in conic)
    if a <= 0 or 4 * a * c - b * b <= 0:
        return None
    x = (np.arange(size[1]) * count - total[0]) * (1 << _UNIT) // unit
    y = ((np.arange(size[0]) * count - total[1]) * (1 << _UNIT) // unit)[:, None]
    near = (np.abs(x) <= 4 << _UNIT) & (np.abs(y) <= 4 << _UNIT)
    x, y = np.clip(x, -4 << _UNIT, 4 << _UNIT) - u0, np.clip(y, -4 << _UNIT, 4 << _UNIT) - v0
    # The outline is drawn too: up to half a pixel along x or along y may be missing, as in an outline of whole pixels.
    half = count * (1 << _UNIT) // (2 * unit)
    across, down = (np.sign(w) * np.maximum(np.abs(w) - half, 0) for w in (x, y))
    inside = near & (_inside(a, b, c, across, y) | _inside(a, b, c, x, down) | _inside(a, b, c, x, y))
    return inside.astype(np.uint8)


def _inside(a: int, b: int, c: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return a * (x * x >> _UNIT) + b * (x * y >> _UNIT) + c * (y * y >> _UNIT) <= 1 << 30


def _solve(terms: list[np.ndarray]) -> list[int] | None:
    """Coefficients, Q24, of the least squares sum of coefficient * term = 1; elimination without pivoting (the matrix
    is positive definite). None where a pivot is below 2**-20: the points lie on one line or so."""
    n, order = len(terms[0]), len(terms)
    shift = 2 * _UNIT - _FRACTION
    rows = [[int((one * other).sum()) // n >> shift for other in terms] for one in terms]
    right = [(int(one.sum()) << _UNIT) // n >> shift for one in terms]
    for k in range(order):
        if rows[k][k] < 16:
            return None
        for i in range(k + 1, order):
            factor = (rows[i][k] << _FRACTION) // rows[k][k]
            for j in range(k, order):
                rows[i][j] -= factor * rows[k][j] >> _FRACTION
            right[i] -= factor * right[k] >> _FRACTION
    solution = [0] * order
    for k in reversed(range(order)):
        rest = right[k] - sum(rows[k][j] * solution[j] >> _FRACTION for j in range(k + 1, order))
        solution[k] = (rest << _FRACTION) // rows[k][k]
        if abs(solution[k]) >= 1 << 34:
            return None
    return solution
