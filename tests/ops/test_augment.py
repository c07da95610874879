"""Augmentation: the batch does not matter, images and masks move together, every field does what it says."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F

from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference import augment as reference
from qgssl_fast.ops.augment import Augmentation, augment, augment_views, image_only, strong_view, weak_view

SHAPES = [(3, 32, 32), (1, 17, 40), (4, 5, 7), (1, 1, 1), (2, 6, 9, 11)]
EVERYTHING = Augmentation(
    flip=0.5, rotate_deg=40, scale=(0.7, 1.4), translate=0.2, p_geometry=0.8, brightness=0.1, contrast=0.2,
    saturation=0.3, color=0.1, gamma=0.3, p_color=0.8, noise=0.05, p_noise=0.7, blur=1.0, p_blur=0.6,
)  # fmt: skip


def batch(shape=(3, 32, 32), count=8, seed=0):
    g = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=g)
    masks = (torch.rand(count, *shape[1:], generator=g) < 0.5).to(torch.uint8)
    return images, masks, torch.arange(count) * 1_000_003 - 5


def smooth(count=6, size=96):
    """Images that are a blurred version of their masks, so that one can be told from the other after a move."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    radius = ((y - 42) / 24.0).square() + ((x - 52) / 16.0).square()
    image = (255 * torch.sigmoid(12 * (1 - radius))).round().to(torch.uint8)
    return image.expand(count, 3, size, size).contiguous(), (image > 127).to(torch.uint8).expand(
        count, size, size
    ).contiguous()


