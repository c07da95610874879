"""A recipe as integers: what every backend reads, bit for bit the same."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

# Categories. The four middle ones are groups of rows, each drawn by its own weights.
IDENTITY, SINGLE, CHAINED, CROSS_IMAGE, HEAVY, CATASTROPHIC, BLOB = range(7)
CATEGORIES = ("identity", "single", "chained", "cross_image", "heavy", "catastrophic", "blob")
GROUPS = {SINGLE: "single", HEAVY: "heavy", CATASTROPHIC: "catastrophic", BLOB: "blob"}
WORDS = 8  # of a row: code of the operation, then its parameters, then zeros


@dataclass(frozen=True)
class Choice:
    """A weighted choice by one 32-bit word: values[number of entries of `below` that are <= word].

    values: int32 [n], all of positive weight; below: uint32 [n - 1], cumulative.
    """

    values: np.ndarray
    below: np.ndarray

    @staticmethod
    def of(values: list[int], weights: list[float]) -> Choice:
        kept = [(value, Fraction(str(weight))) for value, weight in zip(values, weights) if weight > 0]
        total = sum((weight for _, weight in kept), Fraction(0))
        below, running = [], Fraction(0)
        for _, weight in kept[:-1]:
            running += weight
            below.append(min(round(running / total * 2**32), 2**32 - 1))
        return Choice(np.array([value for value, _ in kept], np.int32), np.array(below, np.uint32))


@dataclass(frozen=True)
class Tables:
    """rows: int32 [R, 8]; p_weak: of 2**32, compared with a word; cross_image, weak: row numbers, -1 = none.

    softness: probability of 2**32, least and largest radius in px, least and largest sharpness in 1/256.
    """

    rows: np.ndarray
    categories: Choice
    groups: dict[int, Choice]
    chained: np.ndarray  # int32, the rows that a chain draws from
    cross_image: int
    weak: int
    p_weak: int
    softness: tuple[int, ...] = (0, 0, 0, 0, 0)

    @cached_property
    def flat(self) -> np.ndarray:
        """int32 words, all of this in one piece, as ``csrc/core/recipe.h`` reads it."""
        soft = 6 + 2 * len(CATEGORIES)
        header = np.zeros(soft + 6, np.int64)
        header[soft:] = (self.softness[0] & 0xFFFFFFFF, self.softness[0] >> 32, *self.softness[1:])
        pieces: list[np.ndarray] = [self.rows.reshape(-1)]
        header[:6] = (
            len(self.rows),
            len(header),
            self.cross_image,
            self.weak,
            self.p_weak & 0xFFFFFFFF,
            self.p_weak >> 32,
        )
        choices = {0: self.categories, **self.groups, CHAINED: Choice(self.chained, np.zeros(0, np.uint32))}
        for number in range(len(CATEGORIES)):
            choice = choices.get(number)
            header[7 + 2 * number] = len(header) + sum(map(len, pieces))
            if choice is None:
                continue
            header[6 + 2 * number] = len(choice.values)
            padded = np.zeros(max(len(choice.values) - 1, 0), np.uint32)
            padded[: len(choice.below)] = choice.below
            pieces += [choice.values, padded.view(np.int32)]
        return np.concatenate([header.astype(np.uint32).view(np.int32), *pieces]).astype(np.int32)

    @cached_property
    def address(self) -> tuple[int, int]:
        """Where `flat` lies in memory, and its words."""
        return self.flat.ctypes.data, len(self.flat)
