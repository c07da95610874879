"""A tiny made-up tree for each published layout, and what comes of it."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from qgssl_fast.cli.main import main
from qgssl_fast.data import check_dataset, load_stores, read_dataset
from qgssl_fast.data.importing import import_set
from qgssl_fast.data.published import PH2_TEST, PH2_VAL, SETS
from qgssl_fast.errors import InputError


def ph2(tree):
    for number in ("002", "003", "004", "005", "006"):  # val, test, three of train
        name = f"IMD{number}"
        tree.image(f"PH2 Dataset images/{name}/{name}_Dermoscopic_Image/{name}.bmp")
        tree.save(f"PH2 Dataset images/{name}/{name}_lesion/{name}_lesion.bmp", tree.mask_values() > 0)
        tree.save(f"PH2 Dataset images/{name}/{name}_roi/{name}_R1_Label3.bmp", tree.mask_values())


def scd(tree):
    for name in ("D1-1", "D1-2", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9"):
        tree.image(f"melanoma/{name}_orig.jpg")
        tree.mask(f"melanoma/{name}_contour.png")


def dermofit(tree):
    for kind, name in zip(["AK", "BCC", "MEL"] * 4, [f"P{i}{part}" for i in range(6) for part in "ab"]):
        tree.image(f"{kind}/{name[:-1]}/{name}.png")
        tree.mask(f"{kind}/{name[:-1]}/{name}mask.png")


def clinicdb(tree):
    for frame in (1, 2, 25, 26, 30, 51, 68, 79, 104, 127, 152, 178, 612):
        tree.image(f"Original/{frame}.tif")
        soft = tree.mask_values()
        soft[5, 6:18] = 60  # a soft edge
        tree.save(f"Ground Truth/{frame}.tif", soft)


def colondb(tree):
    for frame in range(1, 200, 10):
        tree.image(f"images/{frame}.png")
        tree.mask(f"masks/{frame}.png")


def colondb_flat(tree):
    for frame in range(1, 200, 10):
        tree.image(f"{frame}.bmp")
        tree.mask(f"p{frame}.bmp")


def isic2018(tree):
    for i in range(10):
        tree.image(f"ISIC2018_Task1-2_Training_Input/ISIC_{i:07d}.jpg")
        tree.mask(f"ISIC2018_Task1_Training_GroundTruth/ISIC_{i:07d}_segmentation.png")
    tree.csv("metadata.csv", [f"ISIC_{i:07d},L{i // 2}" for i in range(10)], "isic_id,lesion_id")


def isic2020(tree):
    for i in range(4):
        tree.image(f"train/ISIC_{i:07d}.jpg")
    tree.csv("ground.csv", [f"ISIC_{i:07d},IP_{i}" for i in range(4)], "image_name,patient_id")


def kvasir(tree):
    for i in range(10):
        tree.image(f"images/cju{i}.jpg")
        tree.save(f"masks/cju{i}.jpg", np.stack([tree.mask_values()] * 3, -1))


def polyp_box(tree):
    for i in range(12):
        tree.image(f"images/video {i // 2}/{i}.png")
        if i != 11:
            tree.mask(f"masks/video {i // 2}/{i}.png")


TREES = {
    "ph2": [ph2], "scd": [scd], "dermofit": [dermofit], "cvc-clinicdb": [clinicdb],
    "cvc-colondb": [colondb, colondb_flat], "isic2018": [isic2018], "isic2020": [isic2020], "kvasir-seg": [kvasir],
    "polyp-box-seg": [polyp_box],
}  # fmt: skip


def test_every_set_has_a_tree():
    assert TREES.keys() == SETS.keys()


@pytest.mark.parametrize(
    ("name", "build"), [(name, build) for name, builds in TREES.items() for build in builds if name != "isic2020"]
)
def test_a_published_folder_becomes_a_data_set(tree, tmp_path, name, build):
    build(tree)
    before = sorted(path.relative_to(tree.root) for path in tree.root.rglob("*"))
    target = tmp_path / "made of it"
    assert main(["import", name, str(tree.root), str(target), "--size", "16x20"]) == 0
    assert sorted(path.relative_to(tree.root) for path in tree.root.rglob("*")) == before
    dataset = read_dataset(target)
    assert check_dataset(dataset) == []
    assert all(dataset.splits[split] for split in ("train", "val", "test"))
    stores = load_stores(dataset, (16, 20))
    want = np.zeros((16, 20), np.uint8)
    rows, columns = ((2 * np.arange(n) + 1) * o // (2 * n) for n, o in ((16, 20), (20, 24)))
    want = (tree.mask_values() > 0)[rows[:, None], columns]
    if name == "cvc-clinicdb":  # 60 of 255 at the edge is background
        want = want & (rows > 5)[:, None]
    assert np.array_equal(stores["train"].masks[0], want)
    groups = {}
    for split in ("train", "val", "test"):
        for case in dataset.splits[split]:
            if case.group:
                groups.setdefault(case.group, set()).add(split)
    assert all(len(found) == 1 for found in groups.values())
    grouped = {"ph2": 0, "kvasir-seg": 0, "scd": 9, "dermofit": 6, "isic2018": 5, "cvc-colondb": 10, "polyp-box-seg": 6}
    assert len(groups) == grouped.get(name, 10)


def test_the_papers_split_of_ph2(tree, tmp_path, data_root):
    assert (len(PH2_VAL), len(PH2_TEST), len(PH2_VAL & PH2_TEST)) == (20, 40, 0)
    ph2(tree)
    counts = import_set("ph2", tree.root, tmp_path / "x")
    assert counts == {"train": 3, "val": 1, "test": 1, "unlabeled": 0}
    with Image.open(tmp_path / "x" / "images" / "IMD002.png") as image:
        assert image.size == (224, 224)
    for split, wanted in (("val", PH2_VAL), ("test", PH2_TEST)):
        file = data_root / "ph2" / f"{split}.csv"
        if not file.exists():
            pytest.skip("ph2 is not there (QGSSL_DATA names its folder)")
        with file.open() as stream:
            assert {row["image_path"].split("IMD")[1][:3] for row in csv.DictReader(stream)} == wanted


def test_a_pool_is_added_to_a_set(tree, tmp_path):
    ph2(tree)
    target = tmp_path / "x"
    import_set("ph2", tree.root, target, (20, 24))
    pool = type(tree)(tmp_path / "pool")
    pool.rng = np.random.default_rng(9)
    isic2020(pool)
    assert import_set("isic2020", pool.root, target, (20, 24), add=True) == {"unlabeled": 4}
    dataset = read_dataset(target)
    assert len(dataset.splits["unlabeled"]) == 4
    assert dataset.splits["unlabeled"][0].image.name == "isic2020_ISIC_0000000.png"
    with pytest.raises(InputError, match=r"has unlabeled/isic2020_ISIC_0000000\.png already"):
        import_set("isic2020", pool.root, target, (20, 24), add=True)
    assert import_set("isic2020", pool.root, tmp_path / "alone") == {"train": 0, "val": 0, "test": 0, "unlabeled": 4}


def test_all_faults_at_once_and_nothing_left(tree, tmp_path):
    kvasir(tree)
    (tree.root / "images/cju0.jpg").write_bytes(b"no image")
    tree.save("masks/cju1.jpg", np.zeros((20, 24), np.uint8))
    tree.mask("masks/lonely.jpg")
    with pytest.raises(InputError) as error:
        import_set("kvasir-seg", tree.root, tmp_path / "x")
    for part in (
        "images/cju0.jpg: unreadable",
        "masks/cju1.jpg: mask of one value, 0",
        "masks/lonely.jpg: mask without",
    ):
        assert part in str(error.value)
    assert list(tmp_path.glob("*x*")) == []


def test_what_is_refused(tree, tmp_path, capsys):
    kvasir(tree)
    with pytest.raises(InputError, match="no such name 'kvasir'"):
        import_set("kvasir", tree.root, tmp_path / "x")
    with pytest.raises(InputError, match="no image of ph2 in it"):
        import_set("ph2", tree.root, tmp_path / "x")
    with pytest.raises(InputError, match="no such folder"):
        import_set("ph2", tmp_path / "nowhere", tmp_path / "x")
    with pytest.raises(InputError, match="is not empty"):
        import_set("kvasir-seg", tree.root, tree.root)
    with pytest.raises(InputError, match="is no data set"):
        import_set("kvasir-seg", tree.root, tmp_path / "x", add=True)
    assert main(["import", "kvasir-seg", str(tree.root), str(tmp_path / "x"), "--size", "big"]) == 2
    assert "size must be like 224" in capsys.readouterr().err
