"""dataset.json and list layouts, groups, lists of labelled cases: what is read, and what is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qgssl_fast.data import load_stores, read_dataset, write_splits
from qgssl_fast.errors import InputError

SPLITS = {"train": ["c0", "c1", "c2"], "val": ["c3"], "test": ["c4", "c5"]}


def names(dataset):
    return {split: [case.name for case in cases] for split, cases in dataset.splits.items()}


def test_decathlon_without_splits_makes_them(tree):
    tree.decathlon(count=10)
    dataset = read_dataset(tree.root)
    assert {split: len(found) for split, found in names(dataset).items()} == {
        "train": 7, "val": 1, "test": 2, "unlabeled": 0,
    }  # fmt: skip
    assert dataset.labels == {0: "background", 1: "front", 2: "back"}
    assert any("made a split with seed 0" in note for note in dataset.notes)


def test_labeled_and_unlabeled_of_splits_json(tree):
    tree.decathlon(splits=SPLITS | {"labeled": ["c0"], "unlabeled": ["c1", "c2"]})
    dataset = read_dataset(tree.root)
    assert names(dataset) == {"train": ["c0"], "val": ["c3"], "test": ["c4", "c5"], "unlabeled": ["c1", "c2"]}
    assert all(case.mask is None for case in dataset.splits["unlabeled"])


def test_test_images_of_the_decathlon_are_a_pool(tree):
    tree.decathlon()
    content = json.loads((tree.root / "dataset.json").read_text())
    content["test"] = [f"./{tree.volume('imagesTs/x.nii.gz')}"]
    (tree.root / "dataset.json").write_text(json.dumps(content))
    dataset = read_dataset(tree.root)
    assert names(dataset)["unlabeled"] == ["x"]
    assert any("1 image(s) without labels are the unlabelled pool" in note for note in dataset.notes)


def test_nnunet_test_labels_are_the_test_split(tree):
    tree.nnunet()
    tree.volume("labelsTs/case 6.nii.gz", tree.label_values())
    dataset = read_dataset(tree.root)
    assert names(dataset)["test"] == ["case 6"]
    assert len(dataset.splits["val"]) == 1


def test_nnunet_folds(tree):
    tree.nnunet()
    folds = [{"train": [f"case {i}" for i in range(4)], "val": ["case 4", "case 5"]}] * 5
    (tree.root / "splits_final.json").write_text(json.dumps(folds))
    dataset = read_dataset(tree.root)
    assert names(dataset)["val"] == ["case 4", "case 5"]
    assert any("fold 0 of 5" in note for note in dataset.notes)


def test_nnunet_of_images(tree):
    """PNG files, two classes in plain values, an image with its channels in one file."""
    for i in range(6):
        tree.image(f"imagesTr/k{i}_0000.png")
        tree.save(f"labelsTr/k{i}.png", np.minimum(tree.mask_values(), 1))
    content = {"channel_names": {"0": "RGB"}, "labels": {"background": 0, "lesion": 1}, "file_ending": ".png"}
    (tree.root / "dataset.json").write_text(json.dumps(content))
    stores = load_stores(read_dataset(tree.root), (20, 24))
    assert stores["train"].images.shape[1:] == (3, 20, 24)
    assert stores["train"].masks.unique().tolist() == [0, 1]


def test_all_faults_of_dataset_json(tree):
    tree.decathlon(splits=SPLITS | {"val": ["c3", "c9"], "test": ["c0", "c4"]})
    (tree.root / "labelsTr/c1.nii.gz").unlink()
    (tree.root / "imagesTr/c2.nii.gz").write_bytes(b"")
    with pytest.raises(InputError) as error:
        read_dataset(tree.root)
    text = str(error.value)
    for part in (
        "./labelsTr/c1.nii.gz: no such file", "splits: val: no labelled case 'c9'",
        "splits: c0 is in train and in test", "splits: train: no labelled case 'c1'", "imagesTr/c2.nii.gz: unreadable",
    ):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ({"background": 0, "whole": [1, 2]}, "must be a whole number"),
        ({"background": 0, "a": 1, "ignore": 2}, "an ignore label is not supported"),
        ({"background": 0}, "at least one class"),
        (None, "labels must name background"),
    ],
)
def test_labels_that_cannot_be(tree, labels, told):
    tree.nnunet()
    (tree.root / "dataset.json").write_text(json.dumps({"channel_names": {"0": "a"}, "labels": labels}))
    with pytest.raises(InputError, match=told):
        read_dataset(tree.root)


def test_missing_channels_and_pairs_of_nnunet(tree):
    tree.nnunet()
    (tree.root / "imagesTr/case 0_0001.nii.gz").unlink()
    (tree.root / "labelsTr/case 1.nii.gz").unlink()
    tree.volume("labelsTr/lonely.nii.gz", tree.label_values())
    tree.volume("imagesTr/nonumber.nii.gz")
    with pytest.raises(InputError) as error:
        read_dataset(tree.root)
    for part in (
        "imagesTr/case 0: wanted channels [0, 1], got [0]", "imagesTr/case 1: image without label",
        "labelsTr/lonely.nii.gz: label without image", "imagesTr/nonumber.nii.gz: wanted CASE_0000.nii.gz",
    ):  # fmt: skip
        assert part in str(error.value)


def hdf5(tree, path, shape):
    h5py = pytest.importorskip("h5py")
    file = tree.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(shape, np.uint8)
    labels[..., 2:8, 3:6] = 1
    labels[..., 2:8, 6:9] = 2
    with h5py.File(file, "w") as stream:
        stream["image"], stream["label"] = tree.rng.normal(0, 1, shape).astype(np.float32), labels


def test_ssl4mis_lists_of_slices_and_volumes(tree):
    slices = [f"patient{p:03d}_frame01_slice_{s}" for p in (1, 2, 3) for s in (1, 2)]
    for name in slices:
        hdf5(tree, f"data/slices/{name}.h5", (12, 10))
    for name in ("patient010_frame01", "patient011_frame01"):
        hdf5(tree, f"data/{name}.h5", (4, 12, 10))
    (tree.root / "train_slices.list").write_text("\n".join(slices) + "\n")
    (tree.root / "val.list").write_text("patient010_frame01\n")
    (tree.root / "test.list").write_text("patient011_frame01.h5\n\n")
    dataset = read_dataset(tree.root, labelled=2)
    assert len({case.group for case in dataset.splits["train"]}) == 1  # whole patients
    assert (len(dataset.splits["train"]), len(dataset.splits["unlabeled"])) == (2, 4)
    stores = load_stores(dataset, (12, 10))
    assert stores["train"].images.shape == (2, 1, 12, 10)
    assert stores["val"].masks.shape == (4, 12, 10)
    assert stores["unlabeled"].masks is None
    assert stores["train"].masks[0].unique().tolist() == [0, 1, 2]
    (tree.root / "val.list").write_text("patient012_frame01\n")
    with pytest.raises(InputError, match=r"val\.list: patient012_frame01: no such file"):
        read_dataset(tree.root)


def test_hdf5_by_csv(tree):
    for i in range(5):
        hdf5(tree, f"v{i}.h5", (6, 12, 10))
    tree.csv("train.csv", [f"v{i}.h5,v{i}.h5" for i in range(4)])
    tree.csv("test.csv", ["v4.h5,v4.h5"])
    stores = load_stores(read_dataset(tree.root), (8, 16, 16))
    assert stores["train"].images.shape == (3, 1, 8, 16, 16)
    (tree.root / "v1.h5").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"v1.h5: unreadable"):
        load_stores(read_dataset(tree.root), (8, 16, 16))


def test_nifti_by_csv(tree):
    rows = [f"{tree.volume(f'a b/ü{i}.nii')},{tree.volume(f'm/{i}.nii.gz', tree.label_values())}" for i in range(8)]
    tree.csv("train.csv", rows[:6])
    tree.csv("test.csv", rows[6:])
    dataset = read_dataset(tree.root)
    assert [case.name for case in dataset.splits["test"]] == ["ü6", "ü7"]
    assert load_stores(dataset, (16, 16, 16))["test"].images.shape == (2, 1, 16, 16, 16)


def grouped(tree, patients=6, images=3):
    rows = [f"{tree.pair(f'p{p}_{i}')},P{p}" for p in range(patients) for i in range(images)]
    return tree, rows


HEADER = "image_path,mask_path,patient_id"


@pytest.mark.parametrize("seed", range(5))
def test_no_patient_is_in_two_splits(tree, seed):
    tree, rows = grouped(tree)
    tree.csv("train.csv", rows, HEADER)
    dataset = read_dataset(tree.root, seed=seed, labelled=4)
    where = {}
    for split, cases in dataset.splits.items():
        for case in cases:
            where.setdefault(case.group, set()).add(split)
    assert len(where) == 6
    assert all(len(found) == 1 for found in where.values()), where
    assert sum(len(cases) for cases in dataset.splits.values()) == 18
    assert len(dataset.splits["val"]) == 3
    assert len(dataset.splits["train"]) == 3


def test_a_patient_in_two_splits_is_a_fault(tree):
    tree, rows = grouped(tree)
    tree.csv("train.csv", rows[:10], HEADER)
    tree.csv("val.csv", rows[10:], HEADER)
    with pytest.raises(InputError, match="group 'P3' is in train, val: the splits leak"):
        read_dataset(tree.root)


def test_labelled_by_list(tree):
    tree.whole(train=5)
    dataset = read_dataset(tree.root, labelled=["a1", "a3"])
    assert names(dataset)["train"] == ["a1", "a3"]
    (tree.root / "labelled.txt").write_text("a0\na4\n")
    assert names(read_dataset(tree.root, labelled=str(tree.root / "labelled.txt")))["train"] == ["a0", "a4"]
    with pytest.raises(InputError, match=r"(?s)'b' is no training image.*'c'"):
        read_dataset(tree.root, labelled=["b", "c"])
    with pytest.raises(InputError, match=r"nowhere.txt: not a readable list"):
        read_dataset(tree.root, labelled="nowhere.txt")


def test_splits_are_written(tree, tmp_path):
    tree, rows = grouped(tree)
    tree.csv("train.csv", rows, HEADER)
    dataset = read_dataset(tree.root)
    found = json.loads(write_splits(dataset, tmp_path / "splits.json").read_text())
    assert {split: [row["name"] for row in rows] for split, rows in found.items()} == names(dataset)
    assert found["val"][0].keys() == {"name", "image", "mask", "group"}


def test_several_classes_in_images(tree):
    tree.whole()
    for stem in ("a0", "a1", "a2", "a3", "v", "t"):
        values = tree.mask_values(high=10)
        values[6:9, 7:10] = 30
        tree.save(f"masks/{stem}.png", values)
    with pytest.raises(InputError, match=r"6 faults(.|\n)*has 0, 10, 30 \(images.classes says"):
        load_stores(read_dataset(tree.root))
    stores = load_stores(read_dataset(tree.root), (20, 24), classes=3)
    assert stores["train"].num_classes == 3
    assert stores["train"].masks[0].unique().tolist() == [0, 1, 2]
    assert any("mask values 0, 10, 30 are classes 0 to 2" in note for note in stores["train"].notes)
    values[0, 0] = 99
    tree.save("masks/a0.png", values)
    with pytest.raises(InputError, match=r"masks/a0\.png: unknown label 99; the set has 0, 10, 30"):
        load_stores(read_dataset(tree.root), classes=3)


def test_images_with_a_file_a_channel(tree):
    for i in range(6):
        for channel in range(4):
            tree.save(f"imagesTr/k{i}_{channel:04d}.png", tree.rng.integers(0, 256, (20, 24), dtype=np.uint8))
        tree.save(f"labelsTr/k{i}.png", np.minimum(tree.mask_values(), 1))
    channels = {str(k): f"m{k}" for k in range(4)}
    content = {"channel_names": channels, "labels": {"background": 0, "lesion": 1}, "file_ending": ".png"}
    (tree.root / "dataset.json").write_text(json.dumps(content))
    stores = load_stores(read_dataset(tree.root), (20, 24))
    assert stores["train"].images.shape[1:] == (4, 20, 24)
    assert np.array_equal(stores["train"].masks[0], tree.mask_values(high=1))
    tree.save("imagesTr/k1_0002.png", tree.rng.integers(0, 256, (20, 25), dtype=np.uint8))
    with pytest.raises(InputError, match=r"k1_0000.png: k1_0002.png: is 25x20x1, the first channel is 24x20x1"):
        load_stores(read_dataset(tree.root), (20, 24))
