"""Batches of 32 images of 96x96 from each tier of a store, and the first and the second load of a data set.

pytest benchmarks/bench_store.py --benchmark-columns=min,median --benchmark-group-by=group
`masks_per_second` counts images. "ahead": the next batch is announced a step before, as training does.
"""

from __future__ import annotations

import pytest
import torch

from qgssl_fast.data import Placement, load_stores, make_phantoms, read_dataset
from qgssl_fast.data.shards import ShardStream, write_shards

COUNT, BATCH, SIDE = 600, 32, 96


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("store") / "phantoms"
    make_phantoms(root, SIDE, {"train": COUNT, "val": 4, "test": 4, "unlabeled": 4})
    return root


@pytest.fixture(autouse=True)
def cached(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.benchmark(group=f"batches of {BATCH} from {COUNT} images of {SIDE}x{SIDE}")
@pytest.mark.parametrize("ahead", [False, True], ids=["now", "ahead"])
@pytest.mark.parametrize("tier", ["device", "host", "disk"])
def test_batches(per_second, folder, tier, ahead):
    store = load_stores(read_dataset(folder), (SIDE, SIDE), placement=Placement(tier))["train"]
    g = torch.Generator().manual_seed(0)
    batches = [torch.randint(0, COUNT, (BATCH,), generator=g) for _ in range(20)]

    def run():
        for now, after in zip(batches, [*batches[1:], batches[0]]):
            if ahead:
                store.prefetch(after)
            store.pairs(now)

    per_second(run, BATCH * len(batches), None)


@pytest.mark.benchmark(group=f"loading {COUNT} images of {SIDE}x{SIDE}")
class TestLoading:
    def test_decoding(self, per_second, folder, monkeypatch):
        monkeypatch.setenv("QGSSL_CACHE", "off")
        dataset = read_dataset(folder)
        per_second(lambda: load_stores(dataset, (SIDE, SIDE)), COUNT, None)

    def test_from_the_cache(self, per_second, folder):
        dataset = read_dataset(folder)
        load_stores(dataset, (SIDE, SIDE))
        per_second(lambda: load_stores(dataset, (SIDE, SIDE)), COUNT, None)


@pytest.mark.benchmark(group=f"batches of {BATCH} from {COUNT} images of {SIDE}x{SIDE}")
def test_shards(per_second, folder, tmp_path):
    """A pass over shards of 64 samples through a buffer of 256, files in the system's cache."""
    store = load_stores(read_dataset(folder), (SIDE, SIDE))["train"]
    write_shards({"train": store}, str(tmp_path / "shards"), samples=64)
    batches = ShardStream(str(tmp_path / "shards"), buffer=256).batches(BATCH)
    per_second(lambda: [next(batches) for _ in range(20)], 20 * BATCH, None)
