"""What several classes, soft masks and voxel spacing mean, where the answer is known."""

import math

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast.corruption import Corruptor, MaskBank
from qgssl_fast.recipes import Recipe, Row
from qgssl_fast.recipes.softness import Softness


def only(op, softness=None, **params):
    return Recipe(op, (Row(op, op, params, {"single": 1.0}),), {"single": 1.0}, softness=softness)


def beside(size=(20, 60)):
    """Classes 1, 2 and 3 side by side, background about them."""
    labels = torch.zeros(1, *size, dtype=torch.uint8)
    for c in (1, 2, 3):
        labels[:, 5:15, 10 * c : 10 * c + 10] = c
    return labels


def test_classes_grow_into_the_background_but_not_into_each_other():
    labels = beside()
    out = qf.corrupt(labels, only("dilate", radius=3), num_classes=4)
    inside = labels > 0
    assert torch.equal(out.masks[inside], labels[inside])
    assert (out.masks[0, 10, 7:43] > 0).all()
    assert out.masks[0, 3, 20] == 1  # where two would grow, the lower number does
    assert out.masks[0, 3, 25] == 2
    assert out.quality.shape == (1, 3)
    assert torch.equal(out.overlap, qf.overlap(out.masks, labels, 4))


def test_nothing_is_done_to_a_map_by_identity():
    labels = beside()
    out = qf.corrupt(labels, only("identity"), num_classes=4, errors=True)
    assert torch.equal(out.masks, labels)
    assert (out.quality == 1).all()
    assert out.errors.shape == (1, 3, 20, 60)
    assert not out.errors.any()


def test_errors_are_told_for_each_class():
    labels = beside()
    out = qf.corrupt(labels, only("leak", radius=4), num_classes=4, errors=True)
    for c in (1, 2, 3):
        assert torch.equal(out.errors[:, c - 1].bool(), (out.masks == c) != (labels == c))


def test_each_class_has_chance_of_its_own():
    labels = beside((20, 60)).repeat(50, 1, 1)
    moved = qf.corrupt(labels, only("shift", reach=0.1), num_classes=4).masks
    columns = [[int((m == c).any(0).nonzero()[0]) for c in (1, 3)] for m in moved]
    assert len({b - a for a, b in columns}) > 5
    first = qf.corrupt((labels == 1).to(torch.uint8), only("shift", reach=0.1)).masks
    clear = (labels == 0) & (first == 1)
    assert (moved[clear] == 1).all()  # class 1 moves as it would alone


def test_swap_labels_trades_two_classes():
    labels = beside().repeat(60, 1, 1)
    out = qf.corrupt(labels, only("swap_labels"), num_classes=5)
    maps = {tuple(int(m[10, 10 * c + 5]) for c in (1, 2, 3)) for m in out.masks}
    assert (1, 2, 3) not in maps
    assert {(2, 1, 3), (3, 2, 1), (1, 3, 2), (4, 2, 3)} <= maps
    assert all(sorted({int(v) for v in m.unique()} - {0}) != [] for m in out.masks)
    assert torch.equal((out.masks > 0), (labels > 0))


def test_leak_takes_a_strip_of_the_neighbours_and_no_background():
    labels = beside().repeat(60, 1, 1)
    out = qf.corrupt(labels, only("leak", radius=2), num_classes=4)
    assert torch.equal(out.masks > 0, labels > 0)
    second = [m for m in out.masks if (m == 2).sum() > 100]
    assert second
    for m in second:
        assert (m[5:15, 18:32] == 2).all()
        assert (m == 2).sum() == 140


def test_rows_for_label_maps_refuse_binary_masks():
    with pytest.raises(qf.InputError, match=r"swap_labels: label maps of two classes or more only"):
        qf.corrupt(beside().clamp(max=1), only("swap_labels"))


def test_faults_of_label_maps():
    labels = beside()
    with pytest.raises(qf.InputError, match=r"corrupt: masks must hold labels below num_classes = 3, got 3"):
        qf.corrupt(labels, only("identity"), num_classes=3)
    with pytest.raises(qf.InputError, match="num_classes must be <= 256"):
        qf.corrupt(labels, only("identity"), num_classes=300)
    bank = MaskBank(labels, 4)
    recipe = qf.load_recipe("labels").replace(p_weak=0.0)
    with pytest.raises(qf.InputError, match="the bank's masks have 4 classes, num_classes is 5"):
        qf.corrupt(labels, recipe, num_classes=5, bank=bank, image_ids=torch.zeros(1, dtype=torch.int64))
    with pytest.raises(qf.InputError, match="MaskBank: truth must hold labels below num_classes = 3, got 3"):
        MaskBank(labels, 3)
    with pytest.raises(qf.InputError, match=r"out must be \[1, 20, 60\], as masks are, or \[1, 3, 20, 60\]"):
        qf.corrupt(labels, only("identity"), num_classes=4, out=torch.zeros(1, 2, 20, 60))
    soft = only("identity", Softness(1.0, 2, 2))
    with pytest.raises(qf.InputError, match=r"out must be \[1, 3, 20, 60\], as the recipe softens"):
        qf.corrupt(labels, soft, num_classes=4, out=torch.zeros(1, 20, 60))
    with pytest.raises(TypeError, match="out must be float32, float16 or bfloat16, as the recipe softens"):
        qf.corrupt(labels.clamp(max=1), soft, out=torch.zeros(1, 20, 60, dtype=torch.uint8))


