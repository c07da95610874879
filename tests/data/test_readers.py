"""Both layouts, the splits that are made, and every fault that names alone show."""

from __future__ import annotations

import re

import pytest

from qgssl_fast.data import read_dataset
from qgssl_fast.errors import InputError


def counts(dataset):
    return {split: len(cases) for split, cases in dataset.splits.items()}


def test_csv_layout(tree):
    dataset = read_dataset(tree.whole().root)
    assert counts(dataset) == {"train": 4, "val": 1, "test": 1, "unlabeled": 2}
    assert dataset.notes == []
    first = dataset.splits["train"][0]
    assert (first.name, first.image, first.mask) == ("a0", tree.root / "images/a0.png", tree.root / "masks/a0.png")
    assert all(case.mask is None for case in dataset.splits["unlabeled"])


def test_csv_with_byte_order_mark_blank_lines_spaces_and_further_columns(tree):
    tree.whole()
    row = f"7, {tree.image('images/ä b.png')} ,{tree.mask('masks/ä b.png')}"
    text = f"\ufeffage, image_path ,mask_path\n\n{row}\n\n"
    (tree.root / "train.csv").write_text(text, encoding="utf-8")
    assert [case.name for case in read_dataset(tree.root).splits["train"]] == ["ä b"]


def test_missing_val_is_taken_from_train_and_said(tree):
    tree.whole(train=16)
    (tree.root / "val.csv").unlink()
    dataset = read_dataset(tree.root)
    assert counts(dataset) == {"train": 14, "val": 2, "test": 1, "unlabeled": 2}
    assert any("took 2 of 16" in note for note in dataset.notes)
    assert read_dataset(tree.root).splits == dataset.splits
    assert any(read_dataset(tree.root, seed=s).splits["val"] != dataset.splits["val"] for s in range(1, 5))


def test_missing_test_and_unlabeled(tree):
    tree.whole()
    (tree.root / "test.csv").unlink()
    (tree.root / "unlabeled.csv").unlink()
    dataset = read_dataset(tree.root)
    assert counts(dataset) == {"train": 4, "val": 1, "test": 0, "unlabeled": 0}
    assert any("no test.csv" in note for note in dataset.notes)
    assert any("unlabeled/ is not used" in note for note in dataset.notes)


def test_folder_layout(tree):
    for i in range(20):
        tree.pair(f"p{i}")
    tree.image("unlabeled/x.png")
    (tree.root / "images/Thumbs.db").write_text("")
    dataset = read_dataset(tree.root)
    assert counts(dataset) == {"train": 14, "val": 2, "test": 4, "unlabeled": 1}
    assert len({case.image for cases in dataset.splits.values() for case in cases}) == 21
    assert any("14 train, 2 val, 4 test" in note for note in dataset.notes)
    assert any("Thumbs.db" in note for note in dataset.notes)
    assert counts(read_dataset(tree.root, fractions=(0.5, 0.25, 0.25)))["val"] == 5


def test_a_new_case_does_not_reshuffle_the_split(tree):
    for i in range(20):
        tree.pair(f"p{i}")
    before = {case.name for case in read_dataset(tree.root).splits["test"]}
    tree.pair("new")
    assert len(before - {case.name for case in read_dataset(tree.root).splits["test"]}) <= 1


@pytest.mark.parametrize(("labelled", "kept"), [(0.25, 2), (3, 3), (1, 1), (1.0, 8), (0.01, 1)])
def test_labelled(tree, labelled, kept):
    dataset = read_dataset(tree.whole(train=8).root, labelled=labelled)
    assert counts(dataset)["train"] == kept
    assert counts(dataset)["unlabeled"] == 2 + 8 - kept
    assert all(case.mask is None for case in dataset.splits["unlabeled"])
    assert any(f"masks of {kept} of 8" in note for note in dataset.notes)


@pytest.mark.parametrize("labelled", [0, -1, 0.0, 1.5, 9, float("nan")])
def test_labelled_out_of_range(tree, labelled):
    with pytest.raises(InputError, match="labelled"):
        read_dataset(tree.whole(train=8).root, labelled=labelled)


@pytest.mark.parametrize("labelled", [True, {"half"}])
def test_labelled_of_a_wrong_type(tree, labelled):
    with pytest.raises(TypeError, match="labelled"):
        read_dataset(tree.root, labelled=labelled)


def test_equal_stems_get_names_that_differ(tree):
    tree.whole()
    tree.csv("unlabeled.csv", [tree.image("unlabeled/a0.png")], "image_path")
    names = [case.name for cases in read_dataset(tree.root).splits.values() for case in cases]
    assert len(set(names)) == len(names)
    assert not any("/" in name for name in names)


