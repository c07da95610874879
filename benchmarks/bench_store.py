"""Batches of 32 images of 96x96 from each tier of a store, and the first and the second load of a data set.

pytest benchmarks/bench_store.py --benchmark-columns=min,median --benchmark-group-by=group
`masks_per_second` counts images.
"""

from __future__ import annotations

import dataclasses

import pytest
import torch

from qgssl_fast.bench.case import Work, Wrong
from qgssl_fast.bench.store import BATCH, CASES, COUNT, SIDE, Files, cache_at, folder, store
from qgssl_fast.data import load_stores, read_dataset
from qgssl_fast.data.shards import ShardStream, write_shards


def test_case(timed, case, contender):
    timed(case, contender.make())


class TestLoading:
    CASE = dataclasses.replace(CASES[0], title=f"loading {COUNT} images of {SIDE}x{SIDE}")

    @pytest.mark.parametrize("cached", [False, True], ids=["decoding", "from the cache"])
    def test_load(self, timed, cached, tmp_path):
        dataset, files = read_dataset(folder()), Files()

        def check(stores: object) -> None:
            for k in range(0, COUNT, 50):
                if not torch.equal(stores["train"].images[k], files[k][0]):
                    raise Wrong(f"image {k} is not what its file holds")

        with cache_at(str(tmp_path) if cached else "off"):
            timed(self.CASE, Work(lambda: load_stores(dataset, (SIDE, SIDE), channels=3), COUNT, check))


def test_shards(timed, tmp_path):
    """A pass over shards of 64 samples through a buffer of 256, files in the system's cache."""
    kept = store("device")
    write_shards({"train": kept}, str(tmp_path / "shards"), samples=64)
    batches = ShardStream(str(tmp_path / "shards"), buffer=256).batches(BATCH)
    known = {image.numpy().tobytes() for image in kept.images}

    def check(got: list) -> None:
        if any(image.numpy().tobytes() not in known for image in got[0][0]):
            raise Wrong("an image is none of the store's")

    timed(CASES[0], Work(lambda: [next(batches) for _ in range(20)], 20 * BATCH, check))
