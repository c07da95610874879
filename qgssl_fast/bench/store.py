"""Batches of 32 images of 96x96 with their masks from each tier of a store, beside a torch loader that decodes files.

"ahead": the next batch is announced a step before, as training does. All must give the pixels of the files.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..data import DeviceStore, Placement, load_stores, make_phantoms, read_dataset
from .case import Case, Check, Contender, Run, Work, Wrong, copy_limit

COUNT, BATCH, SIDE, STEPS = 600, 32, 96, 20
SIZE = 2 * 4 * SIDE**2
"""Bytes: an image of three channels and its mask, read and written."""


@functools.cache
def _root() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory()


@functools.cache
def folder() -> Path:
    """A data set of COUNT training images."""
    path = Path(_root().name) / "phantoms"
    make_phantoms(path, SIDE, {"train": COUNT, "val": 4, "test": 4, "unlabeled": 4})
    return path


@contextmanager
def cache_at(place: str) -> Iterator[None]:
    """With the cache of decoded stores there; "off": without one."""
    before = os.environ.get("QGSSL_CACHE")
    os.environ["QGSSL_CACHE"] = place
    try:
        yield
    finally:
        if before is None:
            del os.environ["QGSSL_CACHE"]
        else:
            os.environ["QGSSL_CACHE"] = before


@functools.cache
def store(tier: str) -> DeviceStore:
    dataset = read_dataset(folder())
    with cache_at(str(Path(_root().name) / "cache")):
        return load_stores(dataset, (SIDE, SIDE), channels=3, placement=Placement(tier))["train"]


class Files(Dataset[tuple[Tensor, Tensor]]):
    """The usual data set: decodes in each call."""

    def __init__(self) -> None:
        self.cases = read_dataset(folder()).splits["train"]

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        case = self.cases[k]
        assert case.mask is not None
        image = np.array(Image.open(case.image).convert("RGB"))
        mask = np.array(Image.open(case.mask).convert("L"))
        return torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask > 0).to(torch.uint8)


@functools.cache
def batches() -> list[Tensor]:
    g = torch.Generator().manual_seed(0)
    return [torch.randint(0, COUNT, (BATCH,), generator=g) for _ in range(STEPS)]


def from_tier(tier: str, ahead: bool) -> Run:
    kept, steps = store(tier), batches()

    def run() -> list[tuple[Tensor, Tensor]]:
        found = []
        for now, after in zip(steps, [*steps[1:], steps[0]]):
            if ahead:
                kept.prefetch(after)
            found.append(kept.pairs(now))
        return found

    return run


def by_loader(workers: int) -> Run:
    loader = DataLoader(Files(), batch_sampler=[batch.tolist() for batch in batches()], num_workers=workers)
    return lambda: list(loader)


def the_files() -> Check:
    """The pixels of the first and the last batch are those of the files."""
    files, steps = Files(), batches()

    def check(got: Any) -> None:
        for number in (0, -1):
            for k, image, mask in zip(steps[number].tolist(), *got[number]):
                if not torch.equal(image, files[k][0]) or not torch.equal(mask, files[k][1]):
                    raise Wrong(f"image {k} is not what its file holds")

    return check


def contender(name: str, kind: str, run: functools.partial[Run]) -> Contender:
    return Contender(name, kind, lambda: Work(run(), BATCH * STEPS, the_files()))


def case(name: str, tier: str, ahead: bool) -> Case:
    how = "announced ahead" if ahead else "asked for at once"
    return Case(
        name, "store", f"batches of {BATCH} from tier {tier}, {how}, {SIDE}x{SIDE}", "images", SIZE,
        (
            contender(tier, "ours", functools.partial(from_tier, tier, ahead)),
            contender("loader, PNG files", "peer", functools.partial(by_loader, 0)),
            copy_limit(SIZE, BATCH),
        ),
    )  # fmt: skip


CASES = (
    case("store_device", "device", False), case("store_host", "host", False), case("store_disk", "disk", False),
    case("store_disk_ahead", "disk", True),
)  # fmt: skip
