"""Philox4x32-10, the counter-based generator behind every random decision (Salmon et al., SC 2011)."""

from __future__ import annotations

import numpy as np

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85


def philox4x32(c0, c1, c2, c3, seed: int) -> np.ndarray:
    """Four random words for each counter.

    c0..c3: broadcastable integers in [0, 2**32); seed: unsigned 64-bit key. Returns uint32 [..., 4].
    """
    counters = np.broadcast_arrays(*(np.asarray(c).astype(np.uint64) for c in (c0, c1, c2, c3)))
    a, b, c, d = (counter & _LOW for counter in counters)
    k0, k1 = seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF
    for _ in range(10):
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = (q >> _HALF) ^ b ^ np.uint64(k0), q & _LOW, (p >> _HALF) ^ d ^ np.uint64(k1), p & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & 0xFFFFFFFF, (k1 + _KEY_STEPS[1]) & 0xFFFFFFFF
    return np.stack((a, b, c, d), axis=-1).astype(np.uint32)
