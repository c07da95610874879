"""Every row natively against the reference: each instruction set, 1 and 2 threads, a shuffled team, CUDA on the CPU."""

from __future__ import annotations

import ctypes
from functools import cache, partial

import numpy as np
import pytest
import torch

from qgssl_fast.corruption import MaskBank
from qgssl_fast.kernels.reference.corrupt import corrupt as reference
from qgssl_fast.kernels.reference.program import ISOTROPIC
from qgssl_fast.recipes import Recipe, Row
from qgssl_fast.recipes.operations import OPERATIONS

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

ROWS = [
    *(Row(f"{op}_{r}", op, {"radius": r}) for op in ("erode", "dilate", "opening", "closing") for r in (0, 3, 40)),
    *(
        Row(f"jagged_{r}_{p}", "jagged", {"radius": r, "probability": p})
        for r, p in [(1, 0.5), (2, 0.3), (5, 0.75), (0, 0.5), (1, 0.0), (1, 1.0)]
    ),
    *(Row(f"smooth_{r}", "smooth", {"radius": r}) for r in (1, 5, 7, 31)),
    *(Row(f"shift_{r}", "shift", {"reach": r}) for r in (0.0, 0.1, 0.4, 1.0)),
    *(
        Row(f"affine_{i}", "affine", params)
        for i, params in enumerate(
            [
                {},
                {"min_scale": 0.75, "max_scale": 0.9},
                {"min_scale": 1.4, "max_scale": 1.6},
                {"degrees": 15.0},
                {"degrees": 180.0, "reach": 0.3, "min_scale": 0.125, "max_scale": 8.0},
                {"min_scale": 0.9, "max_scale": 1.1, "degrees": 15.0, "reach": 0.1, "image_centre": 1},
                {"min_scale": 8.0, "max_scale": 8.0, "degrees": 180.0, "reach": 1.0, "image_centre": 1},
            ]
        )
    ),
    *(
        Row(f"grid_{c}_{s}", "grid", {"cells": c, "stretch": s})
        for c, s in [(1, 0.5), (5, 0.2), (8, 0.4), (12, 1.0), (64, 1.0)]
    ),
    *(
        Row(f"elastic_{a}_{s}", "elastic", {"amplitude": a, "smoothness": s})
        for a, s in [(2.116, 4.0), (3.385, 5.0), (0.0, 2.0), (64.0, 64.0), (9.0, 0.5), (64.0, 0.5), (1.0, 20.0)]
    ),
    *(
        Row(f"{op}_{n}_{low}_{high}", op, {"count": n, "min_radius": low, "max_radius": high})
        for op in ("holes", "islands", "holes_and_islands")
        for n, low, high in [(1, 0, 0), (2, 3, 8), (5, 10, 20), (64, 0, 200)]
    ),
    *(
        Row(f"rect_dropout_{a}_{b}", "rect_dropout", {"min_side": a, "max_side": b})
        for a, b in [(0.1, 0.3), (0.0, 0.0), (1.0, 1.0)]
    ),
    *(Row(op, op) for op in ("ellipse", "convex_hull", "bounding_box", "circular_blob", "largest_only")),
    *(Row(op, op) for op in ("drop_component", "invert", "empty", "full", "identity", "cross_image", "weak")),
    *(Row(f"polygon_{n}", "polygon", {"vertices": n}) for n in (3, 5, 8, 64)),
    *(Row(f"gaussian_blob_{a}", "gaussian_blob", {"area": a}) for a in (1.0, 1.44, 0.0625, 16.0)),
    *(Row(f"random_{p}", "random", {"probability": p}) for p in (0.5, 0.0, 1.0, 0.3)),
]
NAMES = [row.name for row in ROWS]
SIZES = [(1, 1), (1, 130), (7, 1), (5, 64), (33, 31), (40, 63), (64, 65), (31, 127), (20, 128), (130, 129), (96, 96)]
DEEP = [(1, 5, 9), (4, 9, 33), (11, 3, 65), (7, 1, 1), (6, 20, 70)]
SPACINGS = {(4, 9, 33): (12288, 4096), (11, 3, 65): (1300, 5000), (6, 20, 70): (17001, 3500), (3, 5, 33): (8192, 8192)}
KINDS = ("empty", "full", "pixel", "corner", "border", "noise", "dots", "blob", "blobs", "rings")
EVERY = {operation.name for operation in OPERATIONS.values() if not operation.labels}


