import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qgssl_fast as qf
from qgssl_fast.corruption import Corruptor, MaskBank

PAPER, DEFAULT = qf.load_recipe("paper"), qf.load_recipe("default")
RECIPES = {"paper": PAPER, "default": DEFAULT}
ROW_NAMES = [row.name for row in PAPER.rows]
KINDS = ("empty", "full", "pixel", "corner", "border", "noise", "dots", "blob")


def make(kind, height, width, seed=0):
    mask = np.zeros((height, width), np.uint8)
    rng = np.random.default_rng(seed)
    if kind == "full":
        mask[:] = 1
    elif kind == "pixel":
        mask[rng.integers(height), rng.integers(width)] = 1
    elif kind == "corner":
        mask[: height // 2 + 1, : width // 2 + 1] = 1
    elif kind == "border":
        mask[0], mask[-1], mask[:, 0], mask[:, -1] = 1, 1, 1, 1
    elif kind == "noise":
        mask[:] = rng.random((height, width)) < 0.5
    elif kind == "dots":
        mask[::3, ::3] = 1
    elif kind == "blob":
        y, x = np.mgrid[:height, :width]
        mask[:] = ((y - height / 2) / height) ** 2 + ((x - width / 3) / width) ** 2 < 0.06
    return mask


def batch(height, width):
    return torch.from_numpy(np.stack([make(kind, height, width) for kind in KINDS]))


def bank_of(masks):
    bank = MaskBank(masks)
    bank.add(1 - masks)
    bank.add(masks.roll(1, 0))
    return bank


def check(out, masks):
    """What must hold for any corruption."""
    assert out.masks.shape == masks.shape
    assert out.masks.dtype == torch.uint8
    assert int(out.masks.max()) <= 1
    assert torch.equal(out.overlap, qf.overlap(out.masks, masks))
    both = out.overlap[:, 0, 1] + out.overlap[:, 0, 2]
    dice = np.where(both > 0, 2 * out.overlap[:, 0, 0] / both.clamp(min=1), 1).astype(np.float32)
    assert np.array_equal(out.quality.numpy(), dice)
    assert out.quality.dtype == torch.float32


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (2, 2), (33, 65), (64, 63)])
@pytest.mark.parametrize("name", ROW_NAMES)
def test_every_row_on_every_kind_of_mask(name, size):
    masks = batch(*size)
    for recipe in (PAPER, DEFAULT):
        out = qf.corrupt(
            masks, recipe.only(name), bank=bank_of(masks), image_ids=torch.arange(len(masks)), seed=2, errors=True
        )
        check(out, masks)
        assert torch.equal(out.errors, (out.masks != masks).to(torch.uint8))
        assert (out.rows == torch.tensor([recipe.index(name), -1, -1])).all()
        if name not in ("full", "invert", "random_50", "islands_small", "holes_and_islands", "cross_image", "weak"):
            assert not out.masks[KINDS.index("empty")].any()


@settings(max_examples=40)
@given(
    st.sampled_from(["paper", "default"]), st.integers(1, 70), st.integers(1, 70), st.integers(0, 2**64 - 1), st.data()
)
def test_same_seed_and_id_same_bytes(name, height, width, seed, data):
    recipe, masks = RECIPES[name], batch(height, width).repeat(3, 1, 1)
    bank, images = bank_of(batch(height, width)), torch.arange(8).repeat(3)
    ids = torch.tensor(data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=24, max_size=24)))
    options = {"seed": seed, "bank": bank}
    whole = qf.corrupt(masks, recipe, sample_ids=ids, image_ids=images, **options)
    check(whole, masks)
    order = torch.tensor(data.draw(st.permutations(range(24))))
    cut = data.draw(st.integers(0, 24))
    for part in (order[:cut], order[cut:]):
        out = qf.corrupt(masks[part], recipe, sample_ids=ids[part], image_ids=images[part], **options)
        for field in ("masks", "quality", "overlap", "rows"):
            assert torch.equal(getattr(out, field), getattr(whole, field)[part]), field
    again = qf.replay(masks, recipe, whole.rows, sample_ids=ids, image_ids=images, **options)
    assert torch.equal(again.masks, whole.masks)
    assert torch.equal(again.rows, whole.rows)


