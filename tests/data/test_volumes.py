"""Volumes: orientation, spacing, intensities, slices and patches, labels, and the way back to the file."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch

from qgssl_fast.data import VolumeOptions, load_stores, read_dataset
from qgssl_fast.data.decode_volume import read_image, read_labels
from qgssl_fast.data.layout import Case
from qgssl_fast.data.resize import nearest
from qgssl_fast.data.volumes import to_kept
from qgssl_fast.errors import InputError

SPLITS = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]}


def test_whole_volumes_are_padded(tree):
    stores = load_stores(read_dataset(tree.decathlon(splits=SPLITS).root), (16, 16, 16))
    train = stores["train"]
    assert (train.images.shape, train.masks.shape) == ((3, 1, 16, 16, 16), (3, 16, 16, 16))
    assert (train.num_classes, train.names, train.sizes[0]) == (3, ["c0", "c1", "c2"], (10, 14, 12))
    want = np.zeros((16, 16, 16), np.uint8)
    want[3:13, 1:15, 2:14] = tree.label_values().transpose(2, 1, 0)
    assert np.array_equal(train.masks[0], want)
    assert train.images[0, 0, :3].max() == 0
    assert train.images[0, 0, 3:13, 1:15, 2:14].float().mean() == pytest.approx(0.5, abs=0.06)
    assert stores["test"].statistics()[0] == pytest.approx([train.images.float().mean().item()], abs=0.02)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SAL"])
def test_any_orientation_is_read_as_ras_and_written_back(tree, codes):
    values = tree.rng.normal(0, 1, (6, 7, 8)).astype(np.float32)
    labels = tree.rng.integers(0, 3, (6, 7, 8)).astype(np.uint8)
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = 5, -7, 11
    turned = []
    for name, array in (("i", values), ("l", labels)):
        to = nibabel.orientations.axcodes2ornt(tuple(codes))
        image = nibabel.Nifti1Image(array, affine)
        turned.append(image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), to)))
        (tree.root).mkdir(exist_ok=True)
        nibabel.save(turned[-1], tree.root / f"{name}.nii.gz")
    case = Case("a", tree.root / "i.nii.gz", tree.root / "l.nii.gz")
    volume = read_image(case)
    assert np.array_equal(volume.image[0], values.transpose(2, 1, 0))
    assert volume.grid.spacing == pytest.approx((3, 2, 1))
    assert np.array_equal(read_labels(case.mask).labels, labels.transpose(2, 1, 0))
    assert np.array_equal(volume.grid.restored(labels.transpose(2, 1, 0)), np.asarray(turned[1].dataobj))


def test_predictions_keep_affine_header_and_values(tree):
    for i in range(4):
        tree.volume(f"images/v{i}.nii.gz", qform_code=2, descrip=b"scanner")
        tree.volume(f"masks/v{i}.nii.gz", tree.label_values(values=(0, 4, 9)))
    stores = load_stores(read_dataset(tree.root), (8, 8, 8))
    plan = stores["test"].plan
    prepared = plan.prepare(stores["test"].cases[0])
    assert set(np.unique(prepared.truth)) == {0, 1, 2}
    plan.write(prepared, prepared.truth, tree.root / "out.nii.gz")
    made, source = (nibabel.load(path) for path in (tree.root / "out.nii.gz", prepared.case.image))
    assert np.array_equal(np.asarray(made.dataobj), tree.label_values(values=(0, 4, 9)))
    assert np.array_equal(made.affine, source.affine)
    assert (made.header["qform_code"], made.header["descrip"]) == (2, b"scanner")
    assert made.get_data_dtype() == np.uint8
    assert any("mask values 0, 4, 9 are classes 0 to 2" in note for note in stores["train"].notes)


def test_spacing_of_the_set_is_its_median(tree):
    tree.decathlon(splits=SPLITS)
    fine = np.diag([1.0, 1.0, 1.0, 1.0])
    tree.volume("imagesTr/c1.nii.gz", tree.rng.normal(0, 1, (12, 14, 20)).astype(np.float32), fine)
    labels = np.repeat(tree.label_values(), 2, 2)
    tree.volume("labelsTr/c1.nii.gz", labels, fine)
    stores = load_stores(read_dataset(tree.root), (16, 16, 16))
    assert stores["train"].plan.options.spacing == (2, 1, 1)
    assert any("median spacing, 1 x 1 x 2 mm" in note for note in stores["train"].notes)
    assert torch.equal(stores["train"].masks[1], stores["train"].masks[0])  # every second slice of it
    chosen = load_stores(read_dataset(tree.root), (16, 16, 16), volumes=VolumeOptions(spacing=(1, 1, 1)))
    assert np.array_equal(chosen["train"].masks[1, :, 1:15, 2:14], labels.transpose(2, 1, 0)[2:18])


def test_large_volumes_give_patches_half_of_them_at_a_class(tree):
    stores = load_stores(read_dataset(tree.decathlon(splits=SPLITS).root), (4, 6, 6), volumes=VolumeOptions(patches=6))
    train = stores["train"]
    assert train.masks.shape == (18, 4, 6, 6)
    assert (train.names[:2], train.owner[:7]) == (["c0_p0", "c0_p1"], [0] * 6 + [1])
    at = [labels[2, 3, 3].item() for labels in train.masks[:3]]
    assert (at[0], at[2]) == (1, 1)
    assert at[1] == 2
    again = load_stores(read_dataset(tree.root), (4, 6, 6), volumes=VolumeOptions(patches=6))["train"]
    assert torch.equal(again.images, train.images)
    other = load_stores(read_dataset(tree.root), (4, 6, 6), volumes=VolumeOptions(patches=6, seed=1))["train"]
    assert not torch.equal(other.images, train.images)
    whole = train.plan.prepare(train.cases[1])
    assert any(
        np.array_equal(whole.image[:, z : z + 4, y : y + 6, x : x + 6], train.images[8])
        for z in range(7) for y in range(9) for x in range(7)
    )  # fmt: skip


def test_two_sides_make_slices(tree):
    stores = load_stores(read_dataset(tree.decathlon(splits=SPLITS).root), (14, 12))
    train = stores["train"]
    assert (train.images.shape, train.masks.shape) == ((30, 1, 14, 12), (30, 14, 12))
    assert (train.names[3], train.owner[10], train.sizes[3]) == ("c0_z003", 1, (10, 14, 12))
    assert np.array_equal(train.masks[3], tree.label_values()[:, :, 3].T)
    assert any("3 volume(s)" not in note and "slices of 14x12" in note for note in train.notes)


def test_channels_of_nnunet_and_of_4d_volumes(tree):
    dataset = read_dataset(tree.nnunet().root)
    assert {split: len(cases) for split, cases in dataset.splits.items()} == {
        "train": 4, "val": 1, "test": 1, "unlabeled": 1,
    }  # fmt: skip
    stores = load_stores(dataset, (16, 16, 16))
    assert stores["unlabeled"].images.shape == (1, 2, 16, 16, 16)
    assert not torch.equal(stores["train"].images[:, 0], stores["train"].images[:, 1])


def test_4d_volumes_have_channels(tree):
    tree.decathlon(splits=SPLITS)
    for i in range(6):
        tree.volume(f"imagesTr/c{i}.nii.gz", tree.rng.normal(0, 1, (12, 14, 10, 3)).astype(np.float32))
    stores = load_stores(read_dataset(tree.root), (16, 16, 16))
    assert stores["train"].images.shape == (3, 3, 16, 16, 16)
    plan = stores["test"].plan
    prepared = plan.prepare(stores["test"].cases[0])
    plan.write(prepared, prepared.truth, tree.root / "out.nii")
    assert nibabel.load(tree.root / "out.nii").shape == (12, 14, 10)
    tree.volume("imagesTr/c5.nii.gz")
    with pytest.raises(InputError, match=r"c5.nii.gz: has 1 channel\(s\) \(4D\), the other volumes have 3"):
        load_stores(read_dataset(tree.root), (16, 16, 16))


@pytest.mark.parametrize("kind", ["percentile", "zscore", "window"])
def test_intensities(kind):
    values = np.random.default_rng(0).normal(100, 10, (1, 20, 30, 40)).astype(np.float32)
    values[0, 0, 0, 0] = 1e6
    window = (90.0, 110.0) if kind == "window" else None
    made = to_kept(values, VolumeOptions(intensity=kind, window=window)).astype(float)
    if kind == "zscore":
        assert made[0, 0, 0, 0] == 255
        return
    assert np.median(made) == pytest.approx(127, abs=3)
    assert made[0, 0, 0, 0] == 255
    low, high = window or np.percentile(values, (0.5, 99.5))
    inside = (values > low) & (values < high)
    assert np.abs(made - (values - low) / (high - low) * 255)[inside].max() <= 0.51


def test_a_volume_of_nearly_one_value_keeps_the_others():
    values = np.zeros((1, 10, 10, 10), np.float32)
    values[0, 3, 3, 3] = 5
    assert to_kept(values, VolumeOptions()).max() == 255


@pytest.mark.parametrize(("old", "new"), [((7, 5, 4), (3, 9, 4)), ((2, 2, 2), (5, 1, 3))])
def test_nearest_of_volumes(old, new):
    values = np.random.default_rng(1).integers(0, 9, old)
    got = nearest(values, new)
    for at in np.ndindex(new):
        source = tuple(int((i + 0.5) * o / n) for i, o, n in zip(at, old, new))
        assert got[at] == values[source]


def test_all_wrong_options_at_once():
    with pytest.raises(InputError, match=r"(?s)4 faults.*intensity.*spacing.*patches.*foreground"):
        VolumeOptions(intensity="log", spacing=(1, 0, 1), patches=0, foreground=2)
    with pytest.raises(InputError, match="low < high"):
        VolumeOptions(intensity="window", window=(3, 3))


def test_hippocampus(data_root):
    root = data_root / "hippocampus"
    if not root.is_dir():
        pytest.skip("hippocampus is not there (QGSSL_DATA names its folder)")
    dataset = read_dataset(root)
    assert {split: len(cases) for split, cases in dataset.splits.items()} == {
        "train": 22, "val": 16, "test": 32, "unlabeled": 90,
    }  # fmt: skip
    few = type(dataset)(root, {s: cases[:4] for s, cases in dataset.splits.items()}, labels=dataset.labels)
    stores = load_stores(few, (48, 64, 48))
    assert stores["train"].images.shape == (4, 1, 48, 64, 48)
    assert stores["train"].num_classes == 3
    assert 0.02 < (stores["train"].masks > 0).float().mean() < 0.05
