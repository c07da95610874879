"""Batches of 32 images of 96x96 from each tier of a store, and the first and the second load of a data set.

pytest benchmarks/bench_store.py --benchmark-columns=min,median --benchmark-group-by=group
`masks_per_second` counts images.
"""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from qgssl_fast.bench.case import Work, Wrong
from qgssl_fast.bench.store import BATCH, CASES, COUNT, SIDE, Files, cache_at, folder, store
from qgssl_fast.data import Placement, load_shards, load_stores, read_dataset
from qgssl_fast.data.shards import write_shards


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


@pytest.mark.parametrize("ahead", [False, True], ids=["at once", "announced ahead"])
def test_shards(timed, tmp_path, ahead):
    """Unlabelled images out of shards of 64 through a buffer of 256, files in the system's cache, several passes."""
    kept, steps = store("device"), itertools.count()
    pool = dataclasses.replace(kept, labels=None)
    write_shards({"train": kept.subset(range(4)), "unlabeled": pool}, str(tmp_path / "shards"), samples=64)
    stream = load_shards(str(tmp_path / "shards"), placement=Placement("stream"), buffer=256)["unlabeled"]
    order, known = stream.order(0), {image.numpy().tobytes() for image in kept.images}

    def run() -> list[torch.Tensor]:
        found = []
        for _, step in zip(range(20), steps):
            if ahead:
                stream.prefetch(order.batch(step + 1, BATCH)[0])
            found.append(stream.source(order.batch(step, BATCH)[0])[0])
        return found

    def check(got: list[torch.Tensor]) -> None:
        if any(image.numpy().tobytes() not in known for image in got[0]):
            raise Wrong("an image is none of the store's")

    timed(CASES[0], Work(run, 20 * BATCH, check))
