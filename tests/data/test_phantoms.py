"""Phantoms: seeded, read by the same readers as real data, and neither trivial nor void."""

from __future__ import annotations

import numpy as np
import pytest

from qgssl_fast.data import PhantomStyle, check_dataset, make_phantoms
from qgssl_fast.data.phantoms import draw_phantoms
from qgssl_fast.errors import InputError

COUNTS = {"train": 6, "val": 3, "test": 4, "unlabeled": 9}


def test_written_and_read_back_without_fault(tmp_path):
    calls = []
    dataset = make_phantoms(
        tmp_path / "p", 32, COUNTS, seed=3, progress=lambda done, total: calls.append((done, total))
    )
    assert {split: len(cases) for split, cases in dataset.splits.items()} == COUNTS
    assert dataset.notes == []
    assert check_dataset(dataset) == []
    assert calls[-1] == (35, 35)


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_phantoms(tmp_path / name, 32, COUNTS, seed=seed)
    files = [sorted(path.relative_to(tmp_path / n) for path in (tmp_path / n).rglob("*.*")) for n in "abc"]
    assert files[0] == files[1] == files[2]
    a, b, c = ([(tmp_path / n / file).read_bytes() for file in files[0] if file.suffix == ".png"] for n in "abc")
    assert a == b
    assert a != c


def test_more_images_do_not_change_the_first():
    few, many = draw_phantoms(5, 32, 1), draw_phantoms(70, 32, 1)
    assert np.array_equal(few[0], many[0][:5])
    assert np.array_equal(few[1], many[1][:5])
    assert not np.array_equal(many[0][:6], many[0][64:70])


@pytest.mark.parametrize("size", [16, 33, 64])
def test_lesions_are_there_and_not_cut_by_brightness(size):
    images, masks = draw_phantoms(64, size, 2)
    assert images.shape == (64, size, size, 3)
    area = masks.mean((1, 2))
    assert set(np.unique(masks)) == {0, 1}
    assert area.min() > 0.02
    assert area.max() < 0.5
    light = images.mean(3)
    inside = np.array([image[mask == 1].mean() - image[mask == 0].mean() for image, mask in zip(light, masks)])
    assert 0.15 < (inside > 0).mean() < 0.85


def test_style_knobs_are_used():
    names = ("distractors", "streaks", "noise", "illumination", "faint", "second_part", "roughness")
    plain = dict.fromkeys(names, 0)
    before = draw_phantoms(4, 32, 0, PhantomStyle(**plain))
    for name, value in {
        **plain,
        "distractors": 3,
        "streaks": 5,
        "noise": 0.1,
        "illumination": 0.5,
        "faint": 0.9,
    }.items():
        if value != plain[name]:
            after = draw_phantoms(4, 32, 0, PhantomStyle(**{**plain, name: value}))
            assert not np.array_equal(before[0], after[0]), name
            assert np.array_equal(before[1], after[1]), name
    for change in ({"roughness": 0.3}, {"second_part": 1.0}, {"radius": (0.3, 0.35)}):
        assert not np.array_equal(before[1], draw_phantoms(4, 32, 0, PhantomStyle(**{**plain, **change}))[1])


def test_wrong_arguments(tmp_path):
    with pytest.raises(InputError, match="unlabelled, wanted train, val, test, unlabeled"):
        make_phantoms(tmp_path / "a", counts={"train": 3, "unlabelled": 3})
    with pytest.raises(InputError, match="train >= 1"):
        make_phantoms(tmp_path / "a", counts={"val": 3})
    with pytest.raises(InputError, match="size must be >= 16, got 8"):
        make_phantoms(tmp_path / "a", size=8)
    assert not (tmp_path / "a").exists()
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(InputError, match="not an empty folder"):
        make_phantoms(tmp_path)
    with pytest.raises(InputError, match="2 faults"):
        PhantomStyle(faint=2.0, radius=(0.3, 0.1))
