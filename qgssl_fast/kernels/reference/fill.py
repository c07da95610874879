"""Rows that say the same everywhere. Masks uint8 0/1 [n, *S]."""

from __future__ import annotations

import numpy as np

from .program import Draw


def invert(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    return 1 - masks


def empty(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    return np.zeros_like(masks)


def full(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    return np.ones_like(masks)


def random(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Each pixel is 1 with probability p, drawn by `Draw.chance`."""
    return draw.chance(masks.shape[1:], int(params[0])).astype(np.uint8)


def identity(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    return masks
