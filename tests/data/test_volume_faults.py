"""Damaged, misplaced and mislabelled volumes: each named, none hiding another."""

from __future__ import annotations

import gzip

import nibabel
import numpy as np
import pytest

from qgssl_fast.data import VolumeOptions, check_dataset, decode_volume, load_stores, read_dataset
from qgssl_fast.errors import InputError

SPLITS = {"train": ["c0", "c1", "c2", "c3"], "val": ["c4"], "test": ["c5"]}


def faults(tree, **options):
    return [str(fault) for fault in check_dataset(read_dataset(tree.root), **options)]


def only(tree, pattern, **options):
    found = faults(tree, **options)
    assert len(found) == 1, found
    assert pattern in found[0]


@pytest.fixture
def whole(tree):
    return tree.decathlon(splits=SPLITS)


def test_a_sound_set(whole):
    assert faults(whole) == []


def test_one_damaged_file_hides_no_other(whole):
    root = whole.root
    file = root / "imagesTr/c0.nii.gz"
    file.write_bytes(file.read_bytes()[:-200])
    raw = gzip.decompress((root / "imagesTr/c1.nii.gz").read_bytes())
    (root / "imagesTr/c1.nii.gz").write_bytes(gzip.compress(raw[:-100]))
    (root / "labelsTr/c2.nii.gz").write_text("no volume")
    nan = whole.rng.normal(0, 1, (12, 14, 10)).astype(np.float32)
    nan[0, :3] = np.nan
    whole.volume("imagesTr/c3.nii.gz", nan)
    whole.volume("imagesTr/c4.nii.gz", np.ones((12, 14, 10), np.float32))
    found = faults(whole)
    for part in (
        "imagesTr/c0.nii.gz: unreadable", "imagesTr/c1.nii.gz: unreadable", "labelsTr/c2.nii.gz: unreadable",
        "imagesTr/c3.nii.gz: holds 30 NaN or infinite", "imagesTr/c4.nii.gz: constant image",
    ):  # fmt: skip
        assert sum(part in fault for fault in found) == 1, (part, found)
    with pytest.raises(InputError, match="5 faults"):
        load_stores(read_dataset(whole.root), (16, 16, 16))


def test_sizes_spacing_orientation_and_affine_of_image_and_label(whole):
    labels = whole.label_values()
    whole.volume("labelsTr/c0.nii.gz", labels[:, :, :9])
    whole.volume("labelsTr/c1.nii.gz", labels, np.diag([1.0, 1.0, 2.5, 1.0]))
    whole.volume("labelsTr/c2.nii.gz", labels, np.diag([-1.0, 1.0, 2.0, 1.0]))
    moved = np.diag([1.0, 1.0, 2.0, 1.0])
    moved[0, 3] = 3
    whole.volume("labelsTr/c3.nii.gz", labels, moved)
    near = np.diag([1.0, 1.0, 2.0, 1.0])
    near[0, 3] = 1e-4
    whole.volume("labelsTr/c4.nii.gz", labels, near)
    found = "\n".join(faults(whole))
    assert "c0.nii.gz: is 12x14x9 voxels, its image imagesTr/c0.nii.gz is 12x14x10" in found
    assert "c1.nii.gz: has spacing 1 x 1 x 2.5 mm, its image has 1 x 1 x 2 mm" in found
    assert "c2.nii.gz: has orientation LAS, its image has RAS" in found
    assert "c3.nii.gz: its affine puts voxels up to 3.00 mm away" in found
    assert len(found.splitlines()) == 4


def test_4d_where_3d_is_wanted(whole):
    whole.volume("imagesTr/c2.nii.gz", whole.rng.normal(0, 1, (12, 14, 10, 5)).astype(np.float32))
    only(whole, "imagesTr/c2.nii.gz: has 5 channel(s) (4D), the other volumes have 1")
    whole.volume("labelsTr/c2.nii.gz", np.stack([whole.label_values()] * 5, -1))
    assert any("is 4D (12x14x10x5), a label has three axes" in fault for fault in faults(whole))


def test_one_frame_of_4d_is_3d(whole):
    whole.volume("imagesTr/c2.nii.gz", whole.rng.normal(0, 1, (12, 14, 10, 1)).astype(np.float32))
    whole.volume("labelsTr/c2.nii.gz", whole.label_values()[..., None])
    assert faults(whole) == []