def test_replay_runs_what_it_is_told():
    masks = batch(40, 40)
    rows = torch.full((8, 3), -1, dtype=torch.int32)
    rows[:, 0], rows[:, 1] = DEFAULT.index("erosion_5"), DEFAULT.index("invert")
    out = qf.replay(masks, DEFAULT, rows)
    assert torch.equal(out.masks, 1 - qf.erode(masks, 2))


def test_input_is_left_alone_and_any_layout_will_do():
    masks = batch(30, 50)
    before = masks.clone()
    recipe = DEFAULT.without_bank()
    out = qf.corrupt(masks, recipe, seed=3)
    assert torch.equal(masks, before)
    turned = masks.transpose(1, 2).contiguous().transpose(1, 2)
    assert not turned.is_contiguous()
    assert torch.equal(qf.corrupt(turned, recipe, seed=3).masks, out.masks)
    for other in (masks.bool(), masks * 255):
        found = qf.corrupt(other, recipe, seed=3, errors=True)
        assert torch.equal(found.masks, out.masks)
        assert torch.equal(found.overlap, out.overlap)
        assert torch.equal(found.errors, (out.masks != masks).to(torch.uint8))


def test_an_empty_batch():
    out = qf.corrupt(torch.zeros(0, 8, 9, dtype=torch.uint8), DEFAULT.without_bank(), errors=True)
    assert out.masks.shape == out.errors.shape == (0, 8, 9)
    assert (out.quality.shape, out.overlap.shape, out.rows.shape) == ((0,), (0, 1, 3), (0, 3))


def test_identity_has_quality_one():
    masks = batch(20, 20)
    out = qf.corrupt(masks, DEFAULT.replace(categories={"identity": 1.0}, p_weak=0.0))
    assert torch.equal(out.masks, masks)
    assert out.quality.tolist() == [1.0] * 8


def test_volumes():
    masks = torch.from_numpy((np.random.default_rng(0).random((3, 9, 10, 11)) < 0.4).astype(np.uint8))
    for row in DEFAULT.rows:
        if not row.operation.bank:
            check(qf.corrupt(masks, DEFAULT.only(row.name).without_bank(), spacing=(2.0, 1.0, 1.0)), masks)
    assert torch.equal(qf.corrupt(masks, DEFAULT.only("dilation_5").without_bank()).masks, qf.dilate(masks, 2))


def test_donors_are_the_nearest_fifth_in_area():
    areas = np.random.default_rng(1).permutation(41)
    masks = torch.stack([(torch.arange(100) < a).reshape(10, 10).to(torch.uint8) for a in areas])
    bank = MaskBank(masks)
    recipe = PAPER.only("cross_image")
    seen = {}
    for k in range(60):
        out = qf.corrupt(masks, recipe, bank=bank, image_ids=torch.arange(41), sample_ids=torch.arange(41) + 41 * k)
        for own, area in zip(areas.tolist(), out.masks.flatten(1).sum(1).tolist()):
            seen.setdefault(own, set()).add(area)
    for own, donors in seen.items():
        nearest = sorted((abs(a - own), a) for a in range(41) if a != own)[:8]
        assert donors == {a for _, a in nearest}, own


def test_a_bank_of_one_has_no_donor():
    mask = batch(12, 12)[-1:]
    out = qf.corrupt(mask, PAPER.only("cross_image"), bank=MaskBank(mask), image_ids=torch.zeros(1, dtype=torch.int64))
    assert torch.equal(out.masks, mask)


def test_weak_masks_are_a_snapshot_of_the_same_image():
    masks = batch(21, 70)
    bank = bank_of(masks)
    ids = torch.arange(8)
    kinds = set()
    for k in range(20):
        out = qf.corrupt(masks, PAPER.only("weak"), bank=bank, image_ids=ids, sample_ids=ids + 8 * k)
        for i in range(8):
            made = [s for s in range(2) if torch.equal(out.masks[i], bank.weak(s)[i])]
            assert made
            kinds |= set(made)
    assert kinds == {0, 1}


