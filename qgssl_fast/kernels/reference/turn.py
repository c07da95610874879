"""Sine and cosine in fixed point."""

from __future__ import annotations

import numpy as np

from .program import ONE


def cos_sin(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine, Q16.16, of Q16.16 degrees: quarter turns taken off, then Taylor polynomials in Q28."""
    quarter, one = 90 * ONE, 1 << 28
    turns = (degrees + quarter // 2) // quarter
    x = (degrees - turns * quarter) * 18740330 >> 18  # pi / 180 in Q30
    square = x * x >> 28
    s, c = np.full_like(x, one), np.full_like(x, one)
    for k in (9, 7, 5, 3):
        s = one - (square * s >> 28) // (k * (k - 1))
        c = one - (square * c >> 28) // ((k - 1) * (k - 2))
    s, c = (x * s >> 28) + 2048 >> 12, c + 2048 >> 12
    return np.choose(turns & 3, [c, -s, -c, s]), np.choose(turns & 3, [s, c, -s, -c])
