"""The store: shapes, resizing, channels, bit depth, statistics."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from qgssl_fast.data import Conventions, DeviceStore, check_dataset, decode, load_stores, read_dataset, resize
from qgssl_fast.errors import InputError

DATA = Path(os.environ.get("QGSSL_DATA", Path(__file__).parents[3] / "shared" / "data"))


def test_shapes_and_what_is_kept(tree):
    tree.whole()
    tree.pair("a0", size=(31, 17))
    stores = load_stores(read_dataset(tree.root), size=(12, 16))
    train = stores["train"]
    assert (train.images.shape, train.images.dtype) == ((4, 3, 12, 16), torch.uint8)
    assert (train.masks.shape, train.masks.dtype) == ((4, 12, 16), torch.uint8)
    assert train.masks.unique().tolist() == [0, 1]
    assert (len(train), train.names, train.sizes[:2]) == (4, ["a0", "a1", "a2", "a3"], [(31, 17), (20, 24)])
    assert stores["unlabeled"].masks is None
    assert train.images.is_contiguous()


def test_files_keep_their_order_and_their_pixels(tree):
    cases = read_dataset(tree.whole(train=9).root).splits["train"]
    loaded = DeviceStore.from_cases(cases, size=(20, 24))
    for case, image in zip(cases, loaded.images):
        assert np.array_equal(image.permute(1, 2, 0), np.asarray(Image.open(case.image)))
    images, masks = loaded.batch(torch.tensor([3, 3, 0]))
    assert torch.equal(images, loaded.images[[3, 3, 0]])
    assert torch.equal(masks, loaded.masks[[3, 3, 0]])
    assert loaded.subset([2, 5]).names == ["a2", "a5"]


def test_every_file_is_decoded_once(tree, monkeypatch):
    opened = []
    original = Image.open
    monkeypatch.setattr(decode.Image, "open", lambda path, *a, **k: (opened.append(path), original(path, *a, **k))[1])
    load_stores(read_dataset(tree.whole().root))
    assert len(opened) == len(set(opened)) == 14


def test_images_are_antialiased_and_masks_are_not_blended(tree):
    tree.whole()
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    tree.save("images/a0.png", np.stack([fine] * 3, -1).astype(np.uint8))
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    tree.save("masks/a0.png", mask)
    loaded = load_stores(read_dataset(tree.root), size=(16, 16))["train"]
    assert (loaded.images[0].float() - 127.5).abs().max() < 12
    assert torch.equal(loaded.masks[0], torch.arange(16).ge(8).to(torch.uint8).expand(16, 16))


@pytest.mark.parametrize(("old", "new"), [((7, 5), (7, 5)), ((8, 8), (4, 2)), ((5, 9), (13, 3)), ((1, 1), (3, 3))])
def test_nearest_takes_the_value_at_the_new_pixels_centre(old, new):
    values = np.random.default_rng(1).integers(0, 9, old)
    got = resize.nearest(values, new)
    for i in range(new[0]):
        for j in range(new[1]):
            assert got[i, j] == values[int((i + 0.5) * old[0] / new[0]), int((j + 0.5) * old[1] / new[1])]


def grey_tree(tree, kind=np.uint8, top=256):
    tree.whole()
    for path in [*tree.root.glob("images/*.png"), *tree.root.glob("unlabeled/*.png")]:
        tree.save(str(path.relative_to(tree.root)), tree.rng.integers(0, top, (20, 24)).astype(kind))
    return tree


def test_channels_are_decided_over_the_set(tree):
    dataset = read_dataset(grey_tree(tree).root)
    assert load_stores(dataset)["test"].images.shape[1] == 1
    assert load_stores(dataset, channels=3)["test"].images.shape[1] == 3
    tree.image("images/a2.png")
    loaded = load_stores(dataset, size=(20, 24))["train"]
    assert loaded.images.shape[1] == 3
    assert torch.equal(loaded.images[0, 0], loaded.images[0, 2])
    assert any("7 grey image(s) in a colour set" in note for note in loaded.notes)
    as_grey = load_stores(dataset, size=(20, 24), channels=1)["train"]
    assert np.array_equal(as_grey.images[2, 0], np.asarray(Image.open(tree.root / "images/a2.png").convert("L")))
    assert any("1 colour image(s) read as grey" in note for note in as_grey.notes)


def test_rgb_files_with_equal_channels_are_grey(tree):
    tree.whole()
    for path in [*tree.root.glob("images/*.png"), *tree.root.glob("unlabeled/*.png")]:
        values = tree.rng.integers(0, 256, (20, 24, 1), dtype=np.uint8)
        tree.save(str(path.relative_to(tree.root)), np.repeat(values, 3, 2))
    assert load_stores(read_dataset(tree.root))["train"].images.shape[1] == 1


def test_alpha_is_dropped_and_said(tree):
    tree.whole()
    values = tree.rng.integers(0, 256, (20, 24, 4), dtype=np.uint8)
    tree.save("images/a0.png", values)
    loaded = load_stores(read_dataset(tree.root), size=(20, 24))["train"]
    assert np.array_equal(loaded.images[0].permute(1, 2, 0), values[..., :3])
    assert "alpha dropped: 1 file(s)" in loaded.notes


@pytest.mark.parametrize(("top", "bits"), [(65536, 16), (4096, 12), (200, 8)])
def test_16_bit_images_are_scaled_by_the_bits_of_the_set(tree, top, bits):
    grey_tree(tree, np.uint16, top)
    values = np.full((20, 24), top // 2, np.uint16)
    values[0, 0] = top - 1
    tree.save("images/a0.png", values)
    loaded, bytes_ = (load_stores(read_dataset(tree.root), size=(20, 24), dtype=d)["train"] for d in ("auto", "uint8"))
    assert loaded.conventions.bits == bytes_.conventions.bits == bits
    want = torch.from_numpy(values / (2**bits - 1))
    assert torch.equal(bytes_.images[0, 0], (255 * want).round().byte())
    assert torch.equal(loaded.images[0, 0], want.float().half() if bits > 8 else bytes_.images[0, 0])
    assert any(f"read as {bits} bits" in note for note in loaded.notes) == (bits < 16)


def test_conventions_of_another_store_are_followed(tree):
    dataset = read_dataset(tree.whole().root)
    settled = Conventions(channels=3, bits=8, labels=(0, 1))
    with pytest.raises(InputError, match="mask values 0 and 255, the other masks have 0 and 1"):
        DeviceStore.from_cases(dataset.splits["test"], conventions=settled)


def test_statistics(tree):
    loaded = load_stores(read_dataset(tree.whole(train=5).root))["train"]
    mean, deviation = loaded.statistics()
    values = loaded.images.double() / 255
    assert mean == pytest.approx(values.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert deviation == pytest.approx(values.std((0, 2, 3), correction=0).tolist(), abs=1e-5)


def test_no_cases(tree):
    empty = DeviceStore.from_cases((), size=(8, 9))
    assert (len(empty), empty.images.shape, empty.masks.shape) == (0, (0, 3, 8, 9), (0, 8, 9))
    with pytest.raises(InputError, match="empty"):
        empty.statistics()


def test_a_mask_that_vanishes_is_said(tree):
    tree.whole()
    tiny = np.zeros((20, 24), np.uint8)
    tiny[1, 1] = 255
    tree.save("masks/a0.png", tiny)
    notes = load_stores(read_dataset(tree.root), size=(4, 4))["train"].notes
    assert any("1 mask(s) have no foreground left at 4x4" in note for note in notes)


def test_wrong_arguments(tree, monkeypatch):
    dataset = read_dataset(tree.whole().root)
    with pytest.raises(InputError, match="channels must be 1, 3 or None, got 2"):
        load_stores(dataset, channels=2)
    with pytest.raises(InputError, match="size must be >= 1"):
        load_stores(dataset, size=(0, 4))
    with pytest.raises(TypeError, match="size"):
        load_stores(dataset, size=64)
    with pytest.raises(InputError, match="GB of memory"):
        load_stores(dataset, size=(10**6, 10**6))


@pytest.mark.parametrize("name", ["ph2", "cvc_clinicdb"])
def test_real_sets(name):
    if not (DATA / name).is_dir():
        pytest.skip(f"{name} is not there (QGSSL_DATA names its folder)")
    dataset = read_dataset(DATA / name)
    few = {split: cases[:20] for split, cases in dataset.splits.items()}
    assert check_dataset(type(dataset)(dataset.root, few)) == []
    loaded = load_stores(type(dataset)(dataset.root, few))
    assert loaded["train"].images.shape == (20, 3, 96, 96)
    assert 0.01 < loaded["train"].masks.float().mean() < 0.6