def test_float_labels_near_whole_numbers_are_rounded_and_said(whole):
    values = whole.label_values().astype(np.float32) * np.float32(1.0000001)
    assert (values != np.rint(values)).any()
    whole.volume("labelsTr/c0.nii.gz", values)
    assert faults(whole) == []
    store = load_stores(read_dataset(whole.root), (16, 16, 16))["train"]
    assert store.masks[0].equal(store.masks[1])
    assert "float labels rounded to whole numbers: 1 file(s)" in store.notes
    whole.volume("labelsTr/c0.nii.gz", values + np.float32(0.4))
    only(whole, "labelsTr/c0.nii.gz: fractional label 2.4, wanted whole numbers")


def patch(file, at, values):
    """Write float32 `values` at byte `at` of a compressed NIfTI's header."""
    raw, new = bytearray(gzip.decompress(file.read_bytes())), np.float32(values).tobytes()
    raw[at : at + len(new)] = new
    file.write_bytes(gzip.compress(bytes(raw)))


def test_negative_spacing(whole):
    patch(whole.root / "imagesTr/c0.nii.gz", 80, [-1])  # pixdim[1]
    only(whole, "imagesTr/c0.nii.gz: negative or no spacing in its header: [-1.0, 1.0, 2.0] mm")


def test_a_singular_affine(whole):
    patch(whole.root / "imagesTr/c0.nii.gz", 296, [0, 0, 0, 0])  # srow_y
    only(whole, "imagesTr/c0.nii.gz: its affine is singular or not finite")
    patch(whole.root / "imagesTr/c0.nii.gz", 296, [np.nan] * 4)
    only(whole, "imagesTr/c0.nii.gz: its affine is singular or not finite")


def test_a_bomb_is_refused_by_its_header(whole, monkeypatch):
    monkeypatch.setattr(decode_volume, "MAX_VALUES", 1000)
    found = faults(whole)
    assert len(found) == 12
    assert "12x14x10 voxels are over the limit of 1,000" in found[0]


def test_unknown_labels_and_absent_classes(whole):
    values = whole.label_values()
    values[0, 0, 0] = 7
    whole.volume("labelsTr/c1.nii.gz", values)
    whole.volume("labelsTr/c4.nii.gz", np.minimum(whole.label_values(), 1))
    found = "\n".join(faults(whole))
    assert "labelsTr/c1.nii.gz: unknown label 7; the set has 0, 1, 2" in found
    assert "val: class 2 (back) is in no mask of this split" in found
    assert len(found.splitlines()) == 2


def test_empty_labels(whole):
    whole.volume("labelsTr/c1.nii.gz", np.zeros((12, 14, 10), np.uint8))
    only(whole, "labelsTr/c1.nii.gz: empty mask")
    assert faults(whole, allow_empty_masks=True) == []


def test_the_same_volume_in_two_splits(whole):
    values = np.asarray(nibabel.load(whole.root / "imagesTr/c0.nii.gz").dataobj)
    whole.volume("imagesTr/c5.nii.gz", values)  # other bytes where gzip keeps the name and time
    only(whole, "imagesTr/c5.nii.gz: same pixels in test as imagesTr/c0.nii.gz in train: the splits leak")


def test_channels_that_lie_elsewhere(tree):
    tree.nnunet()
    moved = np.diag([1.0, 1.0, 2.0, 1.0])
    moved[1, 3] = 4
    tree.volume("imagesTr/case 0_0001.nii.gz", affine=moved)
    found = faults(tree)
    assert any("case 0_0001.nii.gz: its affine puts voxels up to 4.00 mm away" in fault for fault in found)


def test_images_have_no_depth(tree):
    with pytest.raises(InputError, match="holds images, their size must be"):
        load_stores(read_dataset(tree.whole().root), (16, 16, 16))


def test_memory_is_watched(whole, monkeypatch):
    monkeypatch.setattr("qgssl_fast.data.memory.free_bytes", lambda device: 10_000)
    with pytest.raises(InputError, match=r"the images need 0.0 GB of memory, 0.0 GB are free: lower the size"):
        load_stores(read_dataset(whole.root), (16, 16, 16), volumes=VolumeOptions())
