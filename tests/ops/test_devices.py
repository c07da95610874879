"""Every operation on every device and backend: the bytes of the reference, and errors that name the argument."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

import qgssl_fast as qf
from qgssl_fast import backend as backends
from qgssl_fast.corruption import MaskBank
from qgssl_fast.recipes.softness import Softness

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
INTERPRETED = ("triton",) if os.environ.get("TRITON_INTERPRET") == "1" else ()
SERVED = [
    *(pytest.param("cpu", name, id=f"cpu-{name}") for name in ("native", "reference", *INTERPRETED)),
    *(pytest.param("cuda", name, id=f"cuda-{name}", marks=GPU) for name in ("cuda", "triton", "native", "reference")),
]
FIELDS = ("masks", "quality", "overlap", "rows", "errors")


def there(value, device):
    return value.to(device) if isinstance(value, torch.Tensor) else value


def call(op, device, name, *arguments, **options):
    function = getattr(qf, op)
    operation = "corrupt" if op == "replay" else op
    registered = {o.name: o for o in backends.operations()}[operation]
    if name not in registered.backends:
        pytest.skip(f"{op} is not in {name}")
    if why_not := backends.refusal(name, torch.device(device)):
        pytest.skip(why_not)
    moved = {key: there(value, device) for key, value in options.items()}
    return function(*(there(value, device) for value in arguments), **moved, backend=name)


def same(got, want) -> None:
    if isinstance(want, torch.Tensor):
        assert torch.equal(got.cpu(), want)
        return
    for field in FIELDS:
        a, b = getattr(got, field), getattr(want, field)
        assert (a is None) == (b is None)
        assert a is None or torch.equal(a.cpu(), b), field


def images(*size: int, seed: int = 0) -> torch.Tensor:
    """Empty, full, one pixel, noise, two blobs that leave the image, each several times."""
    rng = np.random.default_rng((seed, *size))
    at = np.indices(size) / max(size)
    kinds = [np.zeros(size, bool), np.ones(size, bool), np.zeros(size, bool), rng.random(size) < 0.5]
    kinds[2][tuple(side // 2 for side in size)] = True
    for centre in (0.15, 0.6):
        kinds.append(((at - centre) ** 2).sum(0) < 0.06)
    return torch.from_numpy(np.stack(kinds * 3).astype(np.uint8))


SIZES = [(1, 1), (33, 65), (64, 63), (40, 127), (5, 9, 33), (1, 12, 20)]


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("op", ["erode", "dilate", "opening", "closing"])
def test_morph(op, size, device, name):
    masks = images(*size)
    for radius in (0, 1, 4, 70):
        want = getattr(qf, op)(masks, radius, backend="reference")
        same(call(op, device, name, masks, radius), want)
        same(call(op, device, name, masks.bool(), radius), want.bool())
    strided = masks.transpose(1, 2)
    same(call(op, device, name, strided, 1), getattr(qf, op)(strided, 1, backend="reference"))


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("size", SIZES)
def test_overlap(size, device, name):
    a, b = images(*size), images(*size, seed=1)
    same(call("overlap", device, name, a, b), qf.overlap(a, b, backend="reference"))
    labels = [torch.from_numpy(np.random.default_rng(k).integers(0, 5, a.shape).astype(np.uint8)) for k in (0, 1)]
    same(call("overlap", device, name, *labels, 5), qf.overlap(*labels, 5, backend="reference"))


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("size", SIZES)
def test_warp(size, device, name):
    masks, axes = images(*size), len(size)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.2, (len(masks), axes, axes + 1)))
    matrices = torch.eye(axes, axes + 1) + noise
    for truncate in (False, True):
        want = qf.affine(masks, matrices, truncate=truncate, backend="reference")
        same(call("affine", device, name, masks, matrices, truncate=truncate), want)
    ids = torch.arange(len(masks)) - 3
    for amplitude, smoothness in [(3.4, 5.0), (64.0, 0.5)]:
        options = {"seed": 2**64 - 1, "sample_ids": ids}
        want = qf.elastic(masks, amplitude, smoothness, **options, backend="reference")
        same(call("elastic", device, name, masks, amplitude, smoothness, **options), want)


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("recipe", ["paper", "default"])
def test_corrupt_and_replay(recipe, size, device, name):
    masks, recipe = images(*size), qf.load_recipe(recipe)
    recipe = recipe if len(size) == 2 else recipe.without_bank()
    bank = MaskBank(masks)
    bank.add(masks.roll(1, 0))
    ids = torch.arange(len(masks)) + 2**40
    images_of = torch.arange(len(masks))
    options = {"seed": 9, "sample_ids": ids, "bank": bank, "image_ids": images_of, "errors": True}
    want = qf.corrupt(masks, recipe, **options, backend="reference")
    same(call("corrupt", device, name, masks, recipe, **options), want)
    same(call("replay", device, name, masks, recipe, want.rows, **options), want)


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
def test_into_a_channel(dtype, device, name):
    masks, recipe = images(40, 64), qf.load_recipe("default").without_bank()
    want = qf.corrupt(masks, recipe, backend="reference")
    inputs = torch.full((len(masks), 4, 40, 64), 3, device=device).to(dtype)
    call("corrupt", device, name, masks, recipe, out=inputs[:, 3])
    same(inputs[:, 3], want.masks.to(dtype))
    assert bool((inputs[:, :3] == 3).all())


@pytest.mark.parametrize(("device", "name"), SERVED)
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("soft", [None, Softness(0.8, 1, 9, 1.0, 20.0)])
def test_labels_and_soft_masks(classes, soft, device, name):
    rng = np.random.default_rng(0)
    cells = rng.integers(0, classes, (12, 6, 9)).astype(np.uint8)
    masks = torch.from_numpy(cells).repeat_interleave(7, 1).repeat_interleave(8, 2).contiguous()
    recipe = qf.load_recipe("default" if classes == 2 else "labels").without_bank().replace(softness=soft)
    options = {"seed": 4, "num_classes": classes, "errors": True}
    want = qf.corrupt(masks, recipe, **options, backend="reference")
    same(call("corrupt", device, name, masks, recipe, **options), want)


MASKS, RECIPE = images(20, 30), qf.load_recipe("default").without_bank()
ELSEWHERE = torch.arange(len(MASKS), device="meta")
EYE = torch.eye(2, 3).expand(len(MASKS), 2, 3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize(
    ("run", "text"),
    [
        (
            lambda masks: qf.corrupt(masks, RECIPE, sample_ids=ELSEWHERE),
            "corrupt: sample_ids must be on {}, as masks are",
        ),
        (lambda masks: qf.corrupt(masks, RECIPE, out=masks.to("meta")), "corrupt: out must be on {}, as masks are"),
        (lambda masks: qf.replay(masks, RECIPE, torch.zeros(18, 3, device="meta").int()), "replay: rows must be on {}"),
        (lambda masks: qf.elastic(masks, 1.0, 2.0, sample_ids=ELSEWHERE), "elastic: sample_ids must be on {}"),
        (lambda masks: qf.affine(masks, EYE.to("meta")), "affine: matrices must be on {}, as masks are"),
        (
            lambda masks: qf.overlap(masks, masks.to("meta")),
            "overlap: both masks must be on one device, got {} and meta",
        ),
        (
            lambda masks: qf.corrupt(
                masks, qf.load_recipe("paper").only("cross_image"), bank=MaskBank(MASKS), image_ids=ELSEWHERE
            ),
            "corrupt: image_ids must be on {}, as masks are",
        ),
        (lambda masks: qf.corrupt(masks, RECIPE, backend="triton"), "corrupt: backend 'triton' cannot serve on {}"),
        (lambda masks: qf.erode(masks.to("meta"), 1, backend="cuda"), "erode: backend 'cuda' cannot serve on meta"),
    ],
)
def test_what_is_on_another_device_is_told(run, text, device):
    masks = MASKS.to(device)
    with pytest.raises(qf.InputError) as caught:
        run(masks)
    assert str(caught.value).startswith(text.format(masks.device))
    same(qf.erode(masks, 1), qf.erode(MASKS, 1, backend="reference"))  # and the device can be used on


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=GPU)])
def test_a_mask_beyond_what_kernels_number_is_told(device):
    wide = torch.zeros(1, 1, 1, dtype=torch.uint8, device=device).expand(1, 2**16, 2**15)
    for run in (lambda: qf.erode(wide, 1), lambda: qf.overlap(wide, wide)):
        with pytest.raises(qf.InputError, match="must have fewer than 2\\^31 pixels each, got"):
            run()
    with pytest.raises(qf.InputError, match=r"corrupt: .* must have fewer than 2\^31 pixels"):
        qf.corrupt(wide, RECIPE)
