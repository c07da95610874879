"""Orders of items: each once a pass, a function of the step, the same as plain numpy has them, on every device."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from qgssl_fast.data.order import STREAM, Order
from qgssl_fast.kernels.reference.philox import philox4x32


def by_numpy(n, seed, k):
    """Pass k."""
    items = np.arange(n, dtype=np.uint64)
    w = philox4x32(k, STREAM, items & np.uint64(0xFFFFFFFF), items >> np.uint64(32), seed).astype(np.uint64)
    return np.argsort(w[:, 0] << np.uint64(31) | w[:, 1] >> np.uint64(1), kind="stable")


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (7, 3), (5000, 2**63 - 1)])
def test_passes_are_sorted_philox_words(n, seed):
    order = Order(n, seed)
    for k in (0, 1, 2, 4096 // n + 1):
        assert order.batch(k, n)[0].tolist() == by_numpy(n, seed, k).tolist()


def test_every_permutation_is_as_likely():
    n, passes = 4, 6000
    found = Order(n, 5).batch(0, n * passes)[0].view(passes, n)
    counts = np.unique((found * torch.tensor([64, 16, 4, 1])).sum(1).numpy(), return_counts=True)[1]
    assert len(counts) == math.factorial(n)
    chi = ((counts - passes / 24) ** 2 / (passes / 24)).sum()
    assert chi < 49.7  # 23 degrees of freedom, one in a thousand
    follows = np.unique((found[:-1, -1] * n + found[1:, 0]).numpy(), return_counts=True)[1]  # across a pass's end
    assert ((follows - (passes - 1) / 16) ** 2 / ((passes - 1) / 16)).sum() < 37.7  # 15 degrees of freedom


@pytest.mark.parametrize("n", [3, 9000])
def test_steps_across_blocks(n):
    """Blocks are drawn as they are needed, small sets many passes at once."""
    size, order = 2 * n + 1, Order(n, 11)
    got = torch.cat([order.batch(step, size)[0] for step in range(max(4, 5000 // size))])
    want = itertools.chain.from_iterable(by_numpy(n, 11, k) for k in range(len(got) // n + 1))
    assert got.tolist() == list(map(int, itertools.islice(want, len(got))))


@pytest.mark.gpu
@pytest.mark.parametrize("n", [5, 100_000])
def test_a_gpu_draws_the_same_and_is_not_waited_for(n):
    there, here = Order(n, 7, "cuda"), Order(n, 7)
    there.batch(0, 64)
    torch.cuda.set_sync_debug_mode("error")
    try:
        got = [there.batch(step, 64) for step in (1, 9000 // 64, 200_000)]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for pair, step in zip(got, (1, 9000 // 64, 200_000)):
        for a, b in zip(pair, here.batch(step, 64)):
            assert torch.equal(a.cpu(), b)


@pytest.mark.parametrize(("n", "size"), [(7, 3), (5, 5), (3, 8), (1, 4)])
def test_order_visits_each_item_once_a_pass(n, size):
    order = Order(n, seed=1)
    steps = math.lcm(n, size) // size
    items = torch.cat([order.batch(step, size)[0] for step in range(steps)])
    for visited in items.split(n):
        assert visited.sort().values.tolist() == list(range(n))
    ids = torch.cat([order.batch(step, size)[1] for step in range(steps)])
    assert ids.tolist() == list(range(len(items)))


def test_order_does_not_remember():
    """A batch is a function of the step alone: what resuming relies on."""
    fresh = Order(10, seed=3).batch(17, 4)[0]
    used = Order(10, seed=3)
    for step in range(17):
        used.batch(step, 4)
    assert torch.equal(fresh, used.batch(17, 4)[0])
    assert not torch.equal(fresh, Order(10, seed=4).batch(17, 4)[0])


def test_parts_of_an_order():
    order = Order(5, 0)
    items, ids = order.batch(3, 4)
    for k in (0, 1):
        part = order.batch(3, 4, slice(2 * k, 2 * k + 2))
        assert torch.equal(part[0], items[2 * k : 2 * k + 2])
        assert torch.equal(part[1], ids[2 * k : 2 * k + 2])
