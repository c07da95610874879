"""Rows about connected components: keep the largest, drop one. Masks uint8 0/1 [n, *S].

Pixels that touch, diagonally too, are one component (8 neighbours, 26 in a volume). Components are numbered by their
first pixel in raster order. Runs of foreground pixels along rows are joined, not pixels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from .program import Draw, below


def largest_only(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Only the component of most pixels stays; of equal ones the first. An empty mask stays empty."""
    parts = components(masks)
    best = np.zeros(len(masks), np.int64)
    # Written backwards from small to large, so that the last one to be written is the first of the largest.
    order = np.lexsort((-np.arange(len(parts.sizes)), parts.sizes))
    best[parts.mask[order]] = order
    return parts.paint(masks.shape, best[parts.mask[parts.component]] == parts.component)


def drop_component(masks: np.ndarray, params: np.ndarray, draw: Draw) -> np.ndarray:
    """Component number below(word 0, count) is removed where there are two or more."""
    parts = components(masks)
    count = np.bincount(parts.mask, minlength=len(masks))
    first = np.cumsum(count) - count
    dropped = np.where(count > 1, first + below(draw.words(1)[:, 0], count), -1)
    return parts.paint(masks.shape, dropped[parts.mask[parts.component]] != parts.component)


@dataclass(frozen=True)
class Components:
    """start, end, component: of each run, in a flat padded image; mask, sizes: of each component."""

    padded: tuple[int, ...]
    start: np.ndarray
    end: np.ndarray
    component: np.ndarray
    mask: np.ndarray
    sizes: np.ndarray

    def paint(self, shape: tuple[int, ...], keep: np.ndarray) -> np.ndarray:
        """uint8 masks of the runs that are kept."""
        steps = np.zeros(int(np.prod(self.padded)) + 1, np.int8)
        steps[self.start[keep]] = 1
        steps[self.end[keep]] -= 1
        filled = np.cumsum(steps[:-1], dtype=np.int8).reshape(self.padded)
        return filled[tuple(slice(side) for side in shape)].astype(np.uint8)


def components(masks: np.ndarray) -> Components:
    """All components of all masks at once, ordered by mask, then by their first pixel."""
    # One blank at the end of every axis but the batch keeps rows, planes and masks apart in the flat image.
    padded = (masks.shape[0], *(side + 1 for side in masks.shape[1:]))
    image = np.zeros(padded, np.int8)
    image[tuple(slice(side) for side in masks.shape)] = masks
    steps = np.diff(image.reshape(-1), prepend=0, append=0)
    start, end = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    # `end` is exclusive; runs a, b in rows that touch are joined where they overlap or meet diagonally.
    one, other = [], []
    for offset in _row_offsets(padded):
        low = np.searchsorted(end, start + offset, side="left")
        high = np.searchsorted(start, end + offset, side="right")
        many = np.maximum(high - low, 0)
        one.append(np.repeat(np.arange(len(start)), many))
        other.append(np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many) + np.repeat(low, many))
    label = _connect(len(start), np.concatenate(one), np.concatenate(other))
    roots, component = np.unique(label, return_inverse=True)
    mask = start[roots] // int(np.prod(padded[1:]))
    sizes = np.bincount(component, weights=end - start, minlength=len(roots)).astype(np.int64)
    return Components(padded, start, end, component, mask, sizes)


def _row_offsets(padded: tuple[int, ...]) -> list[int]:
    """How far, in the flat image, the later ones of a row's neighbouring rows are."""
    strides = [int(np.prod(padded[axis + 1 :])) for axis in range(1, len(padded) - 1)]
    moves = itertools.product((-1, 0, 1), repeat=len(strides))
    return [offset for move in moves if (offset := sum(m * s for m, s in zip(move, strides))) > 0]


def _connect(count: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The smallest run number of each run's component: labels fall along edges, then along themselves."""
    label = np.arange(count)
    while True:
        lower = np.minimum(label[one], label[other])
        fallen = label.copy()
        for run in (one, other, label[one], label[other]):
            np.minimum.at(fallen, run, lower)
        fallen = fallen[fallen]
        if np.array_equal(fallen, label):
            return label
        label = fallen