def make(kind: str, size: tuple[int, ...], seed: int = 0) -> np.ndarray:
    mask, rng = np.zeros(size, np.uint8), np.random.default_rng((seed, *size))
    at = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) if side > 1 else np.zeros(1) for side in size), indexing="ij"))
    if kind == "full":
        mask[:] = 1
    elif kind == "pixel":
        mask[tuple(rng.integers(size))] = 1
    elif kind == "corner":
        mask[tuple(slice(0, side // 2 + 1) for side in size)] = 1
    elif kind == "border":
        mask[:] = 1
        mask[tuple(slice(1, -1) if side > 2 else slice(None) for side in size)] = 0
    elif kind == "noise":
        mask[:] = rng.random(size) < 0.5
    elif kind == "dots":
        mask[tuple(slice(None, None, 3) for _ in size)] = 1
    elif kind == "blob":
        mask[:] = ((at - rng.uniform(-0.3, 0.3, (len(size),) + (1,) * len(size))) ** 2).sum(0) < 0.3
    elif kind == "blobs":
        for _ in range(7):
            centre, radius = rng.uniform(-1, 1, (len(size),) + (1,) * len(size)), rng.uniform(0.01, 0.08)
            mask |= (((at - centre) ** 2).sum(0) < radius).astype(np.uint8)
    elif kind == "rings":
        mask[:] = (9 * (at**2).sum(0) % 2) < 0.8
    return mask


def batch_of(size: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(np.stack([make(kind, size) for kind in KINDS]))


def recipe_of(name: str, rounding: str = "nearest") -> Recipe:
    row = ROWS[NAMES.index(name)]
    if row.op == "weak":
        return Recipe(name, (row,), {"identity": 1.0}, p_weak=1.0)
    if row.op == "cross_image":
        return Recipe(name, (row,), {"cross_image": 1.0})
    return Recipe(name, (Row(row.name, row.op, _whole(row), {"single": 1.0}),), {"single": 1.0}, rounding=rounding)


def _whole(row: Row) -> dict[str, float]:
    defaults = {p.name: p.default for p in row.operation.parameters if p.default is not None}
    return {**defaults, **row.params}


@cache
def case(name: str, size: tuple[int, ...], rounding: str = "nearest"):
    """Arguments of a kernel, and what the reference makes of them."""
    masks = batch_of(size)
    bank = MaskBank(masks)
    bank.add(1 - masks)
    bank.add(masks.roll(1, 0))
    ids = torch.arange(len(masks)) * 1_000_003 + len(name) - 5
    arguments = (masks, recipe_of(name, rounding).tables, 2**63 + 11, ids, bank.tables, torch.arange(len(masks)))
    return arguments, reference(*arguments, errors=True, spacing=SPACINGS.get(size, ISOTROPIC))


def check(name: str, size: tuple[int, ...], kernel, rounding: str = "nearest") -> None:
    """kernel returns masks, quality, overlap, rows, errors."""
    arguments, want = case(name, size, rounding)
    got = kernel(*arguments, spacing=SPACINGS.get(size, ISOTROPIC))
    wrong = [kind for kind, a, b in zip(KINDS, got[0], want[0]) if not torch.equal(a, b)]
    assert not wrong, (name, size, rounding, wrong)
    assert all(torch.equal(a, b) for a, b in zip(got[1:], want[1:], strict=True))


def test_every_operation_has_rows_here():
    assert {row.op for row in ROWS} == EVERY


def rounded(name: str) -> tuple[str, ...]:
    return ("nearest", "truncate") if ROWS[NAMES.index(name)].operation.rounding else ("nearest",)


@pytest.mark.parametrize("name", NAMES)
def test_row_of_the_module(name, isa):
    from qgssl_fast.kernels.native.corrupt import corrupt

    for size in SIZES + DEEP:
        for rounding in rounded(name):
            check(name, size, partial(corrupt, errors=True), rounding)


@pytest.fixture(scope="module")
def shuffled(library, through):
    lib = library("shuffled")

    def kernel(bits, order):
        def call(task, held):
            status = lib.shuffled(bits, ctypes.byref(task), order)
            assert status == 0, {1: "bits beyond the width", 2: "truth", 3: "behind the planes", 4: "behind the arena"}

        return partial(through, call)

    return kernel


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", NAMES)
def test_no_row_depends_on_order(name, bits, shuffled):
    sizes = [(1, 1), (9, 33), (40, 63), (37, 70), (4, 9, 33), (3, 5, 65)]
    for order, size in enumerate(sizes):
        for rounding in rounded(name):
            check(name, size, shuffled(bits, order), rounding)


@pytest.mark.parametrize("name", NAMES)
def test_row_by_cuda(name, gpu):
    from qgssl_fast.kernels.cuda.corrupt import corrupt

    for size in [(19, 70), (3, 5, 33)] if gpu.device.type == "cpu" else SIZES + DEEP:
        for rounding in rounded(name):
            check(name, size, partial(gpu.run, corrupt, errors=True), rounding)
