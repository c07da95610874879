"""Rows that only label maps have, and who wins where classes meet. Masks uint8 0/1 [C - 1, n, *S], one a class."""

from __future__ import annotations

import numpy as np
import torch

from . import morph
from .program import Draw, below


def swap_labels(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Class number below(word 0, count) of those that are there and, of all other classes, number below(word 1, C - 2)
    trade labels. An empty map stays empty."""
    out, words = masks.copy(), draw.words(2)
    for k, one in enumerate(_drawn(masks, words[:, 0])):
        if one is None or len(masks) < 2:
            continue
        other = int(below(words[k, 1], len(masks) - 1))
        other += other >= one
        out[[one, other], k] = masks[[other, one], k]
    return out


def leak(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """What other classes have within `radius` of class number below(word 0, count) of those that are there becomes
    that class's; the background stays. An empty map stays empty."""
    out = masks.copy()
    radii = draw.radii(int(params[0]), masks.ndim - 2)
    for k, one in enumerate(_drawn(masks, draw.words(1)[:, 0])):
        if one is None:
            continue
        reach = morph.dilate(torch.from_numpy(masks[one, k : k + 1]), radii).numpy()[0]
        others = np.arange(len(masks)) != one
        out[one, k] |= (masks[others, k] & reach).any(axis=0)
        out[others, k] &= 1 - reach
    return out


def _drawn(masks: np.ndarray, words: np.ndarray) -> list[int | None]:
    there = masks.reshape(*masks.shape[:2], -1).any(axis=2)
    chosen = [np.flatnonzero(column) for column in there.T]
    return [int(c[below(word, len(c))]) if len(c) else None for c, word in zip(chosen, words)]


def settle(masks: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """One class a pixel: where several have it, the true one if it is among them, else the one of lowest number."""
    out, taken = masks & truth, (masks & truth).any(axis=0)
    for mask, settled in zip(masks, out):
        settled |= mask & ~taken
        taken = taken | mask.astype(bool)
    return out


ROWS = {"swap_labels": swap_labels, "leak": leak}
