"""Tiers of the store and its cache: the same batches from memory, ahead of time, and from a mapped file."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
import torch

from qgssl_fast.data import Placement, VolumeOptions, checks, load_stores, memory, read_dataset, store_cache, tiers
from qgssl_fast.data.feed import Feeder
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.packed import PackedMasks
from qgssl_fast.ops.augment import augment, weak_view

SPLITS = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]}


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def same(a, b):
    assert a.keys() == b.keys()
    for split in a:
        assert torch.equal(a[split].images, b[split].images)
        assert (a[split].masks is None) == (b[split].masks is None)
        assert a[split].masks is None or torch.equal(a[split].masks, b[split].masks)
        for name in ("names", "sizes", "conventions", "cases", "owner", "plan"):
            assert getattr(a[split], name) == getattr(b[split], name), name


@pytest.mark.parametrize("volumes", [False, True])
def test_a_second_load_decodes_nothing(tree, cached, monkeypatch, volumes):
    root = tree.decathlon(splits=SPLITS).root if volumes else tree.whole().root
    size = (4, 6, 6) if volumes else (12, 16)
    dataset = read_dataset(root)
    monkeypatch.setenv("QGSSL_CACHE", "off")
    plain = load_stores(dataset, size)
    monkeypatch.setenv("QGSSL_CACHE", str(cached))
    same(load_stores(dataset, size), plain)
    looked = []
    monkeypatch.setattr(checks, "look", lambda *a: looked.append(a))
    said = []
    same(load_stores(dataset, size, progress=lambda done, total: said.append((done, total))), plain)
    assert looked == []
    assert said == [(len(dataset), len(dataset))]


def test_the_cache_is_keyed_by_content_and_options(tree, cached):
    dataset = read_dataset(tree.whole().root)
    first = load_stores(dataset, (12, 16))
    image = dataset.splits["train"][0].image
    os.utime(image, (1, 1))  # another time, the same content
    load_stores(dataset, (12, 16))
    folders = cached / "stores"
    assert len(list(folders.iterdir())) == 1
    load_stores(dataset, (12, 12))
    load_stores(dataset, (12, 16), channels=1)
    assert len(list(folders.iterdir())) == 3
    tree.image("images/a0.png")
    assert not torch.equal(load_stores(dataset, (12, 16))["train"].images[0], first["train"].images[0])
    assert len(list(folders.iterdir())) == 4


def test_what_is_done_to_a_store_does_not_reach_the_file(tree, cached):
    dataset = read_dataset(tree.whole().root)
    want = load_stores(dataset, (12, 16))["train"].images.clone()
    store = load_stores(dataset, (12, 16), placement=Placement("disk"))["train"]
    store.images.zero_()
    assert torch.equal(load_stores(dataset, (12, 16))["train"].images, want)


def test_a_damaged_cache_is_made_anew(tree, cached):
    dataset = read_dataset(tree.whole().root)
    want = load_stores(dataset, (12, 16))
    for file in (cached / "stores").rglob("train-images.npy"):
        file.write_bytes(b"damaged")
    same(load_stores(dataset, (12, 16)), want)


def test_the_longest_unused_go_first(tree, cached, monkeypatch):
    dataset = read_dataset(tree.whole().root)
    load_stores(dataset, (12, 16))
    (old,) = (cached / "stores").iterdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(store_cache, "MOST_BYTES", 9000)
    load_stores(dataset, (12, 12))
    assert not old.exists()
    assert len(list((cached / "stores").iterdir())) == 1


@pytest.mark.parametrize("tier", ["device", "host", "disk"])
def test_every_tier_gives_the_same_batches(tree, cached, tier):
    dataset = read_dataset(tree.whole(train=9).root)
    plain = load_stores(dataset, (12, 16))["train"]
    store = load_stores(dataset, (12, 16), placement=Placement(tier))["train"]
    assert store.tier == tier
    assert any(f"tier {tier}, as asked" in note for note in store.notes)
    for step in range(6):
        now, ahead = (torch.randint(0, 9, (4,), generator=torch.Generator().manual_seed(k)) for k in (step, step + 1))
        store.prefetch(now)
        store.prefetch(ahead)
        images, masks = store.pairs(now)
        assert torch.equal(images, plain.images[now])
        assert torch.equal(masks, plain.masks[now])
    assert torch.equal(store.truth, plain.truth)
    assert torch.equal(store.subset([1, 3]).images, plain.images[[1, 3]])


@pytest.mark.parametrize("tier", ["auto", "host", "disk"])
@pytest.mark.parametrize("volumes", [False, True], ids=["images", "volumes"])
def test_masks_are_kept_as_bits(tree, cached, tier, volumes):
    """An eighth of their bytes (of three classes a quarter), in memory, in files and on their way to a kernel."""
    root = tree.decathlon(splits=SPLITS).root if volumes else tree.whole(train=9).root
    size, planes = ((4, 5, 6), 2) if volumes else ((13, 15), 1)
    store = load_stores(read_dataset(root), size, placement=Placement(tier))["train"]
    assert store.labels.bits.shape == (len(store), planes, -(-math.prod(size) // 8))
    index = torch.tensor([2, 0, 2, 1])
    images, labels, at = store.labelled_source(index)
    assert isinstance(labels, PackedMasks)
    given = {"seed": 3, "sample_ids": torch.arange(4)}
    got = augment(images, labels, weak_view(), index=at, **given)
    want = augment(store.images, store.truth, weak_view(), index=index, **given)
    assert torch.equal(got[0], want[0])
    assert torch.equal(got[1], want[1])
    assert torch.equal(store.subset([2, 0]).truth, store.truth[[2, 0]])


def test_the_tier_is_always_said(tree, cached):
    store = load_stores(read_dataset(tree.whole(train=9).root), (12, 16))["train"]
    assert [note for note in store.notes if "images lie in tier device" in note and "GB allowed" in note]


def test_a_feeder_keeps_no_more_than_two_batches():
    values = torch.arange(100).view(50, 2)
    feeder = Feeder([values], torch.device("cpu"))
    rows = [torch.tensor([k, k + 1]) for k in range(5)]
    for row in rows:
        feeder.prefetch(row)
    assert len(feeder._pending) == 2
    for row in reversed(rows):
        assert torch.equal(feeder.take(row)[0], values[row])
    assert not feeder._pending


@pytest.mark.parametrize(
    ("device", "filed", "free", "tier"),
    [("cpu", True, 1000, "device"), ("cpu", True, 100, "disk"), ("cpu", False, 100, "device"),
     ("cuda", True, 1000, "device"), ("cuda", True, 100, "disk"), ("cuda", False, 100, "host")],
)  # fmt: skip
def test_the_tier_is_chosen_by_size(monkeypatch, device, filed, free, tier):
    monkeypatch.setattr(tiers, "free_bytes", lambda kind: free)
    got, note = Placement().choose(500, torch.device(device), filed)
    assert got == tier
    assert f"tier {tier}" in note


def test_a_gpu_that_is_full_leaves_host_memory(monkeypatch):
    monkeypatch.setattr(tiers, "free_bytes", lambda kind: 100 if kind.type == "cuda" else 10_000)
    assert Placement().choose(500, torch.device("cuda"), True)[0] == "host"
    assert Placement(budget_gb=1).choose(500, torch.device("cuda"), True)[0] == "device"
    assert Placement(budget_gb=1e-7).choose(500, torch.device("cuda"), True)[0] == "disk"


def test_what_does_not_fit_is_decoded_into_a_file(tree, cached, monkeypatch):
    dataset = read_dataset(tree.decathlon(splits=SPLITS).root)
    plain = load_stores(dataset, (4, 6, 6), volumes=VolumeOptions(patches=3))
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    monkeypatch.setattr(tiers, "free_bytes", lambda device: 1000)
    assert isinstance(memory.allocate((10, 10), np.uint8, 10_000), np.memmap)
    for path in (cached / "stores").iterdir():
        for file in path.iterdir():
            file.unlink()
    store = load_stores(dataset, (4, 6, 6), volumes=VolumeOptions(patches=3))
    same(store, plain)
    assert store["train"].tier == "disk"


def test_wrong_placements():
    with pytest.raises(InputError, match="tier must be one of"):
        Placement("gpu")
    with pytest.raises(InputError, match="budget_gb must be > 0"):
        Placement(budget_gb=0)
    with pytest.raises(InputError, match="tier disk needs the cache"):
        Placement("disk").choose(1, torch.device("cpu"), False)
