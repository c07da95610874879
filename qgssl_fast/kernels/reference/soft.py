"""A corrupted mask as probabilities: uint8 levels k, of which k / 255 is meant."""

from __future__ import annotations

import numpy as np

from .edge import blur
from .program import Draw


def soften(masks: np.ndarray, radius: int, sharpness: int, draw: Draw) -> np.ndarray:
    """uint8 0/1 [n, *S] -> levels uint8 [n, *S]; radius in px, at least 1; sharpness in 1/256.

    v = the blur of `smooth` out of its total, in Q16; w = 1/2 + sharpness (v - 1/2) in Q24, cut to [0, 1]; k = 255 w.
    All is rounded half up.
    """
    sums, total = blur(masks, draw.radii(radius, masks.ndim - 1))
    inverse = ((1 << 44) + total // 2) // total
    v = sums.astype(np.int64) * inverse + (1 << 27) >> 28
    w = np.clip((1 << 23) + sharpness * (v - (1 << 15)), 0, 1 << 24)
    return (w * 255 + (1 << 23) >> 24).astype(np.uint8)


def soft_dice(levels: np.ndarray, truth: np.ndarray) -> np.float32:
    """2 sum(p t) / (sum(p) + sum(t)) of one mask, each sum rounded once; 1 where both are empty."""
    both, total = int(levels[truth != 0].sum(dtype=np.int64)), int(levels.sum(dtype=np.int64)) + 255 * int(truth.sum())
    return np.float32(2) * np.float32(both) / np.float32(total) if total else np.float32(1)