def centre(masks):
    """Centre of mass in px, [B, 2]."""
    places = torch.stack(torch.meshgrid(*map(torch.arange, masks.shape[1:]), indexing="ij")).float()
    return (places * masks[:, None]).sum((2, 3)) / masks.sum((1, 2))[:, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_dtypes_and_range(shape):
    images, masks, ids = batch(shape)
    out, out_masks = augment(images, masks, EVERYTHING, seed=1, sample_ids=ids)
    assert (out.shape, out.dtype) == (images.shape, torch.float32)
    assert (out_masks.shape, out_masks.dtype) == (masks.shape, torch.uint8)
    assert out.isfinite().all()
    assert 0 <= out.min() <= out.max() <= 1
    assert set(out_masks.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("shape", [(3, 32, 32), (2, 6, 9, 11)])
def test_a_sample_does_not_depend_on_its_batch(shape):
    images, masks, ids = batch(shape)
    whole = augment(images, masks, EVERYTHING, seed=7, sample_ids=ids)
    order = torch.tensor([5, 0, 6, 2])
    part = augment(images[order], masks[order], EVERYTHING, seed=7, sample_ids=ids[order])
    assert torch.equal(whole[1][order], part[1])
    # Sums over pixels may be taken in another order in another batch: one float32 rounding of values in [0, 1].
    assert (whole[0][order] - part[0]).abs().max() <= 2**-20


@pytest.mark.parametrize("change", ["seed", "high seed", "ids", "high ids"])
def test_seed_and_sample_id_change_the_outcome(change):
    images, masks, ids = batch()
    one = augment(images, masks, EVERYTHING, seed=1, sample_ids=ids)
    seed = {"seed": 2, "high seed": 1 + 2**40}.get(change, 1)
    ids = ids + {"ids": 1, "high ids": 2**40}.get(change, 0)
    two = augment(images, masks, EVERYTHING, seed=seed, sample_ids=ids)
    assert not torch.equal(one[0], two[0])
    assert not torch.equal(one[1], two[1])


def test_nothing_asked_nothing_done():
    images, masks, ids = batch()
    out, out_masks = augment(images, masks, Augmentation(), seed=1, sample_ids=ids)
    assert torch.equal(out, images.float() / 255) or (out - images.float() / 255).abs().max() <= 2**-23
    assert torch.equal(out_masks, masks)
    assert out_masks.data_ptr() != masks.data_ptr()


def test_the_inputs_stay_as_they_are():
    images, masks, ids = batch()
    before = images.clone(), masks.clone(), ids.clone()
    augment_views(images, masks, EVERYTHING, strong_view(), seed=3, sample_ids=ids)
    assert all(torch.equal(*pair) for pair in zip(before, (images, masks, ids)))


@pytest.mark.parametrize("dims", [2, 3])
def test_flips_move_masks_with_images_and_come_in_all_kinds(dims):
    images, masks, ids = batch((1, *[6, 7, 8][:dims]), count=64)
    images = masks[:, None] * 255
    out, out_masks = augment(images, masks, Augmentation(flip=0.5), seed=3, sample_ids=ids)
    assert torch.equal(out[:, 0], out_masks.float())
    kinds = set()
    for before, after in zip(masks, out_masks):
        axes = [a for a in range(2**dims) if torch.equal(before.flip([i for i in range(dims) if a >> i & 1]), after)]
        kinds |= set(axes)
    assert kinds == set(range(2**dims))


@pytest.mark.parametrize(
    "geometry",
    [{"rotate_deg": 60}, {"scale": (0.7, 1.4)}, {"translate": 0.2}, {"flip": 0.5, "rotate_deg": 30, "translate": 0.1}],
)
def test_masks_follow_images(geometry):
    images, masks = smooth(count=200)
    out, moved = augment(images, masks, Augmentation(**geometry), seed=5, sample_ids=torch.arange(200))
    assert not torch.equal(moved, masks)
    seen = (out[:, 0] > 0.5).to(torch.uint8)
    dice = 2 * (seen & moved).sum((1, 2)) / (seen.sum((1, 2)) + moved.sum((1, 2)))
    assert dice.min() > 0.97
    # Rounding to whole pixels errs by U(-0.5, 0.5) at most, 0.02 px in the mean of 200; a shift by half a pixel shows.
    assert (centre(seen) - centre(moved)).mean(0).abs().max() < 0.1


def test_labels_survive_geometry():
    labels = torch.randint(0, 256, (4, 33, 20), dtype=torch.uint8)
    images = torch.zeros(4, 1, 33, 20, dtype=torch.uint8)
    _, moved = augment(images, labels, weak_view(), seed=1, sample_ids=torch.arange(4))
    for before, after in zip(labels, moved):
        assert set(after.unique().tolist()) <= set(before.unique().tolist())


def test_views_share_the_geometry_and_differ_in_look():
    images, masks = smooth()
    ids = torch.arange(6)
    views = augment_views(images, masks, weak_view().geometry_only(), strong_view(), seed=2, sample_ids=ids)
    plain, moved = augment(images, masks, weak_view().geometry_only(), seed=2, sample_ids=ids)
    assert torch.equal(views.weak, plain)
    assert torch.equal(views.masks, moved)
    assert not torch.equal(views.strong, views.weak)
    for weak, strong in zip(views.weak[:, 0].flatten(1), views.strong[:, 0].flatten(1)):
        assert torch.corrcoef(torch.stack([weak, strong]))[0, 1] > 0.9
    same = augment_views(images, masks, weak_view(), None, seed=2, sample_ids=ids)
    assert same.strong is same.weak
    assert augment_views(images, None, weak_view(), strong_view(), seed=2, sample_ids=ids).masks is None


@pytest.mark.parametrize("field", ["brightness", "contrast", "saturation", "color", "gamma", "noise", "blur"])
def test_each_look_changes_images_alone_and_its_probability_counts(field):
    images, masks, ids = batch(count=200)
    p = {"noise": "p_noise", "blur": "p_blur"}.get(field, "p_color")
    largest = 4.0 if field == "blur" else 0.5  # px; a sigma under 0.25 px blurs nothing
    out, out_masks = augment(images, masks, Augmentation(**{field: largest, p: 0.3}), seed=1, sample_ids=ids)
    assert torch.equal(out_masks, masks)
    changed = ((out - images.float() / 255).abs().flatten(1).max(1).values > 1e-3).float().mean().item()
    assert 0.15 < changed < 0.45
    none, _ = augment(images, masks, Augmentation(**{field: largest, p: 0.0}), seed=1, sample_ids=ids)
    assert (none - images.float() / 255).abs().max() < 1e-6


def test_color_against_its_formula():
    g = torch.Generator().manual_seed(0)
    x = torch.rand(5, 3, 8, 8, generator=g)
    brightness, contrast, saturation = (torch.rand(5, 1, 1, 1, generator=g) + 0.5 for _ in range(3))
    gains = torch.rand(5, 3, 1, 1, generator=g) + 0.5
    got = reference.color(x, *(v.flatten() for v in (brightness, contrast, saturation)), gains.flatten(1))
    gained = x * gains
    luma = (gained * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    mixed = luma + saturation * (gained - luma)
    mean = mixed.mean((1, 2, 3), keepdim=True)
    assert torch.allclose(got, mean + contrast * (mixed - mean) + brightness, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("spatial", [2, 3])
def test_blur_against_a_dense_gaussian(spatial):
    x = torch.rand(2, 2, *[13] * spatial, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.0, 1.1])
    got = reference.blur(x, sigma, 1.2)
    assert torch.equal(got[0], x[0])
    taps = torch.exp(-torch.arange(-3, 4).float().square() / (2 * 1.1**2))
    kernel = taps
    for _ in range(spatial - 1):
        kernel = kernel[..., None] * taps
    kernel = (kernel / kernel.sum())[None, None].expand(2, 1, *[7] * spatial)
    padded = F.pad(x[1:], [3] * 2 * spatial, mode="replicate")
    want = (F.conv2d if spatial == 2 else F.conv3d)(padded, kernel, groups=2)
    assert torch.allclose(got[1:], want, rtol=1e-5, atol=1e-6)


def test_empty_batch():
    images, masks, ids = batch(count=0)
    views = augment_views(images, masks, weak_view(), strong_view(), seed=1, sample_ids=ids)
    assert (views.strong.shape, views.masks.shape) == (images.shape, masks.shape)


def test_inputs_that_are_not_contiguous():
    images, masks, ids = batch((3, 20, 24))
    want = augment(images, masks, EVERYTHING, seed=1, sample_ids=ids)
    last = images.contiguous(memory_format=torch.channels_last)
    sparse = torch.stack([masks, masks], -1)[..., 0]
    got = augment(last, sparse, EVERYTHING, seed=1, sample_ids=ids)
    assert (got[0] - want[0]).abs().max() <= 2**-20
    assert torch.equal(got[1], want[1])


def test_wrong_inputs():
    images, masks, ids = batch()
    for error, pattern, arguments in (
        (TypeError, "images must be uint8 or float16", (images.float(), masks, ids, 1)),
        (TypeError, "masks must be uint8", (images, masks.bool(), ids, 1)),
        (TypeError, "sample_ids must be int64", (images, masks, ids.int(), 1)),
        (TypeError, "seed must be an int", (images, masks, ids, 1.0)),
        (InputError, "seed must be in", (images, masks, ids, -1)),
        (InputError, r"images must be \[B, C", (images[0], masks, ids, 1)),
        (InputError, r"masks must be \[8, 32, 32\], got \[8, 31, 32\]", (images, masks[:, 1:], ids, 1)),
        (InputError, r"sample_ids must be \[8\], got \[7\]", (images, masks, ids[1:], 1)),
    ):
        with pytest.raises(error, match=pattern):
            augment(*arguments[:2], weak_view(), seed=arguments[3], sample_ids=arguments[2])
    with pytest.raises(InputError, match="strong must have no geometry"):
        augment_views(images, masks, weak_view(), weak_view(), seed=1, sample_ids=ids)


def test_augmentation_tells_all_faults():
    with pytest.raises(InputError, match=r"(?s)3 faults.*flip must be in \[0, 1\], got 2.*noise.*scale"):
        Augmentation(flip=2, noise=float("nan"), scale=(1.2, 0.8))
    assert Augmentation(scale=[0.9, 1.1]).scale == (0.9, 1.1)
    assert {field.name for field in fields(Augmentation)} >= {"p_geometry", "p_color", "p_noise", "p_blur"}
    assert image_only().flips_only
    assert image_only().flip == 0
