"""Patches that are drawn anew: those of the whole volumes at the drawn place, by seed and id alone, half at a class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qgssl_fast.data import Placement, VolumeOptions, load_stores, read_dataset, tiers
from qgssl_fast.data.anew import STREAM
from qgssl_fast.data.volumes import cut
from qgssl_fast.kernels.reference.philox import philox4x32

SPLITS = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4"], "unlabeled": ["c5"]}
SIZE = (4, 6, 16)  # the last side is longer than the volumes'
ANEW = VolumeOptions(patches=6, anew=True)


@pytest.fixture
def stores(tree):
    return load_stores(read_dataset(tree.decathlon(splits=SPLITS).root), SIZE, volumes=ANEW)


def by_numpy(store, whole, slot, seed, i):
    """The patch of a slot and a sample id, out of the prepared volume, word by word."""
    word = philox4x32(0, STREAM, i, 0, seed).tolist()
    shape = whole.image.shape[1:]
    slack = [n - side for n, side in zip(shape, SIZE)]
    if slot < 3 and store.labels is not None:
        voxels = np.flatnonzero(whole.truth == 1 + slot % 2)
        place = np.unravel_index(voxels[word[0] * len(voxels) >> 32], shape)
        corner = [int(p) - side // 2 for p, side in zip(place, SIZE)]
    else:
        corner = [w * (max(s, 0) + 1) >> 32 for w, s in zip(word[1:], slack)]
    corner = tuple(s // 2 if s < 0 else min(max(c, 0), s) for c, s in zip(corner, slack))
    labels = np.zeros(SIZE, np.uint8) if whole.truth is None else cut(whole.truth, corner, SIZE)
    return cut(whole.image, corner, SIZE), labels


@pytest.mark.parametrize("split", ["train", "unlabeled"])
def test_patches_are_those_of_the_volume(stores, split):
    store = stores[split]
    wholes = [store.plan.prepare(case) for case in store.cases]
    samples, ids = torch.arange(len(store)).repeat(3), torch.arange(100, 100 + 3 * len(store))
    images, labels, index = store.source(samples, 7, ids)
    assert index is None
    assert (labels is None) == (split == "unlabeled")
    for k, (sample, i) in enumerate(zip(samples.tolist(), ids.tolist())):
        want = by_numpy(store, wholes[store.owner[sample]], sample % 6, 7, i)
        assert np.array_equal(images[k], want[0])
        assert labels is None or np.array_equal(labels[k], want[1])
    if labels is not None:
        centres = labels[:, 2, 3, 1:15].reshape(3, 3, 6, -1)  # patches at a class hold it in their middle row
        assert (centres[:, :, :3] > 0).any(-1).float().mean() > 0.9


def test_each_step_sees_others_and_a_step_sees_its_own_again(stores):
    store, index = stores["train"], torch.tensor([3, 10, 0])
    first, again, other, seeded = (
        store.labelled_source(index, seed, torch.tensor(ids))[0]
        for seed, ids in ((1, [5, 6, 7]), (1, [5, 6, 7]), (1, [8, 9, 10]), (2, [5, 6, 7]))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not torch.equal(first, seeded)
    alone = store.labelled_source(index[1:2], 1, torch.tensor([6]))[0]  # whatever stands beside it
    assert torch.equal(alone[0], first[1])
    part = store.subset([10, 3])
    assert torch.equal(part.source(torch.tensor([0]), 1, torch.tensor([6]))[0][0], first[1])


def test_what_was_cut_once_stays(stores, tree):
    plain = load_stores(read_dataset(tree.root), SIZE, volumes=VolumeOptions(patches=6))
    for split, store in stores.items():
        assert torch.equal(store.images, plain[split].images)
        assert (store.anew is not None) == (split in ("train", "unlabeled"))
        assert plain[split].anew is None
    images, _, index = stores["train"].source(torch.tensor([1]))
    assert torch.equal(images[index], plain["train"].images[1:2])
    assert "segmenters see other patches in each step" in stores["train"].notes


def test_cache_and_budget(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("QGSSL_CACHE", str(tmp_path / "cache"))
    dataset, draw = read_dataset(tree.decathlon(splits=SPLITS).root), (torch.tensor([3, 10]), 1, torch.tensor([5, 6]))
    first = load_stores(dataset, SIZE, volumes=ANEW)
    monkeypatch.setattr("qgssl_fast.data.checks.look", None)  # nothing is decoded again
    again = load_stores(dataset, SIZE, volumes=ANEW)
    for a, b in zip(first["train"].source(*draw)[:2], again["train"].source(*draw)[:2]):
        assert torch.equal(a, b)
    cut_once = sum(s.images.nbytes + (0 if s.labels is None else s.labels.bits.nbytes) for s in first.values())
    monkeypatch.setattr(tiers, "free_bytes", lambda device: (cut_once + 100) / tiers.SHARE)
    small = load_stores(dataset, SIZE, volumes=ANEW)["train"]
    assert (small.tier, small.anew) == ("device", None)
    assert any("patches stay where they were cut once: whole volumes" in note for note in small.notes)
    assert load_stores(dataset, SIZE, volumes=ANEW, placement=Placement("disk"))["train"].anew is None


def test_volumes_that_fit_have_nothing_to_draw(tree):
    stores = load_stores(read_dataset(tree.decathlon(splits=SPLITS).root), (16, 16, 16), volumes=ANEW)
    assert stores["train"].anew is None
    assert load_stores(read_dataset(tree.root), (16, 16), volumes=ANEW)["train"].anew is None
