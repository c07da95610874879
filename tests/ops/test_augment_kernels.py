"""Kernels of augmentation against the reference: masks and moved images bit for bit, looks within rounding."""

import math

import pytest
import torch
import torch.nn.functional as F

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference import augment as reference
from qgssl_fast.kernels.reference.philox import philox4x32
from qgssl_fast.ops.augment import Augmentation, augment, augment_views, image_only, strong_view, weak_view

SHAPES = [
    (3, 64, 80),
    (1, 33, 7),
    (4, 1, 5),
    (2, 1, 1),
    (5, 16, 2),
    (3, 127, 65),
    (2, 9, 10, 11),
    (1, 20, 24, 28),
    (1, 1, 8, 9),
]
FAR = Augmentation(flip=0.5, rotate_deg=180, scale=(0.15, 3), translate=1, blur=3, noise=0.3)
ASKED = {
    "views": (weak_view(), strong_view()),
    "flips": (Augmentation(flip=0.5), None),
    "far": (FAR, image_only()),
    "rarely": (Augmentation(rotate_deg=10, p_geometry=0.3, gamma=2, p_color=0.3), Augmentation(blur=8, p_blur=0.5)),
}  # fmt: skip


@pytest.fixture(autouse=True)
def built():
    if why_not := backend.refusal("native", torch.device("cpu")):
        pytest.skip(why_not)


def store(shape, count=6):
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=g)
    return images, torch.randint(0, 5, (count, *shape[1:]), dtype=torch.uint8, generator=g)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
@pytest.mark.parametrize("name", ASKED)
def test_kernels_give_the_references_values(isa, shape, name):
    images, masks = store(shape)
    index, ids = torch.tensor([5, 0, 3, 5, 1, 2, 4, 5]), torch.arange(8) * 77 + 2**40
    calls = [
        augment_views(images, masks, *ASKED[name], seed=2**63 + 5, sample_ids=ids, index=index, backend=kind)
        for kind in ("reference", "native")
    ]
    assert torch.equal(calls[0].masks, calls[1].masks)
    for a, b in zip(calls[0][:2], calls[1][:2]):
        # Powers and sums in another order; values in [0, 1]. Blur and mean add some dozens of roundings of 2**-24.
        assert (a - b).abs().max() <= 4e-6


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_moved_images_are_the_same_bits(isa, shape):
    images, masks = store(shape)
    far = FAR.geometry_only()
    a, b = (
        augment(images, masks, far, seed=3, sample_ids=torch.arange(6), backend=kind)
        for kind in ("reference", "native")
    )
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])


def test_threads_and_batches_change_no_bit():
    images, masks = store((3, 40, 44), 32)
    ids = torch.arange(32)
    one = augment_views(images, masks, weak_view(), strong_view(), seed=1, sample_ids=ids)
    torch.set_num_threads(2)
    two = augment_views(images, masks, weak_view(), strong_view(), seed=1, sample_ids=ids)
    part = augment_views(images, masks, weak_view(), strong_view(), seed=1, sample_ids=ids[7:9], index=ids[7:9])
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    assert all(torch.equal(a[7:9], b) for a, b in zip(one, part))


def test_index_takes_rows_of_a_store():
    images, masks = store((3, 20, 24))
    index, ids = torch.tensor([3, 3, 0]), torch.tensor([9, 10, 11])
    for kind in ("reference", "native"):
        got = augment(images, masks, weak_view(), seed=1, sample_ids=ids, index=index, backend=kind)
        want = augment(images[index], masks[index], weak_view(), seed=1, sample_ids=ids, backend=kind)
        assert all(torch.equal(a, b) for a, b in zip(got, want))
    with pytest.raises(InputError, match="index must be below the number of images, of which there are 6"):
        augment(images, masks, weak_view(), seed=1, sample_ids=ids, index=torch.tensor([0, 6, 1]))