def test_no_such_folder_says_what_one_looks_like(tree):
    with pytest.raises(InputError, match=r"no such folder.*train\.csv.*images/"):
        read_dataset(tree.root / "nowhere")
    tree.whole()
    with pytest.raises(InputError, match="not a folder"):
        read_dataset(tree.root / "train.csv")


def test_neither_layout(tmp_path):
    with pytest.raises(InputError, match=r"neither.*train\.csv"):
        read_dataset(tmp_path)


def test_all_faults_of_the_csv_files_at_once(tree):
    tree.whole()
    good = tree.pair("good")
    outside = tree.root.parent / "outside.png"
    outside.write_bytes((tree.root / "images/good.png").read_bytes())
    (tree.root / "images/link.png").symlink_to(outside)
    tree.csv(
        "train.csv",
        [
            good,
            "images/nowhere.png,masks/good.png",
            "images/a0.png,",
            ",masks/a0.png",
            good,
            "../outside.png,masks/good.png",
            f"{outside},masks/good.png",
            "images/link.png,masks/good.png",
            "images,masks/good.png",
            "images/a1.png,images/a1.png",
            "images\\a2.png,masks/a2.png",
        ],
    )
    tree.csv("val.csv", ["images/v.png,x"], "image_path,label_path")
    tree.csv("test.csv", [good])
    tree.csv("unlabeled.csv", [], "image_path")
    with pytest.raises(InputError) as caught:
        read_dataset(tree.root)
    text = str(caught.value)
    for pattern in (
        r"train.csv line 3: images/nowhere.png: no such file",
        r"train.csv line 4: image without mask",
        r"train.csv line 5: image_path is empty \(mask without image\)",
        r"train.csv line 6: images/good.png: duplicate of train.csv line 2",
        r"train.csv line 7: ../outside.png: '..' is refused",
        r"train.csv line 8: .*have to be relative",
        r"train.csv line 9: images/link.png: a link that leaves",
        r"train.csv line 10: images: not a file",
        r"train.csv line 11: image_path and mask_path are the same",
        r"train.csv line 12: images\\a2.png: no such file \(use / in paths\)",
        r"val.csv: column mask_path missing; wanted image_path, mask_path; found image_path, label_path",
        r"test.csv line 2: images/good.png: one image in two splits, also in train.csv line 2",
        r"unlabeled.csv: has a header and no rows",
    ):
        assert re.search(pattern, text), pattern
    assert text.count("\n  - ") == 13


def test_empty_and_binary_csv_files(tree):
    tree.whole()
    (tree.root / "val.csv").write_text("")
    (tree.root / "test.csv").write_bytes(b"\xff\xfe\x00binary")
    (tree.root / "train.csv").unlink()
    with pytest.raises(InputError) as caught:
        read_dataset(tree.root)
    assert "found an empty file" in str(caught.value)
    assert "test.csv: not a readable UTF-8 CSV" in str(caught.value)
    assert "train.csv is missing" in str(caught.value)


def test_all_faults_of_the_folders_at_once(tree):
    for i in range(3):
        tree.pair(f"p{i}")
    tree.image("images/alone.png")
    tree.mask("masks/lonely.png")
    tree.image("images/p0.jpg")
    with pytest.raises(InputError) as caught:
        read_dataset(tree.root)
    text = str(caught.value)
    assert "images/alone.png: image without mask" in text
    assert "masks/lonely.png: mask without image" in text
    assert "same stem" in text


def test_folders_that_are_missing_or_empty(tree):
    (tree.root / "images").mkdir(parents=True)
    with pytest.raises(InputError, match="masks/ is missing"):
        read_dataset(tree.root)
    (tree.root / "masks").mkdir()
    with pytest.raises(InputError, match="hold no image"):
        read_dataset(tree.root)


def test_too_few_for_the_splits(tree):
    tree.pair("a")
    tree.pair("b")
    with pytest.raises(InputError, match="too few"):
        read_dataset(tree.root)
    tree.csv("train.csv", ["images/a.png,masks/a.png"])
    with pytest.raises(InputError, match="no validation split"):
        read_dataset(tree.root)


@pytest.mark.parametrize("fractions", [(0, 0.5, 0.5), (0.7, 0.1, 0.1), (1.1, -0.1, 0.0), (0.7, 0.3)])
def test_fractions(tree, fractions):
    with pytest.raises(InputError, match="fractions"):
        read_dataset(tree.root, fractions=fractions)
