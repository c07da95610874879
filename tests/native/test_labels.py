"""Label maps and soft masks against the reference: instruction sets, threads, a shuffled team, CUDA on the CPU."""

from __future__ import annotations

import ctypes
from functools import cache, partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.kernels.reference.corrupt import corrupt as reference
from qgssl_fast.recipes.softness import Softness

pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

SOFT = Softness(0.8, 1, 9, 1.0, 20.0)
CASES = {
    "labels": ((37, 70), 4, None, (4096, 4096)),
    "two": ((20, 33), 3, None, (4096, 4096)),
    "volume": ((5, 19, 40), 4, None, (12000, 4096)),
    "soft": ((37, 70), 2, SOFT, (4096, 4096)),
    "soft labels": ((30, 65), 4, SOFT, (4096, 4096)),
    "soft volume": ((6, 17, 40), 2, SOFT, (9000, 3000)),
    "soft plane": ((1, 17, 40), 3, SOFT, (9000, 3000)),
}


def label_map(size: tuple[int, ...], classes: int, seed: int) -> np.ndarray:
    """Cells about random places, some of them background."""
    rng = np.random.default_rng(seed)
    at = np.stack(np.indices(size), axis=-1).astype(float)
    places = rng.uniform(0, 1, (9, len(size))) * size
    nearest = ((at[..., None, :] - places) ** 2).sum(-1).argmin(-1)
    labels = rng.integers(0, classes, 9)
    return labels[nearest].astype(np.uint8)


@cache
def case(name: str):
    size, classes, softness, spacing = CASES[name]
    masks = torch.from_numpy(np.stack([label_map(size, classes, seed) for seed in range(40)]))
    masks[3] = 0
    masks[4] = classes - 1
    bank = MaskBank(masks, classes)
    bank.add(masks.roll(1, -1))
    recipe = qf.load_recipe("default" if classes == 2 else "labels").replace(softness=softness)
    arguments = (masks, recipe.tables, 7, torch.arange(40) + 2**33, bank.tables, torch.arange(40))
    options = {"spacing": spacing, "num_classes": classes}
    return arguments, options, reference(*arguments, errors=True, **options)


def check(name: str, kernel) -> None:
    arguments, options, want = case(name)
    got = kernel(*arguments, **options)
    wrong = [k for k in range(40) if not torch.equal(got[0][k], want[0][k])]
    assert not wrong, [(k, want[3][k].tolist()) for k in wrong]
    for field, a, b in zip(("quality", "overlap", "rows", "errors"), got[1:], want[1:], strict=True):
        assert torch.equal(a, b), field


@pytest.mark.parametrize("name", CASES)
def test_of_the_module(name, isa):
    from qgssl_fast.kernels.native.corrupt import corrupt

    threads = torch.get_num_threads()
    for count in (1, 2):
        torch.set_num_threads(count)
        try:
            check(name, partial(corrupt, errors=True))
        finally:
            torch.set_num_threads(threads)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", CASES)
def test_no_order_matters(name, bits, library, through):
    lib = library("shuffled")

    def call(task, held):
        status = lib.shuffled(bits, ctypes.byref(task), 5)
        assert status == 0, {1: "bits beyond the width", 2: "truth", 3: "behind the planes", 4: "behind the arena"}

    check(name, partial(through, call))


@pytest.mark.parametrize("name", CASES)
def test_by_cuda(name, gpu):
    from qgssl_fast.kernels.cuda.corrupt import corrupt

    check(name, partial(gpu.run, corrupt, errors=True))


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
def test_out_is_labels_or_a_plane_a_class(backend, dtype):
    masks = torch.from_numpy(np.stack([label_map((21, 67), 4, seed) for seed in range(6)]))
    recipe = qf.load_recipe("labels").without_bank()
    options = {"seed": 3, "num_classes": 4, "errors": True}
    want = qf.corrupt(masks, recipe, **options, backend="reference")
    inputs = torch.full((6, 7, 21, 67), 9).to(dtype)
    one = qf.corrupt(masks, recipe, **options, out=inputs[:, 1], backend=backend)
    several = qf.corrupt(masks, recipe, **options, out=inputs[:, 3:6], backend=backend)
    assert torch.equal(inputs[:, 1], want.masks.to(dtype))
    for c in (1, 2, 3):
        assert torch.equal(inputs[:, 2 + c], (want.masks == c).to(dtype))
    assert bool((inputs[:, [0, 2, 6]] == 9).all())
    turned = torch.zeros(3, 6, 21, 67, dtype=dtype).transpose(0, 1)
    assert torch.equal(qf.corrupt(masks, recipe, **options, out=turned, backend=backend).masks, several.masks)
    for out in (one, several):
        assert torch.equal(out.quality, want.quality)
        assert torch.equal(out.errors, want.errors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_soft_out_in_every_dtype(dtype):
    masks = torch.from_numpy(np.stack([label_map((21, 67), 2, seed) for seed in range(8)]))
    recipe = qf.load_recipe("default").without_bank().replace(softness=SOFT)
    want = qf.corrupt(masks, recipe, backend="reference")
    out = torch.zeros(8, 2, 21, 67, dtype=dtype)
    got = qf.corrupt(masks, recipe, out=out[:, 1], backend="native")
    assert torch.equal(got.masks, want.masks.to(dtype))
    assert torch.equal(got.quality, want.quality)
    assert torch.equal(qf.replay(masks, recipe, got.rows).masks, want.masks)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_labels_of_any_size_and_number(data):
    classes = data.draw(st.integers(2, 7))
    size = (data.draw(st.integers(0, 5)), data.draw(st.integers(1, 130)), data.draw(st.integers(1, 130)))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    masks = torch.from_numpy(rng.integers(0, classes, size).astype(np.uint8))
    if data.draw(st.booleans()):
        masks = masks.repeat_interleave(9, 1)[:, : size[1]].repeat_interleave(9, 2)[:, :, : size[2]].contiguous()
    recipe = qf.load_recipe("default" if classes == 2 else "labels").without_bank()
    recipe = recipe.replace(softness=data.draw(st.sampled_from([None, SOFT])))
    options = {"seed": data.draw(st.integers(0, 2**64 - 1)), "num_classes": classes, "errors": True}
    got, want = (qf.corrupt(masks, recipe, **options, backend=name) for name in ("native", "reference"))
    for field in ("masks", "quality", "overlap", "rows", "errors"):
        assert torch.equal(getattr(got, field), getattr(want, field)), field