def test_a_bank_of_label_maps(tmp_path):
    labels = torch.stack([beside()[0], beside()[0].roll(5, 1), beside()[0].flip(1)])
    bank = MaskBank(labels, 4)
    bank.add(labels.flip(0))
    assert torch.equal(bank.truth(), labels)
    assert torch.equal(bank.weak(0), labels.flip(0))
    bank.save(tmp_path / "bank.safetensors")
    again = MaskBank.load(tmp_path / "bank.safetensors")
    assert again.num_classes == 4
    recipe = qf.load_recipe("labels").replace(p_weak=1.0)
    out = Corruptor(recipe, again, num_classes=4)(labels, torch.arange(3), torch.arange(3))
    assert torch.equal(out.masks, labels.flip(0))


def test_soft_masks_are_a_blur_with_a_slope():
    cv2 = pytest.importorskip("cv2")
    y, x = np.mgrid[:60, :70]
    mask = ((y - 30) ** 2 + (x - 33) ** 2 < 18**2).astype(np.uint8)
    out = qf.corrupt(torch.from_numpy(mask)[None], only("identity", Softness(1.0, 5, 5, 3.0, 3.0)))
    blurred = cv2.GaussianBlur(mask.astype(np.float64), (11, 11), 0, borderType=cv2.BORDER_REPLICATE)
    expected = np.clip(0.5 + 3 * (blurred - 0.5), 0, 1)
    assert np.abs(out.masks[0].numpy() - expected).max() < 0.012
    assert out.masks.dtype == torch.float32
    assert float(out.quality) == pytest.approx(2 * (expected * mask).sum() / (expected.sum() + mask.sum()), abs=1e-3)
    assert torch.equal(
        out.quality, qf.corrupt(torch.from_numpy(mask)[None], only("identity", Softness(1.0, 5, 5, 3.0, 3.0))).quality
    )


def test_soft_quality_is_the_soft_dice_of_what_comes_out():
    labels = beside().repeat(30, 1, 1)
    recipe = qf.load_recipe("labels").without_bank().replace(softness=Softness(0.7, 1, 6, 1.0, 9.0))
    out = qf.corrupt(labels, recipe, num_classes=4)
    truth = torch.stack([labels == c for c in (1, 2, 3)], dim=1).double()
    p = out.masks.double()
    total = p.sum((2, 3)) + truth.sum((2, 3))
    dice = torch.where(total > 0, 2 * (p * truth).sum((2, 3)) / total, 1.0)
    assert torch.allclose(out.quality.double(), dice, atol=1e-6)
    assert float(out.masks.sum(1).max()) <= 1 + 2 / 255  # each class is rounded
    hard = ((out.masks == 0) | (out.masks == 1)).flatten(1).all(1)
    assert 2 <= int(hard.sum()) <= 20


def test_softness_faults(tmp_path):
    path = tmp_path / "soft.toml"
    path.write_text(
        'extends = "defualt"\n[softness]\nprobability = 1.5\nmin_radius = 4\nmax_radius = 2.5\n'
        "sharp = 2\nmin_sharpness = 0.5\n"
    )
    with pytest.raises(qf.InputError) as caught:
        qf.load_recipe(path)
    text = str(caught.value)
    for line in (
        "line 1: extends must be one of default, labels, paper, got 'defualt'",
        "line 3: softness: probability must be in [0, 1] of the masks, got 1.5",
        "line 5: softness: max_radius must be a whole number in [1, 31] px, got 2.5",
        "line 6: softness: unknown key 'sharp'",
        "line 7: softness: min_sharpness must be in [1, 64] 1, got 0.5",
    ):
        assert line in text, text
    with pytest.raises(qf.InputError, match="softness: min_radius 4 is above max_radius 2"):
        only("identity", Softness(1.0, 4, 2))


