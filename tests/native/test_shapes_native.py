"""Rows that follow outlines and components, natively against the reference, on masks that are hard on them."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
import pytest
import torch

from qgssl_fast.kernels.reference.corrupt import corrupt as reference
from qgssl_fast.recipes import Recipe, Row

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

PARAMS: dict[str, dict[str, float]] = {
    "polygon_3": {"vertices": 3},
    "polygon_7": {"vertices": 7},
    "gaussian_blob": {"area": 1.0},
    "gaussian_blob_wide": {"area": 3.7},
}
OPS = {"polygon_3": "polygon", "polygon_7": "polygon", "gaussian_blob_wide": "gaussian_blob"}
NAMES = [*PARAMS, "ellipse", "convex_hull", "bounding_box", "circular_blob", "largest_only", "drop_component"]


def recipe_of(name: str, rounding: str = "nearest") -> Recipe:
    row = Row(name, OPS.get(name, name), PARAMS.get(name, {}), {"single": 1.0})
    return Recipe(name, (row,), {"single": 1.0}, rounding=rounding)


def native(*arguments):
    from qgssl_fast.kernels.native.corrupt import corrupt

    return corrupt(*arguments)


def check(name: str, masks: torch.Tensor, kernel=native) -> None:
    roundings = ("nearest", "truncate") if name == "circular_blob" else ("nearest",)
    for rounding in roundings:
        arguments = (masks, recipe_of(name, rounding).tables, 3, torch.arange(len(masks)) + 10**9)
        got, want = kernel(*arguments), reference(*arguments)
        wrong = [k for k in range(len(masks)) if not torch.equal(got[0][k], want[0][k])]
        assert not wrong, (name, rounding, tuple(masks.shape), wrong[:9])
        assert torch.equal(got[1], want[1])


def checkerboard(size):
    y, x = np.indices(size)
    return (x + y) % 2


def comb(size):
    mask = np.indices(size)[1] % 2 == 0
    mask[0] = 1
    return mask


def serpentine(size):
    """A path that goes down and up through all columns but every second."""
    mask = np.indices(size)[1] % 2 == 0
    mask[0, 1::4] = 1
    mask[-1, 3::4] = 1
    return mask


def zigzag(size):
    """Teeth whose every pixel is a corner, on both sides."""
    y, x = np.indices(size)
    mask = (x - y % 2) % 3 == 0
    mask[0] = 1
    return mask


def spiral(size, diagonal=False):
    mask, (h, w) = np.zeros(size, np.uint8), size
    y, x, dy, dx = 0, 0, 0, 1
    mask[0, 0] = 1

    def free(y, x):
        return not (0 <= y < h and 0 <= x < w) or not mask[y, x]

    for turn in itertools.count():
        steps = 0
        while 0 <= y + dy < h and 0 <= x + dx < w and free(y + 2 * dy, x + 2 * dx) and free(y + dy, x + dx):
            y, x, steps = y + dy, x + dx, steps + 1
            mask[y, x] = 1
        if steps == 0 and turn:
            break
        dy, dx = dx, -dy
    return mask & checkerboard(size) if diagonal else mask


def bushes(size):
    """Diagonal staircases that branch."""
    y, x = np.indices(size)
    return ((x + y) % 4 == 0) | ((x - y) % 7 == 0)


MAKERS = (checkerboard, comb, serpentine, zigzag, spiral, lambda size: spiral(size, True), bushes)


def hard(size: tuple[int, int]) -> torch.Tensor:
    rng = np.random.default_rng(size)
    masks = [make(size) for make in MAKERS] + [1 - np.asarray(make(size), np.uint8) for make in MAKERS]
    masks += [np.swapaxes(make(size[::-1]), 0, 1) for make in MAKERS]
    for density in (0.02, 0.2, 0.4, 0.6, 0.9):
        masks.append(rng.random(size) < density)
    for _ in range(4):  # thin, far apart, leaning
        mask = np.zeros(size, np.uint8)
        mask[rng.integers(size[0], size=5), rng.integers(size[1], size=5)] = 1
        masks.append(mask)
        y, x = np.indices(size)
        a, b = rng.normal(size=2)
        masks.append(np.abs(a * (x - size[1] / 2) + b * (y - size[0] / 2)) < rng.uniform(0.3, 3))
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


SIZES = [(1, 1), (1, 64), (64, 1), (2, 2), (2, 130), (130, 2), (3, 65), (31, 33), (40, 64), (63, 127)]


@pytest.mark.parametrize("name", NAMES)
def test_hard_masks(name, isa):
    for size in SIZES:
        check(name, hard(size))


@pytest.mark.parametrize("name", NAMES)
def test_every_mask_of_3_by_4(name):
    numbers = torch.arange(1 << 12)
    check(name, (numbers[:, None] >> torch.arange(12) & 1).to(torch.uint8).view(-1, 3, 4))


@pytest.mark.parametrize("name", NAMES)
def test_longest_sides(name):
    generator = torch.Generator().manual_seed(1)
    for size in [(4096, 3), (3, 4096), (2, 4095)]:
        masks = (
            torch.rand(6, *size, generator=generator) < torch.tensor([0.001, 0.1, 0.5, 0.9, 0.999, 1.1])[:, None, None]
        )
        check(name, masks.to(torch.uint8))


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_written_behind_the_arena(name, bits, library, through):
    lib = library("shuffled")

    def call(task, held):
        assert lib.shuffled(bits, ctypes.byref(task), 0) == 0

    for size in [(1, 1), (1, 33), (33, 1), (2, 2), (24, 48), (31, 33)]:
        check(name, hard(size), lambda *arguments: through(call, *arguments))
