"""The native `corrupt` as a whole against the reference: sizes, batches, threads, outputs, replays."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import qgssl_fast as qf
from qgssl_fast.corruption import MaskBank
from qgssl_fast.kernels import native

_C = pytest.importorskip("qgssl_fast._C", reason="the C++ module is not built")

RECIPES = {name: qf.load_recipe(name) for name in ("paper", "default")}
SIDES = st.one_of(st.integers(1, 130), st.sampled_from([1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129]))
FIELDS = ("masks", "quality", "overlap", "rows", "errors")


@st.composite
def batches(draw) -> torch.Tensor:
    """Masks of many kinds: [B, H, W], B from 0."""
    height, width = draw(SIDES), draw(SIDES)
    masks = np.zeros((draw(st.integers(0, 12)), height, width), np.uint8)
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    for mask in masks:
        kind = rng.integers(8)
        if kind < 4:  # smooth shapes, several, some over the border
            for _ in range(rng.integers(1, 6)):
                a, b, r = rng.uniform(-1.1, 1.1), rng.uniform(-1.1, 1.1), rng.uniform(0.02, 0.7)
                mask |= ((y - a) ** 2 + (x - b) ** 2 * rng.uniform(0.3, 3) < r * r).astype(np.uint8)
        elif kind == 4:
            mask[:] = rng.random((height, width)) < rng.choice([0.02, 0.5, 0.98])
        elif kind == 5:
            mask[rng.integers(height), rng.integers(width)] = 1
        elif kind == 6:
            mask[:] = 1
    return torch.from_numpy(masks)


def bank_of(masks: torch.Tensor) -> tuple[MaskBank, torch.Tensor]:
    truth = masks if len(masks) else masks.new_ones((1, *masks.shape[1:]))
    bank = MaskBank(truth)
    bank.add(truth.roll(1, -1))
    bank.add(1 - truth)
    return bank, torch.arange(len(masks))


def same(a: qf.Corruption, b: qf.Corruption, part: slice | torch.Tensor = slice(None)) -> None:
    for field in FIELDS:
        assert torch.equal(getattr(a, field), getattr(b, field)[part]), field


@pytest.fixture
def restore():
    with native.using_isa(_C.isa()):
        yield


@pytest.mark.parametrize("name", ["paper", "default"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mix_is_the_reference_in_any_split(restore, name, data):
    masks, seed = data.draw(batches()), data.draw(st.integers(0, 2**64 - 1))
    bank, images = bank_of(masks)
    ids = torch.tensor(
        data.draw(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=len(masks), max_size=len(masks))),
        dtype=torch.int64,
    )
    _C.set_isa(data.draw(st.sampled_from(_C.isas())))
    torch.set_num_threads(data.draw(st.sampled_from([1, 2])))
    options = {"seed": seed, "bank": bank, "errors": True}
    arguments = {"sample_ids": ids, "image_ids": images}
    want = qf.corrupt(masks, RECIPES[name], **options, **arguments, backend="reference")
    same(qf.corrupt(masks, RECIPES[name], **options, **arguments, backend="native"), want)
    order = torch.tensor(data.draw(st.permutations(range(len(masks)))), dtype=torch.int64)
    cut = data.draw(st.integers(0, len(masks)))
    for part in (order[:cut], order[cut:]):
        some = {"sample_ids": ids[part], "image_ids": images[part]}
        same(qf.corrupt(masks[part], RECIPES[name], **options, **some, backend="native"), want, part)
    again = qf.replay(masks, RECIPES[name], want.rows, **options, **arguments, backend="native")
    same(again, want)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_volumes_are_the_reference(data):
    size = (data.draw(st.integers(0, 4)), data.draw(st.integers(1, 9)), data.draw(SIDES), data.draw(SIDES))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    masks = torch.from_numpy((rng.random(size) < rng.choice([0.01, 0.3, 0.97])).astype(np.uint8))
    recipe = RECIPES[data.draw(st.sampled_from(["paper", "default"]))]
    names = [k for k, row in enumerate(recipe.rows) if not row.operation.bank]
    rows = torch.tensor(np.array([rng.permutation(names)[:3] for _ in masks], np.int32)).reshape(-1, 3)
    sides = st.floats(0.0625, 16.0)
    options = {"spacing": data.draw(st.none() | st.tuples(sides, sides, st.just(1.0))), "errors": True}
    a, b = (qf.replay(masks, recipe, rows, **options, backend=name) for name in ("native", "reference"))
    same(a, b)


def lesions(count: int = 24, side: int = 96) -> torch.Tensor:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side]
    at, size = rng.uniform(0.3, 0.7, (2, count, 1, 1)) * side, rng.uniform(0.1, 0.3, (2, count, 1, 1)) * side
    return torch.from_numpy(((((y - at[0]) / size[0]) ** 2 + ((x - at[1]) / size[1]) ** 2) < 1).astype(np.uint8))


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [(33, 65), (64, 63), (7, 130), (40, 40)])
def test_out_is_a_channel_of_an_input(backend, dtype, size):
    masks = (torch.rand((9, *size), generator=torch.Generator().manual_seed(0)) < 0.6).to(torch.uint8)
    recipe = RECIPES["default"].without_bank()
    want = qf.corrupt(masks, recipe, seed=5, errors=True, backend="reference")
    inputs = torch.full((9, 4, *size), 3).to(dtype)
    got = qf.corrupt(masks, recipe, seed=5, errors=True, out=inputs[:, 2], backend=backend)
    assert got.masks.data_ptr() == inputs[:, 2].data_ptr()
    assert torch.equal(inputs[:, 2], want.masks.to(dtype))
    assert bool((inputs[:, [0, 1, 3]] == 3).all())
    for field in FIELDS[1:]:
        assert torch.equal(getattr(got, field), getattr(want, field))


@pytest.mark.parametrize("width", [192, 224, 200])
def test_a_batch_that_no_cache_holds(width, isa):
    masks = lesions(130, 224)[:, :, :width].contiguous()
    recipe = RECIPES["default"].without_bank()
    whole = qf.corrupt(masks, recipe, seed=8, backend="native")
    for first in range(0, 130, 26):  # parts that a cache holds
        ids = torch.arange(first, first + 26)
        part = qf.corrupt(masks[ids], recipe, seed=8, sample_ids=ids, backend="native")
        assert torch.equal(whole.masks[ids], part.masks)


def test_out_of_a_volume_and_of_nothing():
    masks = (torch.rand((3, 4, 9, 33), generator=torch.Generator().manual_seed(0)) < 0.6).to(torch.uint8)
    inputs = torch.zeros(3, 2, 4, 9, 33)
    recipe = RECIPES["default"].only("erosion_5")
    qf.corrupt(masks, recipe, out=inputs[:, 1], backend="native")
    assert torch.equal(inputs[:, 1], qf.erode(masks, 2).float())
    empty = torch.zeros(0, 5, 5)
    assert qf.corrupt(masks[:0, 0, :5, :5], recipe, out=empty, backend="native").masks is empty


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_bools_and_strides(dtype):
    memory = torch.zeros(8, 2, 96, 200, dtype=dtype)
    masks = memory[:, 1, :, 3:195:2]
    masks.copy_(lesions(8))
    recipe = RECIPES["paper"].without_bank()
    assert not masks.is_contiguous()
    want = qf.corrupt(lesions(8), recipe, seed=3, errors=True, backend="reference")
    same(qf.corrupt(masks, recipe, seed=3, errors=True, backend="native"), want)
    turned = lesions(8).transpose(1, 2)
    want = qf.corrupt(turned.contiguous(), recipe, seed=3, errors=True, backend="reference")
    same(qf.corrupt(turned, recipe, seed=3, errors=True, backend="native"), want)


def test_a_batch_comes_again_from_a_file(tmp_path):
    masks = lesions()
    bank, images = bank_of(masks)
    ids = torch.arange(24) + 2**40
    recipe = RECIPES["default"]
    out = qf.corrupt(masks, recipe, seed=2**63 + 1, sample_ids=ids, bank=bank, image_ids=images, errors=True)
    tensors = {"rows": out.rows, "sample_ids": ids, "image_ids": images}
    save_file(tensors, tmp_path / "batch.safetensors", {"seed": str(2**63 + 1)})
    bank.save(tmp_path / "bank.safetensors")
    code = """
