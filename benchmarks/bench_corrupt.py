"""Corruption of masks: the mix of each recipe, and each row alone. Milliseconds a mask are in `extra_info`.

pytest benchmarks/bench_corrupt.py --benchmark-columns=median,rounds --benchmark-sort=name
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank

BATCH = 64


def lesions(side: int, count: int = BATCH) -> torch.Tensor:
    """Smooth random shapes that cover about a fifth of the image."""
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        y, x = np.mgrid[:side, :side] - side * rng.uniform(0.4, 0.6, (2, 1, 1))
        angle, radius = np.arctan2(y, x), side * rng.uniform(0.15, 0.33)
        for k in (2, 3, 5, 9):
            radius = radius + side * rng.uniform(0, 0.03) * np.cos(k * angle + rng.uniform(0, 6))
        masks.append(np.hypot(x, y) < radius)
    return torch.from_numpy(np.stack(masks).astype(np.uint8))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def measure(benchmark, recipe: qf.Recipe, side: int, backend: str) -> None:
    masks, images = lesions(side), torch.arange(BATCH)
    bank = MaskBank(masks)
    bank.add(masks.roll(1, 1))
    draws = iter(range(10**9))

    def run(draw: int, backend: str = backend) -> qf.Corruption:
        ids = images + BATCH * draw
        return qf.corrupt(masks, recipe, sample_ids=ids, bank=bank, image_ids=images, backend=backend)

    # No time is told of a kernel that is wrong.
    for draw in range(4):
        out, truth = run(draw), run(draw, "reference")
        assert torch.equal(out.masks, truth.masks)
        assert torch.equal(out.overlap, truth.overlap)
    benchmark(lambda: run(next(draws)))
    if benchmark.stats is not None:
        benchmark.extra_info |= {"ms_a_mask": 1e3 * benchmark.stats.stats.median / BATCH, "backend": backend}


@pytest.mark.parametrize("backend", ["reference"])
@pytest.mark.parametrize("side", [64, 96, 224])
@pytest.mark.parametrize("name", ["paper", "default"])
def test_mix(benchmark, name, side, backend):
    measure(benchmark, qf.load_recipe(name), side, backend)


@pytest.mark.parametrize("backend", ["reference"])
@pytest.mark.parametrize("row", [row.name for row in qf.load_recipe("default").rows])
def test_row(benchmark, row, backend):
    measure(benchmark, qf.load_recipe("default").only(row), 96, backend)