def test_bank_is_saved_and_loaded(tmp_path):
    masks = batch(13, 70)
    bank = bank_of(masks)
    bank.save(tmp_path / "bank.safetensors")
    again = MaskBank.load(tmp_path / "bank.safetensors")
    assert (len(again), again.snapshots, again.size) == (8, 2, (13, 70))
    assert torch.equal(again.truth(), masks)
    assert torch.equal(again.weak(1), masks.roll(1, 0))
    assert [p.name for p in tmp_path.iterdir()] == ["bank.safetensors"]
    args = masks, torch.arange(8), torch.arange(8)
    assert torch.equal(Corruptor(DEFAULT, again, 4)(*args).masks, Corruptor(DEFAULT, bank, 4)(*args).masks)


def test_bank_faults(tmp_path):
    masks = batch(8, 8)
    bank = MaskBank(masks)
    with pytest.raises(qf.InputError, match=r"MaskBank.add: masks must be \[8, 8, 8\], got \[7, 8, 8\]"):
        bank.add(masks[:7])
    with pytest.raises(TypeError, match="uint8 or bool"):
        MaskBank(masks.float())
    with pytest.raises(qf.InputError, match="at least one mask"):
        MaskBank(masks[:0])
    path = tmp_path / "bank.safetensors"
    path.write_bytes(b"no")
    with pytest.raises(qf.InputError, match="cannot be read as a MaskBank"):
        MaskBank.load(path)
    with pytest.raises(qf.InputError, match="cannot be read as a MaskBank"):
        MaskBank.load(tmp_path / "none.safetensors")


MASKS = batch(8, 9)
ONE = torch.arange(8)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, qf.InputError, r"draws cross_image and weak masks from a bank: .*recipe.without_bank\(\)"),
        ({"bank": MaskBank(MASKS)}, qf.InputError, r"no snapshot: .*recipe.replace\(p_weak=0.0\)"),
        ({"bank": bank_of(MASKS)}, qf.InputError, "image_ids must say which image"),
        ({"bank": bank_of(MASKS), "image_ids": ONE + 1}, qf.InputError, r"image_ids must be in 0 .. 7, got 1 .. 8"),
        ({"bank": bank_of(MASKS), "image_ids": ONE[:3]}, qf.InputError, r"image_ids must be \[8\].*got \[3\]"),
        ({"bank": bank_of(batch(9, 9)), "image_ids": ONE}, qf.InputError, r"bank's masks are \[9, 9\], but masks are"),
        ({"recipe": PAPER.without_bank(), "sample_ids": ONE[:2]}, qf.InputError, r"sample_ids must be \[8\]"),
        ({"recipe": PAPER.without_bank(), "sample_ids": ONE.float()}, TypeError, "sample_ids must be an int64"),
        ({"recipe": PAPER.without_bank(), "seed": -1}, qf.InputError, "seed must be >= 0, got -1"),
        ({"recipe": PAPER.without_bank(), "seed": 2**64}, qf.InputError, "seed must be <="),
        ({"recipe": PAPER.without_bank(), "backend": "fast"}, qf.InputError, "backend must be one of"),
        ({"recipe": "paper"}, TypeError, "recipe must be a Recipe"),
        ({"masks": MASKS.float()}, TypeError, "masks must be uint8 or bool"),
        ({"masks": torch.ones(1, 1, 4097, dtype=torch.uint8)}, qf.InputError, "sides must be up to 4096 px"),
        ({"masks": MASKS[0]}, qf.InputError, r"masks must be \[B, H, W\] or \[B, D, H, W\]"),
    ],
)
def test_faults(options, kind, text):
    options = {"masks": MASKS, "recipe": PAPER, **options}
    with pytest.raises(kind, match=text):
        qf.corrupt(options.pop("masks"), options.pop("recipe"), **options)


def test_replay_faults():
    with pytest.raises(qf.InputError, match=r"replay: rows must be \[8, 3\]"):
        qf.replay(MASKS, PAPER, torch.zeros(8, 2, dtype=torch.int32))
    with pytest.raises(qf.InputError, match=r"replay: rows must be in -1 .. \d+"):
        qf.replay(MASKS, PAPER, torch.full((8, 3), 99, dtype=torch.int32))
    with pytest.raises(TypeError, match="replay: rows must be an int32"):
        qf.replay(MASKS, PAPER, torch.zeros(8, 3))