def test_words_are_philoxs():
    ids = torch.tensor([0, 7, 2**32 + 5, 2**62 + 3])
    got = reference.words(2**64 - 2, ids, 0x41000001, torch.arange(5))
    n = ids.numpy()[:, None]
    want = philox4x32(torch.arange(5).numpy(), 0x41000001, n & 0xFFFFFFFF, n >> 32, 2**64 - 2)
    assert torch.equal(got, torch.from_numpy(want.astype("int64")))


def test_noise_is_nearly_normal_and_independent():
    n = reference.noise(11, torch.arange(400), (3, 32, 32), reference.NOISE).flatten(1)  # 1.2 million values
    assert (n.mean(), n.std(), n.pow(3).mean(), n.pow(4).mean()) == pytest.approx((0, 1, 0, 3 - 0.3), abs=0.02)
    assert (torch.corrcoef(n[:64]) - torch.eye(64)).abs().max() < 0.1


def moved(images, **geometry):
    """By a geometry whose table says the same for every draw."""
    return augment(images, None, Augmentation(**geometry), seed=1, sample_ids=torch.arange(len(images)))[0]


@pytest.mark.parametrize("shape", [(41, 67), (11, 24, 30)])
def test_places_are_those_of_grid_sample(shape):
    """A hundred maps within the image against torch's own, by its affine: to 1/256 px times the steepest gradient."""
    dims = len(shape)
    g = Augmentation(flip=0.5, rotate_deg=90, scale=(0.8, 1.25), translate=0.2)
    ids = torch.arange(100)
    axes = torch.meshgrid(*[torch.linspace(0, 3.0 + k, n) for k, n in enumerate(shape)], indexing="ij")
    image = ((sum(axes).sin() + 1) * 127).round().to(torch.uint8)
    images = image.expand(100, 1, *shape).contiguous()
    matrices = reference.source_matrices(g.geometry(), 5, ids, shape).double() / 65536
    # Pixels to the [-1, 1] of affine_grid, x first.
    flipped = matrices[:, :, :dims].flip(1, 2)
    sides = torch.tensor(shape[::-1], dtype=torch.float64)
    theta = torch.zeros(100, dims, dims + 1, dtype=torch.float64)
    theta[:, :, :dims] = flipped * sides[None, None] / sides[None, :, None]
    centre = (sides - 1) / 2
    at_centre = (flipped @ centre[:, None])[..., 0] + matrices[:, :, dims].flip(1)
    theta[:, :, dims] = 2 * (at_centre - centre) / sides
    grid = F.affine_grid(theta, [100, 1, *shape], align_corners=False)
    want = F.grid_sample(images.double() / 255, grid, padding_mode="reflection", align_corners=False)
    got = augment(images, None, g, seed=5, sample_ids=ids)[0]
    steepest = max((image.double().diff(dim=k).abs().max() / 255).item() for k in range(dims))
    assert (got - want).abs().max() <= dims * steepest / 256 + 1e-4


def test_turns_of_half_a_circle_and_zooms():
    image = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    image[..., 15:25, 15:25] = 255
    twice = moved(image, scale=(2, 2))
    assert (twice > 0.5).sum() == 400
    g = Augmentation(translate=0.25).geometry()
    m = reference.source_matrices(g, 1, torch.arange(5000), (40, 20)).double() / 65536
    assert m[:, 0, 2].abs().max() <= 10
    assert m[:, 1, 2].abs().max() <= 5
    assert m[:, 0, 2].abs().max() > 9.9
    turned = (
        reference.source_matrices(Augmentation(rotate_deg=180).geometry(), 1, torch.arange(5000), (40, 20)).double()
        / 65536
    )
    angle = torch.atan2(turned[:, 1, 0], turned[:, 0, 0])
    assert angle.abs().max() == pytest.approx(math.pi, abs=0.01)
    assert angle.abs().mean() == pytest.approx(math.pi / 2, abs=0.05)
    assert turned[:, :, :2].square().sum((1, 2)) == pytest.approx(2, abs=1e-3)
