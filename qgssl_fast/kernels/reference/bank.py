"""Masks of other images and of weak models, as bits: pixel x is bit x % 8 of byte x // 8, rows padded to 64 pixels.

Each image has a mask of every class but the background.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .program import below


@dataclass(frozen=True)
class BankTables:
    """What a backend needs of a bank of N images.

    truth: uint8 [N, C - 1, *S[:-1], 8 ceil(W / 64)]; weak: the same with snapshots in front [K, N, ...].
    order: int32 [N], the images by area, of equal area by number; rank: its inverse.
    low: int32 [N], donors: the donors of the image of rank r are those of rank low[r] .. low[r] + donors, but itself.
    """

    size: tuple[int, ...]
    truth: np.ndarray
    weak: np.ndarray
    order: np.ndarray
    rank: np.ndarray
    low: np.ndarray
    donors: int

    @cached_property
    def numbers(self) -> tuple[int, ...]:
        """Addresses of the arrays above, in their order, then donors, snapshots, images: for kernels that read them."""
        arrays = (self.truth, self.weak, self.order, self.rank, self.low)
        assert all(array.flags.c_contiguous for array in arrays)
        return (*(array.ctypes.data for array in arrays), self.donors, len(self.weak), len(self.truth))


def pack(masks: np.ndarray) -> np.ndarray:
    padding = [(0, 0)] * (masks.ndim - 1) + [(0, -masks.shape[-1] % 64)]
    return np.packbits(np.pad(masks, padding), axis=-1, bitorder="little")


def unpack(bits: np.ndarray, width: int) -> np.ndarray:
    return np.unpackbits(bits, axis=-1, count=width, bitorder="little")


def neighbours(area: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """order, rank, low, donors: the fifth (at least one) of the other images that is nearest in area.

    In the order of areas those are a window; of two equally near ends the lower rank is taken.
    """
    n = len(area)
    order = np.lexsort((np.arange(n), area)).astype(np.int32)
    rank = np.empty_like(order)
    rank[order] = np.arange(n, dtype=np.int32)
    donors = max((n - 1) // 5, 1) if n > 1 else 0
    sorted_area, r = area[order].astype(np.int64), np.arange(n)
    low, high = np.maximum(r - donors, 0), np.minimum(r, n - 1 - donors)
    while (open_ := low < high).any():
        middle = (low + high) // 2
        # The window may move up where the rank that it would gain is nearer than the one that it would lose.
        last = np.minimum(middle + donors + 1, n - 1)
        up = open_ & (sorted_area - sorted_area[middle] > sorted_area[last] - sorted_area)
        low, high = np.where(up, middle + 1, low), np.where(open_ & ~up, middle, high)
    return order, rank, low.astype(np.int32), donors


def cross_image(bank: BankTables, images: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Masks [n, C - 1, *S] of donor number below(word, donors) of each image, by rank; its own in a bank of one."""
    rank = bank.rank[images]
    donor = bank.low[rank] + below(words, bank.donors)
    donor += (donor >= rank) & (bank.donors > 0)
    return unpack(bank.truth[bank.order[donor]], bank.size[-1])


def weak(bank: BankTables, images: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Masks [n, C - 1, *S] of the image by snapshot number below(word, snapshots)."""
    return unpack(bank.weak[below(words, len(bank.weak)), images], bank.size[-1])