import sys, torch, qgssl_fast as qf
from safetensors import safe_open
from safetensors.torch import load_file, save_file
folder, backend = sys.argv[1:]
kept, masks = load_file(folder + "/batch.safetensors"), load_file(folder + "/masks.safetensors")["masks"]
with safe_open(folder + "/batch.safetensors", "pt") as file:
    seed = int(file.metadata()["seed"])
bank = qf.MaskBank.load(folder + "/bank.safetensors")
ids = {"sample_ids": kept["sample_ids"], "image_ids": kept["image_ids"]}
out = qf.replay(masks, qf.load_recipe("default"), kept["rows"], seed=seed, bank=bank, **ids, backend=backend)
save_file({"masks": out.masks, "quality": out.quality}, folder + "/again.safetensors")
"""
    save_file({"masks": masks}, tmp_path / "masks.safetensors")
    for backend in ("native", "reference"):
        subprocess.run([sys.executable, "-c", code, str(tmp_path), backend], check=True, cwd=os.sep, timeout=120)
        again = load_file(tmp_path / "again.safetensors")
        assert torch.equal(again["masks"], out.masks)
        assert torch.equal(again["quality"], out.quality)


def test_memory_does_not_grow_with_the_batch():
    """Beyond what comes out: the high-water mark of a process that corrupts 2,000 masks piece by piece, and at once."""
    code = """
