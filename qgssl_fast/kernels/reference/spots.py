"""Rows that cut discs (balls) or a box out of a mask, or add discs to it. Masks uint8 0/1 [n, *S]."""

from __future__ import annotations

import numpy as np

from ...recipes.operations import SPACING_ONE
from .program import Draw, below, between


def holes(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Discs centred on foreground pixels become 0.

    Disc i has words 2 i and 2 i + 1: its centre is foreground pixel number below(word, count), in raster order of the
    mask as it came; its radius r is between(word, min, max); it holds the pixels with dx**2 + dy**2 <= r**2. In a
    volume it is a ball: dy and dz count by the sides of a voxel.
    """
    return _discs(masks, params, draw.words(2 * int(params[0])), 0, draw.spacing)


def islands(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Discs centred on background pixels become 1; drawn as `holes` draws them."""
    return _discs(masks, params, draw.words(2 * int(params[0])), 1, draw.spacing)


def holes_and_islands(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """`holes`, then `islands` of what is left, with the words that follow."""
    count = 2 * int(params[0])
    words = draw.words(2 * count)
    return _discs(_discs(masks, params, words[:, :count], 0, draw.spacing), params, words[:, count:], 1, draw.spacing)


def _discs(
    masks: np.ndarray, params: np.ndarray, words: np.ndarray, value: int, spacing: tuple[int, int]
) -> np.ndarray:
    out = masks.copy()
    size = masks.shape[1:]
    sides = (*spacing, SPACING_ONE)[-len(size) :]
    radii = between(words[:, 1::2], int(params[1]), int(params[2]))
    for mask, sample, where, radius in zip(masks, out, words[:, ::2], radii):
        pixels = np.flatnonzero(mask != value)
        if not len(pixels):
            continue  # nothing to be centred on: the mask stays
        for centre, r in zip(pixels[below(where, len(pixels))].tolist(), radius.tolist()):
            far = [r * SPACING_ONE // side for side in sides]
            at = np.unravel_index(centre, size)
            box = tuple(slice(max(int(a) - f, 0), int(a) + f + 1) for a, f in zip(at, far))
            away = np.ogrid[tuple(slice(b.start, min(b.stop, s)) for b, s in zip(box, size))]
            square = sum(((w - a) * side) ** 2 for w, a, side in zip(away, at, sides))
            sample[box][square <= (r * SPACING_ONE) ** 2] = value
    return out


def rect_dropout(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """One box becomes 0. Axis a has words 2 a and 2 a + 1: its side is (S_a * between(word, min, max)) >> 16,
    at least 1 px, and its first pixel below(word, S_a - side + 1)."""
    size = masks.shape[1:]
    words = draw.words(2 * len(size))
    low, high = int(params[0]), int(params[1])
    sides = np.maximum(np.array(size) * between(words[:, ::2], low, high) >> 16, 1)
    starts = below(words[:, 1::2], np.array(size) - sides + 1)
    out = masks.copy()
    for sample, start, side in zip(out, starts, sides):
        sample[tuple(slice(a, a + s) for a, s in zip(start, side))] = 0
    return out
