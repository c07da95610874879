"""Augmentation's ends: masks as bits, images in half precision, and results as a network takes them."""

from __future__ import annotations

import pytest
import torch

from qgssl_fast import backend
from qgssl_fast.errors import InputError
from qgssl_fast.kernels.reference.packed import PackedMasks, pack_masks
from qgssl_fast.ops.augment import Augmentation, augment, augment_views, strong_view, weak_view

SHAPES = [(3, 33, 40), (1, 7, 5), (4, 16, 18), (5, 20, 1), (2, 6, 9, 11), (1, 1, 1)]
ids = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
INDEX, IDS = torch.tensor([4, 0, 3, 4, 1]), torch.arange(5) * 91 + 3
GREY = Augmentation(flip=0.5, rotate_deg=180, scale=(0.3, 2), translate=0.5)


@pytest.fixture(autouse=True)
def built():
    if why_not := backend.refusal("native", torch.device("cpu")):
        pytest.skip(why_not)


def store(shape, classes=2, count=5):
    g = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *shape), dtype=torch.uint8, generator=g)
    return images, torch.randint(0, classes, (count, *shape[1:]), dtype=torch.uint8, generator=g)


@pytest.mark.parametrize("classes", [1, 2, 3, 5, 256])
@pytest.mark.parametrize("sides", [(4, 8), (5, 7), (1, 1), (3, 5, 7)])
def test_packing_keeps_every_class(classes, sides):
    _, masks = store((1, *sides), classes)
    packed = pack_masks(masks, classes)
    pixels = masks[0].numel()
    assert packed.bits.shape == (5, max(1, (classes - 1).bit_length()), -(-pixels // 8))
    assert torch.equal(packed.unpacked(), masks)
    assert torch.equal(packed.unpacked(INDEX), masks[INDEX])
    assert torch.equal(packed.select(INDEX).unpacked(), masks[INDEX])


@ids
@pytest.mark.parametrize("classes", [2, 6])
@pytest.mark.parametrize("geometry", [GREY, Augmentation(flip=0.5)], ids=["moved", "flipped"])
def test_packed_masks_give_the_same_labels(isa, shape, classes, geometry):
    images, masks = store(shape, classes)
    packed = pack_masks(masks, classes)
    want = augment(images, masks, geometry, seed=7, sample_ids=IDS, index=INDEX, backend="reference")[1]
    for kind in ("reference", "native"):
        assert torch.equal(
            augment(images, packed, geometry, seed=7, sample_ids=IDS, index=INDEX, backend=kind)[1], want
        )


@ids
def test_halves(isa, shape):
    images, masks = store(shape)
    halves = (images / 255).half()
    a, b = (
        augment_views(halves, masks, GREY, strong_view(), seed=7, sample_ids=IDS, index=INDEX, backend=kind)
        for kind in ("reference", "native")
    )
    assert torch.equal(a.masks, b.masks)
    assert max((a.weak - b.weak).abs().max(), (a.strong - b.strong).abs().max()) <= 4e-6
    bytes_ = augment(images, masks, GREY, seed=7, sample_ids=IDS, index=INDEX)[0]
    assert (a.weak - bytes_).abs().max() <= 2**-11  # half a unit in the last place of a half near 1


def test_every_half_is_read_right():
    """All finite halves of [0, 1], denormal ones too."""
    numbers = torch.arange(0x3C01, dtype=torch.int16).view(torch.float16)
    images = numbers.view(1, 1, 1, -1)[..., :4096]
    for part in numbers.split(4096):
        images = torch.zeros(1, 1, 1, 4096, dtype=torch.float16)
        images[0, 0, 0, : len(part)] = part
        got = augment(images, None, Augmentation(), seed=0, sample_ids=IDS[:1], backend="native")[0]
        assert torch.equal(got, images.float())


@ids
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_results_as_a_network_takes_them(isa, shape, dtype, last):
    images, masks = store(shape)
    channels = shape[0]
    statistics = ([0.4 + 0.01 * c for c in range(channels)], [0.2 + 0.05 * c for c in range(channels)])
    form = {"normalisation": statistics, "dtype": dtype, "channels_last": last}
    plain = augment_views(images, masks, weak_view(), strong_view(), seed=7, sample_ids=IDS, index=INDEX)
    made = [
        augment_views(images, masks, weak_view(), strong_view(), seed=7, sample_ids=IDS, index=INDEX, **form | kind)
        for kind in ({"backend": "reference"}, {"backend": "native"})
    ]
    mean, deviation = (torch.tensor(numbers).view(-1, *[1] * (len(shape) - 1)) for numbers in statistics)
    layout = torch.channels_last if len(shape) == 3 else torch.channels_last_3d
    # Values up to 3: a rounding of the dtype, and of float32 beside it.
    bound = {torch.float32: 3e-5, torch.float16: 2**-9, torch.bfloat16: 2**-6}[dtype]
    for views in made:
        for view, plainly in zip(views[:2], plain[:2]):
            assert view.dtype == dtype
            assert view.is_contiguous(memory_format=layout if last else torch.contiguous_format)
            assert (view.float() - (plainly - mean) / deviation).abs().max() <= bound
        assert torch.equal(views.masks, plain.masks)


def test_rounding_to_half_and_bfloat_is_torchs():
    """Without looks a value is a byte / 255 and its normalisation one product, so that bits can be compared."""
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    for scale in (1.0, 1e-7, 3e5, 0.1234):
        for dtype in (torch.float16, torch.bfloat16):
            for last in (False, True):
                form = {"normalisation": ([0.0], [1 / scale]), "dtype": dtype, "channels_last": last}
                a, b = (
                    augment(images, None, Augmentation(), seed=0, sample_ids=IDS[:1], backend=kind, **form)[0]
                    for kind in ("reference", "native")
                )
                assert torch.equal(a, b)


def test_wrong_forms():
    images, masks = store((3, 8, 8))
    packed = pack_masks(masks, 2)
    for error, pattern, given, form in (
        (TypeError, "dtype must be float32, float16 or bfloat16", masks, {"dtype": torch.float64}),
        (InputError, "normalisation must be 3 means", masks, {"normalisation": ([0.5], [0.5])}),
        (InputError, "deviations > 0", masks, {"normalisation": ([0.5] * 3, [0.5, 0, 1])}),
        (InputError, "deviations > 0", masks, {"normalisation": ([0.5, float("nan"), 0], [0.5, 1, 1])}),
        (InputError, r"packed masks must be \[5, 1, 8\]", PackedMasks(packed.bits[:, :, :7], (8, 8)), {}),
        (InputError, r"packed masks must be \[5, 1, 8\]", PackedMasks(packed.bits, (4, 16)), {}),
        (TypeError, "masks must be uint8", PackedMasks(packed.bits.int(), (8, 8)), {}),
    ):
        with pytest.raises(error, match=pattern):
            augment(images, given, weak_view(), seed=1, sample_ids=IDS, **form)
