"""Components and boxes of volumes, natively against the reference, where components are many or wind."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgssl_fast.kernels.reference.corrupt import corrupt as reference
from qgssl_fast.recipes import Recipe, Row

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

NAMES = ("largest_only", "drop_component", "bounding_box")
SIZES = [(1, 1, 1), (9, 1, 1), (1, 9, 1), (2, 1, 67), (5, 4, 3), (8, 9, 64), (7, 13, 33), (12, 5, 130)]


def worm(size: tuple[int, int, int]) -> np.ndarray:
    """Every second line of every second plane, joined at alternating ends."""
    mask = np.zeros(size, np.uint8)
    mask[::2, ::2] = 1
    mask[::2, 1::4, -1] = 1
    mask[::2, 3::4, 0] = 1
    mask[1::4, -1, -1] = 1
    mask[3::4, 0, 0] = 1
    return mask


def hard(size: tuple[int, int, int]) -> torch.Tensor:
    rng = np.random.default_rng(size)
    z, y, x = np.indices(size)
    masks = [
        worm(size),
        (x + y + z) % 2,
        (x % 2 == 0) & (y % 2 == 0) & (z % 2 == 0),
        (x % 3 == 0) & (z % 2 == 0),
        (z % 2 == 0) | ((x == size[2] - 1) & (y == 0)),
        (np.abs(x - y) + z) % 5 < 2,
        np.zeros(size),
        np.ones(size),
        *(rng.random(size) < density for density in (0.01, 0.05, 0.1, 0.2, 0.4, 0.8)),
    ]
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


def check(name: str, masks: torch.Tensor) -> None:
    from qgssl_fast.kernels.native.corrupt import corrupt

    tables = Recipe(name, (Row(name, name, {}, {"single": 1.0}),), {"single": 1.0}).tables
    arguments = (masks, tables, 7, torch.arange(len(masks)) + 2**40)
    got, want = corrupt(*arguments), reference(*arguments)
    wrong = [k for k in range(len(masks)) if not torch.equal(got[0][k], want[0][k])]
    assert not wrong, (name, tuple(masks.shape), wrong[:9])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_volumes(name, size):
    check(name, hard(size))


@pytest.mark.parametrize("name", NAMES)
def test_every_volume_of_2_by_2_by_3(name):
    numbers = torch.arange(1 << 12)
    check(name, (numbers[:, None] >> torch.arange(12) & 1).to(torch.uint8).view(-1, 2, 2, 3))


def test_of_equal_components_the_first_stays_and_each_is_dropped_once():
    mask = torch.zeros(60, 6, 40, dtype=torch.uint8)
    mask[:, 2, 30:33], mask[:, 1:4, 20], mask[:, 4, 5:8] = 1, 1, 1
    from qgssl_fast.kernels.native.corrupt import corrupt

    def run(name):
        tables = Recipe(name, (Row(name, name, {}, {"single": 1.0}),), {"single": 1.0}).tables
        return corrupt(mask, tables, 0, torch.arange(60))[0]

    first = torch.zeros(6, 40, dtype=torch.uint8)
    first[1:4, 20] = 1
    assert torch.equal(run("largest_only"), first.expand(60, 6, 40))
    dropped = (mask - run("drop_component"))[:, [2, 2, 4], [31, 20, 6]]
    assert bool((dropped.sum(1) == 1).all())
    assert bool((dropped.sum(0) > 8).all())