import resource, torch, qgssl_fast as qf
recipe = qf.load_recipe("default").without_bank()
masks, out = torch.ones(2000, 128, 128, dtype=torch.uint8), torch.zeros(2000, 128, 128, dtype=torch.uint8)
ids = torch.arange(2000)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for part in torch.arange(2000).split(50):
    at = slice(int(part[0]), int(part[-1]) + 1)
    qf.corrupt(masks[at], recipe, sample_ids=ids[at], out=out[at], backend="native")
before = peak()
qf.corrupt(masks, recipe, sample_ids=ids, out=out, backend="native")
print(peak() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=os.sep, capture_output=True, text=True, timeout=120
    )
    assert int(done.stdout) < 4096  # KB; the masks are 32 MB


MASKS = lesions(3, 16)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(
    ("out", "kind", "text"),
    [
        (torch.zeros(3, 16, 16, dtype=torch.float64), TypeError, "out must be uint8, float32, float16 or bfloat16"),
        ([1], TypeError, "out must be a Tensor, got list"),
        (torch.zeros(3, 16, 15), qf.InputError, r"out must be \[3, 16, 16\], as masks are, got \[3, 16, 15\]"),
        (torch.zeros(3, 16, 16, device="meta"), qf.InputError, "out must be on cpu, as masks are, got meta"),
        (torch.zeros(3, 16, 16, requires_grad=True), qf.InputError, "out must not require a gradient"),
        (torch.zeros(3, 16, 32)[:, :, ::2], qf.InputError, "out must hold each mask's pixels together"),
        (torch.zeros(1, 16, 16).expand(3, 16, 16), qf.InputError, "out must hold each mask's pixels together"),
        (MASKS, qf.InputError, "out must not share memory with masks"),
    ],
)
def test_out_faults(out, kind, text, backend):
    with pytest.raises(kind, match=text):
        qf.corrupt(MASKS, RECIPES["default"].without_bank(), out=out, backend=backend)