def test_a_recipe_extends_another(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'extends = "paper"\np_weak = 0.5\n[softness]\nmin_radius = 1\nmax_radius = 3\n'
        '[[row]]\nname = "erosion_5"\nop = "erode"\nradius = 9\nsingle = 1.0\n'
    )
    mine, paper = qf.load_recipe(path), qf.load_recipe("paper")
    assert mine.rounding == "truncate"
    assert mine.categories == paper.categories
    assert mine.p_weak == 0.5
    assert mine.row("erosion_5").params["radius"] == 9
    assert {row.name for row in mine.rows} == {row.name for row in paper.rows}
    assert mine.softness == Softness(1.0, 1, 3)


def ball(spacing, side=41, radius=14.0):
    axes = [(np.arange(side) - side // 2) * s for s in spacing]
    return torch.from_numpy((sum(a**2 for a in np.meshgrid(*axes, indexing="ij")) <= radius**2).astype(np.uint8))[None]


def test_spacing_counts_voxels_of_each_axis():
    mask = torch.zeros(1, 21, 21, 21, dtype=torch.uint8)
    mask[0, 10, 10, 10] = 1
    out = qf.corrupt(mask, only("dilate", radius=4), spacing=(4.0, 2.0, 1.0)).masks[0]
    found = [int(v) for v in (out.any(2).any(1).sum(), out.any(2).any(0).sum(), out.any(0).any(0).sum())]
    assert found == [3, 5, 9]


def test_round_is_round_in_space():
    spacing = (2.5, 1.0, 1.0)
    full = torch.ones(1, 41, 41, 41, dtype=torch.uint8)
    hole = (
        qf.corrupt(full, only("holes", count=1, min_radius=12, max_radius=12), spacing=spacing, seed=18).masks[0] == 0
    )
    at = np.argwhere(hole.numpy())
    assert (at.min(0) > 0).all()  # this seed's does not reach the border
    assert (at.max(0) < 40).all()
    centre = (at.min(0) + at.max(0)) // 2
    away = [(np.arange(41) - c) * s for c, s in zip(centre, spacing)]
    square = sum(a**2 for a in np.meshgrid(*away, indexing="ij"))
    assert np.array_equal(hole.numpy(), square <= 12**2)
    cube = torch.zeros(1, 41, 41, 41, dtype=torch.uint8)
    cube[0, 15:26, 8:33, 8:33] = 1
    made = qf.corrupt(cube, only("circular_blob"), spacing=spacing).masks
    assert int(made.sum()) == pytest.approx(int(cube.sum()), rel=0.01)
    radius = (3 * int(cube.sum()) * 2.5 / (4 * math.pi)) ** (1 / 3)
    assert float(qf.dice(made, ball(spacing, 41, radius))) > 0.99


def test_a_gaussian_blob_has_the_proportions_of_the_volume():
    z, y, x = np.mgrid[:31, :41, :51]
    mask = torch.from_numpy((((z - 15) / 6) ** 2 + ((y - 20) / 16) ** 2 + ((x - 25) / 10) ** 2 <= 1).astype(np.uint8))[
        None
    ]
    out = qf.corrupt(mask, only("gaussian_blob", area=1.0))
    assert int(out.masks.sum()) == pytest.approx(int(mask.sum()), rel=0.01)
    assert float(out.quality) > 0.97


def test_outlines_are_drawn_slice_by_slice():
    rng = np.random.default_rng(0)
    volume = torch.from_numpy((rng.random((2, 4, 20, 30)) < 0.1).astype(np.uint8))
    volume[0, 1] = 0
    for op, params in (("convex_hull", {}), ("polygon", {"vertices": 5}), ("ellipse", {})):
        whole = qf.corrupt(volume, only(op, **params)).masks
        planes = qf.corrupt(volume.flatten(0, 1), only(op, **params)).masks
        assert torch.equal(whole.flatten(0, 1), planes), op


def test_smooth_blurs_along_all_axes():
    mask = ball((1, 1, 1), 25, 9.0)
    spiked = mask.clone()
    spiked[0, :, 12, 12] = 1
    out = qf.corrupt(spiked, only("smooth", radius=4)).masks
    assert float(qf.dice(out, mask)) > 0.95
    assert not out[0, :2, 12, 12].any()


@pytest.mark.parametrize(
    ("spacing", "text"),
    [
        ((1, 1), r"spacing must be three numbers \(z, y, x\)"),
        ((1, 0, 1), "spacing must be finite and above 0"),
        ((100, 1, 1), "spacing along z and y must be 1/16 to 64 times that along x"),
    ],
)
def test_spacing_faults(spacing, text):
    with pytest.raises(qf.InputError, match=text):
        qf.corrupt(torch.ones(1, 3, 4, 5, dtype=torch.uint8), only("identity"), spacing=spacing)
    with pytest.raises(qf.InputError, match="spacing is for volumes"):
        qf.corrupt(torch.ones(1, 4, 5, dtype=torch.uint8), only("identity"), spacing=(1, 1, 1))
