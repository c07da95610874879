"""What a sample's corruption is made of: which rows, in which order, and the random words that they use.

Chance is a function of (seed, sample id) alone: Philox counter = (block, stream, sample id low, sample id high).
Stream 0 decides the program, stream 1 + k the row at position k, stream 16 (k + 1) + j holds words for that row:
j = 0 its arguments, j = 1 .. 15 its pixel planes and lattices; stream 64 says how soft the mask becomes. Of label maps,
class c has its rows' streams 256 (c - 1) further on. Everything is decided in integers.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ...recipes.operations import SPACING_ONE
from ...recipes.tables import CHAINED, CROSS_IMAGE, IDENTITY, Choice, Tables
from .philox import philox4x32

POSITIONS = 3
SOFT_STREAM = 64
CLASS_STREAMS = 256  # from a class's streams to the next class's
ONE = 1 << 16  # Q16.16
ISOTROPIC = (SPACING_ONE, SPACING_ONE)


def below(words: np.ndarray, n) -> np.ndarray:
    """A whole number in [0, n) from a 32-bit word: (word * n) >> 32. int64."""
    return ((words.astype(np.uint64) * np.asarray(n).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def between(words: np.ndarray, low: int, high: int) -> np.ndarray:
    """A whole number in [low, high], both included; for Q16.16 bounds a fixed-point uniform. int64."""
    return low + below(words, high - low + 1)


def words_of(seed: int, sample_ids: np.ndarray, stream: int | np.ndarray, blocks: int) -> np.ndarray:
    """uint32 [n, 4 * blocks]: the first words of a stream, for each sample; of several streams: [n, streams, ...]."""
    ids = np.asarray(sample_ids).astype(np.int64).view(np.uint64)
    ids = ids.reshape(ids.shape + (1,) * (np.ndim(stream) + 1))
    streams = np.asarray(stream)[..., None]
    drawn = philox4x32(np.arange(blocks), streams, ids & np.uint64(0xFFFFFFFF), ids >> np.uint64(32), seed)
    return drawn.reshape(*drawn.shape[:-2], 4 * blocks)


class Draw:
    """The random words of the row at one position, for n samples, and what else rows have in common.

    spacing: side of a voxel along z and y over that along x, in 1/4096; a row's pixels are pixels along x.
    """

    EARLY = 3  # blocks of arguments that are drawn for the whole batch at once

    def __init__(
        self,
        seed: int,
        sample_ids: np.ndarray,
        position: int,
        early: np.ndarray | None = None,
        label: int = 1,
        spacing: tuple[int, int] = ISOTROPIC,
    ) -> None:
        self.seed, self.sample_ids, self.spacing = seed, sample_ids, spacing
        self._stream, self._early = 16 * (position + 1) + CLASS_STREAMS * (label - 1), early

    def radii(self, radius: int, axes: int) -> tuple[int, ...]:
        """`radius` px in the pixels of each axis, x last, rounded half up."""
        sides = (*self.spacing, SPACING_ONE)[-axes:]
        return tuple((2 * radius * SPACING_ONE + side) // (2 * side) for side in sides)

    def words(self, count: int, plane: int = 0) -> np.ndarray:
        """uint32 [n, count] from the argument stream (plane 0) or from plane 1 .. 15."""
        if plane == 0 and self._early is not None and count <= self._early.shape[1]:
            return self._early[:, :count]
        return words_of(self.seed, self.sample_ids, self._stream + plane, -(-count // 4))[:, :count]

    def pixels(self, size: tuple[int, ...], plane: int) -> np.ndarray:
        """bool [n, *size]: one fair bit a pixel. Pixel x of row y: bit x % 32 of word 2 ceil(W / 64) y + x // 32."""
        row_words = 2 * -(-size[-1] // 64)
        rows = int(np.prod(size[:-1]))
        words = self.words(rows * row_words, plane).astype("<u4", order="C")
        bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
        return bits.reshape(-1, *size[:-1], 32 * row_words)[..., : size[-1]].astype(bool)

    def chance(self, size: tuple[int, ...], probability: int) -> np.ndarray:
        """bool [n, *size], each pixel True with probability / 2**15.

        Plane 1 + j is bit 14 - j of a 15-bit number u, and the pixel is u < probability. Planes below the lowest
        one bit of `probability` decide nothing and are not drawn: p = 1/2 takes one plane.
        """
        less = np.full((len(self.sample_ids), *size), probability >= 1 << 15)
        equal = ~less
        for j in range(15):
            if probability & ((1 << (15 - j)) - 1) == 0:
                break
            plane = self.pixels(size, 1 + j)
            if probability >> (14 - j) & 1:
                less |= equal & ~plane
                equal &= plane
            else:
                equal &= ~plane
        return less


class Program:
    """The rows of each sample: int32 [B, 3], -1 = none; `donor` is the word that picks a donor or a snapshot."""

    def __init__(
        self,
        tables: Tables,
        seed: int,
        sample_ids: np.ndarray,
        rows: np.ndarray | None = None,
        spacing: tuple[int, int] = ISOTROPIC,
    ) -> None:
        self.seed, self.sample_ids, self.spacing = seed, sample_ids, spacing
        # One call for all that most samples need: streams 0 (decisions), 1 .. 3 (rows).
        decisions = words_of(seed, sample_ids, np.arange(1 + POSITIONS), 1)
        self.donor = decisions[:, 0, 3]
        self.rows = self._choose(tables, decisions) if rows is None else rows

    @cached_property
    def _arguments(self) -> np.ndarray:
        streams = 16 * np.arange(1, POSITIONS + 1)
        return words_of(self.seed, self.sample_ids, streams, Draw.EARLY)

    def draw(self, position: int, chosen: np.ndarray, label: int = 1) -> Draw:
        early = self._arguments[chosen, position] if label == 1 else None
        return Draw(self.seed, self.sample_ids[chosen], position, early, label, self.spacing)

    def softness(self, tables: Tables) -> np.ndarray:
        """int64 [B, 2]: radius in px (0: stays hard) and sharpness in 1/256, from words 1 and 2 of its stream; word 0
        decides whether."""
        probability, *bounds = tables.softness
        if probability == 0:
            return np.zeros((len(self.sample_ids), 2), np.int64)
        words = words_of(self.seed, self.sample_ids, SOFT_STREAM, 1)
        drawn = np.stack([between(words[:, 1], *bounds[:2]), between(words[:, 2], *bounds[2:])], axis=1)
        return drawn * (words[:, :1].astype(np.int64) < probability)

    @staticmethod
    def _choose(tables: Tables, decisions: np.ndarray) -> np.ndarray:
        weak, category, length, _ = decisions[:, 0].T
        words = decisions[:, 1:, 0]
        rows = np.full((len(decisions), POSITIONS), -1, np.int32)
        categories = _pick(tables.categories, category)
        for code in np.unique(categories):
            chosen = categories == code
            if code == CHAINED:
                rows[chosen] = _different(tables.chained, words[chosen], 2 + (length[chosen] >> np.uint32(31)))
            elif code == CROSS_IMAGE:
                rows[chosen, 0] = tables.cross_image
            elif code != IDENTITY:
                rows[chosen, 0] = _pick(tables.groups[int(code)], words[chosen, 0])
        rows[weak.astype(np.uint64) < np.uint64(tables.p_weak)] = (tables.weak, -1, -1)
        return rows


def _pick(choice: Choice, words: np.ndarray) -> np.ndarray:
    return choice.values[np.searchsorted(choice.below, words, side="right")]


def _different(rows: np.ndarray, words: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Two or three different entries of `rows`, uniform: the k-th of those that are left, in order."""
    n = len(rows)
    first, second = below(words[:, 0], n), below(words[:, 1], n - 1)
    second += second >= first
    third = below(words[:, 2], n - 2)
    third += third >= np.minimum(first, second)
    third += third >= np.maximum(first, second)
    chain = rows[np.stack((first, second, third), axis=1)]
    chain[length < 3, 2] = -1
    return chain
